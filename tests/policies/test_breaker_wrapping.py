"""What can be protected, what is refused, and what a protected function still is."""

from __future__ import annotations

import asyncio
import functools
import inspect
import pickle
import types
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import pytest

import resilient
from resilient import (
    breaker,
    deadline,
    fallback,
    pipeline,
    point,
    retry,
    stale,
    timeout,
)
from resilient.testing import ManualClock
from tests.names import shown

POLICIES: dict[str, Callable[[], Any]] = {
    "breaker": lambda: breaker("b", clock=ManualClock()),
    "keyed breaker": lambda: breaker("b", key=lambda *a, **k: "k", clock=ManualClock()),
    "key of a breaker": lambda: breaker("b", key=lambda *a: a, clock=ManualClock()).for_key("k"),
    "retry": lambda: retry(on=OSError, clock=ManualClock()),
    "fallback": lambda: fallback(0, on=ZeroDivisionError),
    "stale": lambda: fallback(stale(clock=ManualClock()), on=ZeroDivisionError),
    "deadline": lambda: deadline(99),
    "point": lambda: point("p"),
    "pipeline": lambda: pipeline(point("p"), breaker("b", clock=ManualClock())),
}
ASYNC_POLICIES: dict[str, Callable[[], Any]] = {**POLICIES, "timeout": lambda: timeout(99)}
SYNC_POLICIES: dict[str, Callable[[], Any]] = {
    **POLICIES,
    "timeout of threads": lambda: timeout(99, thread=True),
}
ALL_POLICIES = {**ASYNC_POLICIES, **SYNC_POLICIES}
each_policy = pytest.mark.parametrize("policy", POLICIES)
each_sync_policy = pytest.mark.parametrize("policy", SYNC_POLICIES)
each_async_policy = pytest.mark.parametrize("policy", ASYNC_POLICIES)
each_of_all = pytest.mark.parametrize("policy", ALL_POLICIES)


def generator(_x: int) -> Iterator[int]:
    """Yields."""
    yield 1


async def async_generator(_x: int) -> AsyncIterator[int]:
    """Yields, too."""
    yield 1


class Yielding:
    """A callable object that is a generator function."""

    def __call__(self, x: int) -> Iterator[int]:
        """Yields."""
        yield x

    def method(self, x: int) -> Iterator[int]:
        """Yields."""
        yield x


GENERATORS: dict[str, Any] = {
    "generator": generator,
    "async generator": async_generator,
    "partial": functools.partial(generator, 1),
    "method": Yielding().method,
    "callable object": Yielding(),
    "partial of a method": functools.partial(Yielding().method, 1),
    "static method": staticmethod(generator),
    "class method": classmethod(generator),  # type: ignore[arg-type]  # refused anyway
}


@pytest.mark.parametrize("kind", GENERATORS)
@each_of_all
def test_generators_are_refused(policy: str, kind: str) -> None:
    """At decoration, and by `call`, saying what to do instead."""
    made = ALL_POLICIES[policy]()
    with pytest.raises(TypeError, match="with breaker"):
        made(GENERATORS[kind])
    if not isinstance(GENERATORS[kind], staticmethod | classmethod):
        with pytest.raises(TypeError, match="with breaker"):
            made.call(GENERATORS[kind], 1)


@pytest.mark.parametrize("thing", [5, None, "f", int, Yielding, object()], ids=shown)
@each_of_all
def test_what_is_no_function_is_refused(policy: str, thing: Any) -> None:
    """Classes and things that cannot be called."""
    made = ALL_POLICIES[policy]()
    with pytest.raises(TypeError):
        made(thing)
    with pytest.raises(TypeError):
        made.call(thing)


@each_sync_policy
def test_a_def_that_returns_a_coroutine_is_refused(policy: str) -> None:
    """A created coroutine is no success: the cure is named, and nothing is left unawaited."""

    async def ask() -> int:
        return 1

    def disguised() -> Coroutine[Any, Any, int]:
        return ask()

    made = SYNC_POLICIES[policy]()
    for run in (made(disguised), functools.partial(made.call, disguised)):
        with pytest.raises(TypeError, match="async def"):
            run()


def plain(a: int, *, b: int = 2) -> tuple[int, int]:
    """Says a and b."""
    return a, b


async def suspending(a: int, *, b: int = 2) -> tuple[int, int]:
    """Says a and b, later."""
    await asyncio.sleep(0)
    return a, b


class Callable_:  # noqa: N801  (stands for any class with __call__)
    """Calls like `plain`."""

    def __call__(self, a: int, *, b: int = 2) -> tuple[int, int]:
        """Say a and b."""
        return a, b


class AsyncCallable:
    """Calls like `suspending`."""

    async def __call__(self, a: int, *, b: int = 2) -> tuple[int, int]:
        """Say a and b, later."""
        return await suspending(a, b=b)


SYNC_KINDS: dict[str, Any] = {
    "function": plain,
    "lambda": lambda a, *, b=2: (a, b),
    "partial": functools.partial(plain, b=3),
    "callable object": Callable_(),
    "partial of an object": functools.partial(Callable_(), b=3),
    "builtin": divmod,
}
ASYNC_KINDS: dict[str, Any] = {
    "function": suspending,
    "partial": functools.partial(suspending, b=3),
    "callable object": AsyncCallable(),
    "partial of an object": functools.partial(AsyncCallable(), b=3),
    "bound __call__": AsyncCallable().__call__,
}


@pytest.mark.parametrize("kind", SYNC_KINDS)
@each_sync_policy
def test_anything_that_can_be_called(policy: str, kind: str) -> None:
    """Arguments, results and kind stay what they were."""
    fn = SYNC_KINDS[kind]
    args = (7, 2) if kind == "builtin" else (7,)
    made = SYNC_POLICIES[policy]()
    assert made(fn)(*args) == made.call(fn, *args) == fn(*args)
    assert not inspect.iscoroutinefunction(made(fn))
    assert isinstance(made(fn), types.FunctionType)
    assert made(fn).__wrapped__ is fn


@pytest.mark.parametrize("kind", ASYNC_KINDS)
@each_async_policy
def test_anything_that_can_be_awaited(policy: str, kind: str) -> None:
    """The same for coroutines: what an object's `__call__` is decides."""
    fn = ASYNC_KINDS[kind]
    made = ASYNC_POLICIES[policy]()
    assert inspect.iscoroutinefunction(made(fn))

    async def scenario() -> list[object]:
        return [await made(fn)(7), await made.call(fn, 7), await fn(7)]

    first, second, expected = asyncio.run(scenario())
    assert first == second == expected


@each_sync_policy
def test_a_protected_function_looks_like_itself(policy: str) -> None:
    """Name, documentation, signature, module; the undecorated one within."""
    guarded = SYNC_POLICIES[policy]()(plain)
    assert guarded.__name__ == "plain"
    assert guarded.__doc__ == plain.__doc__
    assert inspect.signature(guarded) == inspect.signature(plain)
    assert guarded.__wrapped__ is plain
    with pytest.raises(TypeError):
        guarded()
    with pytest.raises(TypeError):
        guarded(1, c=1)


@each_policy
def test_methods_of_every_kind(policy: str) -> None:
    """Bound, static and class methods, in both orders of decoration, sync and async."""
    made = POLICIES[policy]()

    class Client:
        """Has one of each."""

        @made
        def bound(self, x: int) -> tuple[type, int]:
            return type(self), x

        @made
        @staticmethod
        def static_inside(x: int) -> int:
            return x

        @staticmethod
        @made
        def static_outside(x: int) -> int:
            return x

        @made
        @classmethod
        def class_inside(cls, x: int) -> tuple[type, int]:
            return cls, x

        @classmethod
        @made
        def class_outside(cls, x: int) -> tuple[type, int]:
            return cls, x

        @made
        async def suspending(self, x: int) -> tuple[type, int]:
            return type(self), x

    class Child(Client):
        """Inherits them."""

    for owner in (Child(), Child):
        assert owner.static_inside(1) == owner.static_outside(1) == 1
        assert owner.class_inside(1) == owner.class_outside(1) == (Child, 1)
    assert Child().bound(1) == made.call(Child().bound, 1) == (Child, 1)
    assert asyncio.run(Child().suspending(1)) == (Child, 1)
    guarded_again = made(Child().bound)
    assert guarded_again(2) == (Child, 2)


def test_stacked_policies_are_one_pipeline() -> None:
    """The outer decorator finds the inner one's policies and joins them."""
    outer, inner = breaker("outer"), breaker("inner")
    guarded = outer(inner(plain))
    assert guarded(1) == (1, 2)
    lines = resilient.describe(guarded).splitlines()
    assert ["outer" in lines[0], "inner" in lines[1], "plain" in lines[2]] == [True] * 3
    assert outer.metrics.calls == inner.metrics.calls == 1


def test_a_foreign_decorator_in_between_is_called() -> None:
    """`functools.wraps` copies our marker; the foreign wrapper must still run, and count once."""
    outer, inner = breaker("outer"), breaker("inner")
    seen = []

    def foreign(fn: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(fn)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            seen.append(args)
            return fn(*args, **kwargs)

        return wrapper

    guarded = outer(foreign(inner(plain)))
    assert guarded(1) == (1, 2)
    assert seen == [(1,)]
    assert outer.metrics.calls == inner.metrics.calls == 1
    assert "inner" not in resilient.describe(guarded)
    foreign_outside = foreign(outer(plain))
    with pytest.raises(TypeError):
        resilient.describe(foreign_outside)


def test_one_breaker_around_itself() -> None:
    """Twice the same gate in one stack holds two permits, and settles each."""
    gate = breaker("twice", failure_threshold=None, half_open_calls=2, clock=ManualClock())
    assert gate(gate(plain))(1) == (1, 2)
    assert gate.metrics.calls == 2
    gate.half_open()
    assert gate(gate(plain))(1) == (1, 2)
    assert gate.state is resilient.CircuitState.CLOSED


def test_two_functions_under_one_breaker_share_it() -> None:
    """And two breakers of one name do not: a name is a label, not a key of a registry."""
    first, second = breaker("same", failure_threshold=1), breaker("same", failure_threshold=1)

    def fail() -> None:
        raise OSError

    with pytest.raises(OSError, match=r"^$"):
        first(fail)()
    with pytest.raises(resilient.CircuitOpenError):
        first(plain)(1)
    assert second(plain)(1) == (1, 2)


def test_a_function_of_a_module_can_be_found_by_name() -> None:
    """A protected function is a plain function, which pickles by its name."""
    global plain  # noqa: PLW0603  (what decorating at module level does)
    original = plain
    plain = breaker("b")(plain)
    try:
        assert pickle.loads(pickle.dumps(plain)) is plain
    finally:
        plain = original


def test_keywords_called_like_our_own_parameters() -> None:
    """`fn`, `self` and `args` belong to the application."""

    def fn(**kwargs: int) -> dict[str, int]:
        return kwargs

    names = {"fn": 1, "self": 2, "args": 3, "kwargs": 4, "call": 5, "policies": 6}
    for make in SYNC_POLICIES.values():
        made = make()
        assert made(fn)(**names) == names
        assert made.call(fn, **names) == names
        assert resilient.outcome(made(fn), **names).value == names

"""`resilient.outcome`: how a call ended, without raising, for whatever can be called."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Any

import pytest

import resilient
from resilient import Freshness, Outcome, breaker, fallback, outcome, pipeline, retry, timeout
from tests.policies.scripted import Script, run_async

ERROR = LookupError("nothing there")


class Client:
    """Every kind of method, guarded and plain; `answer` may be an error."""

    def __init__(self, answer: object = "answer") -> None:
        self.answer = answer

    def _give(self) -> object:
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer

    def plain(self, prefix: str) -> object:
        """A method without a policy."""
        return prefix, self._give()

    @retry(on=OSError, wait=0)
    def guarded(self, prefix: str) -> object:
        """A method with one."""
        return prefix, self._give()

    @retry(on=OSError, wait=0)
    async def later(self, prefix: str) -> object:
        """A coroutine method with one."""
        await asyncio.sleep(0)
        return prefix, self._give()

    async def plain_later(self, prefix: str) -> object:
        """A coroutine method without one."""
        await asyncio.sleep(0)
        return prefix, self._give()

    @classmethod
    @retry(on=OSError, wait=0)
    def on_class(cls, prefix: str) -> object:
        """A class method."""
        return prefix, cls.__name__

    @retry(on=OSError, wait=0)
    @classmethod
    def under_policy(cls, prefix: str) -> object:
        """A class method with the policy on top."""
        return prefix, cls.__name__

    @staticmethod
    @retry(on=OSError, wait=0)
    def static(prefix: str) -> object:
        """A static method."""
        return prefix, "static"

    def __call__(self, prefix: str) -> object:
        """Objects can be called too."""
        return prefix, self._give()


class Special(Client):
    """A subclass, for class methods to see."""


def result(made: Any) -> Outcome[Any]:
    """The outcome, awaited if need be."""
    found: Outcome[Any] = run_async(made) if asyncio.iscoroutine(made) else made
    return found


def function(prefix: str) -> object:
    """A function without a policy."""
    return prefix, "answer"


@pytest.mark.parametrize(
    ("fn", "answer"),
    [
        (function, "answer"),
        (retry(on=OSError)(function), "answer"),
        (functools.partial(function), "answer"),
        (lambda prefix: (prefix, "answer"), "answer"),
        (Client().plain, "answer"),
        (Client().guarded, "answer"),
        (Client().later, "answer"),
        (Client().plain_later, "answer"),
        (Client(), "answer"),
        (Client.on_class, "Client"),
        (Special.on_class, "Special"),
        (Special().on_class, "Special"),
        (Client.under_policy, "Client"),
        (Special().under_policy, "Special"),
        (Client.static, "static"),
        (Client().static, "static"),
        (functools.partial(Client.guarded, Client()), "answer"),
    ],
)
def test_anything_that_can_be_called_has_an_outcome(fn: Any, answer: str) -> None:
    """Plain or guarded, function or method of any kind, by position or keyword."""
    for made in (outcome(fn, "p"), outcome(fn, prefix="p")):
        found = result(made)
        assert found.value == ("p", answer)
        assert found.ok
        assert found.error is None
        assert found.source == "call"
        assert found.freshness is Freshness.FRESH
        assert found.attempts == 1
        assert found.reasons == ()
        assert found.unwrap() == ("p", answer)


@pytest.mark.parametrize("error", [ERROR, ConnectionError("down")])
@pytest.mark.parametrize("name", ["plain", "guarded", "later", "plain_later", "__call__"])
def test_an_error_is_told_not_raised(name: str, error: Exception) -> None:
    """The very object; `unwrap` raises it; a retry made its attempts."""
    fn = getattr(Client(error), name)
    found = result(outcome(fn, "p"))
    assert not found.ok
    assert found.error is error
    assert found.value is None
    retried = isinstance(error, OSError) and name in {"guarded", "later"}
    assert found.attempts == (3 if retried else 1)
    with pytest.raises(type(error)) as caught:
        found.unwrap()
    assert caught.value is error


@pytest.mark.parametrize("name", ["plain", "guarded", "later", "plain_later"])
@pytest.mark.parametrize("error", [SystemExit(3), asyncio.CancelledError()])
def test_what_is_no_exception_passes(name: str, error: BaseException) -> None:
    """Cancellation and exit are nobody's outcome."""
    made: Callable[[], Any] = lambda: result(outcome(getattr(Client(error), name), "p"))  # noqa: E731
    with pytest.raises(type(error)):
        made()


def test_a_rejection_is_an_outcome_without_attempts() -> None:
    """The function was not called."""
    gate = breaker("gate", failure_threshold=1)
    script = Script(ConnectionError)
    guarded = gate(script)
    assert outcome(guarded).attempts == 1
    refused = outcome(guarded)
    assert isinstance(refused.error, resilient.CircuitOpenError)
    assert refused.attempts == 0
    assert script.count == 1


def test_attempts_are_counted_through_limits_of_time() -> None:
    """A call that was ended by its limit was an attempt."""

    async def forever() -> None:
        await asyncio.Event().wait()

    policy = pipeline(
        fallback("instead"), retry(on=TimeoutError, attempts=2, wait=0), timeout(0.001)
    )
    with resilient.testing.isolated() as world:
        found = world.run(outcome(policy(forever)))
    assert (found.value, found.attempts) == ("instead", 2)
    assert [type(reason) for reason in found.reasons] == [resilient.CallTimeoutError]


def test_the_answer_has_a_time(resilience: resilient.testing.Resilience) -> None:
    """`at` is wall-clock time, of errors too."""
    resilience.clock.advance(77)
    for client in (Client(), Client(ERROR)):
        for name in ("plain", "guarded", "later"):
            assert result(outcome(getattr(client, name), "p")).at == 77


def test_an_outcome_cannot_be_changed() -> None:
    """It is a record of what was."""
    found: Any = outcome(function, "p")
    with pytest.raises(AttributeError):
        found.value = "else"


@pytest.mark.parametrize("bad", [5, None, "fetch", object(), Client])
def test_what_cannot_be_called_has_none(bad: Any) -> None:
    """`TypeError`, as when it is decorated."""
    with pytest.raises(TypeError):
        outcome(bad, "p")


def test_wrong_arguments_are_an_error_of_the_call() -> None:
    """A `TypeError` of the function itself is its outcome, as any exception is."""
    guarded: Any = retry(on=OSError)(function)
    found = result(outcome(guarded, 1, 2))
    assert isinstance(found.error, TypeError)


def test_a_def_that_returns_a_coroutine_is_refused() -> None:
    """Created is not succeeded: `TypeError` that names the cure, and nothing left unawaited."""

    def disguised() -> Any:
        return Client().plain_later("p")

    for protect in (retry(on=OSError), breaker("b"), fallback(0)):
        with pytest.raises(TypeError, match="async def"):
            protect(disguised)()
    with pytest.raises(TypeError, match="async def"):
        outcome(disguised)


def test_nested_outcomes_keep_their_own_count() -> None:
    """A guarded function that calls another one counts its own attempts only."""
    inner = Script(ConnectionError, ConnectionError, "inner")
    guarded = retry(on=OSError, wait=0)(inner)

    @retry(on=OSError, wait=0)
    def outer() -> Any:
        return outcome(guarded)

    found = outcome(outer)
    assert found.attempts == 1
    assert found.value is not None
    assert found.value.attempts == 3

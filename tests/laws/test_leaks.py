"""A call that has ended leaves nothing behind: no cycle, no frame, no argument kept alive."""

from __future__ import annotations

import asyncio
import copy
import gc
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import pytest

import resilient
from resilient import breaker, criticality, deadline, fallback, pipeline, retry, timeout
from resilient.testing import ManualClock
from tests.laws.gates import KINDS
from tests.laws.harness import (
    ASYNC_SURFACES,
    ENDINGS,
    SURFACES,
    BrokenError,
    Ending,
    NeverError,
    block,
    finish,
    half_open,
    make,
    pause,
)

# What is imported when the first error is copied would be counted as left behind.
copy.copy(resilient.CallTimeoutError("first", 1.0))

STATES = ["closed", "half-open", "open"]


class Token:
    """Stands for the arguments of a call, which may be large."""


@contextmanager
def no_garbage() -> Iterator[None]:
    """Nothing that happens meanwhile needs the cycle collector afterwards."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
        assert gc.collect() == 0
    finally:
        gc.enable()
        gc.unfreeze()


def swallow(run: Callable[..., Any], *args: Any) -> None:
    """Call, and forget how it ended."""
    with suppress(BaseException):
        run(*args)


def in_state(state: str, *, keyed: bool) -> Any:
    """A breaker in `state`."""
    gate, clock = make(keyed=keyed)
    if state == "half-open":
        half_open(gate, clock)
    elif state == "open":
        block(gate).open()
    return gate


def ends(ending: Ending) -> Callable[[object], object]:
    """A function that ends so, with its argument in the frame of the traceback."""

    def fn(token: object) -> object:
        if ending.error is not None:
            raise ending.error()
        return token

    return fn


def ends_async(ending: Ending) -> Callable[[object], Any]:
    """As `ends`, after one suspension."""

    async def fn(token: object) -> object:
        await pause()
        if ending.error is not None:
            raise ending.error()
        return token

    return fn


def finished(run: Callable[[object], Any], token: object) -> Any:
    """Run a coroutine function to its end."""
    return finish(run(token))


def forgotten(run: Callable[[object], Any]) -> bool:
    """Whether the argument of `run` dies with the call, by counting references alone."""
    token = Token()
    ref = weakref.ref(token)
    swallow(run, token)
    del token
    return ref() is None


@pytest.mark.parametrize("surface", SURFACES)
def test_a_call_leaves_nothing_behind(surface: str) -> None:
    """Whatever state and ending: no cycle, and the arguments die with the call."""
    runs = {
        (state, keyed, each.name): SURFACES[surface](in_state(state, keyed=keyed), ends(each))
        for state in STATES
        for keyed in (False, True)
        for each in ENDINGS
    }
    with no_garbage():
        assert [case for case, run in runs.items() if not forgotten(run)] == []


@pytest.mark.parametrize("surface", ASYNC_SURFACES)
def test_an_awaited_call_leaves_nothing_behind(surface: str) -> None:
    """The same for coroutine functions."""
    build = ASYNC_SURFACES[surface]
    runs = {
        (state, each.name): build(in_state(state, keyed=False), ends_async(each))
        for state in STATES
        for each in ENDINGS
    }
    with no_garbage():
        assert [case for case, run in runs.items() if not forgotten(partial(finished, run))] == []


@pytest.mark.parametrize("surface", ASYNC_SURFACES)
def test_a_cancelled_call_leaves_nothing_behind(surface: str) -> None:
    """A cancellation thrown in at an await, or a coroutine closed there, holds nothing."""

    def cancel(run: Callable[[object], Any], token: object) -> None:
        running = run(token)
        running.send(None)
        running.throw(asyncio.CancelledError())

    def close(run: Callable[[object], Any], token: object) -> None:
        running = run(token)
        running.send(None)
        running.close()

    build = ASYNC_SURFACES[surface]
    runs = {
        (state, end.__name__): partial(
            end, build(in_state(state, keyed=False), ends_async(ENDINGS[0]))
        )
        for state in STATES
        for end in (cancel, close)
    }
    with no_garbage():
        assert [case for case, run in runs.items() if not forgotten(run)] == []


POLICIES: dict[str, Callable[[], Any]] = {
    "retry that gives up": lambda: retry(on=BrokenError, attempts=3, wait=1, clock=ManualClock()),
    "retries nested": lambda: retry(on=BrokenError, clock=ManualClock()),
    "fallback that answers": lambda: fallback(1),
    "fallback that fails": lambda: fallback(ends(ENDINGS[1])),
    "fallback chain": lambda: fallback(ends(ENDINGS[1]), ends(ENDINGS[3]), on=BrokenError),
    "fallback not asked": lambda: fallback(1, on=NeverError),
    "deadline": lambda: deadline(99, clock=ManualClock()),
    "criticality": lambda: criticality("low"),
    **{kind: made.open for kind, made in KINDS.items()},
    **{f"{kind}, refusing": made.refusing for kind, made in KINDS.items()},
    "breaker beside a bulkhead": lambda: pipeline(make()[0], KINDS["bulkhead"].open()),
    "bulkhead beside a breaker": lambda: pipeline(KINDS["bulkhead"].refusing(), make()[0]),
}


@pytest.mark.parametrize("policy", POLICIES)
def test_no_policy_leaves_anything_behind(policy: str) -> None:
    """Each policy by itself, and around itself, after a failure; sync and async."""
    outer, inner = POLICIES[policy](), POLICIES[policy]()
    fns = [ends(ending) for ending in ENDINGS]
    runs = [
        *(outer(fn) for fn in fns),
        *(outer(inner(fn)) for fn in fns),
        *(partial(outer.call, fn) for fn in fns),
        *(partial(resilient.outcome, outer(fn)) for fn in fns),
    ]
    with no_garbage():
        assert [run for run in runs if not forgotten(run)] == []


@pytest.mark.parametrize("limit", ["timeout", "deadline"])
def test_a_limit_of_time_leaves_nothing_behind(limit: str) -> None:
    """A call that failed, one that was cancelled by the limit, one that was in time."""

    async def hangs(token: object) -> None:
        await asyncio.Event().wait()

    async def fails(token: object) -> None:
        await asyncio.sleep(0)
        raise BrokenError

    async def answers(token: object) -> None:
        await asyncio.sleep(0)

    async def scenario() -> list[str]:
        kept = []
        for fn in (answers, fails, hangs):
            policy = timeout(0.01) if limit == "timeout" else deadline(0.01)
            token = Token()
            ref = weakref.ref(token)
            with suppress(BrokenError, TimeoutError):
                await policy(fn)(token)
            del token
            await asyncio.sleep(0)
            if ref() is not None:
                kept.append(fn.__name__)
        return kept

    asyncio.run(scenario())
    gc.collect()
    gc.disable()
    try:
        assert asyncio.run(scenario()) == []
    finally:
        gc.enable()


def test_a_remembered_error_holds_no_frame() -> None:
    """A breaker remembers a failure for long; not the frames, the causes or the arguments."""
    gate = breaker("memory", failure_threshold=1, clock=ManualClock())
    refs = []

    def fn(token: Token) -> None:
        try:
            raise ValueError(1)
        except ValueError as cause:
            raise BrokenError("down") from cause

    token = Token()
    refs.append(weakref.ref(token))
    swallow(gate(fn), token)
    del token
    assert refs[0]() is None
    remembered = gate.metrics.last_error
    assert isinstance(remembered, BrokenError)
    assert remembered.args == ("down",)
    assert remembered.__traceback__ is remembered.__cause__ is remembered.__context__ is None


def test_rejections_hold_nothing_and_do_not_grow() -> None:
    """Each rejection is an object of its own; the thousandth traceback is as short as the first."""
    gate = breaker("closed door", clock=ManualClock())
    gate.force_open()

    def depth(run: Callable[[], object]) -> int:
        try:
            run()
        except Exception as error:  # noqa: BLE001
            trace, length = error.__traceback__, 0
            while trace is not None:
                trace, length = trace.tb_next, length + 1
            return length
        return 0

    for surface in SURFACES.values():
        run = surface(gate, ends(ENDINGS[0]))
        assert len({depth(lambda: run(None)) for _ in range(100)}) == 1  # noqa: B023


def test_blocks_hold_nothing_afterwards() -> None:
    """The stacks of permits are empty when every block is left."""
    gate, _ = make(failure_threshold=None)
    keyed, _ = make(failure_threshold=None, keyed=True)
    for ending in ENDINGS:
        for each in (gate, keyed):
            swallow(SURFACES["block"](each, ends(ending)), None)
            swallow(lambda: asyncio.run(_blocked(each, ending)))  # noqa: B023
    assert not gate._held._stacks
    assert not keyed._held._stacks


async def _blocked(gate: Any, ending: Ending) -> None:
    async with block(gate):
        await asyncio.sleep(0)
        # What ends a program would end the loop's own run as well: that is another test.
        if ending.error is not None and issubclass(type(ending.error()), Exception):
            raise ending.error()

"""Only `Exception` is judged; what ends a program or a task passes through untouched."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import tenacity

import resilient
from resilient import (
    CircuitState,
    breaker,
    criticality,
    deadline,
    fallback,
    pipeline,
    point,
    retry,
    timeout,
)
from resilient.testing import ManualClock
from tests.laws.gates import KINDS
from tests.laws.harness import BrokenError, Halt, finish, history, naming, pause

ENDS = [asyncio.CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit, Halt]


def always(_: object) -> bool:
    """Greedy."""
    return True


POLICIES: dict[str, Callable[[], Any]] = {
    "breaker": lambda: breaker("b", failure_threshold=1, on=always, clock=ManualClock()),
    "breaker that ignores": lambda: breaker("b", ignore=always, clock=ManualClock()),
    "keyed breaker": lambda: breaker("b", failure_threshold=1, key=lambda: 1, clock=ManualClock()),
    "breaker of results": lambda: breaker(
        "b", failure_threshold=1, failure_result=always, clock=ManualClock()
    ),
    "retry": lambda: retry(on=always, wait=0, clock=ManualClock()),
    "retry of results": lambda: retry(on=always, on_result=always, wait=0, clock=ManualClock()),
    "retry all but": lambda: retry(
        on=tenacity.retry_if_not_exception_type(ValueError), wait=0, clock=ManualClock()
    ),
    "retry ever": lambda: retry(on=tenacity.retry_always, wait=0, clock=ManualClock()),
    "fallback": lambda: fallback(0, on=always),
    "fallback to a function": lambda: fallback(lambda error: 0),
    "stale": lambda: fallback(resilient.stale()),
    "deadline": lambda: deadline(99),
    "timeout of threads": lambda: timeout(99, thread=True),
    "point": lambda: point("p"),
    "criticality": lambda: criticality("low"),
    **{kind: made.open for kind, made in KINDS.items()},
    "pipeline": lambda: pipeline(
        fallback(0),
        retry(on=always, wait=0, clock=ManualClock()),
        breaker("b", failure_threshold=1, clock=ManualClock()),
    ),
    "pipeline inside out": lambda: pipeline(
        breaker("b", failure_threshold=1, clock=ManualClock()),
        retry(on=always, wait=0, clock=ManualClock()),
        fallback(0),
    ),
    "pipeline of gates": lambda: pipeline(*(made.open() for made in KINDS.values())),
}


def unharmed(policy: Any) -> None:
    """No breaker in it has counted anything, and no gate holds or has judged anything."""
    for layer in policy.layers():
        for number in ("in_flight", "queued", "rejected", "requests", "drops"):
            assert getattr(layer, number, 0) == 0
        if isinstance(layer, resilient.CircuitBreaker):
            assert layer.state is CircuitState.CLOSED
            metrics = layer.metrics
            assert (metrics.calls, metrics.ignored, metrics.transitions) == (0, 0, 0)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("policy", POLICIES)
def test_raised_by_a_function(policy: str, end: type[BaseException]) -> None:
    """The very object comes out, after one call, with no note, no event and no count."""
    for surface in ("decorator", "call", "outcome"):
        made = POLICIES[policy]()
        raised = end("words")
        calls = []

        def fn() -> None:
            calls.append(1)  # noqa: B023  (called in this round)
            raise raised  # noqa: B023

        guarded = made(fn)
        run: Callable[[], object] = {
            "decorator": guarded,
            "call": lambda: made.call(fn),  # noqa: B023
            "outcome": lambda: resilient.outcome(guarded),  # noqa: B023
        }[surface]
        with naming(surface), history() as events:
            with pytest.raises(end) as caught:
                run()
            assert caught.value is raised
            assert calls == [1]
            assert not events
            assert not hasattr(raised, "__notes__")
            assert raised.__cause__ is raised.__context__ is None
            unharmed(made)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("policy", sorted({*POLICIES} - {"deadline", "timeout of threads"}))
def test_thrown_into_a_coroutine(policy: str, end: type[BaseException]) -> None:
    """At an await: the same."""
    for surface in ("decorator", "call", "outcome"):
        made = POLICIES[policy]()
        calls = []

        async def fn() -> None:
            calls.append(1)  # noqa: B023  (called in this round)
            await pause()

        guarded = made(fn)
        running: Any = {
            "decorator": guarded,
            "call": lambda: made.call(fn),  # noqa: B023
            "outcome": lambda: resilient.outcome(guarded),  # noqa: B023
        }[surface]()
        thrown = end("words")
        with naming(surface):
            running.send(None)
            with pytest.raises(end) as caught:
                running.throw(thrown)
            assert caught.value is thrown
            assert calls == [1]
            unharmed(made)


@pytest.mark.parametrize("limit", ["timeout", "deadline", "both"])
async def test_the_callers_own_cancellation_stays_a_cancellation(limit: str) -> None:
    """A limit of time never turns it into a time-out, and restores the task's count."""
    made = {"timeout": timeout(99), "deadline": deadline(99), "both": pipeline(deadline(98), timeout(99))}[limit]  # fmt: skip  # noqa: E501
    entered = asyncio.Event()

    @made
    async def hangs() -> None:
        entered.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(hangs())
    await entered.wait()
    task.cancel("mine")
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    assert caught.value.args == ("mine",)


@pytest.mark.parametrize("end", ENDS)
def test_raised_by_an_alternative(end: type[BaseException]) -> None:
    """An alternative that is interrupted is no alternative that failed."""

    def interrupted() -> None:
        raise end

    def fails() -> None:
        raise BrokenError

    asked: list[int] = []
    guarded = fallback(interrupted, lambda: asked.append(1))(fails)
    with pytest.raises(end):
        guarded()
    assert not asked


def test_groups_are_judged_by_what_they_are() -> None:
    """An `ExceptionGroup` is an `Exception`; a `BaseExceptionGroup` around Ctrl-C is none."""
    gate = breaker("b", failure_threshold=1, clock=ManualClock())
    ctrl_c = BaseExceptionGroup("g", [KeyboardInterrupt()])

    def fn(error: BaseException) -> None:
        raise error

    with pytest.raises(BaseExceptionGroup):
        gate(fn)(ctrl_c)
    unharmed(gate)
    with pytest.raises(ExceptionGroup):
        gate(fn)(ExceptionGroup("g", [ValueError()]))
    assert gate.state is CircuitState.OPEN


def test_a_frozen_exception_does_not_break_a_policy() -> None:
    """An error that takes no attributes and no copies comes out as it went in."""

    class Frozen(Exception):  # noqa: N818  (that is what it is)
        def __setattr__(self, name: str, value: object) -> None:
            raise AttributeError(name)

        def __reduce__(self) -> Any:
            raise TypeError

        def __repr__(self) -> str:
            raise ValueError

    raised = Frozen()

    def fn() -> None:
        raise raised

    gate = breaker("b", failure_threshold=1, clock=ManualClock())
    guarded = retry(on=Frozen, wait=0, attempts=2, clock=ManualClock())(gate(fn))
    with history(), pytest.raises((Frozen, resilient.CircuitOpenError)):
        guarded()
    assert gate.state is CircuitState.OPEN
    alone = retry(on=Frozen, wait=0, attempts=2, clock=ManualClock())(fn)
    with history(), pytest.raises(Frozen) as caught:
        alone()
    assert caught.value is raised


def test_a_coroutine_that_swallows_its_cancellation() -> None:
    """What it returns then is its answer."""
    gate = breaker("b", failure_threshold=1, clock=ManualClock())

    @gate
    async def stubborn() -> str:
        try:
            await pause()
        except asyncio.CancelledError:
            return "answer"
        return ""

    running = stubborn()
    running.send(None)
    with pytest.raises(StopIteration) as stop:
        running.throw(asyncio.CancelledError())
    assert stop.value.value == "answer"
    assert gate.metrics.successes == 1
    assert finish(stubborn()) == ""

"""A rejection is a new object each time, says who and until when, and is nobody's failure."""

from __future__ import annotations

import asyncio
import copy
import pickle
from typing import Any

import pytest

import resilient
from resilient import (
    CallTimeoutError,
    CircuitOpenError,
    CircuitState,
    DeadlineExceededError,
    Rejected,
    breaker,
    deadline,
    fallback,
    retry,
    timeout,
)
from resilient.testing import JumpingEventLoop, ManualClock
from tests.laws.harness import (
    ASYNC_SURFACES,
    SURFACES,
    BrokenError,
    finish,
    half_open,
    make,
    naming,
)


def refusals(run: Any, times: int = 3) -> list[Any]:
    """The rejections of some calls in a row."""
    caught = []
    for _ in range(times):
        with pytest.raises(Rejected) as refusal:
            run()
        caught.append(refusal.value)
    return caught


async def nothing(_token: object) -> None:
    """Is not reached."""


@pytest.mark.parametrize("state", ["open", "forced open", "no place"])
def test_each_is_new_and_complete(state: str) -> None:
    """By any surface: its own object, `name`, `retry_after`, `reason`, and no chain."""
    for surface in [*SURFACES, *ASYNC_SURFACES]:
        for keyed in (False, True):
            gate, clock = make(keyed=keyed, half_open_timeout=7)
            circuit = gate.for_key("k") if keyed else gate
            if state == "no place":
                half_open(gate, clock)
                held = circuit.permit()
                held.__enter__()
            else:
                circuit.open() if state == "open" else circuit.force_open()
            runs = []
            if surface in SURFACES:
                runs.append(SURFACES[surface](gate, lambda _token: None))
            if surface in ASYNC_SURFACES:
                guarded = ASYNC_SURFACES[surface](gate, nothing)
                runs.append(lambda token: finish(guarded(token)))  # noqa: B023
            for run in runs:
                with naming(surface, "keyed" * keyed):
                    caught = refusals(lambda: run(None))  # noqa: B023
                    assert len({id(each) for each in caught}) == 3
                    expected = {"open": 10.0, "forced open": None, "no place": 7.0}[state]
                    for each in caught:
                        assert (each.name, each.retry_after) == ("law", expected)
                        assert each.reason
                        assert each.__cause__ is each.__context__ is None


def test_rejections_travel() -> None:
    """To another process and back, and as a copy."""
    gate, _ = make()
    with pytest.raises(BrokenError), gate:
        raise BrokenError("why")
    (refusal,) = refusals(lambda: gate.call(abs, 1), 1)
    for twin in (pickle.loads(pickle.dumps(refusal)), copy.copy(refusal)):
        assert type(twin) is CircuitOpenError
        assert (twin.name, twin.retry_after, twin.reason) == (
            "law",
            refusal.retry_after,
            refusal.reason,
        )
        assert str(twin) == str(refusal)


@pytest.mark.parametrize("kind", ["circuit", "deadline", "own"])
def test_a_rejection_further_in_is_no_evidence(kind: str) -> None:
    """Not of failure, not of success, not even if `on` or `failure_result` would take it."""
    inner = breaker("inner", clock=ManualClock())
    inner.force_open()

    def fn() -> None:
        if kind == "circuit":
            inner.call(abs, 1)
        if kind == "deadline":
            raise DeadlineExceededError("deadline", None, "no time")
        raise Rejected("own", 3.0, "because")

    for on in (Exception, Rejected, (Rejected, TimeoutError), lambda error: True):
        gate = breaker("outer", failure_threshold=1, on=on, clock=ManualClock())
        refusals(gate(fn))
        assert gate.state is CircuitState.CLOSED
        metrics = gate.metrics
        assert (metrics.calls, metrics.failures, metrics.ignored, metrics.rejected) == (0, 0, 0, 0)


def test_a_rejection_does_not_end_a_streak() -> None:
    """Failure, rejected further in, failure: two in a row."""
    gate = breaker("outer", failure_threshold=2, clock=ManualClock())

    def fn(error: Exception) -> None:
        raise error

    for error in (OSError(), Rejected("x", 1.0, "no"), OSError()):
        with pytest.raises(type(error)):
            gate(fn)(error)
    assert gate.state is CircuitState.OPEN


async def hang(_token: object = None) -> None:
    """A dependency that never answers."""
    await asyncio.Event().wait()


def test_a_time_out_inside_is_a_failure() -> None:
    """A dependency that hangs opens the breaker around the limit."""
    clock = ManualClock()
    gate = breaker("b", failure_threshold=2, clock=clock)
    with asyncio.Runner(loop_factory=lambda: JumpingEventLoop(clock)) as runner:
        guarded = gate(timeout(1)(hang))
        for _ in range(2):
            with pytest.raises(CallTimeoutError):
                runner.run(guarded())
        assert gate.state is CircuitState.OPEN
        with pytest.raises(CircuitOpenError):
            runner.run(guarded())


@pytest.mark.parametrize("ignore", [CallTimeoutError, TimeoutError, OSError])
def test_a_time_out_inside_may_be_ignored(ignore: type[Exception]) -> None:
    """It is also a `TimeoutError`, which is also an `OSError`."""
    clock = ManualClock()
    gate = breaker("b", failure_threshold=1, ignore=ignore, clock=clock)
    with (
        asyncio.Runner(loop_factory=lambda: JumpingEventLoop(clock)) as runner,
        pytest.raises(CallTimeoutError),
    ):
        runner.run(gate(timeout(1)(hang))())
    assert (gate.state, gate.metrics.ignored) == (CircuitState.CLOSED, 1)


@pytest.mark.parametrize("trial", [False, True])
def test_a_time_out_around_is_a_cancellation(trial: bool) -> None:  # noqa: FBT001  (a table)
    """Counts as nothing, and gives a trial's place back."""
    gate, clock = make()
    if trial:
        half_open(gate, clock)
    with asyncio.Runner(loop_factory=lambda: JumpingEventLoop(clock)) as runner:
        for limit in (timeout(1), deadline(1, clock=clock)):
            with pytest.raises(CallTimeoutError):
                runner.run(limit(gate(hang))(None))
            metrics = gate.metrics
            assert (metrics.calls, metrics.failures, metrics.ignored) == (0, 0, 0)
        if trial:
            assert gate.state is CircuitState.HALF_OPEN
            gate.call(abs, 1)
        assert gate.state is CircuitState.CLOSED


def test_who_refuses_is_asked_once_per_attempt() -> None:
    """A retry that names rejections asks the gate again, and each refusal is counted."""
    clock = ManualClock()
    gate = breaker("b", reset_timeout=10, clock=clock)
    gate.open()
    again = retry(on=CircuitOpenError, attempts=3, wait=0, max_delay=60, clock=clock)
    assert again(gate(lambda: "answer"))() == "answer"  # it waited until the circuit let it try
    assert gate.metrics.rejected == 1
    assert clock.monotonic() == 10


def test_an_answer_for_a_rejection() -> None:
    """A fallback takes it, and the outcome tells what was passed over."""
    gate, _ = make()
    gate.force_open()
    guarded = fallback("default", on=Rejected)(gate(lambda: 1))
    outcome = resilient.outcome(guarded)
    assert outcome.value == "default"
    assert isinstance(outcome.reasons[0], CircuitOpenError)
    assert outcome.attempts == 0

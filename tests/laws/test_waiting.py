"""A gate never waits; a driver waits only where nobody else has to wait with it."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from resilient import CircuitOpenError, breaker, retry
from resilient.testing import ManualClock
from tests.laws.harness import (
    ASYNC_SURFACES,
    ENDINGS,
    SURFACES,
    BrokenError,
    RealClock,
    finish,
    half_open,
    make,
    naming,
    pause,
)


class Restless(ManualClock):
    """Nobody may sleep on it."""

    def sleep(self, seconds: float, /) -> None:
        """Fail."""
        pytest.fail("a gate waits")

    async def sleep_async(self, seconds: float, /) -> None:
        """Fail."""
        pytest.fail("a gate waits")


@pytest.mark.parametrize("state", ["closed", "open", "half open", "no place", "forced open"])
def test_a_gate_never_waits(state: str) -> None:
    """In any state, by any surface, it says yes or no at once."""
    for surface, build in SURFACES.items():
        gate = breaker("b", failure_threshold=1, clock=Restless())
        held = gate.permit()
        if state in {"half open", "no place"}:
            gate.half_open()
        if state == "no place":
            held.__enter__()
        if state == "open":
            gate.open()
        if state == "forced open":
            gate.force_open()
        with naming(surface):
            if state in {"closed", "half open"}:
                assert build(gate, lambda _token: 1)(None) == 1
            else:
                with pytest.raises(CircuitOpenError):
                    build(gate, lambda _token: 1)(None)


def test_a_gate_never_suspends() -> None:
    """Nor does it give up the thread: an admitted coroutine suspends only where it says so."""

    async def once(_token: object) -> str:
        await pause()
        return "answer"

    for surface, build in ASYNC_SURFACES.items():
        for trial in (False, True):
            gate, clock = make()
            if trial:
                half_open(gate, clock)
            running = build(gate, once)(None)
            with naming(surface, "trial" * trial):
                running.send(None)
                with pytest.raises(StopIteration):
                    running.send(None)


def test_a_rejected_coroutine_does_not_suspend() -> None:
    """The refusal comes with the first step."""

    async def reached(_token: object) -> None:
        pytest.fail("called")

    for surface, build in ASYNC_SURFACES.items():
        gate, _ = make()
        gate.force_open()
        with naming(surface), pytest.raises(CircuitOpenError):
            build(gate, reached)(None).send(None)


def failing() -> None:
    """Always."""
    raise BrokenError


def again(clock: Any) -> Any:
    """A retry that would wait."""
    return retry(on=BrokenError, attempts=3, wait=5, clock=clock)


def attempts(policy: Any) -> int:
    """How often a block was tried."""
    number = 0
    try:
        for attempt in policy:
            with attempt:
                number += 1
                failing()
    except BrokenError:
        pass
    return number


def test_a_thread_of_its_own_waits() -> None:
    """Where no event loop runs, the driver sleeps between attempts."""
    clock = RealClock()
    with pytest.raises(BrokenError):
        again(clock)(failing)()
    assert clock.slept == [5, 5]
    assert attempts(again(clock)) == 3


async def test_a_thread_of_an_event_loop_does_not_wait() -> None:
    """There the last error is raised at once, and its note says why."""
    clock = RealClock()
    for run in (again(clock)(failing), lambda: again(clock).call(failing)):
        with pytest.raises(BrokenError) as caught:
            run()
        assert any("event loop" in note for note in caught.value.__notes__)
    assert attempts(again(clock)) == 1
    assert clock.slept == []


async def test_another_thread_waits_while_a_loop_runs_elsewhere() -> None:
    """The loop is a matter of its own thread only."""
    clock = RealClock()
    with pytest.raises(BrokenError):
        await asyncio.to_thread(again(clock)(failing))
    assert clock.slept == [5, 5]


async def test_a_coroutine_waits_without_blocking() -> None:
    """The asyncio driver may wait on the loop's thread: others run meanwhile."""
    clock = RealClock()
    turns: list[int] = []

    async def others() -> None:
        while len(clock.slept) < 2:
            turns.append(1)
            await asyncio.sleep(0)

    async def fails() -> None:
        failing()

    other = asyncio.create_task(others())
    with pytest.raises(BrokenError):
        await again(clock)(fails)()
    await other
    assert clock.slept == [5, 5]
    assert turns


def test_a_sync_call_inside_a_coroutine_driven_by_hand() -> None:
    """A coroutine without a loop blocks nobody."""
    clock = RealClock()

    async def fn() -> None:
        again(clock)(failing)()

    with pytest.raises(BrokenError):
        finish(fn())
    assert clock.slept == [5, 5]


def test_admission_does_not_wait_for_calls() -> None:
    """However long a call takes, others are admitted or refused meanwhile."""
    gate, _ = make(failure_threshold=None)
    entered, go_on = threading.Event(), threading.Event()

    @gate
    def slow() -> None:
        entered.set()
        go_on.wait()

    thread = threading.Thread(target=slow)
    thread.start()
    entered.wait()
    assert SURFACES["decorator"](gate, lambda _token: 1)(None) == 1
    gate.force_open()
    with pytest.raises(CircuitOpenError):
        gate.call(ENDINGS[0].name.upper)
    go_on.set()
    thread.join()

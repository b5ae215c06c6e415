"""Corners: what is refused early, what an application's own functions may say, and switches."""

from __future__ import annotations

import asyncio
import math
import re
import threading
from collections.abc import Callable
from typing import Any

import pytest
import tenacity

import resilient
from resilient import (
    CircuitOpenError,
    CircuitState,
    Mode,
    Rejected,
    SystemOperationMode,
    backoff,
    breaker,
    deadline,
    fallback,
    pipeline,
    remaining,
    retry,
    stale,
    timeout,
)
from resilient.core.hub import Hub
from resilient.core.policy import Protector
from resilient.errors import ConfigError
from resilient.testing import ManualClock
from tests.laws.harness import SURFACES, BrokenError, block, half_open, make, naming
from tests.policies.scripted import RUNNERS, Script, Sleeper

GUARD = 10.0
"""Seconds until a test that hangs is given up."""

each_way = pytest.mark.parametrize("way", RUNNERS)


# Refused where it is written, not at the first call that fails


async def says_later(*_: object) -> Any:
    """A function whose answer is a coroutine, which is always true and never a number."""


ASYNC: list[tuple[str, Callable[[Any], object]]] = [
    ("on", lambda fn: retry(on=fn)),
    ("on_result", lambda fn: retry(on=OSError, on_result=fn)),
    ("wait", lambda fn: retry(on=OSError, wait=fn)),
    ("retry_after", lambda fn: retry(on=OSError, retry_after=fn)),
    ("before_sleep", lambda fn: retry(on=OSError, before_sleep=fn)),
    ("draw", lambda fn: backoff(draw=fn)),
    ("on", lambda fn: breaker("b", on=fn)),
    ("ignore", lambda fn: breaker("b", ignore=fn)),
    ("failure_result", lambda fn: breaker("b", failure_result=fn)),
    ("retry_after", lambda fn: breaker("b", retry_after=fn)),
    ("key", lambda fn: breaker("b", key=fn)),
    ("on", lambda fn: fallback(0, on=fn)),
]


@pytest.mark.parametrize(("setting", "build"), ASYNC)
def test_async_functions_are_refused_where_an_answer_is_needed(
    setting: str, build: Callable[[Any], object]
) -> None:
    """Law 12: a coroutine is no verdict; the setting is named when the policy is made."""
    with pytest.raises(ConfigError, match=f"^{setting}=") as refusal:
        build(says_later)
    assert refusal.value.setting == setting


CLOCKS: list[Callable[[Any], object]] = [
    lambda clock: retry(on=OSError, clock=clock),
    lambda clock: deadline(1, clock=clock),
    lambda clock: stale(clock=clock),
    lambda clock: breaker("b", clock=clock),
]


@pytest.mark.parametrize("build", CLOCKS)
@pytest.mark.parametrize("clock", [5, "UTC", object()], ids=["number", "word", "object"])
def test_what_is_no_clock_is_refused(clock: Any, build: Callable[[Any], object]) -> None:
    """Law 12: every policy that takes a clock says at once that this is none."""
    with pytest.raises(ConfigError, match=r"^clock="):
        build(clock)
    build(ManualClock())


@pytest.mark.parametrize("mode", ["payments", Mode.NORMAL, 5], ids=repr)
def test_what_is_no_mode_is_refused(mode: Any) -> None:
    """Law 12: evidence does not go nowhere in silence."""
    with pytest.raises(ConfigError, match=r"^mode="):
        breaker("b", mode=mode)


def test_a_mode_of_ones_own_is_none_of_those() -> None:
    """Nor is a wait that can be called with attempt and error, however it is written."""
    clock = ManualClock()
    breaker("b", mode=SystemOperationMode(clock=clock), clock=clock)
    retry(on=OSError, wait=lambda attempt, error: 1)
    retry(on=OSError, wait=lambda *args: 1)
    retry(on=OSError, wait=lambda attempt, error, scale=2: scale)
    retry(on=OSError, wait=backoff(1))
    retry(on=OSError, wait=max)


@pytest.mark.parametrize(
    "wait", [lambda: 1, lambda attempt: 1, lambda attempt, error, scale: 1, lambda *, attempt: 1]
)
def test_a_wait_of_other_arguments_is_refused(wait: Any) -> None:
    """Law 12: not in place of the application's error, at the first call that fails."""
    with pytest.raises(ConfigError, match=r"^wait="):
        retry(on=OSError, wait=wait)


# Numbers of the application's own functions


@pytest.mark.parametrize("asked", [math.inf, math.nan], ids=str)
def test_an_open_time_without_end_is_none(asked: float) -> None:
    """Only `force_open` is for ever: the reset timeout holds, and the snapshot can be read back."""
    clock = ManualClock()
    gate = breaker(
        "b", failure_threshold=1, reset_timeout=10, retry_after=lambda _: asked, clock=clock
    )
    with pytest.raises(OSError, match="down"):
        gate.call(Script(OSError("down")))
    with pytest.raises(CircuitOpenError) as refusal:
        gate.call(abs, -1)
    assert refusal.value.retry_after == 10
    gate.restore(gate.snapshot())
    clock.advance(10)
    assert gate.call(abs, -1) == 1


@each_way
@pytest.mark.parametrize("wait", [math.inf, 1e300], ids=str)
def test_a_wait_without_end_is_not_begun(way: str, wait: float) -> None:
    """The application's error comes out, with a note that says why."""
    clock = Sleeper()
    again = retry(on=OSError, wait=lambda attempt, error: wait, clock=clock)
    script = Script(OSError("down"))
    with pytest.raises(OSError, match="down") as caught:
        RUNNERS[way](again, script)
    assert script.count == 1
    assert clock.waits == []
    assert any("no end" in note for note in caught.value.__notes__)


@each_way
def test_a_rejection_says_itself_when_it_ends(way: str) -> None:
    """`retry_after=` is about the application's errors; it is not asked about ours."""
    clock = Sleeper()
    gate = breaker("b", reset_timeout=7, clock=clock)
    gate.open()
    asked: list[Exception] = []

    def after(error: Exception) -> float | None:
        asked.append(error)
        raise ZeroDivisionError

    again = retry(on=(OSError, Rejected), wait=0, retry_after=after, clock=clock)
    if "block" in way:
        inner = Script("yes")

        class Gated(Script):
            def __call__(self, *args: object, **kwargs: object) -> Any:
                return gate.call(inner)

        assert RUNNERS[way](again, Gated()) == "yes"
    else:
        assert RUNNERS[way](pipeline(again, gate), Script("yes")) == "yes"
    assert clock.waits == [7]
    assert asked == []


# Turns


@pytest.mark.parametrize("form", ["decorated", "outcome", "judging results", "block"])
async def test_a_wait_of_zero_gives_the_loop_a_turn(form: str) -> None:
    """Between two attempts of a coroutine that never suspends, other tasks run."""
    turns: list[int] = []
    seen: list[int] = []

    async def other() -> None:
        for turn in range(10):
            turns.append(turn)
            await asyncio.sleep(0)

    async def fails() -> None:
        seen.append(len(turns))
        raise OSError("down")

    async def in_a_block() -> None:
        async for attempt in again:
            with attempt:
                await fails()

    judges: Any = (lambda _: False) if form == "judging results" else None
    again = retry(on=OSError, attempts=4, wait=0, on_result=judges)
    task = asyncio.ensure_future(other())

    async def by_outcome() -> None:
        (await resilient.outcome(again(fails))).unwrap()

    run = {"block": in_a_block, "outcome": by_outcome}.get(form, again(fails))
    with pytest.raises(OSError, match="down"):
        await run()
    task.cancel()
    assert len(set(seen)) == 4


async def test_a_retry_without_waits_can_be_cancelled() -> None:
    """The cancellation arrives at the next attempt, and is no failure."""
    calls: list[int] = []

    @retry(on=OSError, attempts=1000, wait=0)
    async def fails() -> None:
        calls.append(1)
        if len(calls) == 3:
            task.cancel()
        raise OSError

    task = asyncio.ensure_future(fails())
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(calls) == 3


# Deadlines


def test_a_block_that_cannot_begin_leaves_no_deadline() -> None:
    """Outside of a task `async with deadline` is refused, and nothing is limited afterwards."""

    async def enters() -> None:
        async with deadline(5):
            pytest.fail("entered")

    with pytest.raises(RuntimeError):
        enters().send(None)
    assert remaining() is None


# The emergency switch


@pytest.mark.parametrize("trial", [False, True], ids=["closed", "half open"])
def test_a_call_that_fails_after_the_switch_counts_as_nothing(trial: bool) -> None:  # noqa: FBT001
    """Nothing is counted and nothing opens while the library is switched off."""

    def fails(_token: object) -> None:
        resilient.set_active(False)
        raise BrokenError

    for surface, around in SURFACES.items():
        gate, clock = make()
        if trial:
            half_open(gate, clock)
        try:
            with pytest.raises(BrokenError):
                around(gate, fails)(object())
        finally:
            resilient.set_active(True)
        with naming(surface):
            expected = CircuitState.HALF_OPEN if trial else CircuitState.CLOSED
            assert block(gate).state is expected
            assert gate.metrics.calls == 0
            assert gate.metrics.last_error is None
            assert gate.call(abs, -1) == 1


@pytest.mark.parametrize("inner", [[], ["timeout"], ["limit"]], ids=str)
def test_a_retry_that_asks_for_the_time_obeys_the_switch(inner: list[str]) -> None:
    """It is asked when the call began, which is no permit that it would have to settle."""
    clock = ManualClock()
    policies: dict[str, Protector] = {
        "timeout": timeout(5, thread=True),
        "limit": resilient.bulkhead("reports", limit=1, clock=clock),
    }
    stop = tenacity.stop_after_delay(10)
    timed = retry(on=BrokenError, stop=stop, wait=0, attempts=3, clock=clock)
    calls: list[int] = []

    def fails() -> None:
        calls.append(1)
        raise BrokenError

    guarded = pipeline(timed, *(policies[name] for name in inner))(fails)
    for active, attempts in ((False, 1), (True, 3), (False, 1)):
        calls.clear()
        resilient.set_active(active)
        try:
            with pytest.raises(BrokenError):
                guarded()
        finally:
            resilient.set_active(True)
        assert len(calls) == attempts


def test_a_policy_made_while_the_switch_is_thrown_follows_it() -> None:
    """It is brought in line and registered at one instant: no switching gets in between."""
    hub = Hub()
    hub.active = False
    got_in: list[bool] = []

    class Registering:
        def after_fork(self) -> None:
            """Nothing to forget."""

        def set_active(self, active: bool, /) -> None:  # noqa: FBT001  (as the hub calls it)
            thread = threading.Thread(target=self.look)
            thread.start()
            thread.join()

        def look(self) -> None:
            got_in.append(hub._lock.acquire(blocking=False))
            if got_in[-1]:
                hub._lock.release()

    hub.register(Registering())
    assert got_in == [False]


# Threads that are not to be had


@pytest.mark.parametrize("form", ["straight line", "flow"])
@pytest.mark.parametrize("way", ["decorated", "outcome"])
def test_a_limit_that_cannot_be_had_is_a_failure_like_any_other(
    form: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a limiter raises besides a time-out is judged by what is around it, by every way."""
    gate = breaker("b", failure_threshold=None, clock=ManualClock())
    inside: dict[str, Protector] = {
        "straight line": timeout(GUARD, thread=True),
        "flow": pipeline(
            retry(on=ZeroDivisionError, on_result=lambda _: False),
            timeout(GUARD, thread=True),
        ),
    }
    guarded = pipeline(fallback("other", on=RuntimeError), gate, inside[form])(abs)
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    if way == "decorated":
        assert guarded(-1) == "other"
    else:
        assert resilient.outcome(guarded, -1).value == "other"
    assert gate.metrics.failures == 1


def no_thread(_: threading.Thread) -> None:
    """What `Thread.start` does when the system has none left."""
    raise RuntimeError("can't start new thread")


# Where user code runs


def test_no_repr_of_an_error_runs_where_health_is_asked() -> None:
    """Law 4: a `repr` that waits for somebody who asks the mode locks nobody out."""
    clock = ManualClock()
    mode = SystemOperationMode(clock=clock)
    said: list[str] = []
    stuck: list[bool] = []

    class SlowError(ConnectionError):
        def __repr__(self) -> str:
            said.append("slow to say")
            if len(said) == 1:
                asking = threading.Thread(target=lambda: mode.reasons, daemon=True)
                asking.start()
                asking.join(2)
                stuck.append(asking.is_alive())
            return said[0]

    gate = breaker("db", failure_threshold=1, mode=mode, clock=clock)
    with pytest.raises(ConnectionError):
        gate.call(Script(SlowError()))
    said_once = len(said)
    for _ in range(3):
        clock.advance(30)
        health: Any = gate
        health.health()
        assert any(re.search("slow to say", reason) for reason in mode.reasons)
    assert stuck == [False]
    assert len(said) == said_once

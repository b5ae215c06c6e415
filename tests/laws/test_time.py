"""Time is injected, monotonic, and never compared between clocks or with the wall."""

from __future__ import annotations

from typing import Any

import pytest
import tenacity
from hypothesis import given, settings
from hypothesis import strategies as st

import resilient
from resilient import CircuitOpenError, breaker, calls, deadline, remaining, retry
from resilient.testing import ManualClock
from tests.laws.harness import BrokenError, history

MONTH = 30 * 86400.0


class Walled(ManualClock):
    """A clock whose wall clock is set by somebody else, again and again."""

    def __init__(self, start: float, steps: list[float]) -> None:
        super().__init__(start)
        self.steps = list(steps)

    def time(self) -> float:
        """Whatever; sometimes before the epoch, never twice the same way."""
        if not self.steps:
            return -1e9
        self.steps.append(self.steps.pop(0))
        return self.monotonic() + self.steps[-1]


script = st.lists(
    st.tuples(st.sampled_from("..FFs"), st.sampled_from([0.0, 0.5, 3.0])), max_size=40
)
walls = st.lists(st.sampled_from([0.0, MONTH, -MONTH, 12 * MONTH]), max_size=5)
starts = st.sampled_from([0.0, 1.0, 2.0**20, 2.0**30])


def story(clock: ManualClock, play: list[tuple[str, float]]) -> list[Any]:
    """What happens, in seconds since the beginning."""
    begin = clock.monotonic()
    gates: list[Any] = [
        breaker(
            "streak", failure_threshold=2, reset_timeout=2, reset_backoff=2, window=10, clock=clock
        ),
        breaker(
            "rate",
            failure_threshold=None,
            failure_rate=0.5,
            slow_call_duration=1,
            window=20,
            minimum_calls=3,
            reset_timeout=4,
            clock=clock,
        ),
        breaker("last", failure_rate=0.4, window=calls(5), reset_timeout=1, clock=clock),
    ]
    seen: list[Any] = []
    with history() as events:
        for how, wait in play:
            clock.advance(wait)
            for gate in gates:

                def fn(how: str = how) -> None:
                    if how == "s":
                        clock.advance(1.5)
                    if how == "F":
                        raise BrokenError

                try:
                    gate.call(fn)
                except BrokenError:
                    seen.append("failed")
                except CircuitOpenError as refusal:
                    seen.append(refusal.retry_after)
                metrics = gate.metrics
                seen += [gate.state, metrics.calls, metrics.failures, metrics.slow]
                seen.append(clock.monotonic() - begin)
    return [*seen, *((type(each), each.name) for each in events)]


@given(play=script, wall=walls, start=starts)
@settings(max_examples=100, deadline=None, derandomize=True, database=None)
def test_neither_the_wall_nor_the_origin_matters(
    play: list[tuple[str, float]], wall: list[float], start: float
) -> None:
    """The same story whatever the wall clock says, and whenever the monotonic clock began.

    Beginnings are whole multiples of a bucket, because buckets are aligned with the clock.
    """
    start -= start % 2
    assert story(Walled(start, wall), play) == story(ManualClock(0), play)


def test_only_the_injected_clock_is_read() -> None:
    """A breaker whose clock stands still never recovers, however long it really takes."""
    gate = breaker("b", failure_threshold=1, reset_timeout=1e-9, clock=ManualClock())
    gate.open()
    for _ in range(100):
        with pytest.raises(CircuitOpenError) as refusal:
            gate.call(abs, 1)
        assert refusal.value.retry_after == 1e-9


def test_clocks_are_not_compared() -> None:
    """A deadline on one clock, a retry on another: only what remains is."""
    far, near = ManualClock(1e9), ManualClock(0)
    with deadline(10, clock=far):
        assert remaining() == 10
        with deadline(20, clock=near):
            assert remaining() == 10  # the earlier one, although its instant is later
            near.advance(4)
            assert remaining() == 6
        far.advance(1)
        assert remaining() == 9
        slow = retry(on=BrokenError, wait=8, attempts=9, clock=near)
        tries = []

        def fn() -> None:
            tries.append(near.monotonic())
            far.advance(8)
            raise BrokenError

        with pytest.raises(BrokenError):
            slow(fn)()
        assert len(tries) == 1  # a wait of 8 s does not fit the second that is left


def test_breakers_of_two_clocks_in_one_pipeline() -> None:
    """Each measures with its own."""
    fast, slow = ManualClock(1e9), ManualClock(5)
    outer = breaker("outer", slow_call_duration=2, window=calls(2), clock=slow)
    inner = breaker("inner", slow_call_duration=2, window=calls(2), clock=fast)
    guarded = resilient.pipeline(outer, inner)(lambda: fast.advance(3))
    guarded()
    assert (outer.metrics.slow, inner.metrics.slow) == (0, 1)


def test_a_snapshot_holds_no_instant() -> None:
    """What is stored for another process is seconds left, whatever its clock says."""
    gates = []
    for start in (0.0, 1e9):
        clock = ManualClock(start)
        gate = breaker("b", failure_threshold=1, reset_timeout=10, clock=clock)
        gate.open()
        clock.advance(3)
        gates.append(gate.snapshot())
    assert gates[0] == gates[1]


@pytest.mark.parametrize("order", ["retry outside", "breaker outside", "deadline between"])
def test_a_retry_and_a_breaker_with_clocks_of_their_own(order: str) -> None:
    """Law 7: what took how long is measured on one clock, the policy's own."""
    of_breaker, of_retry = ManualClock(1e6), ManualClock(5)
    gate = breaker("b", clock=of_breaker, failure_threshold=100)
    began: list[float] = []

    def stop(state: tenacity.RetryCallState) -> bool:
        began.append(state.start_time)
        return False

    class Stop(tenacity.stop.stop_base):
        def __call__(self, retry_state: tenacity.RetryCallState) -> bool:
            return stop(retry_state)

    again = retry(
        on=BrokenError,
        attempts=3,
        wait=0,
        stop=Stop() if order == "deadline between" else None,
        clock=of_retry,
    )
    between = deadline(1e9, clock=ManualClock(7))
    policies = {
        "retry outside": (again, gate),
        "breaker outside": (gate, again),
        "deadline between": (again, between, gate),
    }[order]

    def fails() -> None:
        of_breaker.advance(100)
        of_retry.advance(2)
        raise BrokenError

    with history() as events, pytest.raises(BrokenError):
        resilient.pipeline(*policies)(fails)()
    (gave_up,) = [each for each in events if isinstance(each, resilient.RetryGaveUp)]
    assert gave_up.seconds == 6
    assert set(began) <= {5}

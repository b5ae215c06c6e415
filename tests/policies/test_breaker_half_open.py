"""Trial calls: how many, who decides, and what becomes of those that never end."""

from __future__ import annotations

from typing import Any

import pytest

from resilient import CircuitOpenError, CircuitState, breaker
from resilient.testing import ManualClock
from tests.laws.harness import BrokenError, HarmlessError

CLOSED, OPEN, HALF_OPEN = CircuitState.CLOSED, CircuitState.OPEN, CircuitState.HALF_OPEN


def half_open(**settings: Any) -> tuple[Any, ManualClock]:
    """A breaker whose next call is a trial."""
    clock = ManualClock()
    gate = breaker(
        "b", failure_threshold=1, reset_timeout=10, ignore=HarmlessError, clock=clock, **settings
    )
    gate.open()
    clock.advance(10)
    return gate, clock


def enter(gate: Any) -> Any:
    """A trial call that is under way."""
    permit = gate.permit()
    permit.__enter__()
    return permit


def leave(permit: Any, error: BaseException | None = None) -> None:
    """End it."""
    permit.__exit__(None if error is None else type(error), error, None)


def trial(gate: Any, how: str) -> str:
    """A whole trial call; the first letter of the state afterwards."""
    permit = enter(gate)
    leave(permit, {"F": BrokenError(), "i": HarmlessError(), "c": KeyboardInterrupt()}.get(how))
    return str(gate.state.value[0])


def test_half_open_begins_with_a_call() -> None:
    """No thread and no timer: an open circuit stays OPEN until somebody tries it."""
    gate, clock = half_open()
    clock.advance(1e9)
    assert gate.state is OPEN
    permit = enter(gate)
    assert gate.state is HALF_OPEN
    leave(permit)


@pytest.mark.parametrize(("early", "refused"), [(1e-6, True), (0.0, False)])
def test_not_a_moment_early(early: float, refused: bool) -> None:  # noqa: FBT001  (a table)
    """The reset timeout is over when it is over."""
    clock = ManualClock()
    gate = breaker("b", reset_timeout=10, clock=clock)
    gate.open()
    clock.advance(10 - early)
    if refused:
        with pytest.raises(CircuitOpenError):
            gate.call(abs, 1)
    else:
        assert gate.call(abs, 1) == 1


DECISIONS = [
    # places, rate, outcomes, states after each
    (1, 1.0, ".", "c"),
    (1, 1.0, "F", "o"),
    (1, 0.1, "F", "o"),
    (3, 1.0, "...", "hhc"),
    (3, 1.0, ".F", "ho"),
    (3, 0.5, "..", "hc"),
    (3, 0.5, "FF", "ho"),
    (3, 0.5, "F..", "hhc"),
    (4, 0.5, "..", "hc"),
    (4, 0.5, "FFF", "hho"),
    (4, 0.5, "FF..", "hhhc"),
    (4, 0.51, "..F.", "hhhc"),
    (4, 0.51, "FF", "ho"),
    (10, 0.7, ".......", "hhhhhhc"),
    (10, 0.7, "FFFF", "hhho"),
    (10, 0.7, "FFF.......", "hhhhhhhhhc"),
    (10, 0.6, "FFFF......", "hhhhhhhhhc"),
    (3, 0.34, "F..", "hhc"),
    (3, 0.33, ".", "c"),
    (5, 0.01, "FFFF.", "hhhhc"),
    (25, 0.28, "F" * 18 + "." * 7, "h" * 24 + "c"),  # 0.28 * 25 is a hair above 7
    (2, 1.0, "ic.i.", "hhhhc"),
    (2, 0.5, "iFci.", "hhhhc"),
]


@pytest.mark.parametrize(("places", "rate", "outcomes", "states"), DECISIONS)
def test_closed_as_soon_as_certain_reopened_as_soon_as_out_of_reach(
    places: int, rate: float, outcomes: str, states: str
) -> None:
    """Ignored and abandoned trials give their places back and decide nothing."""
    gate, _ = half_open(half_open_calls=places, half_open_success_rate=rate)
    assert "".join(trial(gate, each) for each in outcomes) == states


def test_outstanding_and_judged_count_together() -> None:
    """Three places: one judged, two out, no fourth; a place given back is taken again."""
    gate, clock = half_open(half_open_calls=3)
    assert trial(gate, ".") == "h"
    first, second = enter(gate), enter(gate)
    clock.advance(4)
    with pytest.raises(CircuitOpenError) as refusal:
        enter(gate)
    assert refusal.value.retry_after == 6  # when the oldest trial loses its place
    assert "half open" in refusal.value.reason
    leave(first, HarmlessError())
    third = enter(gate)
    leave(second)
    leave(third)
    assert gate.state is CLOSED


def test_a_slow_trial_has_failed() -> None:
    """An answer that took longer than a call may is no sign of health."""
    gate, clock = half_open(slow_call_duration=2)
    permit = enter(gate)
    clock.advance(2.5)
    leave(permit)
    assert gate.state is OPEN
    clock.advance(10)
    permit = enter(gate)
    clock.advance(2)
    leave(permit)
    assert gate.state is CLOSED


def test_a_trial_that_hangs_loses_its_place() -> None:
    """After `half_open_timeout` the next caller takes it; the late answer counts for nothing."""
    for error in (None, BrokenError(), HarmlessError(), KeyboardInterrupt()):
        gate, clock = half_open(half_open_timeout=3)
        hanging = enter(gate)
        clock.advance(2.9)
        with pytest.raises(CircuitOpenError) as refusal:
            enter(gate)
        assert refusal.value.retry_after == pytest.approx(0.1)
        clock.advance(0.2)
        successor = enter(gate)
        leave(hanging, error)
        assert gate.state is HALF_OPEN
        assert (gate.metrics.ignored, gate.metrics.last_error) == (0, None)
        with pytest.raises(CircuitOpenError):
            enter(gate)  # nor did the late answer free the successor's place
        leave(successor)
        assert gate.state is CLOSED


def test_a_trial_that_is_late_counts_until_its_place_is_taken() -> None:
    """Nobody wanted the place, so the answer is as good as any."""
    gate, clock = half_open(half_open_timeout=3)
    late = enter(gate)
    clock.advance(100)
    leave(late)
    assert gate.state is CLOSED


def test_only_the_oldest_of_the_late_gives_way() -> None:
    """One newcomer, one place."""
    gate, clock = half_open(half_open_timeout=3, half_open_calls=2)
    first = enter(gate)
    clock.advance(1)
    second = enter(gate)
    clock.advance(2)
    third = enter(gate)
    with pytest.raises(CircuitOpenError) as refusal:
        enter(gate)
    assert refusal.value.retry_after == 1
    leave(first, BrokenError())
    leave(second)
    leave(third)
    assert gate.state is CLOSED


def test_the_lease_is_the_reset_timeout_unless_given() -> None:
    """Without backoff, jitter or what a failure asked for: the base one."""
    gate, clock = half_open(reset_backoff=10)
    assert trial(gate, "F") == "o"
    clock.advance(100)
    enter(gate)
    with pytest.raises(CircuitOpenError) as refusal:
        enter(gate)
    assert refusal.value.retry_after == 10


def test_reopening_says_which_error() -> None:
    """The rejection after a failed trial carries the trial's error, not the first one."""
    gate, _ = half_open()
    permit = enter(gate)
    leave(permit, BrokenError("still down"))
    with pytest.raises(CircuitOpenError) as refusal:
        enter(gate)
    assert str(refusal.value.last_error) == "still down"


def test_half_open_results_are_kept_apart() -> None:
    """Trials are not in the window; and what was in it before is gone after closing."""
    clock = ManualClock()
    gate = breaker("b", failure_threshold=2, reset_timeout=10, half_open_calls=2, clock=clock)
    for _ in range(2):
        with pytest.raises(BrokenError), gate:
            raise BrokenError
    clock.advance(10)
    assert trial(gate, ".") == "h"
    assert gate.metrics.calls == 2
    assert trial(gate, ".") == "c"
    assert gate.metrics.calls == 0

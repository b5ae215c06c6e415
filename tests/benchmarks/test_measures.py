"""What is read off a run: recovery, amplification, waste, shares."""

from __future__ import annotations

import math

import pytest

from benchmarks.experiment.measures import (
    amplification,
    measure,
    per_second,
    quantile,
    recovery,
    share,
    wasted,
)
from benchmarks.experiment.record import CallRecord, End, Record
from benchmarks.experiment.scenario import TRIGGERS, Scenario

OFFERED = [100] * 30


def good(*runs: tuple[int, int]) -> list[int]:
    """Goodput second by second: so many seconds, so much in each."""
    return [each for seconds, each in runs for _ in range(seconds)]


@pytest.mark.parametrize(
    ("served", "found"),
    [
        (good((30, 100)), 0),  # it never fell
        (good((10, 100), (3, 0), (17, 100)), 3),
        (good((10, 0), (20, 86)), 0),  # 86 % is enough
        (good((10, 0), (20, 85)), math.inf),
        (good((10, 0), (4, 100), (1, 0), (15, 100)), 5),  # four seconds are not five
        (good((10, 0), (5, 100), (15, 0)), 0),  # five are, whatever follows
        (good((26, 0), (4, 100)), math.inf),  # seen for too short a time
        (good((25, 0), (5, 100)), 15),
    ],
)
def test_recovery_is_the_first_second_of_five_good_ones(served: list[int], found: float) -> None:
    """Counted from the trigger's end at 10; "never" without five seconds of 86 %."""
    assert recovery(OFFERED, served, 10, 110) == found


def test_a_late_recovery_is_none() -> None:
    """What begins after the time allowed is "never"."""
    served = good((18, 0), (12, 100))
    assert recovery(OFFERED, served, 10, 8) == 8
    assert recovery(OFFERED, served, 10, 7) == math.inf


def test_recovery_is_measured_against_what_was_offered() -> None:
    """A second in which few calls came is not a bad one, nor one in which none came."""
    offered = [100] * 10 + [100, 10, 0, 50, 100, 100, 100]
    served = [0] * 10 + [90, 9, 0, 45, 90, 90, 90]
    assert recovery(offered, served, 10, 110) == 0


def test_amplification_is_the_worst_second_over_the_load_offered_in_it() -> None:
    """Twice the load in a surge of twice the load is no amplification; before it nothing counts."""
    attempts = [900, 100, 240, 200, 130]

    def offered(at: float) -> float:
        return 200.0 if 2 <= at < 4 else 100.0

    assert amplification(attempts, offered, 1) == pytest.approx(1.3)
    assert amplification([], offered, 1) == 0


@pytest.mark.parametrize(
    ("completions", "found"),
    [
        ([], None),
        ([(5.0, True)], 0.0),
        ([(5.0, True), (6.0, False), (7.0, True), (8.0, True)], 0.25),
        ([(0.9, False), (5.0, True), (10.0, False)], 0.0),  # outside of the window
    ],
)
def test_waste_is_what_nobody_waited_for(
    completions: list[tuple[float, bool]], found: float | None
) -> None:
    """A share of what was finished from the beginning to the end of the window."""
    assert wasted(completions, 1, 10) == found


def test_seconds_are_counted_from_the_start() -> None:
    """Each time falls into one whole second; what is later than the end into none."""
    assert per_second([0.0, 0.99, 1.0, 2.5, 3.0, -0.1], 3) == [2, 1, 1]


@pytest.mark.parametrize(
    ("q", "found"), [(0.5, 50), (0.99, 99), (0.999, 100), (1.0, 100), (0.001, 1)]
)
def test_a_quantile_is_a_value_that_was_measured(q: float, found: float) -> None:
    """The smallest that the share does not exceed (nearest rank)."""
    assert quantile(range(100, 0, -1), q) == found
    assert quantile([], q) is None


def test_nothing_has_no_share() -> None:
    """No calls are not 0 % of anything."""
    assert share([]) is None
    assert share([True, False]) == 0.5


def record(trigger: str, *calls: CallRecord) -> Record:
    """A run of which only the calls are known."""
    scenario = Scenario(trigger=TRIGGERS[trigger], load=0.8)
    return Record("arm", scenario, calls=list(calls), until=scenario.finish)


def test_each_phase_has_its_calls() -> None:
    """Warm-up counts nowhere; the others are told apart by when the call was made."""
    calls = [
        CallRecord(1.0, 0.1, End.FAILED),
        CallRecord(6.0, 0.1, End.GOOD),
        CallRecord(7.0, 0.1, End.REJECTED),
        CallRecord(26.0, 0.4, End.GOOD),
        CallRecord(27.0, 1.0, End.LATE),
        CallRecord(28.0, 1.0, End.FAILED),
        CallRecord(29.0, 1.0, End.FAILED),
        CallRecord(40.0, 0.1, End.GOOD),
    ]
    found = measure(record("brownout", *calls))
    assert (found.steady, found.trigger, found.after) == (0.5, 0.25, 1.0)
    assert found.false_rejections == 0.5
    assert (found.p50, found.p99) == (0.4, 0.4)
    assert (found.critical, found.healthy_lost) == (None, None)


def test_what_may_be_shed_is_told_apart() -> None:
    """Under overload, each kind has an availability of its own."""
    calls = [
        CallRecord(30.0, 0.1, End.GOOD),
        CallRecord(31.0, 0.1, End.GOOD),
        CallRecord(32.0, 0.1, End.REJECTED, sheddable=True),
        CallRecord(33.0, 0.1, End.GOOD, sheddable=True),
    ]
    found = measure(record("overload", *calls))
    assert (found.critical, found.sheddable) == (1.0, 0.5)


def test_what_healthy_keys_lose_is_measured_against_before() -> None:
    """Failures of sick keys count nowhere, and neither does what failed before the trigger."""
    steady = [CallRecord(6.0, 0.1, End.GOOD), CallRecord(7.0, 0.1, End.FAILED)]
    sick = [CallRecord(30.0, 0.1, End.FAILED, sick=True)]
    healthy = [CallRecord(31.0, 0.1, end) for end in (End.GOOD, *[End.REJECTED] * 3)]
    assert measure(record("keys", *steady, *sick, *healthy)).healthy_lost == 0.5
    assert measure(record("keys", *steady, *sick, *healthy[:1])).healthy_lost == 0.0

"""When calls are made."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from statistics import fmean, pvariance

import pytest

from benchmarks.experiment.arrivals import arrivals
from benchmarks.experiment.measures import per_second
from benchmarks.experiment.scenario import KEYS, TRIGGERS, Scenario, is_sick

SCENARIO = Scenario(load=0.8, steady=195, observe=10)


def test_a_seed_is_a_schedule() -> None:
    """The same seed gives the same calls, another seed others."""
    short = replace(SCENARIO, steady=5)
    first, again = list(arrivals(short)), list(arrivals(short))
    other = next(arrivals(replace(short, seed=2)))
    assert first == again
    assert other not in first


def test_arrivals_are_poisson() -> None:
    """Counts of seconds have the rate for their mean and for their variance; they come in order.

    Tolerances are four standard errors of 200 seconds: 240 +- 4.4, and 240 +- 96.
    """
    times = [arrival.at for arrival in arrivals(SCENARIO)]
    counts = per_second(times, 200)
    assert all(earlier < later for earlier, later in pairwise(times))
    assert times[-1] < SCENARIO.finish
    assert fmean(counts) == pytest.approx(240, abs=4.4)
    assert pvariance(counts) == pytest.approx(240, abs=96)


def test_clients_and_keys_share_the_calls_alike() -> None:
    """Each client makes a tenth of the calls, and a tenth of the keys is sick."""
    calls = list(arrivals(SCENARIO))
    each = Counter(call.client for call in calls)
    assert sorted(each) == list(range(10))
    assert max(each.values()) < 1.1 * min(each.values())
    assert fmean(is_sick(call.key) for call in calls) == pytest.approx(0.1, abs=0.006)
    assert {call.key for call in calls} == set(range(KEYS))
    assert not any(call.sheddable for call in calls)


@pytest.mark.parametrize(
    ("trigger", "before", "during", "after"),
    [("brownout", 240, 240, 240), ("spike", 240, 480, 240), ("overload", 240, 450, 240)],
)
def test_the_load_follows_the_trigger(
    trigger: str, before: float, during: float, after: float
) -> None:
    """Load is a share of the capacity of 300; a spike doubles it, overload is 1.5 of capacity."""
    scenario = Scenario(trigger=TRIGGERS[trigger], load=0.8, steady=35, observe=40)
    counts = per_second((call.at for call in arrivals(scenario)), scenario.finish)
    begin, end = int(scenario.begin), int(scenario.end)
    assert fmean(counts[:begin]) == pytest.approx(before, rel=0.07)
    assert fmean(counts[begin:end]) == pytest.approx(during, rel=0.08)
    assert fmean(counts[end:]) == pytest.approx(after, rel=0.07)


def test_half_of_an_overload_may_be_shed() -> None:
    """Marks are drawn evenly."""
    scenario = Scenario(trigger=TRIGGERS["overload"], load=0.8, steady=1, observe=1)
    marks = [call.sheddable for call in arrivals(scenario)]
    assert fmean(marks) == pytest.approx(0.5, abs=0.02)


def test_scale_keeps_the_ratios() -> None:
    """Ten times the workers are ten times the capacity, and ten times the calls."""
    small = Scenario(load=0.8, steady=1, observe=1)
    large = replace(small, scale=10, clients=1000)
    assert (large.workers, large.capacity, large.rate) == (300, 3000, 10 * small.rate)
    assert {call.client for call in arrivals(large)} == set(range(1000))

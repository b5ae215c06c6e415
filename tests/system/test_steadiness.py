"""The defaults, simulated at one sample a second: few changes, early detection, timely recovery.

Noise is correlated (first order, 0.6), so a bad second is followed by another more often than
not, as in real measurements.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

import pytest

from resilient.mode import SystemOperationMode
from resilient.system.decision.steady import Steady, Transition
from resilient.system.settings import DEFAULTS
from resilient.system.states import Mode

HOUR = 3600
SEEDS = 8
MEANS = [part / 100 for part in range(45, 100, 5)]


def noise(seed: int, mean: float, deviation: float) -> Iterator[float]:
    """One hour of a score that jitters about its mean."""
    source = random.Random(seed)  # noqa: S311  (a simulation, no secret)
    level = source.gauss(0, 1)
    for _ in range(HOUR):
        yield min(1.0, max(0.0, mean + deviation * level))
        level = 0.6 * level + 0.8 * source.gauss(0, 1)


def simulate(samples: Iterable[float]) -> list[Transition]:
    """Feed one sample a second."""
    steady = Steady(DEFAULTS, now=0.0)
    made: list[Transition] = []
    for second, sample in enumerate(samples):
        made += steady.advance(float(second))
        made += steady.feed(sample)
    return made


@pytest.mark.parametrize(("deviation", "mean_limit", "limit"), [(0.05, 3, 6), (0.10, 5, 9)])
def test_noise_makes_few_changes(deviation: float, mean_limit: float, limit: int) -> None:
    """An hour at any level: 3 changes on average at a deviation of 0.05, 5 at 0.10, at most.

    Starting from NORMAL, one or two of them are due: the level itself may be a worse mode's.
    """
    for mean in MEANS:
        counts = [
            len(simulate(noise(int(mean * 1000) + 7919 * seed, mean, deviation)))
            for seed in range(SEEDS)
        ]
        assert sum(counts) / SEEDS <= mean_limit, (mean, counts)
        assert max(counts) <= limit, (mean, counts)


@pytest.mark.parametrize("low", [0.0, 0.3, 0.7])
def test_a_dependency_that_comes_and_goes_does_not_flap(low: float) -> None:
    """Ill for 40 s of every 120 s: thirty illnesses an hour, at most 15 changes."""
    made = simulate(low if second % 120 < 40 else 1.0 for second in range(HOUR))
    assert 1 <= len(made) <= 15


@pytest.mark.parametrize("before", [1.0, 0.95])
def test_a_hard_outage_without_a_trip(before: float) -> None:
    """EMERGENCY within 3 s; after the end DEGRADED within 41 s and NORMAL within 90 s."""
    made = simulate([before] * 100 + [0.0] * 100 + [1.0] * 200)
    assert [one.new for one in made] == [Mode.EMERGENCY, Mode.DEGRADED, Mode.NORMAL]
    assert 1 < made[0].at - 100 <= 3
    assert 38 < made[1].at - 200 <= 41
    assert 80 < made[2].at - 200 <= 90


@pytest.mark.parametrize("before", [1.0, 0.95])
def test_a_brownout(before: float) -> None:
    """A fall to 0.70 is DEGRADED within 4 s, and stays that."""
    made = simulate([before] * 100 + [0.70] * 500)
    assert [one.new for one in made] == [Mode.DEGRADED]
    assert 2 < made[0].at - 100 <= 4


def test_the_living_mode_keeps_the_same_times() -> None:
    """Told by a metric and read once a second, it changes at the instants of the simulation."""

    class Hands:
        at = 0.0

        def monotonic(self) -> float:
            return self.at

        def time(self) -> float:
            return self.at

        def sleep(self, seconds: float, /) -> None:
            raise NotImplementedError

        async def sleep_async(self, seconds: float, /) -> None:
            raise NotImplementedError

    clock = Hands()
    mode = SystemOperationMode(clock=clock)
    metric = mode.metric("figure")
    samples = [1.0] * 10 + [0.0] * 60 + [1.0] * 120
    for second, sample in enumerate(samples):
        clock.at = float(second)
        metric.set(sample)
        mode.evaluate()
    expected = simulate(samples)
    assert [change.new for change in mode.history] == [one.new for one in expected]
    assert [change.at for change in mode.history] == pytest.approx([one.at for one in expected])

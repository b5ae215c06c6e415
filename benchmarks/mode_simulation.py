"""Scores that jitter, and rules that make a mode of them: what `mode.py` compares.

A score comes once a second and holds until the next. Noise is correlated (first order, 0.6), so a
bad second is followed by another more often than not, as in real measurements.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from resilient import Mode
from resilient.system.decision.steady import Steady
from resilient.system.settings import DEFAULTS, Settings

__all__ = [
    "HOUR",
    "MEANS",
    "RULES",
    "SPREADS",
    "Change",
    "brownout",
    "flapping",
    "noise",
    "outage",
    "seeded",
]

HOUR = 3600
MEANS = tuple(part / 100 for part in range(45, 100, 5))
SPREADS = (0.05, 0.10)
"""Standard deviations of the noise."""

Change = tuple[float, Mode]
Rule = Callable[[Sequence[float]], list[Change]]
N, D, E = Mode.NORMAL, Mode.DEGRADED, Mode.EMERGENCY


# Scores -------------------------------------------------------------------------------------


def seeded(seed: int, mean: float) -> int:
    """A seed of its own for each hour; the same in `tests/system/test_steadiness.py`."""
    return int(mean * 1000) + 7919 * seed


def noise(seed: int, levels: Iterable[float], spread: float) -> list[float]:
    """Scores that jitter about `levels`, one a second."""
    source = random.Random(seed)  # noqa: S311  (a simulation, no secret)
    jitter = source.gauss(0, 1)
    found = []
    for level in levels:
        found.append(min(1.0, max(0.0, level + spread * jitter)))
        jitter = 0.6 * jitter + 0.8 * source.gauss(0, 1)
    return found


def outage(well: float = 1.0) -> list[float]:
    """Nothing works from second 100 to 200."""
    return [well] * 100 + [0.0] * 100 + [well] * 400


def brownout(well: float = 1.0) -> list[float]:
    """A fall to 70 from second 100 to 600."""
    return [well] * 100 + [0.7] * 500 + [well] * 400


def flapping(low: float = 0.0) -> list[float]:
    """Ill for 40 s of every 120 s, for an hour."""
    return [low if second % 120 >= 80 else 1.0 for second in range(HOUR)]  # noqa: PLR2004


# Rules --------------------------------------------------------------------------------------


def naive(scores: Sequence[float]) -> list[Change]:
    """The mode that the score of this second shows: 85 and 50."""
    return _stepwise(scores, lambda _, score: _shown(score))


def bands(scores: Sequence[float]) -> list[Change]:
    """The same with bands: NORMAL again from 90 on, DEGRADED again from 60 on."""

    def step(mode: Mode, score: float) -> Mode:
        shown = _shown(score)
        if shown.rank >= mode.rank:
            return shown
        if mode is D:
            return N if score >= 0.90 else D  # noqa: PLR2004  (the band)
        return D if score >= 0.60 else E  # noqa: PLR2004  (the band)

    return _stepwise(scores, step)


def steady(settings: Settings) -> Rule:
    """The library's own rule with these settings."""

    def rule(scores: Sequence[float]) -> list[Change]:
        machine = Steady(settings, now=0.0)
        made = []
        for second, score in enumerate(scores):
            made += machine.advance(float(second))
            made += machine.feed(score)
        return [(one.at, one.new) for one in made]

    return rule


def _stepwise(scores: Sequence[float], step: Callable[[Mode, float], Mode]) -> list[Change]:
    mode, made = N, []
    for second, score in enumerate(scores):
        entered = step(mode, score)
        if entered is not mode:
            mode = entered
            made.append((float(second), mode))
    return made


def _shown(score: float) -> Mode:
    return N if score >= 0.85 else D if score >= 0.50 else E  # noqa: PLR2004  (the thresholds)


@dataclass
class Summing:
    """Worsens when what the score lacks to the edge has added up; improves as the library does.

    A cumulative sum (Page 1954), bounded: a second that is `full` below the edge counts as one,
    any below it as `least` at least, and one above it takes back as much; never below 0. The mode
    worsens at `enough` of them: 2.7 s for an outage, 3.9 s for a fall to 70, 8 s for any fall; a
    single bad second is not enough. Looked at ten times a second.
    """

    settings: Settings = DEFAULTS
    enough: float = 2.65
    full: float = 0.22
    least: float = 0.33

    def __call__(self, scores: Sequence[float]) -> list[Change]:
        """The changes that these scores make."""
        self._begin()
        for second, score in enumerate(scores):
            for tenth in range(1, 11):
                self._look(second + tenth / 10, score)
        return self._made

    def _begin(self) -> None:
        self._made: list[Change] = []
        self._mode, self._smoothed, self._sum = N, 1.0, 0.0
        self._above: float | None = None
        self._entered, self._improved = 0.0, -math.inf
        self._penalty, self._penalty_at, self._patience = 0.0, 0.0, 1.0
        self._fade = math.exp(-0.1 / self.settings.tau)

    def _look(self, at: float, score: float) -> None:
        self._smoothed = score + (self._smoothed - score) * self._fade
        edge = 0.85 if self._mode is N else 0.50
        pace = (edge - score) / self.full
        pace = min(1.0, max(self.least, pace)) if pace > 0 else pace
        self._sum = max(0.0, self._sum + 0.1 * pace)
        if self._mode is not E and self._sum >= self.enough:
            shown = _shown(self._smoothed)
            self._enter(
                shown if shown.rank > self._mode.rank else (D if self._mode is N else E), at
            )
        elif self._mode is not N and self._is_back(at):
            self._improved = at
            self._enter(N if self._mode is D else D, at)

    def _is_back(self, at: float) -> bool:
        leaving, rules = self._mode is E, self.settings
        if self._smoothed * 100 < (rules.return_degraded if leaving else rules.return_normal):
            self._above = None
            return False
        self._above = at if self._above is None else self._above
        needed = rules.confirm_degraded if leaving else rules.confirm_normal
        lasted = at - self._above >= needed * self._patience
        return lasted and at - self._entered >= rules.dwell * self._patience

    def _enter(self, mode: Mode, at: float) -> None:
        rules = self.settings
        left = self._penalty * 0.5 ** ((at - self._penalty_at) / rules.flap_half_life)
        if mode.rank > self._mode.rank and at - self._improved < rules.flap_window:
            left = self._penalty = min(rules.flap_limit, left + 1)
            self._penalty_at = at
        self._patience = 1 + left
        self._mode, self._entered, self._above, self._sum = mode, at, None, 0.0
        self._made.append((at, mode))


_FIRST = Settings(
    tau=3.0, return_degraded=60.0, confirm_worse=3.0, confirm_degraded=30.0, confirm_normal=30.0
)
_PATIENT = Settings(
    tau=3.0, return_degraded=60.0, confirm_worse=3.0, confirm_degraded=60.0, confirm_normal=60.0
)

RULES: dict[str, Rule] = {
    "thresholds": naive,
    "bands": bands,
    "design, 30 s to improve": steady(_FIRST),
    "design, 60 s to improve": steady(_PATIENT),
    "the defaults": steady(DEFAULTS),
    "a cumulative sum": Summing(),
}

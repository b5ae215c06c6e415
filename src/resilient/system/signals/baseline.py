"""What a rate usually is: given, or learned. The decision alone."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from resilient.system.signals.deviation import deviation, health_of, surprise

__all__ = ["Average", "Baseline", "BaselineRules"]


@dataclass(frozen=True, slots=True)
class BaselineRules:
    """How a baseline is found, and what counts as a deviation. See `mode.rate`."""

    given: float | None = None
    half_life: float = 600.0
    warm_up: int = 10
    accept_after: float | None = 1800.0
    minimum_expected: float = 20.0
    noise: float = 5.0
    side: str = "both"

    def judge(self, count: float, expected: float) -> float:
        """Health of a window with `count` events where `expected` are usual."""
        wanted = {"below": count < expected, "above": count > expected}.get(self.side, True)
        if not wanted or surprise(count, expected) <= self.noise:
            return 1.0
        # Not one where many are due: the deviation is only 100 %, but nothing works.
        return 0.0 if count == 0 else health_of(deviation(count, expected))


class Average:
    """A mean in which a value counts half as much after each `half_life`.

    Example::

        average = Average(half_life=10.0)
        average.add(5.0)
        average.value  # 5.0
    """

    def __init__(self, half_life: float) -> None:
        self._keep = 0.5 ** (1 / half_life)
        self._total = 0.0
        self._weight = 0.0

    @property
    def value(self) -> float:
        """The mean; there must have been a value."""
        return self._total / self._weight

    def add(self, value: float, weight: float = 1.0) -> None:
        """Take one more value, which counts as `weight` of them."""
        self._total = self._total * self._keep + value * weight
        self._weight = self._weight * self._keep + weight


class Baseline:
    """What is usual in a window: given, or learned from windows that were not unusual.

    Example::

        baseline = Baseline(BaselineRules(given=120.0), window=60.0)
        baseline.expected  # 120.0
    """

    def __init__(self, rules: BaselineRules, window: float) -> None:
        self.rules = rules
        self.seen = 0
        self._window = window
        self._first: list[float] = []
        self._usual: Average | None = None
        self._new: tuple[Average, float, bool] | None = None

    @property
    def expected(self) -> float | None:
        """Events in a window; `None` while it is not known yet."""
        if self.rules.given is not None:
            return self.rules.given
        return None if self._usual is None else self._usual.value

    def close(self, count: float, now: float) -> None:
        """Learn from a window that ended at `now` with `count` events."""
        if self.rules.given is not None:
            return
        self.seen += 1
        usual, expected = self._usual, self.expected
        if usual is None or expected is None:
            self._begin(count)
        elif expected < self.rules.minimum_expected or self.rules.judge(count, expected) == 1:
            usual.add(count)
            self._new = None
        else:
            self._consider(count, now, above=count > expected)

    def _begin(self, count: float) -> None:
        """Of the first windows the median counts, so that one odd window does no harm."""
        self._first.append(count)
        if len(self._first) >= self.rules.warm_up:
            self._usual = self._average()
            self._usual.add(median(self._first), len(self._first))
            self._first = []

    def _consider(self, count: float, now: float, *, above: bool) -> None:
        """Take a level that has lasted for the new usual one, if anything can be judged by it."""
        if self._new is None or self._new[2] is not above:
            self._new = (self._average(), now, above)
        level, since, _ = self._new
        level.add(count)
        patience = self.rules.accept_after
        if patience is None or now - since < patience:
            return
        if level.value >= self.rules.minimum_expected:
            self._usual, self._new = level, None

    def _average(self) -> Average:
        return Average(self.rules.half_life / self._window)

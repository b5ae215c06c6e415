"""Where a figure is going: a straight line through the last readings that outliers do not bend."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import combinations
from statistics import median
from typing import NamedTuple

__all__ = ["Line", "Trend", "theil_sen"]

POINTS = 30
"""Points of the line: 435 pairs, 0.2 ms, once for each new point."""

LEAST = 5
"""Fewer points make no trend."""


class Line(NamedTuple):
    """`level` at the instant `at`, and `slope` per second."""

    at: float
    level: float
    slope: float

    def value(self, at: float) -> float:
        """What it says for an instant."""
        return self.level + self.slope * (at - self.at)


def theil_sen(points: Sequence[tuple[float, float]]) -> Line:
    """The line whose slope is the median of the slopes of all pairs (Theil 1950, Sen 1968).

    Up to 29 % of the points may be anything without bending it; with normal noise it is nearly as
    good as least squares. The points must have different times.

    Example::

        theil_sen([(0, 0), (1, 1), (2, 50), (3, 3)]).slope  # 1
    """
    pairs = combinations(points, 2)
    slope = median((two[1] - one[1]) / (two[0] - one[0]) for one, two in pairs)
    last = points[-1][0]
    level = median(value - slope * (at - last) for at, value in points)
    return Line(last, level, slope)


class Trend:
    """Readings of the last `span` seconds, as at most 31 means, and the line through them.

    Example::

        trend = Trend(span=300.0)
        trend.add(0.0, 0.5)
        trend.line().slope  # 0.0: too little is known
    """

    def __init__(self, span: float) -> None:
        self._span = span
        self._width = span / POINTS
        self._points: deque[list[float]] = deque()
        self._line: Line | None = None

    def __len__(self) -> int:
        """How many points there are."""
        return len(self._points)

    def clear(self) -> None:
        """Begin anew: what was before says nothing of what comes."""
        self._points.clear()
        self._line = None

    def add(self, at: float, value: float) -> None:
        """Take one more reading, not older than the last. The line follows with each new point."""
        points = self._points
        if points and at - points[-1][0] < self._width:
            points[-1][1] += at
            points[-1][2] += value
            points[-1][3] += 1
        else:
            points.append([at, at, value, 1.0])
            self._line = None
        while len(points) > 1 and points[0][0] <= at - self._span - self._width:
            points.popleft()

    def line(self) -> Line:
        """The present trend; level as long as there are too few points."""
        if self._line is None:
            means = [(at / n, value / n) for _, at, value, n in self._points]
            few = len(means) < LEAST
            self._line = Line(*means[-1], 0.0) if few else theil_sen(means)
        return self._line

    def reach(self) -> float:
        """For how many seconds it goes back; 0 while there is no trend. Look no further ahead."""
        few = len(self._points) < LEAST
        return 0.0 if few else self.line().at - self._points[0][0]

    def seconds_until(self, value: float, now: float) -> float | None:
        """When a rising line reaches `value`; `None` if it does not rise."""
        line = self.line()
        return max(0.0, (value - line.value(now)) / line.slope) if line.slope > 0 else None

"""How full something is, and how full it will be: the figures alone."""

from __future__ import annotations

from typing import Any, NamedTuple

from resilient.system.signals.reader import figure
from resilient.system.signals.trend import Trend

__all__ = ["Forecast", "Outlook", "Usage", "usage"]

FAR = 10
"""Times the horizon: when it will be full is not told for what is further away."""


class Usage(NamedTuple):
    """So much is used, of so much."""

    used: float
    capacity: float

    @property
    def pressure(self) -> float:
        """The share that is used."""
        return self.used / self.capacity


def usage(value: Any, capacity: float) -> Usage:
    """Read a figure, or a figure and its capacity. Raises `ValueError` for what is neither.

    Example::

        usage((83, 100), 1.0).pressure  # 0.83
    """
    pair = isinstance(value, tuple) and len(value) == 2  # noqa: PLR2004  (a figure and its capacity)
    used, of = value if pair else (value, capacity)
    found = Usage(figure(used), figure(of))
    if found.capacity <= 0:
        message = f"a capacity of {found.capacity:g} holds nothing"
        raise ValueError(message)
    return found


class Forecast(NamedTuple):
    """The `pressure` now, that which is `expected` in `ahead` seconds, and when it is full."""

    usage: Usage
    pressure: float
    expected: float
    ahead: float
    full_in: float | None

    @property
    def highest(self) -> float:
        """The higher one of what is and what is expected."""
        return max(self.pressure, self.expected)

    def __str__(self) -> str:
        """In words."""
        used, capacity = self.usage
        text = f"{used:.4g} of {capacity:.4g} used ({self.pressure:.0%})"
        if self.ahead:
            text += f", {self.expected:.0%} expected in {self.ahead:.0f} s"
        return text if self.full_in is None else f"{text}, full in {self.full_in:.0f} s"


class Outlook:
    """Readings of usage, and the trend of their pressure.

    Example::

        outlook = Outlook(horizon=300.0, full=1.0)
        outlook.add(Usage(83, 100), 0.0)
        outlook.at(0.0).expected  # 0.83
    """

    def __init__(self, horizon: float, full: float) -> None:
        self.horizon = horizon
        self._full = full
        self._trend = Trend(horizon)
        self._last: Usage | None = None

    def add(self, seen: Usage, at: float) -> None:
        """Take one more reading; another capacity begins another trend."""
        if self._last is not None and self._last.capacity != seen.capacity:
            self._trend.clear()
        self._last = seen
        self._trend.add(at, seen.pressure)

    def at(self, now: float) -> Forecast:
        """Look ahead; there must have been a reading."""
        last, trend = self._last, self._trend
        assert last is not None  # noqa: S101  (see the docstring)
        ahead = min(self.horizon, trend.reach())
        expected = max(0.0, trend.line().value(now + ahead)) if ahead else last.pressure
        full_in = trend.seconds_until(self._full, now) if ahead else None
        if full_in is not None and full_in > FAR * self.horizon:
            full_in = None
        return Forecast(last, last.pressure, expected, ahead, full_in)

    def clear(self) -> None:
        """Forget the trend, but not the last reading."""
        self._trend.clear()

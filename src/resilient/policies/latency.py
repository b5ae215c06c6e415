"""How long calls take: a histogram of bounded size over the recent past."""

from __future__ import annotations

import math

__all__ = ["Latency"]

_GROWTH = 1.1  # a bucket is 10 % wider than the one before, so a quantile is within 10 %
_SMALLEST = 1e-5
_BUCKETS = 160  # up to about 40 s
_HALF = 15.0
_SCALE = 1 / math.log(_GROWTH)


class Latency:
    """Durations of the last 15 to 30 seconds.

    Two half windows: the current one and the one before. Not locked: the circuit's lock serves.
    """

    __slots__ = ("_before", "_current", "_since")

    def __init__(self, now: float) -> None:
        self._current = [0] * _BUCKETS
        self._before = [0] * _BUCKETS
        self._since = now

    def add(self, seconds: float, now: float) -> None:
        """Record a call that took `seconds` and ended at `now`."""
        self._roll(now)
        ratio = max(seconds, _SMALLEST) / _SMALLEST
        self._current[min(_BUCKETS - 1, math.ceil(math.log(ratio) * _SCALE))] += 1

    def quantile(self, q: float, now: float) -> float | None:
        """The `q` quantile in seconds, rounded up to a bucket's edge; `None` without calls."""
        self._roll(now)
        counts = [a + b for a, b in zip(self._current, self._before, strict=True)]
        rank = math.ceil(q * sum(counts))
        if rank == 0:
            return None
        seen = 0
        for index, count in enumerate(counts):  # pragma: no branch  (some bucket has the rank)
            seen += count
            if seen >= rank:
                return float(_SMALLEST * _GROWTH**index)
        return None  # pragma: no cover

    def _roll(self, now: float) -> None:
        halves = int((now - self._since) / _HALF)
        if halves <= 0:
            return
        self._before = self._current if halves == 1 else [0] * _BUCKETS
        self._current = [0] * _BUCKETS
        self._since += halves * _HALF

"""Counting outcomes: over the last seconds, or over the last calls.

Both windows offer the straight line the same three attributes: it may add 1 to `ok` by itself
while the call ended before `edge` and took at most `limit` seconds. Everything else happens in
`add`, under the breaker's lock.
"""

from __future__ import annotations

import math
from array import array
from collections import deque
from copy import copy
from dataclasses import dataclass
from typing import Protocol

from resilient.policies.match import whole

__all__ = ["CountWindow", "Counts", "LastCalls", "TimeWindow", "Window", "calls"]

BUCKETS = 10
_FIELDS = 3  # calls, failures, slow calls


@dataclass(frozen=True, slots=True)
class Counts:
    """What a window holds. `failures` and `slow` may overlap."""

    calls: int
    failures: int
    slow: int


@dataclass(frozen=True, slots=True)
class LastCalls:
    """A window over the last `number` outcomes; see `calls`."""

    number: int


def calls(number: int) -> LastCalls:
    """Let a breaker's window hold the last `number` outcomes instead of seconds.

    Raises `ConfigError` unless `number` is a whole number >= 1.

    Example::

        breaker("payments", failure_rate=0.5, window=resilient.calls(100))
    """
    return LastCalls(whole("calls", number))


class Window(Protocol):
    """What a circuit asks of a window. `recorded` counts every outcome it was ever given."""

    ok: int
    edge: float
    limit: float

    @property
    def recorded(self) -> int: ...
    def add(self, now: float, *, failed: bool, slow: bool) -> None:
        """Record an outcome that ended at `now`."""
        ...

    def counts(self, now: float) -> Counts:
        """What the window holds at `now`."""
        ...

    def age(self, now: float) -> float | None:
        """Seconds since the last outcome, at least; `None` if unknown."""
        ...

    def until(self) -> float:
        """The instant from which `add` must be asked, whatever the counts are."""
        ...

    def copy(self) -> Window:
        """The same counts under a new identity."""
        ...


class CountWindow:
    """The last `size` outcomes. Only the bad ones are remembered, by their position."""

    __slots__ = ("_bad", "_failures", "_others", "_size", "_slow", "edge", "limit", "ok")

    def __init__(self, size: int) -> None:
        self.ok = 0
        self.edge = -math.inf
        self.limit = math.inf
        self._size = size
        self._others = 0
        self._failures = 0
        self._slow = 0
        self._bad: deque[tuple[int, bool, bool]] = deque()

    @property
    def recorded(self) -> int:
        """Outcomes ever given."""
        return self.ok + self._others

    def add(self, now: float, *, failed: bool, slow: bool) -> None:
        """Record an outcome."""
        if not (failed or slow):
            self.ok += 1
            return
        self._others += 1
        self._failures += failed
        self._slow += slow
        self._bad.append((self.recorded, failed, slow))
        self.counts(now)

    def counts(self, now: float) -> Counts:
        """What the last `size` outcomes were."""
        del now
        recorded = self.recorded
        while self._bad and self._bad[0][0] <= recorded - self._size:
            _, failed, slow = self._bad.popleft()
            self._failures -= failed
            self._slow -= slow
        return Counts(min(recorded, self._size), self._failures, self._slow)

    def age(self, now: float) -> float | None:
        """Unknown: this window reads no clock."""
        del now
        return None

    def until(self) -> float:
        """Never: a success can only lower the rates."""
        return math.inf

    def copy(self) -> CountWindow:
        """The same counts under a new identity."""
        twin = copy(self)
        twin._bad = self._bad.copy()
        return twin


class TimeWindow:
    """The outcomes of the last `seconds`, in 10 buckets; an expired bucket leaves whole.

    `ok` counts every plain success since creation, so it is never set back while another thread
    adds to it: what belongs to a bucket is a difference.
    """

    __slots__ = (
        "_bad",
        "_last",
        "_ok_before",
        "_others",
        "_ring",
        "_slot",
        "_slow",
        "_width",
        "edge",
        "limit",
        "ok",
    )

    def __init__(self, seconds: float, now: float) -> None:
        self.ok = 0
        self.edge = -math.inf
        self.limit = math.inf
        self._width = seconds / BUCKETS
        self._slot = math.floor(now / self._width)
        self._ring: array[int] | None = None  # the nine buckets before the current one
        self._ok_before = 0  # `ok` when the current bucket began
        self._others = 0  # slow successes and failures, since creation
        self._bad = 0  # failures in the current bucket
        self._slow = 0  # slow calls in the current bucket
        self._last: int | None = None  # the last bucket with an outcome

    @property
    def recorded(self) -> int:
        """Outcomes ever given."""
        return self.ok + self._others

    def add(self, now: float, *, failed: bool, slow: bool) -> None:
        """Record an outcome that ended at `now`."""
        self._roll(now)
        if failed or slow:
            self._others += 1
            self._bad += failed
            self._slow += slow
        else:
            self.ok += 1

    def counts(self, now: float) -> Counts:
        """What the buckets hold at `now`."""
        self._roll(now)
        ring = self._ring or ()
        return Counts(
            self.recorded - self._ok_before + sum(ring[0::_FIELDS]),
            self._bad + sum(ring[1::_FIELDS]),
            self._slow + sum(ring[2::_FIELDS]),
        )

    def age(self, now: float) -> float | None:
        """Seconds since the end of the last bucket with an outcome; 0 for the current one."""
        self._roll(now)
        if self.recorded > self._ok_before:
            return 0.0
        return None if self._last is None else max(0.0, now - (self._last + 1) * self._width)

    def until(self) -> float:
        """The end of the current bucket."""
        return (self._slot + 1) * self._width

    def copy(self) -> TimeWindow:
        """The same counts under a new identity."""
        twin = copy(self)
        twin._ring = None if self._ring is None else self._ring[:]
        return twin

    def _roll(self, now: float) -> None:
        """Let time pass: close the current bucket if `now` is beyond it, drop expired ones."""
        slot = math.floor(now / self._width)
        passed = slot - self._slot
        if passed <= 0:
            return
        recorded = self.recorded
        in_bucket = recorded - self._ok_before
        if in_bucket:
            self._last = self._slot
        self._push(in_bucket, min(passed, BUCKETS))
        self._slot = slot
        self._ok_before = recorded
        self._bad = self._slow = 0

    def _push(self, in_bucket: int, passed: int) -> None:
        ring = self._ring
        if ring is None:
            if not in_bucket:
                return
            ring = self._ring = array("Q", bytes((BUCKETS - 1) * _FIELDS * 8))
        ring.extend((in_bucket, self._bad, self._slow))
        ring.extend((0, 0, 0) * (passed - 1))
        del ring[: passed * _FIELDS]

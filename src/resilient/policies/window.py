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
from typing import NamedTuple, Protocol

import msgspec

from resilient.policies.match import whole

__all__ = ["CountWindow", "Counts", "LastCalls", "TimeWindow", "Window", "calls"]

BUCKETS = 10
_FIELDS = 3  # calls, failures, slow calls


class Counts(NamedTuple):
    """What a window holds. `failures` and `slow` may overlap."""

    calls: int
    failures: int
    slow: int


class LastCalls(msgspec.Struct, frozen=True):
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
    def recorded(self) -> int:
        """Outcomes ever given."""
        ...

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
        twin._bad = self._bad.copy()  # noqa: SLF001  (its own kind)
        return twin


class TimeWindow:
    """The outcomes of the last `seconds`, in 10 buckets; an expired bucket leaves whole.

    `ok` counts every plain success since creation, so it is never set back while another thread
    adds to it: what belongs to a bucket is a difference.
    """

    __slots__ = (
        "_bad",
        "_before",
        "_calls",
        "_failures",
        "_last",
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
        self._width = seconds
        self._slot = math.floor(now / seconds * BUCKETS)
        self._last: int | None = None  # the last bucket with an outcome, before the current one
        self._others = 0  # slow successes and failures, since creation
        self._before = 0  # everything recorded when the current bucket began
        self._calls = 0  # calls, failures and slow calls in the nine buckets before it
        self._failures = 0
        self._slow = 0
        self._bad = (0, 0)  # failures and slow calls in the current bucket
        self._ring: array[int] | None = None  # calls, failures, slow calls of each bucket

    @property
    def recorded(self) -> int:
        """Outcomes ever given."""
        return self.ok + self._others

    def add(self, now: float, *, failed: bool, slow: bool) -> None:
        """Record an outcome that ended at `now`."""
        self._roll(now)
        if failed or slow:
            self._others += 1
            failures, slows = self._bad
            self._bad = (failures + failed, slows + slow)
        else:
            self.ok += 1

    def counts(self, now: float) -> Counts:
        """What the buckets hold at `now`."""
        self._roll(now)
        failures, slow = self._bad
        return Counts(
            self._calls + self.ok + self._others - self._before,
            self._failures + failures,
            self._slow + slow,
        )

    def age(self, now: float) -> float | None:
        """Seconds since the end of the last bucket with an outcome; 0 for the current one."""
        self._roll(now)
        if self.recorded > self._before:
            return 0.0
        return None if self._last is None else max(0.0, now - self._end(self._last))

    def until(self) -> float:
        """The end of the current bucket."""
        return self._end(self._slot)

    def resize(self, seconds: float, now: float) -> None:
        """Be of another length: what it holds stays, and counts as if it had just happened."""
        if seconds == self._width:
            return
        _, failures, slow = self.counts(now)
        self._width = seconds
        self._slot = math.floor(now / seconds * BUCKETS)
        # In terms of what was there before: `ok` may grow while this runs.
        self._before -= self._calls
        self._bad = (failures, slow)
        self._calls = self._failures = self._slow = 0
        self._last = self._ring = None

    def copy(self) -> TimeWindow:
        """The same counts under a new identity."""
        twin = copy(self)
        twin._ring = None if self._ring is None else self._ring[:]  # noqa: SLF001  (its own kind)
        return twin

    def _end(self, slot: int) -> float:
        return (slot + 1) * self._width / BUCKETS

    def _roll(self, now: float) -> None:
        """Let time pass: close the current bucket if `now` is beyond it, drop expired ones."""
        if now < self._end(self._slot):
            return
        slot = math.floor(now / self._width * BUCKETS)
        passed = slot - self._slot
        if passed <= 0:
            return
        recorded = self.recorded
        self._close(recorded - self._before)
        # The bucket that begins takes the place of one ten buckets ago, and so on.
        for expired in range(self._slot + 1, self._slot + 1 + min(passed, BUCKETS)):
            self._drop(expired % BUCKETS)
        self._slot = slot
        self._before = recorded
        self._bad = (0, 0)

    def _close(self, calls: int) -> None:
        """Move the current bucket among those before it."""
        if not calls:
            return
        self._last = self._slot
        if self._ring is None:
            self._ring = array("I", bytes(BUCKETS * _FIELDS * 4))
        place = self._slot % BUCKETS * _FIELDS
        failures, slow = self._bad
        self._ring[place], self._ring[place + 1], self._ring[place + 2] = calls, failures, slow
        self._calls += calls
        self._failures += failures
        self._slow += slow

    def _drop(self, bucket: int) -> None:
        ring, place = self._ring, bucket * _FIELDS
        if ring is not None and ring[place]:
            self._calls -= ring[place]
            self._failures -= ring[place + 1]
            self._slow -= ring[place + 2]
            ring[place] = ring[place + 1] = ring[place + 2] = 0

"""A count of what happened within the last so many seconds."""

from __future__ import annotations

import operator
import threading
from collections import deque
from typing import Any

__all__ = ["ONE", "Tally", "marks"]

GRAIN = 300
"""Things that happen within 1/300 of the period of each other share one entry: at most 302."""

ONE = 1
"""What nearly every mark is, so it is not checked."""

MOST = 2**53
"""Marks at once, at most: up to here a count is exact as a float too."""


def marks(n: int) -> int:
    """Check how many were marked, 0 included: a batch may be empty.

    Raises `TypeError` for what is no whole number, `ValueError` for less than 0 or too many.

    Example::

        marks(3)  # 3
    """
    found = n if type(n) is int else operator.index(n)
    if not 0 <= found <= MOST:
        message = "so many cannot be marked at once: allowed are 0 to 2**53"
        raise ValueError(message)
    return found


class Tally:
    """Counts exactly for any number of threads, in bounded memory.

    What happens rarely keeps its own instant; in a crowd an instant is exact to 1/300 of the
    period, and only in when it ceases to count.

    Example::

        tally = Tally(60.0)
        tally.add(1, now=0.0)
        tally.count(59.0), tally.count(60.0)  # 1, 0
    """

    def __init__(self, period: float) -> None:
        self.period = period
        self._width = period / GRAIN
        self._lock = threading.RLock()  # reentrant: a finaliser or a signal handler may mark too
        self._entries: deque[list[Any]] = deque()
        self._total = 0

    def __len__(self) -> int:
        """How many entries it holds."""
        return len(self._entries)

    def add(self, n: int, now: float) -> int:
        """Count `n` more at `now`; return the count."""
        with self._lock:
            self._forget(now)
            entries = self._entries
            # A thread that read the time a little earlier than the last one joins its entry.
            if entries and now - entries[-1][0] < self._width:
                entries[-1][1] += n
            else:
                entries.append([now, n])
            self._total += n
            return self._total

    def count(self, now: float) -> int:
        """How many there were in the last `period` seconds; what is just that old is not.

        It never waits: whoever is counting at this moment drops what is too old by itself.
        """
        if self._lock.acquire(blocking=False):
            try:
                self._forget(now)
            finally:
                self._lock.release()
        return self._total

    def after_fork(self) -> None:
        """Take a fresh lock; the child has counted nothing."""
        self._lock = threading.RLock()
        self._entries.clear()
        self._total = 0

    def _forget(self, now: float) -> None:
        """Drop what is too old; there is no call between the figures that belong together."""
        entries, edge = self._entries, now - self.period
        while entries and entries[0][0] <= edge:
            self._total -= entries[0][1]
            entries.popleft()

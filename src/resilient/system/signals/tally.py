"""A count of what happened within the last so many seconds."""

from __future__ import annotations

import threading
from collections import deque

__all__ = ["Tally"]

GRAIN = 300
"""Things that happen within 1/300 of the period of each other share one entry: at most 302."""


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
        self._lock = threading.Lock()
        self._entries: deque[list[float]] = deque()
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
        """How many there were in the last `period` seconds; what is just that old is not."""
        with self._lock:
            self._forget(now)
            return self._total

    def after_fork(self) -> None:
        """Take a fresh lock; the child has counted nothing."""
        self._lock = threading.Lock()
        self._entries.clear()
        self._total = 0

    def _forget(self, now: float) -> None:
        entries, edge = self._entries, now - self.period
        while entries and entries[0][0] <= edge:
            self._total -= int(entries.popleft()[1])

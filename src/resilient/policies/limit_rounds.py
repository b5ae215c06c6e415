"""When answers become a sample, and which drops count. Pure: the time is passed in."""

from __future__ import annotations

import math

from resilient.policies.limit_algorithms import LimitAlgorithm

__all__ = ["PLENTY", "Permit", "Rounds"]

SHORTEST = 0.1
LONGEST = 1.0
"""Seconds of a window: twice the mean latency of the one before, within these bounds. 1 s is
WindowedLimit's, and 0.1 s the least it allows; with windows of 1 s a limit that has fallen to 1
would need half a minute to grow back."""
ENOUGH = 10
"""Answers that make a sample (WindowedLimit's number), or three round trips of a limit below 4."""
ENOUGH_FOR_PROBE = 30
"""Answers that a probe needs, because every sample until the next is compared with it; or ten round
trips of a limit below 3."""
PLENTY = 30
"""Answers after which a window measures only every eighth call: what more of them could add is
less than what reading the clock twice costs."""
DEEPEST = 0.5
"""What drops leave at least of the limit in one round trip: TCP halves (RFC 5681, section 3.1)."""


class Rounds:
    """Collects answers into windows, and drops into round trips, for one algorithm.

    Whoever adds to `total` and `count` asks for `close` once `edge` is past and `need` reached.
    Answers count from calls that began at `since` or later.
    """

    __slots__ = (
        "_cut", "_floor", "_round", "algorithm", "alive", "count", "edge", "need", "since", "total",
        "untimed",
    )  # fmt: skip

    def __init__(self, algorithm: LimitAlgorithm, now: float) -> None:
        self.algorithm = algorithm
        self.alive = True
        """Whether the calls that it admitted are this process's own."""
        self.total = 0.0
        self.count = 0
        self.since = now
        self._cut = self._round = -math.inf
        self._floor = 0.0
        self._open(now, 0.0)

    def due(self, now: float) -> bool:
        """Whether the window may be closed."""
        return now >= self.edge and self.count >= self.need

    def close(self, now: float, in_flight: float) -> None:
        """Make a sample of the window, which is due, and open the next."""
        # On one line nobody comes in between, and no answer is lost.
        total, count, self.total, self.count = self.total, self.count, 0.0, 0
        rtt = total / count
        self.algorithm.sample(rtt, in_flight, dropped=False)
        if self.algorithm.settling:
            self.since = now
        self._open(now, rtt)

    def drop(self, started: float, now: float, in_flight: float) -> None:
        """Take a call that was dropped, if its round trip has not cost half of the limit yet.

        A call that began before the last cut says nothing about the limit after it. It belongs
        to the round trip that was cut, if it began after the cut before that.
        """
        algorithm = self.algorithm
        if started >= self._cut:
            self._round, self._floor = self._cut, algorithm.settled * DEEPEST
            self._cut = now
        elif started < self._round or algorithm.limit <= self._floor:
            return
        algorithm.sample(0.0, in_flight, dropped=True)
        algorithm.take(max(algorithm.limit, self._floor))
        self.since, self.total, self.count = now, 0.0, 0
        self._open(now, 0.0)

    def _open(self, now: float, rtt: float) -> None:
        self.edge = now + min(max(2 * rtt, SHORTEST), LONGEST)
        limit, probe = max(1, int(self.algorithm.limit)), self.algorithm.settling
        self.need = min(ENOUGH_FOR_PROBE, 10 * limit) if probe else min(ENOUGH, 3 * limit)
        self.untimed: Permit = now, self, False


Permit = tuple[float, Rounds, bool]
"""When the call began, the rounds that it counts in, and whether its end is measured.

Of one that is not measured, the first is when its window opened: it began no earlier."""

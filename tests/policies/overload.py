"""A server with workers and a queue, and clients that ask more of it than it can do: all on paper.

Virtual time, seeded. A client that gives up leaves its request behind: the server works on it all
the same, as real ones do.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from resilient.core.outcome import Outcome
from resilient.errors import CallTimeoutError, Rejected
from resilient.testing import ManualClock

__all__ = ["Phase", "Report", "World"]


class Phase(NamedTuple):
    """So many seconds of a server with so many workers, each taking `service` seconds a request.

    `load` requests arrive per second. The service time is drawn from an Erlang distribution of
    four stages (a coefficient of variation of one half); a server that `hangs` answers nobody.
    """

    seconds: float
    workers: int
    service: float
    load: float
    hangs: bool = False


class Report(NamedTuple):
    """What the second half of a phase was like."""

    limit: float
    good: float
    timed_out: int
    rejected: int
    latency: float

    def __str__(self) -> str:
        return (
            f"limit {self.limit:6.1f}  good/s {self.good:7.1f}  timed out {self.timed_out:5d}"
            f"  rejected {self.rejected:5d}  p95 {self.latency * 1000:6.0f} ms"
        )


class World:
    """One server, one gate in front of it, one seed."""

    def __init__(self, gate: Any, clock: ManualClock, seed: int, patience: float = 2.0) -> None:
        self.gate = gate
        self.clock = clock
        self.random = random.Random(seed)  # noqa: S311  (a simulation)
        self.patience = patience
        self.limits: list[tuple[float, int]] = []
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0
        self._queue: deque[list[Any]] = deque()
        self._busy = 0
        self._arrivals = 0
        self._phase = Phase(0, 1, 1, 1)
        self._ends: list[tuple[float, float | None]] = []
        self._rejections: list[float] = []

    def run(self, phase: Phase) -> Report:
        """Live through one phase."""
        self._phase = phase
        begin = self.clock.monotonic()
        end = begin + phase.seconds
        self._arrivals += 1
        self._arrive(self._arrivals)
        self._start()
        while self._events and self._events[0][0] <= end:
            at, _, act = heapq.heappop(self._events)
            self.clock.advance(max(0.0, at - self.clock.monotonic()))
            act()
            self.limits.append((at, self.gate.limit))
        self.clock.advance(max(0.0, end - self.clock.monotonic()))
        return self._report(begin + phase.seconds / 2, end)

    def _report(self, since: float, end: float) -> Report:
        limits = sorted(limit for at, limit in self.limits if at >= since)
        took = sorted(took for at, took in self._ends if at >= since and took is not None)
        return Report(
            limit=limits[len(limits) // 2] if limits else self.gate.limit,
            good=len(took) / (end - since),
            timed_out=sum(took is None for at, took in self._ends if at >= since),
            rejected=sum(at >= since for at in self._rejections),
            latency=took[len(took) * 95 // 100] if took else float("nan"),
        )

    def _at(self, seconds: float, act: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._events, (self.clock.monotonic() + seconds, self._number, act))

    def _arrive(self, stream: int) -> None:
        def next_one() -> None:
            if stream == self._arrivals:
                self._ask()
                self._arrive(stream)

        self._at(self.random.expovariate(self._phase.load), next_one)

    def _ask(self) -> None:
        now = self.clock.monotonic()
        permit = self.gate.at_once() or self.gate.admit()
        if isinstance(permit, Rejected):
            self._rejections.append(now)
            return
        request = [permit, now]
        self._at(self.patience, partial(self._give_up, request))
        self._queue.append(request)
        self._start()

    def _give_up(self, request: list[Any]) -> None:
        permit, request[0] = request[0], None
        if permit is not None:
            self._ends.append((self.clock.monotonic(), None))
            self.gate.settle(permit, Outcome(error=CallTimeoutError("ask", self.patience)))

    def _start(self) -> None:
        phase = self._phase
        while self._queue and self._busy < phase.workers and not phase.hangs:
            request = self._queue.popleft()
            self._busy += 1
            took = self.random.gammavariate(4, phase.service / 4)
            self._at(took, partial(self._answer, request))

    def _answer(self, request: list[Any]) -> None:
        self._busy -= 1
        permit, request[0] = request[0], None
        if permit is not None:
            now = self.clock.monotonic()
            self._ends.append((now, now - request[1]))
            self.gate.succeeded(permit)
        self._start()

"""The server of both worlds: workers, a first-in-first-out queue, and no idea of timeouts.

It runs on whatever loop runs: a real one in the server's own process, or the simulation's.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable

from .scenario import HEALTHY, KEYS, SERVICE, Condition, Scenario, is_sick

__all__ = ["Reply", "Server"]

Reply = Callable[[bool], None]
"""Told once whether the request succeeded."""

_HIT = 0.001
"""Seconds that an answer from the cache takes."""


class Server:
    """Replicas behind one door. Its cache, if it has one, keeps what was answered."""

    def __init__(self, scenario: Scenario, loop: asyncio.AbstractEventLoop) -> None:
        trigger = scenario.trigger
        self._loop = loop
        self._condition = HEALTHY
        self._cached = {key for key in range(KEYS) if not is_sick(key)} if trigger.cached else None
        chance = random.Random(f"server {scenario.seed}")  # noqa: S311  (an experiment)
        each, more = divmod(scenario.workers, trigger.replicas)
        self._replicas = [
            _Replica(each + (number < more), chance, loop) for number in range(trigger.replicas)
        ]

    def submit(self, key: int, replica: int, reply: Reply) -> None:
        """Take a request in; `reply` is called when it is done, wanted or not."""
        if self._condition.cache and self._cached is not None and key in self._cached:
            self._loop.call_later(_HIT, reply, True)  # noqa: FBT003  (the request succeeded)
            return
        self._replicas[replica].take(lambda: self._done(key, reply))

    def apply(self, condition: Condition) -> None:
        """Be in this condition from now on. A cache that goes is empty when it comes back."""
        self._condition = condition
        if self._cached is not None and not condition.cache:
            self._cached.clear()
        for number, replica in enumerate(self._replicas):
            slowdown = condition.slowdown * (1 if number else condition.slow_replica)
            replica.apply(slowdown, condition.workers)

    @property
    def waiting(self) -> int:
        """Requests in the queues."""
        return sum(len(replica.queue) for replica in self._replicas)

    def _done(self, key: int, reply: Reply) -> None:
        sick = is_sick(key)
        if self._cached is not None and self._condition.cache and not sick:
            self._cached.add(key)
        reply(not (sick and self._condition.sick_keys))


class _Replica:
    """Some workers and their queue."""

    def __init__(
        self, workers: int, chance: random.Random, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.queue: deque[Callable[[], None]] = deque()
        self._chance = chance
        self._loop = loop
        self._all = workers
        self._working = workers
        self._busy = 0
        self._slowdown = 1.0

    def take(self, done: Callable[[], None]) -> None:
        self.queue.append(done)
        self._start()

    def apply(self, slowdown: float, share: float) -> None:
        self._slowdown = slowdown
        self._working = round(self._all * share)
        self._start()

    def _start(self) -> None:
        """Give waiting requests to idle workers. What has begun ends as it began."""
        while self.queue and self._busy < self._working and self._slowdown < float("inf"):
            self._busy += 1
            service = self._chance.expovariate(1 / SERVICE) * self._slowdown
            self._loop.call_later(service, self._finish, self.queue.popleft())

    def _finish(self, done: Callable[[], None]) -> None:
        self._busy -= 1
        done()
        self._start()

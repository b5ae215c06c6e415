"""Runs one arm through one scenario, in any world."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pybreaker

import resilient
from resilient.core.importance import current

from .arms import Arm, Client
from .arrivals import Arrival, arrivals
from .measures import SECONDS, WASTE_AFTER, recovery
from .record import CallRecord, End, Record
from .scenario import HEALTHY, Scenario, is_sick
from .world import World

__all__ = ["run"]

_MARGIN = 10.0
"""Seconds that a run which may stop early goes on after it was seen to have recovered."""
_TICK = 0.1

Call = Callable[[int], Coroutine[Any, Any, None]]


async def run(arm: Arm, scenario: Scenario, world: World) -> Record:
    """Let the clients of `arm` live through `scenario`."""
    driver = _Driver(arm, scenario, world)
    side = [asyncio.ensure_future(work()) for work in (driver.break_it, driver.watch)]
    try:
        await driver.offer()
    finally:
        for task in side:
            task.cancel()
        ends = await asyncio.gather(*side, return_exceptions=True)
    for end in ends:
        if isinstance(end, Exception):
            raise end
    return driver.record


class _Driver:
    def __init__(self, arm: Arm, scenario: Scenario, world: World) -> None:
        self.record = Record(arm.name, scenario)
        self._scenario = scenario
        self._world = world
        self._loop = asyncio.get_running_loop()
        self._start = self._loop.time()
        self._open: set[asyncio.Task[None]] = set()
        self._over = False
        self._offered = [0] * int(scenario.finish + 1)
        self._good = [0] * int(scenario.finish + 1)
        world.completed = self._completed
        self._calls = [arm.build(self._client(number)) for number in range(scenario.clients)]

    def _client(self, number: int) -> Client:
        async def ask(key: int, replica: int) -> None:
            self.record.attempts.append(self._now())
            await self._world.ask(number, key, replica)

        return Client(number, self._scenario, self._world.clock, ask)

    def _now(self) -> float:
        return self._loop.time() - self._start

    def _completed(self, wanted: bool) -> None:  # noqa: FBT001  (a fact)
        self.record.completions.append((self._now(), wanted))

    async def offer(self) -> None:
        """Make every call at its time, whatever became of the earlier ones."""
        for arrival in arrivals(self._scenario):
            wait = arrival.at - self._now()
            if wait > 0:
                await asyncio.sleep(wait)
            if self._over:
                break
            task = self._loop.create_task(self._one(arrival))
            self._open.add(task)
            task.add_done_callback(self._open.discard)
        self.record.until = min(self._now(), self._scenario.finish)
        if self._open:
            _, late = await asyncio.wait(self._open, timeout=self._scenario.patience + _TICK)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _one(self, arrival: Arrival) -> None:
        if self._scenario.trigger.sheddable is not None:
            level = (
                resilient.Criticality.LOW if arrival.sheddable else resilient.Criticality.CRITICAL
            )
            current.set(level)
        began = self._now()
        end = End.LATE
        try:
            await self._calls[arrival.client](arrival.key)
            end = End.GOOD if self._now() - began <= self._scenario.patience else End.LATE
        except (resilient.Rejected, pybreaker.CircuitBreakerError):
            end = End.REJECTED
        except Exception:
            end = End.FAILED
        finally:
            self._note(arrival, self._now() - began, end)

    def _note(self, arrival: Arrival, took: float, end: End) -> None:
        sick = is_sick(arrival.key)
        self.record.calls.append(CallRecord(arrival.at, took, end, arrival.sheddable, sick))
        self._offered[int(arrival.at)] += 1
        self._good[int(arrival.at)] += end is End.GOOD

    async def break_it(self) -> None:
        """Pull the trigger, and let go of it."""
        await asyncio.sleep(self._scenario.begin - self._now())
        self._world.apply(self._scenario.trigger.condition)
        await asyncio.sleep(self._scenario.end - self._now())
        self._world.apply(HEALTHY)

    async def watch(self) -> None:
        """Look how late timers are, and whether there is anything left to see."""
        while True:
            due = self._loop.time() + _TICK
            await asyncio.sleep(_TICK)
            self.record.lags.append(self._loop.time() - due)
            if self._scenario.stop_early and self._seen_enough():
                self._over = True

    def _seen_enough(self) -> bool:
        scenario = self._scenario
        until = int(self._now() - scenario.patience)  # what began before that has ended
        if until < scenario.end + WASTE_AFTER:
            return False
        end = int(scenario.end)
        found = recovery(self._offered[:until], self._good[:until], end, scenario.observe)
        return until >= end + found + SECONDS + _MARGIN

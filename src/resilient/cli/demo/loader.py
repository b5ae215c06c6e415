"""The load: requests at random moments, the same to both services, from a client with patience.

Open loop: a request is sent when it is due, whether or not earlier ones were answered, as users
do. A request that is not answered within `PATIENCE` is given up, and counts as failed.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Iterator
from typing import Any

from resilient.cli.demo import child, wire

PATIENCE = 1.0
"""Seconds after which a client gives up."""

ZONES = 40
NEW_ZONES = 0.04
SEND_EVERY = 0.2
OK = 200

Record = tuple[str, float, float, str, str]
"""Arm, seconds since the load began, seconds it took, source (or how it failed), freshness."""


def arrivals(rate: float, seconds: float, seed: int) -> Iterator[tuple[float, str]]:
    """Yield when to ask, and for which zone: a Poisson process of `rate` a second.

    Some zones are asked for often, some rarely, and a few were never asked for before.
    """
    dice = random.Random(seed)  # noqa: S311  (a load that can be repeated, no secret)
    names = [f"z{i:02}" for i in range(ZONES)]
    weights = [1 / (i + 1) for i in range(ZONES)]
    at, asked = 0.0, 0
    while (at := at + dice.expovariate(rate)) < seconds:
        asked += 1
        new = dice.random() < NEW_ZONES
        yield at, f"new{asked}" if new else dice.choices(names, weights)[0]


class Loader:
    """Sends the load and keeps the records until they are taken."""

    def __init__(self, ports: dict[str, int]) -> None:
        self.clients = {arm: wire.Client(port) for arm, port in ports.items()}
        self.records: list[Record] = []

    async def ask(self, arm: str, at: float, zone: str) -> None:
        """Ask `arm` for the price of `zone`, and record how that went."""
        began = time.perf_counter()
        try:
            async with asyncio.timeout(PATIENCE):
                status, body = await self.clients[arm].get(f"/price/{zone}")
            source, freshness = _judge(status, body)
        except TimeoutError:
            source, freshness = "late", ""
        except OSError:
            source, freshness = "error", ""
        took = time.perf_counter() - began
        self.records.append((arm, round(at, 3), round(took, 4), source, freshness))

    async def play(self, load: Iterator[tuple[float, str]]) -> None:
        """Send every request of `load` when it is due; return when the last one has ended."""
        began = time.perf_counter()
        async with asyncio.TaskGroup() as asking:
            for at, zone in load:
                await asyncio.sleep(max(0.0, began + at - time.perf_counter()))
                for arm in self.clients:
                    asking.create_task(self.ask(arm, at, zone))

    def take(self) -> list[Record]:
        """Return the records since the last time."""
        records, self.records = self.records, []
        return records


def _judge(status: int, body: bytes) -> tuple[str, str]:
    if status != OK:
        return "error", ""
    answer: dict[str, Any] = json.loads(body)
    return answer["source"], answer["freshness"]


async def main(inbox: asyncio.Queue[child.Message]) -> None:
    """Wait for the word, send the load, report as it goes."""
    child.say(ready=0)
    order = await inbox.get()
    loader = Loader(order["ports"])
    load = arrivals(order["rate"], order["seconds"], order["seed"])
    playing = asyncio.create_task(loader.play(load))
    while not playing.done():
        await asyncio.wait([playing], timeout=SEND_EVERY)
        child.say(records=loader.take())
    await playing
    child.say(done=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    child.run(main)

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
from typing import Any, NamedTuple

from resilient.cli.demo import child, wire

PATIENCE = 1.0
"""Seconds after which a client gives up."""

ZONES = 40
NEW_ZONES = 0.04
SEND_EVERY = 0.2
OK = 200


class Record(NamedTuple):
    """One request: which service, when it was sent and how long it took, in seconds.

    `kind` is the source of the answer, or how it failed; `extra`, whether it had suggestions; and
    `quality` what the answer said of itself in its headers.
    """

    arm: str
    at: float
    took: float
    kind: str
    freshness: str = ""
    extra: bool = False
    quality: str = ""


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
        self.samples: dict[str, dict[str, str]] = {}

    async def ask(self, arm: str, at: float, zone: str) -> None:
        """Ask `arm` for the price of `zone`, and record how that went."""
        began = time.perf_counter()
        record = Record(arm, round(at, 3), 0.0, "error")
        try:
            async with asyncio.timeout(PATIENCE):
                answer = await self.clients[arm].get(f"/price/{zone}")
            record = self._judge(record, answer)
        except TimeoutError:
            record = record._replace(kind="late")
        except OSError:
            pass
        self.records.append(record._replace(took=round(time.perf_counter() - began, 4)))

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

    def _judge(self, record: Record, answer: wire.Answer) -> Record:
        """Read the answer; keep the headers of the first one of each mode."""
        if answer.status != OK:
            return record
        mode = answer.headers.get("x-system-mode")
        if mode is not None:
            self.samples.setdefault(mode, dict(answer.headers))
        body: dict[str, Any] = json.loads(answer.body)
        return record._replace(
            kind=body["source"],
            freshness=body["freshness"],
            extra=bool(body["suggestions"]),
            quality=answer.headers.get("x-response-quality", ""),
        )


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
    child.say(samples=loader.samples)
    child.say(done=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    child.run(main)

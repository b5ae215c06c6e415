"""The upstream: an HTTP server with live prices, which can be told to misbehave."""

from __future__ import annotations

import asyncio
import json
import math
import sys
import time
import zlib

from resilient.cli.demo import child, wire

SLOW_SECONDS = 2.5
SWING_SECONDS = 20.0


def price(zone: str, now: float) -> float:
    """The live price of `zone`: a base of its own, and a swing that moves with time."""
    base = 5 + zlib.crc32(zone.encode()) % 2000 / 100
    return round(base * (1 + 0.2 * math.sin(2 * math.pi * now / SWING_SECONDS)), 2)


class Upstream:
    """Answers prices, as its `behaviour` allows: ``normal``, ``slow`` or ``errors``."""

    def __init__(self) -> None:
        self.behaviour = "normal"

    async def answer(self, path: str) -> wire.Answer:
        """Answer ``/price/<zone>``."""
        if self.behaviour == "errors":
            return wire.Answer(500, b"out of order")
        if self.behaviour == "slow":
            await asyncio.sleep(SLOW_SECONDS)
        now = time.time()
        zone = path.rpartition("/")[2]
        return wire.Answer(200, json.dumps({"price": price(zone, now), "at": now}).encode())


async def main(inbox: asyncio.Queue[child.Message]) -> None:
    """Serve on the port given, and change behaviour as told."""
    upstream = Upstream()
    bound = wire.listen(int(sys.argv[1]), shared=True)
    async with await wire.serve(bound, upstream.answer):
        child.say(ready=wire.port_of(bound))
        while True:
            upstream.behaviour = (await inbox.get())["behaviour"]


if __name__ == "__main__":
    child.run(main)

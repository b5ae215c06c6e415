"""The pricing service as it is often written: ask, record the price, suggest others, answer.

No fault of its own making was put in: it reuses connections, keeps blocking work off the event
loop, keeps its connections to the database open, and has the timeouts that its clients come with
(30 s for HTTP, 5 s for SQLite).
"""

from __future__ import annotations

import asyncio
import json

from resilient.cli.demo import service, wire
from resilient.cli.demo.prices import Prices

HTTP_TIMEOUT = 30.0


class Bare:
    """Answers prices, or fails."""

    def __init__(self, setup: service.Setup) -> None:
        self.client = wire.Client(setup.upstream, timeout=HTTP_TIMEOUT)
        self.prices = Prices(setup.database)

    async def quote(self, zone: str) -> service.Quote:
        """Return the live price of `zone` and cheaper ones. Raises whatever went wrong."""
        status, body, _ = await self.client.get(f"/price/{zone}")
        if status != service.OK:
            message = f"the upstream answered {status}"
            raise RuntimeError(message)
        answer = json.loads(body)
        await asyncio.to_thread(self.prices.write, zone, answer["price"], answer["at"])
        cheaper = await asyncio.to_thread(self.prices.cheaper, answer["price"])
        return service.Quote(zone, answer["price"], answer["at"], "live", "fresh", cheaper)

    def status(self) -> service.Status:
        """Say how often the upstream was asked."""
        return {"attempts": self.client.sent}


if __name__ == "__main__":
    service.main(Bare)

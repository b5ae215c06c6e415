"""The same service behind the library: live, else recorded, else remembered, else a default.

Every answer says where it came from, how fresh it is, of when, and what was passed over. What it
can do without, suggestions, steps back while the mode is not NORMAL.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections import deque

import resilient
from resilient import Freshness, SystemOperationMode, probes
from resilient.cli.demo import service, telling, wire
from resilient.cli.demo.prices import Prices
from resilient.cli.demo.settings import FLAP_LIMIT, Quick

__all__ = ["Protected", "UpstreamError"]

DEFAULT_PRICE = 15.0
UPSTREAM_PATIENCE = 0.25
DATABASE_PATIENCE = 0.2
LOCK_PATIENCE = 0.1
GOOD = 0.8
"""Seconds within which an answer counts as in time: less than clients wait."""
JUDGED = 100
"""Answers over which the share in time is taken."""
WINDOW = 5
"""Seconds over which the impact is measured."""
Price = tuple[float, float | None]
"""A price, and the wall-clock time at which it was live, if it ever was."""


class UpstreamError(Exception):
    """The upstream answered, but not with a price."""


class Protected:
    """Answers prices, whatever happens around it."""

    def __init__(self, setup: service.Setup) -> None:
        self.client = wire.Client(setup.upstream)
        self.prices = Prices(setup.database, patience=LOCK_PATIENCE)
        quick = Quick.at(setup.pace)
        self.mode = SystemOperationMode(
            "pricing",
            tau=quick.tau,
            confirm_worse=quick.confirm_worse,
            confirm_degraded=quick.confirm_degraded,
            confirm_normal=quick.confirm_normal,
            dwell=quick.dwell,
            flap_limit=FLAP_LIMIT,
            interval=service.STATUS_EVERY,
        )
        self.in_time: deque[bool] = deque(maxlen=JUDGED)
        self.answers = self.mode.metric("answers in time", weight=2)
        self._protect(quick.reset_timeout)
        self._watch(setup, quick)
        telling.tell_all(self.mode, (self.upstream, self.database))

    def _protect(self, reset_timeout: float) -> None:
        """Put the policies around what may fail. This is all that protects the service."""
        self.upstream = resilient.breaker(
            "upstream", reset_timeout=reset_timeout, criticality="high", mode=self.mode
        )
        self.database = resilient.breaker(
            "database",
            # A zone without a recorded price is not the database's fault.
            on=(sqlite3.Error, TimeoutError),
            reset_timeout=reset_timeout,
            criticality="high",
            mode=self.mode,
        )
        careful = resilient.pipeline(self.database, resilient.timeout(DATABASE_PATIENCE))
        recorded = careful(self._recorded)
        self.record = resilient.fallback(None)(careful(self._record))
        self.price = resilient.pipeline(
            resilient.fallback(
                resilient.alternative(recorded, source="database", freshness=Freshness.STALE),
                resilient.stale(),
                resilient.value((DEFAULT_PRICE, None)),
            ),
            resilient.retry(on=(OSError, UpstreamError), attempts=2, wait=0.05),
            self.upstream,
            resilient.timeout(UPSTREAM_PATIENCE),
        )(self._live)
        suggestions = resilient.feature("suggestions", otherwise=(), mode=self.mode)
        self.suggest = suggestions(resilient.fallback(())(careful(self._cheaper)))

    def _watch(self, setup: service.Setup, quick: Quick) -> None:
        """Ask what may fail how it is, bring back what can be, and count what is served."""
        upstream = f"http://{wire.HOST}:{setup.upstream}/price/z00"
        every, limit = quick.probe_every, 2 * UPSTREAM_PATIENCE
        answers = probes.http(upstream, timeout=UPSTREAM_PATIENCE)
        self.mode.probe("upstream", answers, interval=every, timeout=limit)
        answers = probes.sqlite(setup.database, timeout=LOCK_PATIENCE)
        self.mode.probe("database", answers, interval=every, timeout=limit)
        self.mode.recovery(
            "database", self.prices.reopen, backoff=quick.recover_after, factor=1, attempts=10
        )
        self.serving = self.mode.traffic(window=WINDOW)
        self.mode.expect("normal", latency=0.02, error_rate=0.001, availability=0.999)
        self.mode.expect("degraded", latency=0.1, error_rate=0.01, availability=0.99)

    async def _live(self, zone: str) -> Price:
        status, body, _ = await self.client.get(f"/price/{zone}")
        if status != service.OK:
            message = f"the upstream answered {status}"
            raise UpstreamError(message)
        answer = json.loads(body)
        return answer["price"], answer["at"]

    async def _recorded(self, zone: str) -> Price:
        return await asyncio.to_thread(self.prices.read, zone)

    async def _record(self, zone: str, price: float, at: float | None) -> None:
        await asyncio.to_thread(self.prices.write, zone, price, at)

    async def _cheaper(self, price: float) -> list[str]:
        return await asyncio.to_thread(self.prices.cheaper, price)

    async def quote(self, zone: str) -> service.Quote:
        """Return a price for `zone`, and record it if it is live."""
        began = time.monotonic()
        async with self.serving:
            outcome = await resilient.outcome(self.price, zone)
            price, at = outcome.unwrap()
            source = "live" if outcome.source == "call" else outcome.source
            if source == "live":
                await self.record(zone, price, at)
            suggestions = await self.suggest(price)
        self.in_time.append(time.monotonic() - began <= GOOD)
        context = self.mode.context(outcome)
        return service.Quote(
            zone, price, at, source, outcome.freshness.value, suggestions,
            context.reasons, context.headers(),
        )  # fmt: skip

    def status(self) -> service.Status:
        """Say how the mode and the circuits stand, and how often the upstream was asked."""
        if self.in_time:
            self.answers.set(sum(self.in_time) / len(self.in_time))
        asked = self.client.sent + self.mode.probes["upstream"].done
        circuits = {b.name: b.state.value for b in (self.upstream, self.database)}
        return {"attempts": asked, "circuits": circuits, **telling.standing(self.mode)}


if __name__ == "__main__":
    service.main(Protected)

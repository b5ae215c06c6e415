"""The same service behind the library: live, else recorded, else remembered, else a default.

Every answer says where it came from, how fresh it is, of when, and what was passed over.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections import deque

import resilient
from resilient import Freshness, SystemOperationMode
from resilient.cli.demo import child, service, wire
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
        self.mode.on_change(_tell_change)
        resilient.subscribe(resilient.CircuitChanged, _tell_circuit)
        for policy in (self.upstream, self.database):
            child.say(circuit=policy.name, state=policy.state.value)

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

    async def _live(self, zone: str) -> Price:
        status, body = await self.client.get(f"/price/{zone}")
        if status != service.OK:
            message = f"the upstream answered {status}"
            raise UpstreamError(message)
        answer = json.loads(body)
        return answer["price"], answer["at"]

    async def _recorded(self, zone: str) -> Price:
        return await asyncio.to_thread(self.prices.read, zone)

    async def _record(self, zone: str, price: float, at: float | None) -> None:
        await asyncio.to_thread(self.prices.write, zone, price, at)

    async def quote(self, zone: str) -> service.Quote:
        """Return a price for `zone`, and record it if it is live."""
        began = time.monotonic()
        outcome = await resilient.outcome(self.price, zone)
        price, at = outcome.unwrap()
        source = "live" if outcome.source == "call" else outcome.source
        if source == "live":
            await self.record(zone, price, at)
        self.in_time.append(time.monotonic() - began <= GOOD)
        reasons = tuple(f"{type(error).__name__}: {error}" for error in outcome.reasons)
        return service.Quote(zone, price, at, source, outcome.freshness.value, reasons)

    def status(self) -> service.Status:
        """Say how the mode and the circuits stand, and how often the upstream was asked."""
        if self.in_time:
            self.answers.set(sum(self.in_time) / len(self.in_time))
        return {
            "attempts": self.client.sent,
            "mode": self.mode.current.name,
            "score": self.mode.score,
            "reasons": self.mode.reasons,
            "circuits": {b.name: b.state.value for b in (self.upstream, self.database)},
        }


def _tell_change(change: resilient.ModeChange) -> None:
    """Pass a change of mode on to the parent; runs on the library's dispatcher."""
    child.say(
        change={
            "old": change.old.name,
            "new": change.new.name,
            "score": change.score,
            "reasons": change.reasons,
        }
    )


def _tell_circuit(event: resilient.CircuitChanged) -> None:
    child.say(circuit=event.name, state=event.new.value)


if __name__ == "__main__":
    service.main(Protected)

"""The load: every policy at once, in tasks and in threads, with callers who lose patience."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import resilient
from resilient import Criticality, criticality

__all__ = ["Load"]

FAILURES = (ConnectionError, TimeoutError)
KEYS = 5_000
MAX_KEYS = 500
Call = Callable[[str], Awaitable[Any]]


class ServerError(ConnectionError):
    """The server answered that it could not."""


def _read(answer: bytes) -> str:
    if not answer:
        message = "closed"
        raise ConnectionResetError(message)
    if answer.startswith(b"error"):
        raise ServerError(answer.decode().strip())
    return answer.decode().strip()


class Load:
    """What is done, and how it ended. Stopped by `stop`; what is under way ends first."""

    def __init__(self, port: int, seed: int) -> None:
        self.ends: Counter[str] = Counter()
        self._port = port
        self._seed = seed
        self._stopped = threading.Event()
        self._calls = self._protected()
        self._sync = resilient.protect(
            "threads", fallback=(resilient.stale(), None), deadline=1, limit=8, on=FAILURES
        )(self._ask_sync)

    def stop(self) -> None:
        """Begin nothing new."""
        self._stopped.set()

    async def tasks(self, number: int) -> None:
        """So many tasks that call one after the other."""
        await asyncio.gather(*(self._task(each) for each in range(number)))

    def thread(self, number: int) -> None:
        """One thread that calls one after the other."""
        chance = random.Random(f"{self._seed} thread {number}")  # noqa: S311  (no secret)
        while not self._stopped.wait(chance.random() * 0.02):
            outcome = resilient.outcome(self._sync, str(chance.randrange(KEYS)))
            self._count("thread", outcome.source if outcome.ok else outcome.error)

    def _protected(self) -> list[Call]:
        places = resilient.bulkhead("bulkhead", limit=4, queue=8, max_wait=0.1)
        rate = resilient.rate_limit("rate", rate=200, max_wait=0.05, key=hash, max_keys=MAX_KEYS)
        hosts = resilient.breaker("keys", key=str, max_keys=MAX_KEYS, reset_timeout=1)
        budget = resilient.retry_budget()
        again = resilient.retry(on=FAILURES, budget=budget)
        hedge = resilient.hedge(quantile=0.95, idempotent=True, budget=budget)
        limit = resilient.timeout(0.3)
        learned = resilient.timeout(quantile=0.99, max=0.5)
        pool = resilient.failover(limit(self._ask), limit(self._other), spread=True, on=FAILURES)
        stale = resilient.fallback(resilient.stale(), "default", on=FAILURES)
        whole = resilient.protect("tasks", fallback=resilient.stale(), deadline=1, on=FAILURES)
        return [
            whole(self._ask),
            resilient.pipeline(places, again, limit)(self._ask),
            resilient.pipeline(stale, rate, hosts, learned)(self._ask),
            resilient.pipeline(resilient.throttle("throttle"), hedge, limit)(self._ask),
            resilient.pipeline(resilient.deadline(0.5), again, hedge)(pool),
            self._block(resilient.adaptive_limit("block", algorithm="aimd", initial=5)),
        ]

    def _block(self, gate: Any) -> Call:
        async def ask(key: str) -> str:
            async with gate, asyncio.timeout(0.3):
                return await self._ask(key)

        return ask

    async def _task(self, number: int) -> None:
        chance = random.Random(f"{self._seed} task {number}")  # noqa: S311  (no secret)
        levels = list(Criticality)
        while not self._stopped.is_set():
            await asyncio.sleep(chance.random() * 0.02)
            call = chance.choice(self._calls)
            patience = chance.choice([0.01, 0.1, 2.0])
            try:
                with criticality(chance.choice(levels)):
                    async with asyncio.timeout(patience):
                        await call(str(chance.randrange(KEYS)))
            except Exception as error:
                self._count("task", error)
            else:
                self._count("task", "call")

    def _count(self, who: str, what: object) -> None:
        self.ends[f"{who}: {what if isinstance(what, str) else type(what).__name__}"] += 1

    async def _ask(self, key: str) -> str:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(key.encode() + b"\n")
            return _read(await reader.readline())
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _other(self, key: str) -> str:
        return await self._ask(key)

    def _ask_sync(self, key: str) -> str:
        patience = min(0.3, resilient.remaining() or 0.3)
        with socket.create_connection(("127.0.0.1", self._port), timeout=patience) as connection:
            connection.sendall(key.encode() + b"\n")
            return _read(connection.makefile("rb").readline())

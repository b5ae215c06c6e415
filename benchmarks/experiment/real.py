"""The world of real sockets and real time: a server process, and a connection for each client."""

from __future__ import annotations

import asyncio
import multiprocessing
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from multiprocessing.connection import Connection
from typing import Any

from resilient.clock import Clock, chosen

from .arms import Arm
from .driver import run
from .record import Record
from .scenario import Condition, Scenario
from .service import HOST, serve
from .wire import ANSWER, REQUEST, Frames
from .world import Refused

__all__ = ["live"]


class _Line(asyncio.Protocol):
    """One client's connection: requests in flight by number."""

    def __init__(self, completed: Callable[[bool], None]) -> None:
        self._completed = completed
        self._numbers = count()
        self._frames = Frames(ANSWER)
        self._waiting: dict[int, asyncio.Future[bool]] = {}
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        for number, good in self._frames.feed(data):
            answer = self._waiting.get(number)
            wanted = answer is not None and not answer.done()
            self._completed(wanted)
            if answer is not None and wanted:
                answer.set_result(bool(good))

    async def ask(self, key: int, replica: int) -> None:
        number = next(self._numbers)
        answer = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        self._transport.write(REQUEST.pack(number, key, replica))
        try:
            good = await answer
        finally:
            del self._waiting[number]
        if not good:
            raise Refused

    def close(self) -> None:
        self._transport.close()


class _RealWorld:
    """A server process. See `experiment.world.World`."""

    def __init__(self, pipe: Connection) -> None:
        self.clock: Clock = chosen(None)
        self.completed: Callable[[bool], None] = lambda _: None
        self._pipe = pipe
        self._lines: list[_Line] = []

    async def connect(self, clients: int, port: int) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(clients):
            _, line = await loop.create_connection(lambda: _Line(self._note), HOST, port)
            self._lines.append(line)

    async def ask(self, client: int, key: int, replica: int) -> None:
        """One attempt."""
        await self._lines[client].ask(key, replica)

    def apply(self, condition: Condition) -> None:
        """Put the server into a condition."""
        self._pipe.send(condition)

    def _note(self, wanted: bool) -> None:  # noqa: FBT001  (a fact)
        self.completed(wanted)

    def close(self) -> None:
        for line in self._lines:
            line.close()


def live(arm: Arm, scenario: Scenario) -> Record:
    """Run `arm` through `scenario` in real time, against a process that is started for it."""
    random.seed(scenario.seed)
    with _server(scenario) as (pipe, port):
        record = asyncio.run(_run(arm, scenario, pipe, port))
        pipe.send(None)
        record.lags.append(pipe.recv().lag)
    return record


async def _run(arm: Arm, scenario: Scenario, pipe: Connection, port: int) -> Record:
    world = _RealWorld(pipe)
    await world.connect(scenario.clients, port)
    try:
        return await run(arm, scenario, world)
    finally:
        world.close()


@contextmanager
def _server(scenario: Scenario) -> Iterator[tuple[Connection, int]]:
    """A server process of its own, and the port it listens on."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(scenario, theirs))
    process.start()
    theirs.close()
    try:
        yield ours, ours.recv()
    finally:
        ours.close()
        process.join(5)
        if process.is_alive():
            process.terminate()

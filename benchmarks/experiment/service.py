"""The real server: the model of `experiment.server` behind a socket, in a process of its own."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from .measures import quantile
from .scenario import Condition, Scenario
from .server import Server
from .wire import ANSWER, REQUEST, Frames

__all__ = ["HOST", "Report", "serve"]

HOST = "127.0.0.1"
_TICK = 0.1


@dataclass(frozen=True, slots=True)
class Report:
    """What the server knows at its end: how late its own timers were (99th percentile)."""

    lag: float


def serve(scenario: Scenario, pipe: Connection) -> None:
    """Serve until `pipe` says ``None``. Tells its port first and a `Report` last."""
    asyncio.run(_serve(scenario, pipe))


async def _serve(scenario: Scenario, pipe: Connection) -> None:
    loop = asyncio.get_running_loop()
    model = Server(scenario, loop)
    over = asyncio.Event()
    lags: list[float] = []

    def told() -> None:
        with suppress(EOFError):  # the client has gone: so do we
            word: Condition | None = pipe.recv()
            if word is not None:
                model.apply(word)
                return
        loop.remove_reader(pipe.fileno())
        over.set()

    server = await loop.create_server(lambda: _Door(model), HOST, 0)
    pipe.send(server.sockets[0].getsockname()[1])
    loop.add_reader(pipe.fileno(), told)
    watch = loop.create_task(_watch(lags))
    await over.wait()
    watch.cancel()
    server.close()
    with suppress(OSError):
        pipe.send(Report(quantile(lags, 0.99) or 0.0))


async def _watch(lags: list[float]) -> None:
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + _TICK
        await asyncio.sleep(_TICK)
        lags.append(loop.time() - due)


class _Door(asyncio.Protocol):
    """One connection of a client."""

    def __init__(self, model: Server) -> None:
        self._model = model
        self._frames = Frames(REQUEST)
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        for number, key, replica in self._frames.feed(data):
            self._model.submit(key, replica, self._replier(number))

    def _replier(self, number: int) -> Any:
        def reply(good: bool) -> None:  # noqa: FBT001  (an answer)
            if not self._transport.is_closing():  # else there is nobody to hear it
                self._transport.write(ANSWER.pack(number, good))

        return reply

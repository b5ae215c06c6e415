"""A network that misbehaves on request: a TCP proxy in front of a real server."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self

from resilient.clock import Duration, seconds
from resilient.errors import ConfigError

__all__ = ["TcpProxy"]

_CHUNK = 16 * 1024
_BEAT = 0.05  # seconds between the pieces of a throttled stream
_MOST_UNDER_WAY = 64  # pieces in each direction of a connection
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class _Weather:
    """What the network is like now."""

    delay: float = 0.0
    rate: float | None = None
    dead: bool = False


class TcpProxy:
    """Passes bytes on to the server at `host` and `port`, and does to them what a network can do.

    `self.host` and `self.port` are where clients connect. It runs on a thread of its own, in real
    time (no clock of a test moves a network), as long as its ``with`` block lasts, and may be told
    what to do from any thread. `connections` counts those that were accepted.

    Raises `OSError` on entering if no port can be had.

    Example::

        with TcpProxy("127.0.0.1", 6379) as proxy:
            client = redis.Redis(proxy.host, proxy.port)
            proxy.blackhole()
    """

    def __init__(self, host: str, port: int) -> None:
        self.host = "127.0.0.1"
        self.port = 0
        self.connections = 0
        self._target = (host, port)
        self._weather = _Weather()
        self._changed = asyncio.Event()
        self._links: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._listener: socket.socket | None = None
        self._one_at_a_time = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="resilient-proxy", daemon=True
        )

    # What a network can do

    def heal(self) -> None:
        """Pass everything on at once; take connections again after `cut`; send what was held."""
        self._do(self._heal())

    def delay(self, by: Duration) -> None:
        """Pass each piece of data on `by` seconds late, in either direction.

        Raises `ConfigError` for a time that is negative or not finite.
        """
        self._set(delay=seconds("delay", by, zero=True))

    def throttle(self, bytes_per_second: float) -> None:
        """Pass on so many bytes a second, for each connection and direction.

        Raises `ConfigError` if that is not above 0.
        """
        if not bytes_per_second > 0:
            raise ConfigError("throttle", bytes_per_second, "bytes per second > 0")
        self._set(rate=float(bytes_per_second))

    def blackhole(self) -> None:
        """Take connections and bytes, and let nothing through until `heal`, as in a partition."""
        self._set(dead=True)

    def reset(self) -> None:
        """Break the connections that exist with a TCP reset; new ones are served."""
        self._do(self._drop(hard=True))

    def cut(self) -> None:
        """Refuse new connections, and close those that exist, until `heal`."""
        self._do(self._cut())

    # Its life

    def __enter__(self) -> Self:
        """Listen."""
        self._thread.start()
        try:
            self._do(self._listen())
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close every connection, and the thread."""
        self._do(self._cut())
        self._stop()

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        with self._one_at_a_time:
            asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _set(self, **changes: Any) -> None:
        async def change() -> None:
            self._weather = replace(self._weather, **changes)
            self._changed.set()
            self._changed = asyncio.Event()

        self._do(change())

    async def _listen(self) -> None:
        if self._listener is None:
            self._listener = socket.create_server((self.host, self.port), backlog=128)
            self._listener.setblocking(False)  # noqa: FBT003  (the only argument)
            self.port = self._listener.getsockname()[1]
            self._loop.add_reader(self._listener, self._accept, self._listener)

    async def _heal(self) -> None:
        self._weather = _Weather()
        self._changed.set()
        self._changed = asyncio.Event()
        await self._listen()

    async def _cut(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            self._loop.remove_reader(listener)
            listener.close()
        await self._drop(hard=False)

    async def _drop(self, *, hard: bool) -> None:
        for writer in self._writers:
            if hard:
                _abort(writer)
            else:
                writer.transport.abort()
        for link in self._links:
            link.cancel()
        await asyncio.gather(*self._links, return_exceptions=True)

    # One connection

    def _accept(self, listener: socket.socket) -> None:
        # Not `asyncio.start_server`: that may lose a connection taken while it is being closed.
        with contextlib.suppress(OSError):
            client, _ = listener.accept()
            self.connections += 1
            link = self._loop.create_task(self._serve(client))
            self._links.add(link)
            link.add_done_callback(self._links.discard)
            link.add_done_callback(lambda _: client.close())  # even if it never began

    async def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):  # an end is gone; the other one was told
            reader, writer = await asyncio.open_connection(sock=client)
            async with self._owned(writer):
                await self._link(reader, writer)

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._passable()
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        async with self._owned(far_writer):
            there, back = _Lane(), _Lane()
            tasks = [
                asyncio.create_task(work)
                for work in (
                    self._collect(reader, there),
                    self._forward(there, far_writer),
                    self._collect(far_reader, back),
                    self._forward(back, writer),
                )
            ]
            try:
                await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    @contextlib.asynccontextmanager
    async def _owned(self, writer: asyncio.StreamWriter) -> AsyncIterator[None]:
        """Close `writer` at the end: with a reset if the other end was lost, else in peace."""
        self._writers.add(writer)
        try:
            yield
        except OSError:
            _abort(writer)
            raise
        finally:
            self._writers.discard(writer)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _collect(self, reader: asyncio.StreamReader, lane: _Lane) -> None:
        """Note when each piece came; an empty one is the end."""
        data = b"-"
        while data:
            data = await reader.read(self._piece())
            await lane.put((self._loop.time(), data))

    async def _forward(self, lane: _Lane, writer: asyncio.StreamWriter) -> None:
        """Pass each piece on in its time. A piece on its way delays none behind it."""
        free = 0.0
        data = b"-"
        while data:
            came, data = await lane.get()
            weather = self._weather
            free = max(free, came + weather.delay)
            free += len(data) / weather.rate if weather.rate else 0.0
            await asyncio.sleep(free - self._loop.time())
            await self._passable()
            if data:
                writer.write(data)
                await writer.drain()
        writer.write_eof()

    def _piece(self) -> int:
        rate = self._weather.rate
        return _CHUNK if rate is None else max(1, min(_CHUNK, int(rate * _BEAT)))

    async def _passable(self) -> None:
        while self._weather.dead:
            await self._changed.wait()


class _Lane(asyncio.Queue[tuple[float, bytes]]):
    """What is under way in one direction."""

    def __init__(self) -> None:
        super().__init__(maxsize=_MOST_UNDER_WAY)


def _abort(writer: asyncio.StreamWriter) -> None:
    """Break the connection with a TCP reset."""
    if not writer.transport.is_closing():
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()

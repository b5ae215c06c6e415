"""As much HTTP/1.1 as the demo needs, over real sockets: GET, keep-alive, a length in each answer.

Written on the standard library, so that the demo needs no HTTP package and shows nothing that a
client did on its own: this one neither retries nor times out unless told to.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

__all__ = ["HOST", "Answer", "Client", "listen", "port_of", "serve"]

HOST = "127.0.0.1"
_END = b"\r\n\r\n"
_BACKLOG = 512


class Answer(NamedTuple):
    """What a server answers: a status, a body, and headers (their names in lower case, as read)."""

    status: int
    body: bytes
    headers: Mapping[str, str] = {}


Handler = Callable[[str], Awaitable[Answer]]
_Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def listen(port: int = 0, *, shared: bool = False) -> socket.socket:
    """Bind a socket to `port` (0: any free one).

    With `shared`, a second process may bind the same port: one holds it without listening, so that
    nobody takes it while the other is down.
    """
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared and hasattr(socket, "SO_REUSEPORT"):
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind((HOST, port))
    return bound


def port_of(bound: socket.socket) -> int:
    """Return the port that `bound` is bound to."""
    port: int = bound.getsockname()[1]
    return port


async def serve(bound: socket.socket, handler: Handler) -> asyncio.Server:
    """Answer every GET on `bound` with what `handler(path)` returns.

    An exception of the handler answers 500. The caller keeps the server.
    """

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError, EOFError):
            while True:
                head = await reader.readuntil(_END)
                path = head.split(b" ", 2)[1].decode()
                writer.write(_bytes(await _handled(handler, path)))
                await writer.drain()

    return await asyncio.start_server(connected, sock=bound, backlog=_BACKLOG)


async def _handled(handler: Handler, path: str) -> Answer:
    try:
        return await handler(path)
    except Exception as error:  # noqa: BLE001  (a server answers 500 for whatever went wrong)
        return Answer(500, f"{type(error).__name__}: {error}".encode())


def _bytes(answer: Answer) -> bytes:
    headers = {**answer.headers, "content-length": len(answer.body)}
    lines = [f"HTTP/1.1 {answer.status} -", *(f"{name}: {headers[name]}" for name in headers)]
    return "\r\n".join(lines).encode() + _END + answer.body


def _read(head: bytes) -> tuple[int, dict[str, str]]:
    first, *lines = head.decode().split("\r\n")
    pairs = (line.partition(": ") for line in lines if line)
    return int(first.split(" ", 2)[1]), {name.lower(): value for name, _, value in pairs}


class Client:
    """Asks one server on this machine, over connections it keeps.

    Parameters: `port`; `timeout` in seconds for a whole request, `None` for none.
    `sent` counts the requests it tried to send.

    Example::

        answer = await Client(port, timeout=30).get("/price/z01")
    """

    def __init__(self, port: int, timeout: float | None = None) -> None:
        self.port = port
        self.timeout = timeout
        self.sent = 0
        self._idle: deque[_Connection] = deque()

    async def get(self, path: str) -> Answer:
        """Return the answer. Raises `OSError` if no whole answer came."""
        self.sent += 1
        async with asyncio.timeout(self.timeout):
            connection = await self._connect()
            try:
                answer = await self._exchange(connection, path)
            except BaseException:
                connection[1].close()
                raise
        self._idle.append(connection)
        return answer

    def close(self) -> None:
        """Close the connections that nobody uses."""
        while self._idle:
            self._idle.pop()[1].close()

    async def _connect(self) -> _Connection:
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof() and not writer.is_closing():
                return reader, writer
            writer.close()
        return await asyncio.open_connection(HOST, self.port)

    async def _exchange(self, connection: _Connection, path: str) -> Answer:
        reader, writer = connection
        writer.write(b"GET %s HTTP/1.1\r\nhost: %s" % (path.encode(), HOST.encode()) + _END)
        try:
            head = await reader.readuntil(_END)
            status, headers = _read(head)
            body = await reader.readexactly(int(headers["content-length"]))
        except asyncio.IncompleteReadError:
            message = "the server closed the connection before it had answered"
            raise ConnectionResetError(message) from None
        return Answer(status, body, headers)

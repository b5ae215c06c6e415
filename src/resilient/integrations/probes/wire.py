"""A socket with one time limit for all that is read from it, however slowly it drips."""

from __future__ import annotations

import io
import socket
import ssl
import time
from types import TracebackType
from typing import Any, Self

__all__ = ["Wire"]


class Wire(io.RawIOBase):
    """What `http.client` needs of a connected socket; everything ends at `until`.

    A socket's own time limit begins anew with each piece, so a server that sends a byte now and
    then would hold its reader for ever. `until` is on the machine's monotonic clock. The socket is
    closed at the end of the ``with`` block, whatever `http.client` thinks of it before.

    Example::

        with Wire(line, time.monotonic() + 1.0) as wire:
            connection.sock = wire
    """

    def __init__(self, line: socket.socket, until: float) -> None:
        self._line = line
        self._until = until

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the socket."""
        self._line.close()

    def encrypt(self, context: ssl.SSLContext, host: str) -> None:
        """Speak TLS from now on. Raises `OSError` if the other side is not who it should be."""
        self._line.settimeout(self._left())
        self._line = context.wrap_socket(self._line, server_hostname=host)

    def sendall(self, data: Any) -> None:
        """Send all of it. Raises `OSError`."""
        self._line.settimeout(self._left())
        self._line.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        """Read with a buffer; what is read through it ends at the limit, too."""
        del mode
        return io.BufferedReader(self)

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Read some of what has come, waiting for it. Raises `OSError`."""
        self._line.settimeout(self._left())
        return self._line.recv_into(buffer)

    def close(self) -> None:
        """Nothing yet: `http.client` closes before it has read the body."""

    def _left(self) -> float:
        left = self._until - time.monotonic()
        if left <= 0:
            message = "the answer was not complete in time"
            raise TimeoutError(message)
        return left

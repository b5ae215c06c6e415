"""What client and server say to each other over a socket: frames of fixed length, no more.

A request is a number, a key and a replica; an answer is the number, and whether it went well. A
connection carries any number of requests at once, answered in any order.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

__all__ = ["ANSWER", "REQUEST", "Frames"]

REQUEST = struct.Struct("!IIB")
ANSWER = struct.Struct("!I?")


class Frames:
    """Cuts a stream of bytes into frames of one shape."""

    def __init__(self, shape: struct.Struct) -> None:
        self._shape = shape
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[tuple[int, ...]]:
        """The frames that are complete with `data`."""
        data = self._rest + data
        whole = len(data) - len(data) % self._shape.size
        self._rest = data[whole:]
        return self._shape.iter_unpack(data[:whole])

"""Connections for reading that wait for their next use."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator
from typing import NamedTuple

__all__ = ["KEPT", "Reader", "Readers"]

KEPT = 8
"""Connections that are kept open."""


class Reader(NamedTuple):
    """A connection, and the `age` of the file that it has open, or of an older one."""

    connection: sqlite3.Connection
    age: int


class Readers:
    """Lends connections, and keeps those that are to the file that is there.

    `age` grows by one whenever the file was replaced: what was opened before is not used again.

    Example::

        with readers.lent() as reader:
            reader.connection.execute("SELECT 1").fetchall()
    """

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self.age = 0
        self.closed = False
        self._connect = connect
        self._idle: list[Reader] = []
        self._changed = threading.Condition()
        self._lent = 0
        self._paused = False

    @contextlib.contextmanager
    def lent(self) -> Iterator[Reader]:
        """A connection for one read; closed if that raises."""
        with self._changed:
            self._changed.wait_for(lambda: not self._paused)
            self._lent += 1
        try:
            reader = self._take()
            try:
                yield reader
            except BaseException:
                reader.connection.close()
                raise
            self._give_back(reader)
        finally:
            with self._changed:
                self._lent -= 1
                self._changed.notify_all()

    def renew(self) -> None:
        """The file was replaced: forget what is open."""
        self.age += 1
        self._drain()

    def close(self) -> None:
        """Keep none from now on."""
        self.closed = True
        self._drain()

    def pause(self, timeout: float) -> bool:
        """Let nobody begin, and close all; False if after `timeout` seconds one is still lent."""
        with self._changed:
            self._paused = True
            quiet = self._changed.wait_for(lambda: not self._lent, timeout)
        self._drain()
        return quiet

    def resume(self) -> None:
        """Go on after a pause."""
        with self._changed:
            self._paused = False
            self._changed.notify_all()

    def after_fork(self) -> None:
        """Nobody is lent anything here; what a thread of the parent had is not touched."""
        self._changed = threading.Condition()
        self._lent = 0
        self._paused = False

    def _take(self) -> Reader:
        age = self.age  # before it is opened: it may be older than it says, and never newer
        while True:
            try:
                reader = self._idle.pop()
            except IndexError:
                return Reader(self._connect(), age)
            if reader.age == self.age:
                return reader
            reader.connection.close()

    def _give_back(self, reader: Reader) -> None:
        if len(self._idle) >= KEPT:
            reader.connection.close()
            return
        self._idle.append(reader)
        if self.closed or reader.age != self.age:  # looked at last: no lock is taken here
            self._drain()

    def _drain(self) -> None:
        with contextlib.suppress(IndexError):
            while True:
                self._idle.pop().connection.close()

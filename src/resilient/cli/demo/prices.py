"""Recorded prices, in an SQLite file."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

__all__ = ["Prices", "create"]

_TABLE = "create table if not exists price (zone text primary key, price real, at real)"


def create(path: Path) -> None:
    """Make the file and its table."""
    with sqlite3.connect(path) as connection:
        connection.execute(_TABLE)
    connection.close()


class Prices:
    """Reads and writes the last price of a zone; blocking, for threads.

    Parameters: `path` of the file; `patience`, the seconds SQLite waits for a lock before it
    raises `sqlite3.OperationalError`. Its own default is 5.

    Example::

        prices = Prices(path, patience=0.1)
        prices.write("z01", 12.5, time.time())
        prices.read("z01")  # (12.5, 1700000000.0)
    """

    def __init__(self, path: Path, patience: float = 5.0) -> None:
        self._path = path
        self._patience = patience
        self._local = threading.local()
        self._opening = object()

    def read(self, zone: str) -> tuple[float, float | None]:
        """Return the last price of `zone` and when it was live. Raises `LookupError` for none."""
        query = "select price, at from price where zone = ?"
        for price, at in self._connection().execute(query, (zone,)):
            return price, at
        message = f"no price was ever recorded for {zone}"
        raise LookupError(message)

    def write(self, zone: str, price: float, at: float | None) -> None:
        """Record the price of `zone`."""
        with self._connection() as connection:
            connection.execute("replace into price values (?, ?, ?)", (zone, price, at))

    def cheaper(self, price: float) -> list[str]:
        """Return up to three zones whose last price is below `price`, the nearest first."""
        query = "select zone from price where price < ? order by price desc limit 3"
        return [zone for (zone,) in self._connection().execute(query, (price,))]

    def reopen(self) -> None:
        """Have each thread close its connection, and open another, when it next needs one."""
        self._opening = object()

    def close(self) -> None:
        """Close this thread's connection."""
        self._connection().close()
        del self._local.connection

    def _connection(self) -> sqlite3.Connection:
        """One connection per thread, as SQLite wants it."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is not None and self._local.opening is self._opening:
            return connection
        if connection is not None:
            del self._local.connection
            connection.close()
        self._local.opening = self._opening
        self._local.connection = connection = _connect(self._path, self._patience)
        return connection


def _connect(path: Path, patience: float) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=patience)
    try:
        # The file lives as long as the demo; a slow disk is not among its faults.
        connection.execute("pragma synchronous = off")
    except sqlite3.Error:
        connection.close()
        raise
    return connection

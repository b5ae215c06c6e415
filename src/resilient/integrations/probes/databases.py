"""Does a database answer a question?"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from resilient.clock import Duration, seconds
from resilient.integrations.probes.answers import WrongAnswerError, path_of, text
from resilient.policies.match import function

__all__ = ["database", "sqlite"]


def database(source: Any, query: str = "SELECT 1") -> Callable[[], None]:
    """Make a probe that puts `query` to a database, through any driver of the DB-API (PEP 249).

    * `source`: a function that gives a connection, which is closed after each question (to a pool:
      given back); or a connection, which must be the probe's alone, as what it has open is rolled
      back, and which must come back by itself when the server does. Prefer the function.
    * `query`: must give a row. Default ``SELECT 1``.

    The DB-API knows no time limits: set the driver's own (to connect, and for a statement) where
    the connection is made, or a server that hangs holds a thread of the library as long as it does.
    Raises `ConfigError`. The probe raises what the driver does, and `WrongAnswerError` for no row.

    Example::

        mode.probe("orders-db", probes.database(engine.raw_connection), degraded_above=0.5)
    """
    text("query", query, "a statement on one line that gives a row")
    if hasattr(source, "cursor"):
        return lambda: _ask(source, query)
    connect = function("source", source, "a DB-API connection, or a function that gives one")

    def answers() -> None:
        with closing(connect()) as connection:
            _ask(connection, query)

    return answers


def sqlite(
    path: str | os.PathLike[str], *, write: bool = True, timeout: Duration = 0.5
) -> Callable[[], None]:
    """Make a probe that opens an SQLite file, reads from it, and takes its lock for writing.

    Parameters: `write`, whether the lock is asked for (and given back: nothing is written); by
    default yes. `timeout`, seconds to wait for whoever holds a lock. Default 0.5.

    A file that is not there is a failure; it is never created. That the disk is full is not
    noticed: `disk` looks at that.
    Raises `ConfigError`. The probe raises `sqlite3.Error`.

    Example::

        mode.probe("queue-file", probes.sqlite("queue.db"), degraded_above=0.1)
    """
    limit = seconds("timeout", timeout, zero=True)
    address = f"{Path(path_of(path)).absolute().as_uri()}?mode={'rw' if write else 'ro'}"

    def answers() -> None:
        import sqlite3  # noqa: PLC0415  (not every Python has it)

        connection = sqlite3.connect(address, uri=True, timeout=limit, isolation_level=None)
        with closing(connection):
            # SELECT 1 would not touch the file.
            connection.execute("PRAGMA schema_version").fetchone()
            if write:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("ROLLBACK")

    return answers


def _ask(connection: Any, query: str) -> None:
    try:
        with closing(connection.cursor()) as cursor:
            cursor.execute(query)
            if cursor.fetchone() is None:
                message = f"no row for {query!r}"
                raise WrongAnswerError(message)
    finally:
        # Most drivers have begun a transaction; some connections have none to end.
        with suppress(Exception):
            connection.rollback()

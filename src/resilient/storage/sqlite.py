"""An SQLite file that many threads and processes share: one writer, direct reads, clear errors."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Literal, TypeVar

from resilient.errors import StoreError
from resilient.storage.filelock import FileLock
from resilient.storage.writer import GroupWriter

__all__ = ["SQLiteFile"]

T = TypeVar("T")
Migration = Sequence[str]
_log = logging.getLogger("resilient")

READERS = 8
"""Connections for reading that are kept open."""

LOOK = 1.0
"""Seconds after which a reader makes sure that the file is still the one it has open."""

PATIENCE = 5000
"""Milliseconds that SQLite waits for another process which does not know of the file lock."""


class SQLiteFile:
    """One file in WAL mode. Several processes may open it; none writes without the file lock.

    * `path`: the file; its directory must exist. Beside it lie ``-wal``, ``-shm`` and ``.lock``.
    * `migrations`: statements that bring the schema from one version to the next, oldest first;
      the version is SQLite's ``user_version``. A file of a later version is refused.
    * `durable`: whether a commit survives a power cut (``synchronous=FULL``) or, if false, only the
      death of the process (``NORMAL``).
    * `disposable`: whether a file that is no database, or a damaged one, is set aside with a
      warning, and a fresh one begun. Otherwise that is a `StoreError`.
    * `limit`: writes that may wait.

    Raises `StoreError`.

    Example::

        file = SQLiteFile(Path("cache.db"), [["CREATE TABLE entries (key TEXT PRIMARY KEY)"]])
        file.write(lambda db: db.execute("INSERT INTO entries VALUES ('a')")).result()
        file.rows("SELECT key FROM entries")  # [('a',)]
        file.close()
    """

    def __init__(
        self,
        path: Path,
        migrations: Sequence[Migration],
        *,
        durable: bool = True,
        disposable: bool = False,
        limit: int = 10_000,
    ) -> None:
        self.path = path
        self.set_aside: list[Path] = []
        self._migrations = migrations
        self._synchronous: Literal["FULL", "NORMAL"] = "FULL" if durable else "NORMAL"
        self._disposable = disposable
        self._lock = threading.RLock()
        self._guard = FileLock(path.with_name(path.name + ".lock"))
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._looked = time.monotonic()
        self._readers: list[sqlite3.Connection] = []
        self._orphans: list[sqlite3.Connection] = []
        self._closed = False
        self._writer = GroupWriter(path.name, self._commit, limit)
        with self._lock, self._speaking(), self._guard.held():
            self._mended(self._open)

    def write(self, work: Callable[[sqlite3.Connection], T]) -> Future[T]:
        """Have `work` done in a transaction, which others may share; told when it is committed.

        What it raises undoes what it did, and nothing else. Raises `StoreError` if too many wait.
        """
        return self._writer.submit(work)

    def rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Read at once, on this thread: what is committed, by whichever process."""
        with self._speaking():
            try:
                reader = self._reader()
                with _closed_on_error(reader):
                    found = reader.execute(statement, parameters).fetchall()
            except sqlite3.DatabaseError as error:
                if not (self._disposable and _damaged(error)):
                    raise
                self._replace(error)
                return []
            self._give_back(reader)
            return found

    @property
    def waiting(self) -> int:
        """Writes that are not yet committed."""
        return self._writer.waiting

    @property
    def commits(self) -> int:
        """Transactions so far."""
        return self._writer.commits

    def size(self) -> int:
        """Bytes of the file and of its log."""
        found = (self.path, self.path.with_name(self.path.name + "-wal"))
        return sum(one.stat().st_size for one in found if one.exists())

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything submitted is committed; False if `timeout` seconds passed first."""
        return self._writer.flush(timeout)

    def close(self, timeout: float | None = None) -> bool:
        """Commit what waits, stop the writer and close the file; False if that took longer."""
        ended = self._writer.close(timeout)
        with self._lock:
            self._closed = True
            if ended and self._connection is not None:
                self._connection.close()
                self._connection = None
            while self._readers:
                self._readers.pop().close()
            self._guard.close()
        return ended

    def after_fork(self) -> None:
        """Use nothing of the parent's: SQLite forbids it. What was open stays unused."""
        self._lock = threading.RLock()
        self._writer.after_fork()
        self._guard.after_fork()
        # Closing them here could take the parent's locks away, so they are kept, and never used.
        self._orphans += self._readers + ([self._connection] if self._connection else [])
        self._readers = []
        self._connection = None

    def _commit(self, works: list[Callable[[Any], Any]]) -> list[Any]:
        """One transaction for all of them; runs on the writer's thread."""
        with self._lock, self._speaking(), self._guard.held():
            return self._mended(lambda: self._transaction(works))

    def _transaction(self, works: list[Callable[[Any], Any]]) -> list[Any]:
        connection = self._current()
        connection.execute("BEGIN IMMEDIATE")
        try:
            results = [_attempt(connection, work) for work in works]
            connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise
        return results

    def _mended(self, do: Callable[[], T]) -> T:
        """Do it; if the file turns out to be damaged and may be replaced, once more with a new."""
        try:
            return do()
        except sqlite3.DatabaseError as error:
            if not (self._disposable and _damaged(error)):
                raise
            self._put_aside(error)
            return do()

    def _current(self) -> sqlite3.Connection:
        """The connection for writing; a new one if somebody has replaced the file."""
        if self._connection is None or self._identity != _identity(self.path):
            self._open()
        assert self._connection is not None  # noqa: S101  (for the type checker)
        return self._connection

    def _open(self) -> None:
        """Open, and bring the schema up to date; the caller holds the file lock."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        while self._readers:
            self._readers.pop().close()
        connection = self._connect()
        with _closed_on_error(connection):
            connection.execute("PRAGMA journal_mode=WAL")
            self._migrate(connection)
        self._connection, self._identity = connection, _identity(self.path)

    def _migrate(self, connection: sqlite3.Connection) -> None:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        newest = len(self._migrations)
        if version > newest:
            reason = f"its schema has version {version}; this program knows versions up to {newest}"
            raise StoreError(str(self.path), reason)
        if version == newest:
            return
        connection.execute("BEGIN IMMEDIATE")
        for migration in self._migrations[version:]:
            for statement in migration:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version={newest}")
        connection.execute("COMMIT")

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=PATIENCE / 1000, isolation_level=None, check_same_thread=False
        )
        with _closed_on_error(connection):
            connection.execute(f"PRAGMA synchronous={self._synchronous}")
            connection.execute("PRAGMA recursive_triggers=ON")
        return connection

    def _reader(self) -> sqlite3.Connection:
        if self._closed:
            raise StoreError(str(self.path), "it is closed")
        if time.monotonic() > self._looked + LOOK:
            self._look()
        try:
            return self._readers.pop()
        except IndexError:
            reader = self._connect()
            with _closed_on_error(reader):
                reader.execute("PRAGMA query_only=ON")
            return reader

    def _give_back(self, reader: sqlite3.Connection) -> None:
        if self._closed or len(self._readers) >= READERS:
            reader.close()
        else:
            self._readers.append(reader)

    def _look(self) -> None:
        """Open the file anew if another process has replaced it."""
        with self._lock:
            self._looked = time.monotonic()
            if self._identity != _identity(self.path):
                with self._guard.held():
                    self._mended(self._open)

    def _replace(self, error: sqlite3.DatabaseError) -> None:
        with self._lock, self._guard.held():
            if self._identity == _identity(self.path):
                self._put_aside(error)
            self._mended(self._open)

    def _put_aside(self, error: sqlite3.DatabaseError) -> None:
        """Rename the file and what belongs to it; the caller holds the file lock."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        aside = self.path.with_name(f"{self.path.name}.corrupt-{time.time_ns()}")
        for ending in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                Path(f"{self.path}{ending}").replace(f"{aside}{ending}")
        self.set_aside.append(aside)
        _log.warning("%s is damaged (%s); it was set aside as %s", self.path, error, aside)

    @contextlib.contextmanager
    def _speaking(self) -> Iterator[None]:
        """Turn what SQLite and the system raise into a `StoreError` that names the file."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StoreError(str(self.path), str(error)) from error


@contextlib.contextmanager
def _closed_on_error(connection: sqlite3.Connection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        connection.close()
        raise


def _attempt(connection: sqlite3.Connection, work: Callable[[Any], Any]) -> Any:
    """One job of a shared transaction: its result, or what it raised, with nothing of it left."""
    connection.execute("SAVEPOINT job")
    try:
        result = work(connection)
    except Exception as error:
        if isinstance(error, sqlite3.DatabaseError) and _damaged(error):
            raise
        connection.execute("ROLLBACK TO job")
        connection.execute("RELEASE job")
        return error
    connection.execute("RELEASE job")
    return result


def _damaged(error: sqlite3.DatabaseError) -> bool:
    """Whether the file itself is at fault."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino

"""An SQLite file that many threads and processes share: one writer, direct reads, clear errors."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Literal, TypeVar

from resilient.errors import StoreError
from resilient.storage import forks
from resilient.storage.filelock import FileLock
from resilient.storage.readers import Readers
from resilient.storage.writer import GroupWriter

__all__ = ["SQLiteFile"]

T = TypeVar("T")
Migration = Sequence[str]
_log = logging.getLogger("resilient")

LOOK = 1.0
"""Seconds after which a reader makes sure that the file is still the one it has open."""

TRIES = 3
"""Times that a read is tried while the file is replaced under it."""

QUIET = 5.0
"""Seconds that a fork waits for the end of a transaction or a read of another thread."""

PATIENCE = 5000
"""Milliseconds that SQLite waits for another process which does not know of the file lock."""


class SQLiteFile:
    """One file in WAL mode. Several processes may open it; none writes without the file lock.

    * `path`: the file; its directory must exist. Beside it lie ``-wal``, ``-shm`` and ``.lock``.
      Where that is, is settled now: neither another working directory nor another link moves it.
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
        self.path = path = Path(os.path.realpath(path))
        self.set_aside: list[Path] = []
        self._migrations = migrations
        self._synchronous: Literal["FULL", "NORMAL"] = "FULL" if durable else "NORMAL"
        self._disposable = disposable
        self._lock = threading.RLock()
        self._guard = FileLock(path.with_name(path.name + ".lock"))
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._looked = time.monotonic()
        self._readers = Readers(self._connect_reader)
        self._held_for_fork = False
        self._quiet_for_fork = True
        self._spoilt = False
        self._writer = GroupWriter(path.name, self._commit, limit)
        with self._lock, self._speaking(), self._guard.held():
            self._mended(self._open)
        forks.watch(self)

    def write(self, work: Callable[[sqlite3.Connection], T]) -> Future[T]:
        """Have `work` done in a transaction, which others may share; told when it is committed.

        What it raises undoes what it did, and nothing else. Raises `StoreError` if too many wait.
        """
        return self._writer.submit(work)

    def rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Read at once, on this thread: what is committed, by whichever process.

        It waits for no write. Raises `StoreError`.
        """
        with self._speaking():
            for attempt in range(1, TRIES + 1):
                self._look()
                age = self._readers.age
                try:
                    with self._readers.lent() as reader:
                        return reader.connection.execute(statement, parameters).fetchall()
                except sqlite3.DatabaseError as error:
                    if attempt == TRIES or not self._helped(error, age):
                        raise
        raise AssertionError  # pragma: no cover  (the last attempt returns or raises)

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
        found = 0
        for ending in ("", "-wal"):
            with contextlib.suppress(FileNotFoundError):  # the log comes and goes
                found += Path(f"{self.path}{ending}").stat().st_size
        return found

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything submitted is committed; False if `timeout` seconds passed first."""
        return self._writer.flush(timeout)

    def close(self, timeout: float | None = None) -> bool:
        """Commit what waits, stop the writer and close the file; False if that took longer."""
        ended = self._writer.close(timeout)
        self._readers.close()
        if ended:
            with self._lock:
                self._release()
        return ended  # if not, the writer closes what it uses when it is done with it

    def before_fork(self) -> None:
        """Close all that is open; see `resilient.storage.forks`."""
        self._held_for_fork = self._lock.acquire(timeout=QUIET)
        busy = self._connection is not None and self._connection.in_transaction
        quiet = self._readers.pause(QUIET)
        self._quiet_for_fork = self._held_for_fork and quiet and not busy
        if self._quiet_for_fork:
            self._release()

    def after_fork_in_parent(self) -> None:
        """Go on; what is needed is opened again."""
        self._readers.resume()
        if self._held_for_fork:
            self._lock.release()

    def after_fork(self) -> None:
        """Go on as a child, with none of the writes that wait in the parent.

        If somebody used the file all the time that the fork waited for, the child cannot use it.
        """
        self._spoilt = not self._quiet_for_fork
        self._lock = threading.RLock()
        self._writer.after_fork()
        self._guard.after_fork()
        self._readers.after_fork()

    def _commit(self, works: list[Callable[[Any], Any]]) -> list[Any]:
        """One transaction for all of them; runs on the writer's thread."""
        self._check()
        with self._lock, self._speaking():
            try:
                with self._guard.held():
                    return self._mended(lambda: self._transaction(works))
            finally:
                if self._readers.closed:
                    self._release()

    def _transaction(self, works: list[Callable[[Any], Any]]) -> list[Any]:
        connection = self._current()
        connection.execute("BEGIN IMMEDIATE")
        try:
            results = [_attempt(connection, work) for work in works]
            connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            with contextlib.suppress(sqlite3.Error):
                if connection.in_transaction:  # it would be in the way of all that follow
                    self._disconnect()
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
        if self._connection is None or self._stale():
            self._open()
        assert self._connection is not None  # noqa: S101  (for the type checker)
        return self._connection

    def _open(self) -> None:
        """Open, and bring the schema up to date; the caller holds the file lock."""
        self._disconnect()
        if self._identity is not None and not self.path.exists():
            _log.warning("%s is gone; it is begun anew", self.path)
        connection = self._connect()
        with _closed_on_error(connection):
            connection.execute("PRAGMA journal_mode=WAL")
            self._migrate(connection)
        self._connection, self._identity = connection, _identity(self.path)
        self._readers.renew()

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

    def _connect(self, mode: Literal["rwc", "rw"] = "rwc") -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self.path.as_uri()}?mode={mode}",
            uri=True,
            timeout=PATIENCE / 1000,
            isolation_level=None,
            check_same_thread=False,
        )
        with _closed_on_error(connection):
            connection.execute(f"PRAGMA synchronous={self._synchronous}")
            connection.execute("PRAGMA recursive_triggers=ON")
        return connection

    def _connect_reader(self) -> sqlite3.Connection:
        reader = self._connect("rw")  # not to make an empty file while it is being replaced
        with _closed_on_error(reader):
            reader.execute("PRAGMA query_only=ON")
        return reader

    def _check(self) -> None:
        """Refuse what a child cannot do."""
        if self._spoilt:
            raise StoreError(str(self.path), "it was in use when this process was forked")

    def _look(self) -> None:
        """Now and then, open the file anew if another process has replaced it."""
        if self._readers.closed:
            raise StoreError(str(self.path), "it is closed")
        self._check()
        now = time.monotonic()
        if now > self._looked + LOOK:
            self._looked = now
            if self._stale():
                self._renew(self._readers.age)

    def _helped(self, error: BaseException, age: int) -> bool:
        """Whether a read that failed may be tried again; it had a file of that age open."""
        if not isinstance(error, sqlite3.DatabaseError):
            return False
        damage = error if self._disposable and _damaged(error) else None
        if damage is None and age == self._readers.age and not self._stale():
            return False
        self._renew(age, damage)
        return True

    def _renew(self, age: int, damage: sqlite3.DatabaseError | None = None) -> None:
        """Open the file anew, unless somebody has since; set it aside if it shows `damage`."""
        with self._lock:
            if self._readers.closed or self._readers.age != age:
                return
            with self._guard.held():
                if damage is not None and not self._stale():
                    self._put_aside(damage)
                self._mended(self._open)

    def _stale(self) -> bool:
        """Whether what is open is not, or no longer, the file of that path."""
        return self._identity is None or self._identity != _identity(self.path)

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _release(self) -> None:
        if not self._spoilt:  # otherwise it is the parent's
            self._disconnect()
        self._guard.close()

    def _put_aside(self, error: sqlite3.DatabaseError) -> None:
        """Rename the file and what belongs to it; the caller holds the file lock."""
        self._disconnect()
        self._identity = None
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
    except BaseException as error:
        if isinstance(error, sqlite3.DatabaseError) and _damaged(error):
            raise
        if not connection.in_transaction:  # a full disk undoes all of it, the savepoint too
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

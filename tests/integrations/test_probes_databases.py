"""Laws of the probes of databases: SQLite files that are there, gone, broken, or locked."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from resilient import probes
from resilient.errors import ConfigError

SOON = 0.05
"""Seconds to wait for a lock that nobody gives back."""

HOLD = """
import sqlite3, sys
held = sqlite3.connect(sys.argv[1], isolation_level=None)
held.execute(sys.argv[2])
print("held", flush=True)
sys.stdin.read()
held.close()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with a table and a row, in a directory whose name needs quoting."""
    (tmp_path / "50 % of it?").mkdir()
    found = tmp_path / "50 % of it?" / "orders.db"
    with closing(sqlite3.connect(found)) as made:
        made.execute("CREATE TABLE orders (number INTEGER)")
        made.execute("INSERT INTO orders VALUES (42)")
        made.commit()
    return found


@contextmanager
def locked(path: Path, statement: str) -> Iterator[None]:
    """Another process holds a lock."""
    command = [sys.executable, "-c", HOLD, str(path), statement]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        yield
        other.communicate("")


@pytest.mark.parametrize("write", [True, False])
def test_a_file_that_can_be_used_is_well(path: Path, *, write: bool) -> None:
    """As text or as a path; nothing in it changes."""
    before = path.read_bytes()
    probes.sqlite(path, write=write)()
    probes.sqlite(str(path), write=write)()
    assert path.read_bytes() == before


def test_a_file_that_is_not_there_is_a_failure_and_is_not_made(tmp_path: Path) -> None:
    """Opening usually creates it."""
    with pytest.raises(sqlite3.OperationalError):
        probes.sqlite(tmp_path / "gone.db")()
    assert not (tmp_path / "gone.db").exists()


def test_a_file_that_is_no_database_is_a_failure(tmp_path: Path) -> None:
    """``SELECT 1`` would not have noticed."""
    (tmp_path / "broken.db").write_bytes(b"not a database" * 1000)
    with pytest.raises(sqlite3.DatabaseError):
        probes.sqlite(tmp_path / "broken.db", write=False)()


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_a_file_that_another_process_locks_is_a_failure_until_it_ends(
    path: Path, journal: str
) -> None:
    """In a transaction that writes; who only reads is not disturbed by it."""
    with closing(sqlite3.connect(path)) as made:
        made.execute(f"PRAGMA journal_mode={journal}")
        made.close()
    writes, reads = probes.sqlite(path, timeout=SOON), probes.sqlite(path, write=False)
    with locked(path, "BEGIN IMMEDIATE"):
        reads()
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            writes()
    writes()


def test_a_file_that_is_locked_exclusively_cannot_be_read(path: Path) -> None:
    """Without a write-ahead log."""
    with (
        locked(path, "BEGIN EXCLUSIVE"),
        pytest.raises(sqlite3.OperationalError, match="locked"),
    ):
        probes.sqlite(path, write=False, timeout=SOON)()


class Counted(sqlite3.Connection):
    """Counts how often one was opened and closed."""

    opened = closed = 0

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        Counted.opened += 1

    def close(self) -> None:
        """Close."""
        Counted.closed += 1
        super().close()


def test_a_connection_of_a_function_is_closed_each_time(path: Path) -> None:
    """Also after a failure."""
    Counted.opened = Counted.closed = 0

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(path, factory=Counted)

    probes.database(connect)()
    probes.database(connect, "SELECT number FROM orders")()
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        probes.database(connect, "SELECT * FROM customers")()
    assert (Counted.opened, Counted.closed) == (3, 3)


def test_a_question_without_a_row_is_a_failure(path: Path) -> None:
    """It names the question."""
    ask = probes.database(lambda: sqlite3.connect(path), "SELECT 1 FROM orders WHERE number = 0")
    with pytest.raises(probes.WrongAnswerError, match="no row for 'SELECT 1 FROM orders"):
        ask()


def test_a_connection_of_its_own_stays_open_and_holds_no_transaction(path: Path) -> None:
    """What a question has begun is rolled back: the file is free for others."""
    with closing(sqlite3.connect(path)) as own:
        ask = probes.database(own, "INSERT INTO orders VALUES (1) RETURNING 1")
        ask()
        ask()
        assert not own.in_transaction
        assert own.execute("SELECT count(*) FROM orders").fetchone() == (1,)
        probes.sqlite(path, timeout=SOON)()


def test_a_connection_that_is_closed_is_a_failure(path: Path) -> None:
    """It never comes back; that is why a function is better."""
    own = sqlite3.connect(path)
    ask = probes.database(own)
    ask()
    own.close()
    with pytest.raises(sqlite3.ProgrammingError):
        ask()


async def connects_async() -> None:
    """Give a coroutine, which is no connection."""


@pytest.mark.parametrize(
    ("setting", "make"),
    [
        ("source", lambda: probes.database(7)),
        ("source", lambda: probes.database(connects_async)),
        ("query", lambda: probes.database(print, "")),
        ("query", lambda: probes.database(print, 1)),  # type: ignore[arg-type]  # wrong on purpose
        ("path", lambda: probes.sqlite("")),
        ("path", lambda: probes.sqlite(7)),  # type: ignore[arg-type]  # wrong on purpose
        ("timeout", lambda: probes.sqlite("a.db", timeout=-1)),
    ],
)
def test_bad_settings_are_refused_by_name(setting: str, make: Any) -> None:
    """When the probe is made."""
    with pytest.raises(ConfigError) as caught:
        make()
    assert caught.value.setting == setting

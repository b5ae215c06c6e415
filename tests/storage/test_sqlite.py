"""A file for many threads and processes: one writer, group commit, direct reads, clear errors."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from resilient import StoreError
from resilient.storage.sqlite import SQLiteFile

SCHEMA = [["CREATE TABLE facts (number INTEGER PRIMARY KEY, body BLOB NOT NULL)"]]
ADD = "INSERT INTO facts VALUES (?, ?)"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file goes."""
    return tmp_path / "facts.db"


@pytest.fixture
def file(path: Path) -> Iterator[SQLiteFile]:
    """An empty file."""
    made = SQLiteFile(path, SCHEMA)
    yield made
    assert made.close(10)


def count(file: SQLiteFile) -> int:
    """How many facts are committed."""
    return int(file.rows("SELECT count(*) FROM facts")[0][0])


def adding(number: int, body: bytes = b"") -> Callable[[sqlite3.Connection], int]:
    """Work that adds a fact."""

    def work(db: sqlite3.Connection) -> int:
        return db.execute(ADD, (number, body)).rowcount

    return work


def holding(begun: threading.Event, gate: threading.Event) -> Callable[[object], bool]:
    """Work that holds a transaction open until the gate opens."""

    def work(_: object) -> bool:
        begun.set()
        return gate.wait(10)

    return work


def test_what_is_written_is_read(file: SQLiteFile) -> None:
    """Once the future is done, everybody sees it."""
    file.write(adding(1, b"one")).result(10)
    assert file.rows("SELECT body FROM facts WHERE number = ?", (1,)) == [(b"one",)]
    assert file.size() > 0


def test_writes_that_come_together_share_a_commit(file: SQLiteFile) -> None:
    """While one transaction is held up, two hundred others gather: they need one more."""
    gate, begun = threading.Event(), threading.Event()
    first = file.write(holding(begun, gate))
    assert begun.wait(10)
    others = [file.write(adding(number)) for number in range(200)]
    gate.set()
    assert first.result(10)
    assert [other.result(10) for other in others] == [1] * 200
    assert file.commits == 2
    assert count(file) == 200


def test_one_bad_write_undoes_itself_alone(file: SQLiteFile) -> None:
    """What it raises reaches its caller; its own rows go, those of its neighbours stay."""
    gate = threading.Event()
    held = file.write(lambda _: gate.wait(10))

    def half(db: sqlite3.Connection) -> None:
        db.execute(ADD, (2, b"lost"))
        raise ValueError("enough")

    good = file.write(adding(1, b"kept"))
    bad = file.write(half)
    late = file.write(adding(3, b"kept"))
    gate.set()
    held.result(10)
    assert (good.result(10), late.result(10)) == (1, 1)
    with pytest.raises(ValueError, match="enough"):
        bad.result(10)
    assert file.rows("SELECT number FROM facts ORDER BY number") == [(1,), (3,)]


def test_a_broken_rule_of_the_schema_is_told(file: SQLiteFile) -> None:
    """The error of SQLite reaches the writer of that row, and nobody else."""
    first = file.write(adding(1))
    again = file.write(adding(1))
    first.result(10)
    with pytest.raises(sqlite3.IntegrityError):
        again.result(10)


def test_writes_in_line_are_bounded(path: Path) -> None:
    """The eleventh that would wait is refused at once, with an error that names the file."""
    file = SQLiteFile(path, SCHEMA, limit=10)
    gate, begun = threading.Event(), threading.Event()
    held = file.write(holding(begun, gate))
    assert begun.wait(10)
    for number in range(10):
        file.write(adding(number))
    with pytest.raises(StoreError, match=r"facts\.db: 10 writes are waiting already"):
        file.write(adding(99))
    gate.set()
    assert held.result(10)
    assert file.flush(10)
    assert count(file) == 10
    file.close(10)


def test_many_threads_write_and_read(file: SQLiteFile) -> None:
    """8 threads with 200 rows each: 1600 rows, whoever read meanwhile saw whole ones."""
    torn: list[object] = []

    def work(thread: int) -> None:
        for number in range(200):
            at = thread * 1000 + number
            file.write(adding(at, b"x" * 100)).result(10)
            body = file.rows("SELECT body FROM facts WHERE number = ?", (at,))
            if body != [(b"x" * 100,)]:
                torn.append(body)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert torn == []
    assert count(file) == 1600


def test_closing_writes_what_waits_and_leaves_nothing(path: Path) -> None:
    """No row is lost, no thread is left, and later use is refused by name."""
    file = SQLiteFile(path, SCHEMA)
    for number in range(100):
        file.write(adding(number))
    assert file.close(10)
    assert not [t for t in threading.enumerate() if t.name.startswith("resilient-writer-facts")]
    with pytest.raises(StoreError, match="it is closed"):
        file.write(adding(1))
    with pytest.raises(StoreError, match="it is closed"):
        file.rows("SELECT 1")
    again = SQLiteFile(path, SCHEMA)
    assert count(again) == 100
    again.close()


def test_a_schema_grows_in_steps(path: Path) -> None:
    """Each migration runs once, in order, whatever version the file has."""
    SQLiteFile(path, SCHEMA).close()
    newer = [*SCHEMA, ["ALTER TABLE facts ADD COLUMN colour TEXT"]]
    for _ in range(2):
        file = SQLiteFile(path, newer)
        assert file.rows("SELECT colour FROM facts") == []
        assert file.rows("PRAGMA user_version") == [(2,)]
        file.close()


def test_a_file_of_a_later_program_is_refused(path: Path) -> None:
    """Even where files are disposable: it is not damaged, and somebody needs it."""
    SQLiteFile(path, [*SCHEMA, ["CREATE TABLE more (x)"]]).close()
    with pytest.raises(StoreError, match="version 2; this program knows versions up to 1"):
        SQLiteFile(path, SCHEMA, disposable=True)


@pytest.mark.parametrize(
    "content", [b"this is no database" * 100, b"SQLite format 3\0" + b"?" * 4096]
)
def test_a_file_that_is_no_database(
    path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """It is refused, or set aside unharmed with a warning, as was asked."""
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"facts\.db"):
        SQLiteFile(path, SCHEMA)
    file = SQLiteFile(path, SCHEMA, disposable=True)
    assert count(file) == 0
    (aside,) = file.set_aside
    assert aside.read_bytes() == content
    assert "set aside" in caplog.text
    file.close()


def test_damage_that_shows_later_is_set_aside_too(path: Path) -> None:
    """Pages overwritten while it is open: reads find nothing, writes go into a fresh file."""
    file = SQLiteFile(path, SCHEMA, disposable=True)
    for number in range(500):
        file.write(adding(number, os.urandom(500)))
    assert file.flush(10)
    file.write(lambda db: None).result(10)
    file.close(10)
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    path.write_bytes(bytes(data))
    file = SQLiteFile(path, SCHEMA, disposable=True)
    file.rows("SELECT sum(length(body)) FROM facts")
    file.write(adding(1, b"new")).result(10)
    assert file.rows("SELECT body FROM facts WHERE number = 1") == [(b"new",)]
    assert len(file.set_aside) == 1
    file.close()


def test_a_replaced_file_is_noticed(path: Path) -> None:
    """Another process has set the file aside: the next write goes where everybody reads."""
    ours, theirs = (SQLiteFile(path, SCHEMA, disposable=True) for _ in range(2))
    theirs._renew(theirs._readers.age, sqlite3.DatabaseError("malformed"))
    ours.write(adding(1, b"ours")).result(10)
    assert count(theirs) == 1
    assert count(ours) == 1
    ours.close()
    theirs.close()


def test_a_directory_that_is_missing_is_told(tmp_path: Path) -> None:
    """The path is in the error."""
    with pytest.raises(StoreError, match="nowhere"):
        SQLiteFile(tmp_path / "nowhere" / "facts.db", SCHEMA)


def test_a_child_does_not_use_the_parents_connections(file: SQLiteFile) -> None:
    """After a fork both write, and the file holds what both wrote."""
    file.write(adding(1, b"parent")).result(10)
    count(file)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            file.write(adding(2, b"child")).result(10)
            code = 0 if count(file) == 2 else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    file.write(adding(3, b"parent")).result(10)
    assert count(file) == 3


WRITING = """
import sys
from pathlib import Path
from resilient.storage.sqlite import SQLiteFile
schema = [["CREATE TABLE facts (number INTEGER PRIMARY KEY, body BLOB NOT NULL)"]]
file = SQLiteFile(Path(sys.argv[1]), schema)
add = "INSERT INTO facts VALUES (?, ?)"
first = int(sys.argv[2])
for number in range(first, first + int(sys.argv[3])):
    file.write(lambda db: db.execute(add, (number, b"x" * 200))).result()
    print(number, flush=True)
file.close()
"""


HOLDING = """
import sys, time
from pathlib import Path
from resilient.storage.filelock import FileLock
with FileLock(Path(sys.argv[1])).held():
    print("held", flush=True)
    time.sleep(600)
"""


def writing(path: Path, first: int, rows: int) -> subprocess.Popen[str]:
    """A process that writes rows, and says each number once it is committed."""
    command = [sys.executable, "-c", WRITING, str(path), str(first), str(rows)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_what_was_acknowledged_survives_a_kill(path: Path) -> None:
    """20 times: killed while it writes, the file opens, and holds every row it told of."""
    told = -1
    for _ in range(20):
        process = writing(path, told + 1000, 1_000_000)
        assert process.stdout is not None
        for _ in range(15):
            told = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().split()  # told before it died
        told = max(told, *(int(number) for number in rest[:-1])) if len(rest) > 1 else told
        process.wait()
        process.stdout.close()
        file = SQLiteFile(path, SCHEMA)
        assert file.rows("SELECT number FROM facts WHERE number = ?", (told,)) == [(told,)]
        assert file.rows("PRAGMA integrity_check") == [("ok",)]
        file.close()


def test_two_processes_write_all_they_say(path: Path) -> None:
    """Neither is refused because the other writes."""
    SQLiteFile(path, SCHEMA).close()
    both = [writing(path, first, 300) for first in (0, 10_000)]
    for process in both:
        assert len(process.communicate(timeout=60)[0].split()) == 300
        assert process.returncode == 0
    file = SQLiteFile(path, SCHEMA)
    assert count(file) == 600
    file.close()


def test_a_lock_dies_with_its_process(path: Path) -> None:
    """A process killed while it holds the file lock locks nobody out."""
    lock = path.with_name(path.name + ".lock")
    command = [sys.executable, "-c", HOLDING, str(lock)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    opened = threading.Thread(target=lambda: SQLiteFile(path, SCHEMA).close())
    opened.start()
    opened.join(0.2)
    assert opened.is_alive()
    process.kill()
    opened.join(30)
    assert not opened.is_alive()
    process.wait()
    process.stdout.close()


def test_an_idle_writer_has_no_thread(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends by itself, and the next write starts another."""
    monkeypatch.setattr("resilient.storage.writer.IDLE", 0.01)
    file = SQLiteFile(path, SCHEMA)
    for number in range(3):
        file.write(adding(number)).result(10)
        until = time.monotonic() + 10
        while file._writer._thread is not None and time.monotonic() < until:
            threading.Event().wait(0.005)
        assert file._writer._thread is None
    assert count(file) == 3
    file.close()

"""What goes wrong around a file: damage, forks, a full disk, hanging work, a file that is gone."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from resilient import StoreError
from resilient.storage.sqlite import SQLiteFile

SCHEMA = [["CREATE TABLE facts (number INTEGER PRIMARY KEY, body BLOB NOT NULL)"]]
ADD = "INSERT INTO facts VALUES (?, ?)"
SUM = "SELECT coalesce(sum(length(body)), 0) FROM facts"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file goes; the name is one that a URI would have to quote."""
    return tmp_path / "ein Örtchen %41?#.db"


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
        return gate.wait(30)

    return work


def damaged(path: Path, rows: int = 500) -> None:
    """Make a file whose pages behind the first are overwritten."""
    file = SQLiteFile(path, SCHEMA)
    for number in range(rows):
        file.write(adding(number, os.urandom(500)))
    assert file.close(30)
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    path.write_bytes(bytes(data))


def in_child(do: Callable[[], object]) -> int:
    """Do it in a forked child; its exit status, 0 unless it raised."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            do()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_read_waits_for_no_write(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even when it is time to look whether the file was replaced."""
    monkeypatch.setattr("resilient.storage.sqlite.LOOK", -1.0)
    file = SQLiteFile(path, SCHEMA)
    gate, begun = threading.Event(), threading.Event()
    held = file.write(holding(begun, gate))
    assert begun.wait(10)
    reading = threading.Thread(target=count, args=(file,))
    reading.start()
    reading.join(10)
    stuck = reading.is_alive()
    gate.set()
    assert held.result(10)
    assert not stuck
    assert file.close(10)


def test_closing_waits_no_longer_than_it_may(path: Path) -> None:
    """A write that hangs does not hold the end of a program up; when it is done, all is closed."""
    file = SQLiteFile(path, SCHEMA)
    gate, begun = threading.Event(), threading.Event()
    held = file.write(holding(begun, gate))
    assert begun.wait(10)
    answers: list[bool] = []
    closing = threading.Thread(target=lambda: answers.append(file.close(0.01)))
    closing.start()
    closing.join(10)
    assert answers == [False]
    gate.set()
    assert held.result(10)
    assert file.close(10)
    assert file._connection is None


def test_work_that_leaves_leaves_alone(path: Path) -> None:
    """SystemExit ends neither the writer nor what shares its transaction."""
    file = SQLiteFile(path, SCHEMA)

    def leave(_: object) -> None:
        raise SystemExit(3)

    gone, good = file.write(leave), file.write(adding(1))
    with pytest.raises(SystemExit):
        gone.result(10)
    assert good.result(10) == 1
    assert file.write(adding(2)).result(10) == 1
    assert file.close(10)


def test_without_a_thread_a_write_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not wait for ever, and the next one is done once there is a thread again."""
    file = SQLiteFile(path, SCHEMA)

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(StoreError, match="can't start new thread"):
            file.write(adding(1))
    assert file.waiting == 0
    assert file.write(adding(2)).result(10) == 1
    assert count(file) == 1
    assert file.close(10)


def test_what_is_under_way_waits_too(path: Path) -> None:
    """A write counts as waiting until it is committed."""
    file = SQLiteFile(path, SCHEMA)
    gate, begun = threading.Event(), threading.Event()
    held = file.write(holding(begun, gate))
    assert begun.wait(10)
    file.write(adding(1))
    assert file.waiting == 2
    gate.set()
    assert held.result(10)
    assert file.flush(10)
    assert file.waiting == 0
    assert file.close(10)


def test_a_full_disk_is_told_as_such_and_passes(path: Path) -> None:
    """SQLite takes the whole transaction back then; the error says why, and all goes on after."""
    file = SQLiteFile(path, SCHEMA)
    file.write(lambda db: db.execute("PRAGMA max_page_count=20")).result(10)
    with pytest.raises(StoreError, match="database or disk is full"):
        file.write(adding(1, os.urandom(200_000))).result(10)
    assert file.write(adding(2)).result(10) == 1
    file.write(lambda db: db.execute("PRAGMA max_page_count=1000000")).result(10)
    assert file.write(adding(3, os.urandom(200_000))).result(10) == 1
    assert file.rows("SELECT number FROM facts") == [(2,), (3,)]
    assert file.close(10)


def test_another_working_directory_moves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon that changes to / goes on with the file it opened."""
    monkeypatch.setattr("resilient.storage.sqlite.LOOK", -1.0)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    file = SQLiteFile(Path("facts.db"), SCHEMA)
    file.write(adding(1)).result(10)
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert count(file) == 1
    assert list(Path.cwd().iterdir()) == []
    assert file.close(10)


def test_many_who_meet_damage_set_aside_one_file(path: Path) -> None:
    """16 threads read a damaged file at once: it is set aside, the fresh one never."""
    damaged(path)
    file = SQLiteFile(path, SCHEMA, disposable=True)
    barrier = threading.Barrier(16)
    found: list[object] = []

    def read() -> None:
        barrier.wait()
        try:
            found.append(file.rows(SUM))
        except StoreError as error:
            found.append(error)

    threads = [threading.Thread(target=read) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[(0,)]] * 16
    assert len(file.set_aside) == 1
    assert file.close(10)


def test_what_is_open_to_a_replaced_file_is_not_used_again(path: Path) -> None:
    """A read under way while the file is replaced keeps its connection; the next has another."""
    file = SQLiteFile(path, SCHEMA, disposable=True)
    file.write(adding(1)).result(10)
    with file._readers.lent():
        file._renew(file._readers.age, sqlite3.DatabaseError("malformed"))
        file.write(adding(2)).result(10)
    assert file.rows("SELECT number FROM facts") == [(2,)]
    assert file.close(10)


@pytest.mark.parametrize("disposable", [True, False])
def test_a_file_that_is_deleted_is_begun_anew(
    path: Path,
    disposable: bool,  # noqa: FBT001  (a case)
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Reads find nothing, writes go where everybody sees them, and a warning says what happened."""
    monkeypatch.setattr("resilient.storage.sqlite.LOOK", -1.0)
    file = SQLiteFile(path, SCHEMA, disposable=disposable)
    file.write(adding(1)).result(10)
    for ending in ("", "-wal", "-shm"):
        Path(f"{path}{ending}").unlink()
    assert count(file) == 0
    file.write(adding(2)).result(10)
    assert file.rows("SELECT number FROM facts") == [(2,)]
    assert "is gone; it is begun anew" in caplog.text
    assert file.close(10)


def test_a_kill_while_a_file_is_set_aside_leaves_nothing_in_the_way(path: Path) -> None:
    """The file is renamed and its log is not: the log of another file harms no fresh one."""
    file = SQLiteFile(path, SCHEMA)
    file.write(adding(1, b"old")).result(10)
    log, index = (Path(f"{path}{ending}").read_bytes() for ending in ("-wal", "-shm"))
    assert file.close(10)
    path.rename(f"{path}.corrupt-1")
    Path(f"{path}-wal").write_bytes(log)
    Path(f"{path}-shm").write_bytes(index)
    file = SQLiteFile(path, SCHEMA, disposable=True)
    assert count(file) == 0
    assert file.write(adding(2)).result(10) == 1
    assert file.rows("PRAGMA integrity_check") == [("ok",)]
    assert file.set_aside == []
    assert file.close(10)


def test_children_made_while_it_writes_and_reads_write_too(path: Path) -> None:
    """40 forks under load: each child's row is there, and none waits for what the parent did."""
    file = SQLiteFile(path, SCHEMA, durable=False)
    done = threading.Event()

    def load() -> None:
        number = 0
        while not done.is_set():
            number += 1
            file.write(adding(number)).result(30)
            count(file)

    loads = [threading.Thread(target=load)]
    for thread in loads:
        thread.start()

    def add(number: int) -> None:
        assert file.write(adding(-number)).result(20) == 1

    codes = [in_child(partial(add, number)) for number in range(1, 41)]
    done.set()
    for thread in loads:
        thread.join()
    assert codes == [0] * 40
    assert file.rows("SELECT count(*) FROM facts WHERE number < 0") == [(40,)]
    assert file.rows("PRAGMA integrity_check") == [("ok",)]
    assert file.close(10)


def test_a_child_of_a_fork_that_could_not_wait_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite would take no locks there; the error says so. The parent goes on."""
    monkeypatch.setattr("resilient.storage.sqlite.QUIET", 0.01)
    file = SQLiteFile(path, SCHEMA)
    gate, begun = threading.Event(), threading.Event()
    held = file.write(holding(begun, gate))
    assert begun.wait(10)

    def use() -> None:
        with pytest.raises(StoreError, match="in use when this process was forked"):
            count(file)
        with pytest.raises(StoreError, match="in use when this process was forked"):
            file.write(adding(1)).result(10)
        assert file.close(10)

    assert in_child(use) == 0
    gate.set()
    assert held.result(10)
    assert file.write(adding(1)).result(10) == 1
    assert count(file) == 1
    assert file.close(10)

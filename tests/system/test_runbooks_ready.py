"""The three ready-made books, with real breakers, real files and, once, a real `kill -9`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from resilient import (
    CircuitBreaker,
    CircuitOpenError,
    CircuitState,
    ConfigError,
    Mode,
    ProbeStatus,
    RunContext,
    RunOutcome,
    SystemOperationMode,
    breaker,
    cascade_emergency,
    disaster_recovery,
    partial_failure,
    step,
)
from resilient.system.runbooks.dump import dump, write_whole
from resilient.testing import ManualClock

CHAIN = (("redis", ()), ("sessions", ("redis",)), ("web", ("sessions",)))


@pytest.fixture
def clock() -> ManualClock:
    """A clock of this test's own."""
    return ManualClock(1_000_000)


@pytest.fixture
def mode(clock: ManualClock) -> Iterator[SystemOperationMode]:
    """A mode on that clock."""
    made = SystemOperationMode("shop", clock=clock)
    yield made
    made.close()


@pytest.fixture
def circuits(mode: SystemOperationMode, clock: ManualClock) -> dict[str, CircuitBreaker]:
    """Three components of which each needs the one before, and one that needs none."""
    for name, causes in CHAIN:
        mode.component(name, depends_on=causes)
    names = [*(name for name, _ in CHAIN), "mail"]
    return {name: breaker(name, failure_threshold=1, mode=mode, clock=clock) for name in names}


def _refuse() -> None:
    raise ConnectionError


def fail(circuit: CircuitBreaker) -> None:
    """Open it, by a call that fails."""
    with pytest.raises(ConnectionError):
        circuit.call(_refuse)


def spread(circuits: dict[str, CircuitBreaker], *names: str) -> None:
    """Have some fail, one after the other."""
    for name in names:
        fail(circuits[name])


def settle(mode: SystemOperationMode, clock: ManualClock, seconds: float = 0.0) -> None:
    """Let everything happen that is due within so many seconds."""
    for _ in range(int(seconds) or 1):
        mode.evaluate()
        assert mode.flush(10)
        if seconds:
            clock.advance(1)


def calls(done: list[str], name: str) -> Callable[[], None]:
    """A function that notes its name."""
    return lambda: done.append(name)


def shown(run: Any) -> dict[str, str]:
    """Where each step of a run stands."""
    return {one.name: one.state.value for one in run.steps}


# Partial failure


def test_partial_failure(
    mode: SystemOperationMode, clock: ManualClock, circuits: dict[str, CircuitBreaker]
) -> None:
    """Isolate, queue, notify, fall back, recover, readmit: in that order, and nobody else."""
    done: list[str] = []

    def queue(context: RunContext) -> None:
        done.append("queue")
        assert context.failed == ("redis",)
        assert circuits["redis"].state is CircuitState.FORCED_OPEN
        with pytest.raises(CircuitOpenError):
            circuits["redis"].call(_refuse)

    book = partial_failure(
        queue=queue,
        notify=calls(done, "notify"),
        fall_back=step("read replicas", calls(done, "fall back")),
        recover=calls(done, "recover"),
    )
    mode.runbook(book, on="degraded")
    mode.metric("the rest", weight=6).set(1.0)
    mode.evaluate()
    fail(circuits["redis"])
    settle(mode, clock, 10)
    run = mode.runs[0]
    assert run.outcome is RunOutcome.DONE, str(run)
    assert done == ["queue", "notify", "fall back", "recover"]
    names = ["isolate", "queue", "notify", "read replicas", "recover", "readmit"]
    assert [one.name for one in run.steps] == names
    states = {name: circuit.state.value for name, circuit in circuits.items()}
    assert states == {"redis": "half-open", "sessions": "closed", "web": "closed", "mail": "closed"}
    assert circuits["redis"].call(lambda: "PONG") == "PONG"
    assert circuits["redis"].state is CircuitState.CLOSED


def test_recovers_by_what_the_mode_knows(
    mode: SystemOperationMode, clock: ManualClock, circuits: dict[str, CircuitBreaker]
) -> None:
    """Without a function of its own, each failed component that has a recovery is tried."""
    done: list[str] = []
    mode.recovery("redis", calls(done, "reconnect"), backoff=10_000)
    spread(circuits, "redis", "mail")
    run = mode.run(partial_failure())
    assert run.wait(5) is RunOutcome.DONE
    settle(mode, clock)
    assert done == ["reconnect"]
    assert shown(run)["queue"] == "skipped"


def test_isolation_is_taken_back(
    mode: SystemOperationMode, clock: ManualClock, circuits: dict[str, CircuitBreaker]
) -> None:
    """By trial calls; what a hand had set before stays as it was, and so does what is not named."""
    spread(circuits, "redis", "sessions", "web")
    circuits["sessions"].force_open()
    book = partial_failure(components=["redis", "sessions"], fall_back=_refuse)
    run = mode.run(book)
    assert run.wait(5) is RunOutcome.FAILED
    assert shown(run)["isolate"] == "undone"
    states = [circuits[name].state.value for name, _ in CHAIN]
    assert states == ["half-open", "forced-open", "open"]


def test_a_keyed_breaker_is_isolated_and_readmitted(
    mode: SystemOperationMode, clock: ManualClock
) -> None:
    """Also for keys that come while it is shut, and if there was no key yet."""
    shard = breaker("shard", key=lambda key: key, mode=mode, clock=clock)
    mode.mark_degraded("shard", "corrupt", severity="critical")
    refused: list[int] = []

    def queue() -> None:
        for key in (1, 2):
            with pytest.raises(CircuitOpenError):
                shard.call(lambda key: key, key)
            refused.append(key)

    run = mode.run(partial_failure(queue=queue))
    assert run.wait(5) is RunOutcome.DONE, str(run)
    assert shard.snapshot()["manual"] is None
    assert (refused, [shard.call(lambda key: key, key) for key in (1, 2, 3)]) == ([1, 2], [1, 2, 3])


@pytest.mark.parametrize("keyed", [False, True])
def test_what_a_hand_has_done_meanwhile_stays(
    mode: SystemOperationMode,
    clock: ManualClock,
    keyed: bool,  # noqa: FBT001  (a table)
) -> None:
    """Trial calls are for what is still isolated, not for what somebody has closed."""
    one = breaker("one", key=(lambda key: key) if keyed else None, mode=mode, clock=clock)
    mode.mark_degraded("one", "corrupt", severity="critical")
    run = mode.run(partial_failure(queue=one.close))
    assert run.wait(5) is RunOutcome.DONE, str(run)
    assert one.call(lambda key: key, 1) == 1
    assert (one.state, one.metrics.transitions) == (CircuitState.CLOSED, 0 if keyed else 2)


# Cascade


def test_cascade_emergency(
    mode: SystemOperationMode,
    clock: ManualClock,
    circuits: dict[str, CircuitBreaker],
    tmp_path: Path,
) -> None:
    """All of it: isolated, frozen, written down, restarted in order and checked, then thawed."""
    done: list[str] = []
    up: set[str] = set()

    def restart(name: str) -> Callable[[], None]:
        def go() -> None:
            frozen = mode.frozen
            assert frozen is not None
            assert 0 < frozen.ends_in <= 300
            done.append(name)
            up.add(name)

        return go

    def ping() -> None:
        done.append("ping")
        if "redis" not in up:
            raise ConnectionError

    mode.probe("redis", ping, interval=10_000, failed_after=1)
    book = cascade_emergency(
        tmp_path / "deep" / "down",
        restart={name: restart(name) for name in ("web", "mail", "sessions", "redis")},
        verify={"sessions": lambda: "sessions" in up},
        drain=lambda: [{"order": 1}, {"order": 2}],
        notify=calls(done, "page"),
    )
    mode.runbook(book, on="cascade")
    spread(circuits, "redis", "sessions", "web")
    settle(mode, clock, 20)
    run = mode.runs[0]
    assert run.outcome is RunOutcome.DONE, str(run)
    assert [one for one in done if one != "ping"] == ["page", "redis", "sessions", "web"]
    assert done.index("redis") < len(done) - 1 - done[::-1].index("ping") < done.index("sessions")
    names = ["isolate", "freeze", "snapshot", "notify", "drain", "write queues"]
    for name in ("redis", "sessions", "web", "mail"):
        names += [f"restart {name}", f"verify {name}", f"readmit {name}"]
    assert sorted(shown(run)) == sorted([*names, "readmit", "thaw"])
    skipped = [name for name, state in shown(run).items() if state == "skipped"]
    assert sorted(skipped) == ["readmit mail", "restart mail", "verify mail", "verify web"]
    assert mode.frozen is None
    assert {circuits[name].state for name, _ in CHAIN} == {CircuitState.HALF_OPEN}
    assert circuits["mail"].state is CircuitState.CLOSED
    queues, snapshot = sorted((tmp_path / "deep" / "down").iterdir())
    stem = f"cascade-emergency-1-19700112T134640Z-{os.getpid()}"
    assert [queues.name, snapshot.name] == [f"{stem}-queues.json", f"{stem}-snapshot.json"]
    assert json.loads(queues.read_text()) == [{"order": 1}, {"order": 2}]
    held = json.loads(snapshot.read_text())
    assert (held["trigger"], held["chain"]) == ("redis", ["redis", "sessions", "web"])
    forced = [one["name"] for one in held["breakers"] if one["state"] == "forced-open"]
    assert forced == ["redis", "sessions", "web"]
    assert [one["name"] for one in held["components"] if one["health"] == 0] == sorted(forced)
    assert any("CASCADE: redis -> sessions -> web" in reason for reason in held["reasons"])


def test_an_old_answer_is_no_proof(
    mode: SystemOperationMode,
    clock: ManualClock,
    circuits: dict[str, CircuitBreaker],
    tmp_path: Path,
) -> None:
    """What the probe said before the restart says nothing about what runs now."""
    done: list[str] = []
    mode.probe("redis", calls(done, "ping"), interval=10_000, jitter=0)
    settle(mode, clock)
    assert mode.probes["redis"].status is ProbeStatus.HEALTHY
    clock.advance(1)
    spread(circuits, "redis", "sessions")
    run = mode.run(cascade_emergency(tmp_path, restart={"redis": calls(done, "restart")}))
    settle(mode, clock, 5)
    assert run.outcome is RunOutcome.DONE, str(run)
    assert done == ["ping", "restart", "ping"]


def test_what_does_not_come_up_stops_the_rest(
    mode: SystemOperationMode,
    clock: ManualClock,
    circuits: dict[str, CircuitBreaker],
    tmp_path: Path,
) -> None:
    """The probe is asked for about a minute; then trial calls are let in, and the freeze ends."""
    done: list[str] = []
    mode.probe("redis", _refuse, interval=10_000, failed_after=1)
    restart = {name: calls(done, name) for name, _ in CHAIN}
    mode.runbook(cascade_emergency(tmp_path, restart=restart), on="cascade")
    spread(circuits, "redis", "sessions")
    settle(mode, clock, 60)
    run = mode.runs[0]
    assert (run.finished, done) == (False, ["redis"])
    assert mode.frozen is not None
    settle(mode, clock, 10)
    assert run.outcome is RunOutcome.FAILED
    assert "the gate stays shut" in str(run.error)
    assert (done, mode.frozen) == (["redis"], None)
    assert circuits["redis"].state is CircuitState.HALF_OPEN
    assert [text for text in mode.reasons if text.startswith("RUNBOOK: cascade-emergency-1 failed")]


def test_a_snapshot_that_cannot_be_written_stops_nothing(
    mode: SystemOperationMode, circuits: dict[str, CircuitBreaker], tmp_path: Path
) -> None:
    """A full disk is no reason to leave the system down; the step says why."""
    blocked = tmp_path / "file"
    blocked.write_text("not a directory")
    spread(circuits, "redis", "sessions")
    run = mode.run(cascade_emergency(blocked))
    assert run.wait(5) is RunOutcome.DONE
    assert shown(run)["snapshot"] == "failed"
    assert blocked.read_text() == "not a directory"


def test_what_is_not_provided_is_listed(mode: SystemOperationMode, tmp_path: Path) -> None:
    """A dry run names the places of a ready-made book that nobody has filled, and does nothing."""

    def never() -> None:
        raise AssertionError

    books = {
        partial_failure(queue=never): {"notify", "fall back"},
        cascade_emergency(tmp_path): {"notify", "drain", "write queues", "restart"},
        disaster_recovery(tmp_path, validate=never): {
            "preserve",
            "notify",
            "restore",
            "replay",
            "admit",
        },
    }
    for book, missing in books.items():
        run = mode.run(book, dry_run=True)
        run.wait(5)
        assert {one.name for one in run.steps if one.note == "not provided"} == missing
    assert (mode.current, mode.frozen, list(tmp_path.iterdir())) == (Mode.NORMAL, None, [])


def test_a_longer_freeze_by_hand_stays(
    mode: SystemOperationMode, circuits: dict[str, CircuitBreaker], tmp_path: Path
) -> None:
    """The book neither shortens nor ends what a hand, or another run, has frozen."""
    for reason in ("by hand", "cascade-emergency-22: a cascade"):
        mode.freeze(reason, ttl=1000)
        run = mode.run(cascade_emergency(tmp_path))
        assert run.wait(5) is RunOutcome.DONE
        assert mode.frozen is not None
        assert mode.frozen.reason == reason


# Disaster


def test_disaster_recovery(
    mode: SystemOperationMode,
    clock: ManualClock,
    circuits: dict[str, CircuitBreaker],
    tmp_path: Path,
) -> None:
    """EMERGENCY and frozen until the data are checked; then the ordinary way back."""
    done: list[str] = []

    def check() -> bool:
        frozen, override = mode.frozen, mode.explain().override
        assert frozen is not None
        assert override is not None
        assert (frozen.ends_in, override.owner) == (4 * 3600, "disaster-recovery")
        done.append("validate")
        return True

    mode.force("degraded", reason="earlier")
    mode.release()
    places = ("preserve", "notify", "restore", "replay", "admit")
    given: dict[str, Any] = {name: calls(done, name) for name in places}
    run = mode.run(disaster_recovery(tmp_path, validate=check, **given))
    settle(mode, clock)
    assert run.outcome is RunOutcome.DONE, str(run)
    assert done == ["preserve", "notify", "restore", "replay", "validate", "admit"]
    assert (mode.frozen, mode.explain().override, mode.current) == (None, None, Mode.EMERGENCY)
    settle(mode, clock, 120)
    assert mode.current is Mode.NORMAL
    (file,) = tmp_path.iterdir()
    held = json.loads(file.read_text())
    assert held["mode"] == "EMERGENCY"
    assert [(one["old"], one["new"]) for one in held["history"]] == [
        ("normal", "degraded"),
        ("degraded", "emergency"),
    ]
    assert held["runs"][0]["run"] == "disaster-recovery-1"
    assert [one["name"] for one in held["breakers"]] == ["mail", "redis", "sessions", "web"]


@pytest.mark.parametrize("answer", [False, None, 0, "", ConnectionError("gone")])
def test_nobody_is_let_in_to_what_was_not_checked(
    mode: SystemOperationMode, clock: ManualClock, tmp_path: Path, answer: object
) -> None:
    """The gate must answer true; else maintenance stays, until a hand ends it."""

    def check() -> object:
        if isinstance(answer, Exception):
            raise answer
        return answer

    run = mode.run(disaster_recovery(tmp_path, validate=step("sums", check, on_failure="skip")))
    assert run.wait(5) is RunOutcome.FAILED
    assert (shown(run)["sums"], shown(run)["return"]) == ("failed", "pending")
    assert shown(run)["maintenance"] == "done"
    assert mode.frozen is not None
    clock.advance(1000)
    assert mode.current is Mode.EMERGENCY
    assert mode.release("disaster-recovery")
    assert mode.thaw()


def test_without_evidence_nothing_is_restored(mode: SystemOperationMode, tmp_path: Path) -> None:
    """What is overwritten cannot be looked at afterwards."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    done: list[str] = []
    book = disaster_recovery(blocked, restore=calls(done, "restore"), validate=lambda: True)
    run = mode.run(book)
    assert run.wait(5) is RunOutcome.FAILED
    assert (shown(run)["evidence"], done) == ("failed", [])


@pytest.mark.parametrize(
    ("make", "setting"),
    [
        (lambda: partial_failure(name=""), "name"),
        (lambda: partial_failure(components=[""]), "name"),
        (lambda: partial_failure(queue=_any(3)), "fn"),
        (lambda: cascade_emergency("x", ttl=0), "ttl"),
        (lambda: cascade_emergency("x", restart={"": _refuse}), "name"),
        (lambda: cascade_emergency("x", restart={"a": _any(3)}), "fn"),
        (lambda: disaster_recovery("x", validate=_any(None)), "validate"),
        (lambda: disaster_recovery("x", validate=_refuse, timeout=0), "timeout"),
    ],
)
def test_bad_settings_are_refused(make: Callable[[], object], setting: str) -> None:
    """When the book is made, by the name of the setting."""
    with pytest.raises(ConfigError) as refusal:
        make()
    assert refusal.value.setting == setting


def _any(value: Any) -> Any:
    """What no type checker would let through."""
    return value


# Files


def test_a_file_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An old one stays as it was if the new one cannot be brought to the disk."""
    path = tmp_path / "snapshot.json"
    write_whole(path, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(path, b"new")
    assert (path.read_bytes(), len(list(tmp_path.iterdir()))) == (b"old", 1)


CIRCLE: list[Any] = []
CIRCLE.append(CIRCLE)


class Wordless:
    """An object that cannot be shown."""

    def __repr__(self) -> str:
        """Refuse."""
        raise RuntimeError


@pytest.mark.parametrize(
    ("data", "written"),
    [
        ([{"order": 42}], [{"order": 42}]),
        (deque([1, "a"]), "deque([1, 'a'])"),
        (ValueError("x" * 300), f"ValueError('{'x' * 300}')"),
        ([Wordless()], ["<Wordless without words>"]),
        ("half a character: \udc80", r"'half a character: \udc80'"),
        ({(1, 2): "a pair"}, "{(1, 2): 'a pair'}"),
        ({None: 1, True: 2}, "{None: 1, True: 2}"),
        (CIRCLE, "[[...]]"),
    ],
)
def test_whatever_was_drained_is_written(tmp_path: Path, data: Any, written: Any) -> None:
    """What was taken out of a queue is nowhere else any more."""
    path = dump(tmp_path, RunContext("b-1", 1, "b", "drill"), "queues", data)
    assert json.loads(Path(path).read_text()) == written


def test_files_have_names_of_their_own(tmp_path: Path) -> None:
    """Two modes of a process may run books of one name at once; names may be long, and odd."""
    for book in ("b", "b", "b", "\U0001f525" * 300, "../etc/passwd"):
        dump(tmp_path, RunContext(f"{book}-1", 1, book, "drill"), "snapshot", {})
    names = {path.name for path in tmp_path.iterdir()}
    stem = f"b-1-19700101T000000Z-{os.getpid()}-snapshot"
    assert len(names) == 5
    assert names >= {f"{stem}.json", f"{stem}-2.json", f"{stem}-3.json"}


def test_killed_in_the_middle(tmp_path: Path) -> None:
    """Of a process that is killed while it writes a large snapshot, no half one is left."""
    code = """
        import pathlib, sys
        from resilient.system.runbooks.dump import write_whole
        data = b"1" * 32_000_000
        print("ready", flush=True)
        write_whole(pathlib.Path(sys.argv[1]) / "snapshot.json", data)
    """
    for turn in range(3):
        place = tmp_path / str(turn)
        place.mkdir()
        command = [sys.executable, "-c", textwrap.dedent(code), str(place)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            while not list(place.iterdir()):
                pass  # from now on it is in the middle of it
            process.send_signal(signal.SIGKILL)
        sizes = {path.name: path.stat().st_size for path in place.glob("*.json")}
        assert sizes in ({}, {"snapshot.json": 32_000_000})

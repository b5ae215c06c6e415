"""A reload changes the limits of policies that live, and they forget nothing."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import pytest
from hypothesis import given
from hypothesis import strategies as st

import resilient
from resilient import (
    CircuitState,
    ConfigError,
    Configuration,
    Mode,
    Rejected,
    SystemOperationMode,
    configure,
)
from resilient.core.configured import configured
from resilient.core.defaults import SECTIONS, SETTINGS
from resilient.core.setting import Setting
from resilient.core.values import Values
from resilient.testing import ManualClock

Code = dict[str, Any]


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing is configured, nobody follows, and there is no file."""
    monkeypatch.setattr(configured, "values", Values())
    monkeypatch.setattr(configured, "_followers", WeakKeyDictionary())
    monkeypatch.chdir(tmp_path)


def change(**code: Any) -> Configuration:
    """Configure anew, from code alone."""
    return configure(environ={}, **code)


class Down(Exception):  # noqa: N818  (an application's own)
    """The dependency does not answer."""


def well(*_: object) -> str:
    """Answer."""
    return "well"


def fails() -> None:
    """Fail."""
    raise Down


def fail(policy: Any, times: int) -> None:
    """Let so many calls fail."""
    for _ in range(times):
        with pytest.raises(Down):
            policy.call(fails)


# Breakers


def test_a_breaker_keeps_window_streak_and_counts() -> None:
    """Four failures are still four when five are too many, and one more opens it."""
    clock = ManualClock()
    db = resilient.breaker("db", clock=clock)
    fail(db, 4)
    before = db.metrics
    change(breaker={"failure_threshold": 6, "reset_timeout": 5})
    assert db.metrics == before
    fail(db, 1)
    assert db.state is CircuitState.CLOSED
    fail(db, 1)
    assert db.state is CircuitState.OPEN
    clock.advance(4.9)
    with pytest.raises(Rejected):
        db.call(well)
    clock.advance(0.2)
    assert db.call(well) == "well"
    assert db.state is CircuitState.CLOSED


def test_a_lower_threshold_is_judged_at_the_next_outcome() -> None:
    """A reload opens nothing by itself: that is for the next failure."""
    db = resilient.breaker("db", clock=ManualClock())
    fail(db, 4)
    change(breaker={"failure_threshold": 2})
    assert db.state is CircuitState.CLOSED
    fail(db, 1)
    assert db.state is CircuitState.OPEN


def test_an_open_circuit_stays_open_for_its_time() -> None:
    """The open time that runs ends when it was to end; the next one is as long as configured."""
    clock = ManualClock()
    db = resilient.breaker("db", failure_threshold=1, clock=clock)
    fail(db, 1)
    change(breaker={"reset_timeout": 5})
    clock.advance(59)
    with pytest.raises(Rejected) as caught:
        db.call(well)
    assert caught.value.retry_after == 1.0
    clock.advance(1)
    fail(db, 1)
    clock.advance(5)
    assert db.call(well) == "well"


def test_a_longer_window_keeps_what_a_shorter_one_held() -> None:
    """The outcomes stay in the window, as if they had just happened."""
    clock = ManualClock()
    db = resilient.breaker("db", failure_threshold=None, clock=clock)
    fail(db, 3)
    clock.advance(20)
    for _ in range(7):
        db.call(well)
    before = db.metrics
    change(breaker={"window": 100, "minimum_calls": 10})
    assert (db.metrics.calls, db.metrics.failures) == (before.calls, before.failures) == (10, 3)
    assert db.metrics.failure_rate == 0.3
    clock.advance(89)
    db.call(well)
    assert db.metrics.calls == 11
    clock.advance(12)
    assert db.metrics.calls == 1


def test_calls_under_way_count_after_a_reload() -> None:
    """A call that began by the old rules is judged by the new ones."""
    clock = ManualClock()
    db = resilient.breaker("db", clock=clock)

    def meanwhile() -> None:
        change(breaker={"window": 60, "slow_call_duration": 1, "minimum_calls": 1})
        clock.advance(2)

    db.call(meanwhile)
    assert (db.metrics.calls, db.metrics.slow) == (1, 1)
    assert db.state is CircuitState.OPEN


def test_the_straight_line_learns_of_slow_calls() -> None:
    """A decorated function that succeeds costs no lock, and still obeys the new rules."""
    clock = ManualClock()
    db = resilient.breaker("db", clock=clock)

    @db
    def query() -> None:
        clock.advance(2)

    query()
    change(breaker={"slow_call_duration": 1, "slow_call_rate": 0.5, "minimum_calls": 2})
    query()
    assert db.metrics.slow == 1
    assert db.state is CircuitState.OPEN


def test_every_key_follows() -> None:
    """The circuits of all keys, and those to come."""
    hosts = resilient.breaker("hosts", key=lambda host: host, clock=ManualClock())

    @hosts
    def ask(host: str) -> None:
        raise Down

    def failing(host: str) -> CircuitState:
        with pytest.raises((Down, Rejected)):
            ask(host)
        return hosts.for_key(host).state

    assert failing("a") is CircuitState.CLOSED
    change(breaker={"hosts": {"failure_threshold": 2}})
    assert failing("a") is CircuitState.OPEN
    assert [failing("b"), failing("b")] == [CircuitState.CLOSED, CircuitState.OPEN]


def test_what_was_given_stays() -> None:
    """A number in the program is nobody's default."""
    mine = resilient.breaker("db", reset_timeout=7, window=resilient.calls(10), minimum_calls=5)
    change(breaker={"reset_timeout": 1, "window": 1, "minimum_calls": 1, "half_open_calls": 4})
    assert (mine.rules.reset_timeout, mine.rules.window_calls, mine.rules.minimum_calls) == (
        7,
        10,
        5,
    )
    assert mine.rules.half_open_calls == 4


@pytest.mark.parametrize(
    ("made", "code", "expected"),
    [
        ({"window": resilient.calls(5)}, {"minimum_calls": 8}, {"minimum_calls": 5}),
        ({"reset_timeout": 90}, {"max_reset_timeout": 30}, {"max_reset_timeout": 90}),
        ({}, {"reset_timeout": 900}, {"max_reset_timeout": 900, "half_open_timeout": 900}),
        ({}, {"half_open_timeout": 3}, {"half_open_timeout": 3}),
    ],
)
def test_a_general_number_fits_itself_in(made: Code, code: Code, expected: Code) -> None:
    """What is configured for all gives way to what one of them was given."""
    db = resilient.breaker("db", **made)
    change(breaker=code)
    assert {name: getattr(db.rules, name) for name in expected} == expected


# Retries


def test_a_retry_follows() -> None:
    """Attempts and backoff, also for a call that has begun."""
    clock = ManualClock()
    asked: list[float] = []
    again = resilient.retry(on=Down, clock=clock)

    @again
    def ask() -> None:
        asked.append(clock.monotonic())
        if len(asked) == 2:
            change(retry={"attempts": 5, "initial_delay": 1e-9, "max_delay": 1e-9})
        raise Down

    with pytest.raises(Down):
        ask()
    assert len(asked) == 5
    assert asked[-1] - asked[1] < 1e-6


@pytest.mark.parametrize(
    ("made", "attempts"),
    [({}, 7), ({"attempts": 2}, 2), ({"wait": 0.0}, 7), ({"max_delay": 0}, 7)],
)
def test_what_a_retry_was_given_stays(made: dict[str, Any], attempts: int) -> None:
    """Attempts and wait each follow only if they were not given."""
    again = resilient.retry(on=Down, **made)
    wait = again.rules.wait
    change(retry={"attempts": 7, "max_delay": 0.5})
    assert again.rules.attempts == attempts
    assert (again.rules.wait is wait) == ("wait" in made)
    change()
    assert again.rules.attempts == made.get("attempts", 3)


# Bulkheads


def entered(gate: Any, out: list[str], go: threading.Event, name: str) -> threading.Thread:
    """A thread that makes one call, which lasts until `go`."""

    def call() -> None:
        try:
            with gate:
                out.append(name)
                go.wait(30)
        except Rejected:
            out.append(f"{name} refused")

    thread = threading.Thread(target=call)
    thread.start()
    return thread


def until(condition: Callable[[], bool]) -> None:
    """Wait for other threads."""
    for _ in range(3000):
        if condition():
            return
        threading.Event().wait(0.01)
    raise AssertionError


def queueing(gate: Any, number: int) -> bool:
    """Whether so many wait."""
    return bool(gate.queued == number)


def test_a_bulkhead_grows_and_lets_waiters_in() -> None:
    """Those who wait get the new places at once, in their order."""
    change(bulkhead={"limit": 1, "queue": 5})
    reports, out, go = resilient.bulkhead("reports"), list[str](), threading.Event()
    threads = [entered(reports, out, go, "a")]
    until(lambda: out == ["a"])
    for name in "bcd":
        waiting = reports.queued
        threads.append(entered(reports, out, go, name))
        until(partial(queueing, reports, waiting + 1))
    change(bulkhead={"limit": 3, "queue": 5})
    until(lambda: len(out) == 3)
    assert sorted(out) == ["a", "b", "c"]
    assert (reports.in_flight, reports.queued, reports.limit) == (3, 1, 3)
    go.set()
    for thread in threads:
        thread.join(30)
    assert (reports.in_flight, reports.queued, sorted(out)) == (0, 0, ["a", "b", "c", "d"])


def test_a_bulkhead_shrinks_while_its_places_are_out() -> None:
    """Nobody is thrown out, and a place comes free only when fewer than the new limit are out."""
    change(bulkhead={"limit": 4})
    reports = resilient.bulkhead("reports")
    permits = [reports.permit() for _ in range(4)]
    for permit in permits:
        permit.__enter__()
    change(bulkhead={"limit": 2})
    assert (reports.in_flight, reports.limit) == (4, 2)
    for left in (3, 2):
        permits.pop().__exit__(None, None, None)
        assert reports.in_flight == left
        with pytest.raises(Rejected):
            reports.call(well)
    permits.pop().__exit__(None, None, None)
    assert reports.call(well) == "well"
    assert reports.in_flight == 1
    change(bulkhead={"limit": 3})
    with reports, reports.permit(), pytest.raises(Rejected):
        reports.call(well)
    permits.pop().__exit__(None, None, None)
    assert reports.in_flight == 0
    assert reports.free is reports._places
    assert len(reports.free) == 3


def test_a_bulkhead_shrinks_while_somebody_waits() -> None:
    """Who waits goes on waiting, and is let in when there is a place by the new limit."""
    change(bulkhead={"limit": 2, "queue": 1})
    reports, out, go = resilient.bulkhead("reports"), list[str](), threading.Event()
    one, two = reports.permit(), reports.permit()
    one.__enter__()
    two.__enter__()
    thread = entered(reports, out, go, "c")
    until(lambda: reports.queued == 1)
    change(bulkhead={"limit": 1, "queue": 0})
    one.__exit__(None, None, None)
    assert (out, reports.queued) == ([], 1)
    two.__exit__(None, None, None)
    until(lambda: out == ["c"])
    go.set()
    thread.join(30)
    assert reports.in_flight == 0


def test_a_bulkhead_without_places_comes_back() -> None:
    """Grown again before its surplus came back, it has as many places as its limit says."""
    change(bulkhead={"limit": 3})
    reports = resilient.bulkhead("reports")
    with reports.permit(), reports.permit(), reports.permit():
        for limit in (1, 5, 2, 3):
            change(bulkhead={"limit": limit})
        assert reports.in_flight == 3
        with pytest.raises(Rejected):
            reports.call(well)
    assert (reports.in_flight, len(reports._places)) == (0, 3)


def test_a_bulkhead_follows_while_the_library_is_off() -> None:
    """The emergency switch hides the limit, and does not keep it from changing."""
    change(bulkhead={"limit": 2})
    reports = resilient.bulkhead("reports")
    with reports.permit(), reports.permit():
        resilient.set_active(False)
        try:
            change(bulkhead={"limit": 1})
            assert reports.call(well) == "well"
        finally:
            resilient.set_active(True)
        with pytest.raises(Rejected):
            reports.call(well)
    assert reports.call(well) == "well"


# Rate limits


@pytest.mark.parametrize("algorithm", ["token_bucket", "fixed_window"])
def test_a_rate_limit_keeps_its_tokens(algorithm: Any) -> None:
    """What was used stays used, what is left stays, as far as it fits."""
    clock = ManualClock()
    change(rate_limit={"rate": 10})
    search = resilient.rate_limit("search", algorithm=algorithm, reserve={}, clock=clock)
    for _ in range(4):
        search.call(well)
    assert search.available == 6
    change(rate_limit={"rate": 5})
    assert search.available == (5 if algorithm == "token_bucket" else 1)
    used = int(search.available)
    for _ in range(used):
        search.call(well)
    with pytest.raises(Rejected):
        search.call(well)
    clock.advance(1)
    assert search.available == 5


def test_whoever_waits_for_a_rate_keeps_the_appointment() -> None:
    """Newcomers wait by the new rate, until what was promised is paid for."""
    clock = ManualClock()
    change(rate_limit={"rate": 1, "burst": 1, "max_wait": 100})
    search = resilient.rate_limit("search", clock=clock)
    bucket = search._only
    assert bucket is not None
    with search._alone(bucket) as now:
        starts = [bucket.reserve(now).start for _ in range(3)]
    assert starts == [0, 1, 2]
    change(rate_limit={"rate": 0.5, "burst": 1, "max_wait": 100})
    with search._alone(bucket) as now:
        assert bucket.wait(now) == 6.0  # three were taken: one every two seconds from now on
        assert bucket.reserve(now).start == 6.0


def test_windows_of_another_length_begin_now() -> None:
    """What was used in the window counts in the first one, and appointments in theirs."""
    clock = ManualClock(100.0)
    change(rate_limit={"rate": 2, "per": 10, "max_wait": 100})
    search = resilient.rate_limit("search", algorithm="fixed_window", reserve={}, clock=clock)
    bucket = search._only
    assert bucket is not None
    clock.advance(4)
    with search._alone(bucket) as now:
        places = [bucket.reserve(now) for _ in range(3)]
    assert [place.start for place in places] == [104, 104, 110]
    change(rate_limit={"rate": 3, "per": 4, "max_wait": 100})
    assert search.available == 1
    with search._alone(bucket) as now:  # windows at 104 (2 used), 108 (1 used), 112
        assert [bucket.reserve(now).start for _ in range(4)] == [104, 108, 108, 112]


def test_a_higher_rate_makes_room_in_windows_to_come() -> None:
    """The next one has places again, though all of them were taken by the old rate."""
    clock = ManualClock()
    change(rate_limit={"rate": 1, "per": 10, "max_wait": 100})
    search = resilient.rate_limit("search", algorithm="fixed_window", reserve={}, clock=clock)
    bucket = search._only
    assert bucket is not None
    with search._alone(bucket) as now:
        assert [bucket.reserve(now).start for _ in range(3)] == [0, 10, 20]
    change(rate_limit={"rate": 3, "per": 10, "max_wait": 100})
    with search._alone(bucket) as now:
        starts = [bucket.reserve(now).start for _ in range(7)]
    assert starts == [0, 0, 10, 10, 20, 20, 30]


def test_every_key_of_a_rate_limit_follows() -> None:
    """The buckets of all keys, and those to come."""
    change(rate_limit={"rate": 2})
    clients = resilient.rate_limit("clients", key=lambda key: key, reserve={}, clock=ManualClock())
    clients.call(well, "a")
    change(rate_limit={"rate": 9})
    assert clients.for_key("a").available == 1
    assert clients.for_key("b").available == 9


# The mode


def test_a_mode_keeps_score_and_history() -> None:
    """What it knows stays, what follows from that is decided by the new settings."""
    clock = ManualClock()
    mode = SystemOperationMode(clock=clock)
    mode.mark_degraded("db", "slow", severity="high")
    clock.advance(60)
    assert mode.current is Mode.EMERGENCY
    history, score = mode.history, mode.score
    change(mode={"thresholds": [95, 80, 60, 30, 10], "confirm_degraded": 1, "dwell": 0})
    assert (mode.history, mode.score) == (history, score)
    mode.clear("db")
    clock.advance(10)
    assert mode.current is Mode.DEGRADED
    assert mode.history[: len(history)] == history


def test_what_has_lasted_counts() -> None:
    """Half of a confirmation is all of it, once half is asked for."""
    clock = ManualClock()
    mode = SystemOperationMode(clock=clock, dwell=0)
    mode.trip("disk")
    mode.untrip("disk")
    clock.advance(20)
    assert mode.current is Mode.EMERGENCY
    change(mode={"confirm_degraded": 15})
    clock.advance(0.001)
    assert mode.current is Mode.DEGRADED


def test_what_a_mode_was_given_stays() -> None:
    """Field for field."""
    mode = SystemOperationMode(tau=9, clock=ManualClock())
    change(mode={"tau": 1, "fresh_for": 10, "interval": 5})
    assert (mode._settings.tau, mode._settings.fresh_for, mode.interval) == (9, 10, 5)
    mode.evaluate()
    assert mode._engine.settings is mode._engine.steady.settings is mode._settings


# All or nothing


def test_a_file_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From where it was, wherever the process has gone meanwhile; what changed is returned."""
    file = tmp_path / "resilient.toml"
    file.write_text("[retry]\nattempts = 4")
    configuration = configure(environ={}, cache={"memory_size": 5})
    again = resilient.retry(on=Down)
    assert again.rules.attempts == 4
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert configuration.reload() == {}
    file.write_text("[retry]\nattempts = 6")
    assert list(configuration.reload()) == ["retry.attempts"]
    assert again.rules.attempts == 6
    file.unlink()
    assert configuration.reload()["retry.attempts"].origin == "default"
    assert (again.rules.attempts, configuration.path) == (3, None)
    assert configuration.settings["cache.memory_size"].value == 5


def test_one_who_cannot_follow_keeps_everybody() -> None:
    """What one policy cannot live with changes none, and the error says which and from where."""
    change(rate_limit={"rate": 4}, retry={"attempts": 4})
    windows = resilient.rate_limit("windows", algorithm="fixed_window")
    others = [resilient.retry(on=Down), resilient.retry(on=Down)]
    with pytest.raises(ConfigError) as caught:
        change(rate_limit={"rate": 2.5}, retry={"attempts": 9})
    error = caught.value
    assert (error.setting, error.value, error.origin) == ("rate_limit.rate", 2.5, "code")
    assert "windows" in error.__notes__[0]
    assert windows.rates.burst == 4
    assert [each.rules.attempts for each in others] == [4, 4]
    assert resilient.retry(on=Down).rules.attempts == 4


class Meddling(ManualClock):
    """A clock that changes the settings when it is first asked."""

    asked = False

    def monotonic(self) -> float:
        """The time."""
        if not self.asked:
            self.asked = True
            change(breaker={"reset_timeout": 3})
        return super().monotonic()


def test_a_change_while_a_policy_is_made_is_not_missed() -> None:
    """A policy that read its settings just before they changed has the new ones when it is made."""
    assert resilient.breaker("db", clock=Meddling()).rules.reset_timeout == 3.0


def test_policies_are_not_kept_alive() -> None:
    """To follow is no reason to live."""
    made = [resilient.breaker("db"), resilient.retry(on=Down), SystemOperationMode()]
    assert len(configured._followers) == 3
    made.clear()
    gc.collect()
    assert len(configured._followers) == 0


def test_who_needs_nothing_does_not_follow() -> None:
    """A policy that was given all it can be given is none of the settings' business."""
    resilient.bulkhead("b", limit=1, queue=0, max_wait=None)
    kept = resilient.rate_limit("r", rate=1, max_wait=0)
    assert len(configured._followers) == 0
    del kept


ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.lists(st.floats(), max_size=6),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
    st.datetimes(),
    st.binary(max_size=4),
    st.builds(object),
)
WORLD: Code = {
    "breaker": {"failure_threshold": 7, "reset_timeout": 20},
    "retry": {"attempts": 4},
    "bulkhead": {"limit": 3, "queue": 2},
    "rate_limit": {"rate": 4},
    "mode": {"tau": 3},
}


def refused(setting: Setting, value: object) -> bool:
    """Whether a setting does not take a value."""
    try:
        setting.read(value)
    except ValueError:
        return True
    return False


@given(
    bad=st.tuples(st.sampled_from(SETTINGS), ANYTHING).filter(lambda pair: refused(*pair)),
    good=st.dictionaries(st.sampled_from(["attempts"]), st.integers(1, 9)),
    named=st.booleans(),
)
def test_a_bad_value_changes_nothing(
    bad: tuple[Setting, object],
    good: dict[str, int],
    named: bool,  # noqa: FBT001  (drawn)
) -> None:
    """Whatever is wrong with it, and whatever else is right: all stays as it was."""
    configured.values, configured._followers = Values(), WeakKeyDictionary()
    configuration = change(**WORLD)
    db, again = resilient.breaker("db"), resilient.retry(on=Down)
    reports, search = resilient.bulkhead("reports"), resilient.rate_limit("search")
    mode = SystemOperationMode(clock=ManualClock())

    def state() -> tuple[object, ...]:
        return (
            *(db.rules, again.rules, reports.limit, reports._room.most, search.rates),
            *(mode._settings, mode.interval, configured.values, dict(configuration.settings)),
        )

    before = state()
    setting, value = bad
    section: dict[str, Any] = {setting.name: value}
    if named and setting.section in ("breaker", "bulkhead", "rate_limit"):
        section = {"db": section}
    code = {"retry": good} | {setting.section: section}
    with pytest.raises(ConfigError):
        change(**code)
    assert state() == before


@given(st.sampled_from(SETTINGS), ANYTHING)
def test_nothing_but_a_value_error_comes_of_reading(setting: Setting, value: object) -> None:
    """Whatever a file or a program holds, it is read or refused; and so is any text."""
    for lax in (False, True):
        if lax and not isinstance(value, str):
            continue
        try:
            read = setting.read(value, lax=lax)
        except ValueError:
            continue
        assert setting.read(read) == read  # what is taken once is taken again
    assert SECTIONS[setting.section][setting.name] is setting


def test_what_nobody_uses_any_more_refuses_nothing() -> None:
    """A policy in a circle of references is no living one, even before it is collected."""
    gc.collect()
    gc.disable()
    try:
        change(bulkhead={"limit": 2})
        circle: list[Any] = [resilient.bulkhead("reports")]
        circle.append(circle)
        del circle
        change()
    finally:
        gc.enable()


def test_a_child_of_a_fork_during_a_reload_reloads() -> None:
    """The parent's lock, held at that instant, is not waited for."""
    configuration = change(retry={"attempts": 4})
    with configuration._lock:
        child = os.fork()
        if child == 0:
            done: list[object] = []
            thread = threading.Thread(target=lambda: done.append(configuration.reload()))
            thread.daemon = True
            thread.start()
            thread.join(10)
            os._exit(0 if done == [{}] else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

"""Settings that change while threads call: no call fails of that, and no place is lost."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any
from weakref import WeakKeyDictionary

import pytest

import resilient
from resilient import CircuitState, Rejected, SystemOperationMode, configure
from resilient.core.configured import configured
from resilient.core.values import Values

CALLERS, CALLS, CHANGES = 4, 250, 25


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing is configured, nobody follows, and threads take turns often."""
    monkeypatch.setattr(configured, "values", Values())
    monkeypatch.setattr(configured, "_followers", WeakKeyDictionary())
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    yield
    sys.setswitchinterval(interval)


def together(call: Callable[[], None], changes: list[dict[str, Any]]) -> None:
    """Call from all threads while the settings go through `changes`, again and again."""
    errors: list[BaseException] = []
    start = threading.Barrier(CALLERS + 1)

    def caller() -> None:
        start.wait()
        try:
            for _ in range(CALLS):
                call()
        except BaseException as error:  # noqa: BLE001  (told by the test)
            errors.append(error)

    threads = [threading.Thread(target=caller) for _ in range(CALLERS)]
    for thread in threads:
        thread.start()
    start.wait()
    for number in range(CHANGES):
        configure(environ={}, **changes[number % len(changes)])
    for thread in threads:
        thread.join()
    assert not errors


def test_a_breaker_counts_every_call() -> None:
    """Whatever its window, its limits and its thresholds become meanwhile."""
    db = resilient.breaker("db", failure_threshold=None)

    @db
    def query() -> None:
        """Answer."""

    rules = ({"window": 1000, "minimum_calls": 5}, {"window": 3000, "slow_call_duration": 50})
    together(query, [{"breaker": each} for each in rules])
    assert db.metrics.calls == CALLERS * CALLS
    assert (db.metrics.failures, db.state) == (0, CircuitState.CLOSED)


def test_a_breaker_keeps_every_failure() -> None:
    """Failures from all threads are all in the window, however often that is made anew."""
    db = resilient.breaker("db", failure_threshold=None)

    @db
    def query() -> None:
        raise LookupError

    def call() -> None:
        with pytest.raises(LookupError):
            query()

    together(call, [{"breaker": {"window": each}} for each in (1000, 2000, 5000)])
    assert db.metrics.failures == db.metrics.calls == CALLERS * CALLS


def test_a_bulkhead_never_exceeds_the_largest_limit() -> None:
    """Nor does a place get lost: at the end there are as many as it says."""
    configure(environ={}, bulkhead={"limit": 4})
    reports = resilient.bulkhead("reports")
    inside = iter(range(10**9))
    most = [0]
    count = [0]
    lock = threading.Lock()

    @reports
    def render() -> None:
        with lock:
            count[0] += 1
            most[0] = max(most[0], count[0])
        next(inside)
        with lock:
            count[0] -= 1

    def call() -> None:
        try:
            render()
        except Rejected as error:
            assert error.name == "reports"  # noqa: PT017  (a rejection is one of two good ends)

    together(call, [{"bulkhead": {"limit": limit}} for limit in (1, 4, 2, 3)])
    assert most[0] <= 4
    configure(environ={}, bulkhead={"limit": 3})
    assert reports.in_flight == 0
    with reports.permit(), reports.permit(), reports.permit(), pytest.raises(Rejected):
        render()
    assert (reports.in_flight, len(reports._places)) == (0, 3)


def test_nobody_who_waits_for_a_bulkhead_is_forgotten() -> None:
    """Every call gets its turn, whatever the limit was when it began to wait."""
    configure(environ={}, bulkhead={"limit": 2, "queue": 100})
    reports = resilient.bulkhead("reports", max_wait=30)
    done = []

    @reports
    def render() -> None:
        done.append(1)

    together(render, [{"bulkhead": {"limit": n, "queue": 100}} for n in (1, 3, 2, 5)])
    assert len(done) == CALLERS * CALLS
    assert (reports.in_flight, reports.queued) == (0, 0)


@pytest.mark.parametrize("algorithm", ["token_bucket", "fixed_window"])
def test_a_rate_limit_admits_no_more_than_the_highest_rate(algorithm: Any) -> None:
    """Rates so low that no token comes back in the time of a test: what was there is all there is.

    Of windows one may end while the test runs, which gives the places of one more.
    """
    settings = [{"rate": rate, "per": 10_000} for rate in (50, 90, 10)]
    configure(environ={}, rate_limit=settings[1])
    search = resilient.rate_limit("search", algorithm=algorithm, reserve={})
    admitted = []

    @search
    def find() -> None:
        admitted.append(1)

    def call() -> None:
        try:
            find()
        except Rejected as error:
            assert error.name == "search"  # noqa: PT017  (a rejection is one of two good ends)

    together(call, [{"rate_limit": each} for each in settings])
    assert 10 <= len(admitted) <= 90


def test_a_retry_makes_one_of_its_numbers_of_attempts() -> None:
    """Each call sees a number that was configured at some time, never half of a change."""
    counts: set[int] = set()
    again = resilient.retry(on=LookupError, wait=0)

    def call() -> None:
        tried = []

        def ask() -> None:
            tried.append(1)
            raise LookupError

        with pytest.raises(LookupError):
            again.call(ask)
        counts.add(len(tried))

    together(call, [{"retry": {"attempts": each}} for each in (2, 3, 4)])
    assert counts <= {2, 3, 4}


def test_policies_made_meanwhile_follow() -> None:
    """A policy that is made while settings change has the last ones in the end."""
    made: list[Any] = []

    def call() -> None:
        if len(made) < 300:
            made.append(resilient.breaker("db"))
            made.append(resilient.retry(on=LookupError))

    together(call, [{"breaker": {"reset_timeout": n}, "retry": {"attempts": n}} for n in (2, 3, 4)])
    configure(environ={}, breaker={"reset_timeout": 9}, retry={"attempts": 9})
    found = {getattr(one.rules, "attempts", None) or one.rules.reset_timeout for one in made}
    assert found == {9}


def test_a_mode_goes_on() -> None:
    """It is read from all threads, and changes for no other reason than evidence."""
    mode = SystemOperationMode()
    mode.mark_degraded("db", "slow", severity="low")

    def call() -> None:
        assert mode.current.name == "NORMAL"

    together(call, [{"mode": {"tau": tau, "fresh_for": 60 + tau}} for tau in (1, 2, 3)])
    mode.evaluate()
    assert mode._engine.settings is mode._settings
    assert mode.history == ()

"""Laws of the mode over real breakers and fallbacks."""

from __future__ import annotations

import threading
import time

import pytest

import resilient
from resilient import CircuitBreaker, Mode, SystemOperationMode, breaker, fallback
from resilient.testing import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    """A clock of this test's own."""
    return ManualClock()


@pytest.fixture
def mode(clock: ManualClock) -> SystemOperationMode:
    """A mode of this test's own."""
    return SystemOperationMode(clock=clock)


def critical(mode: SystemOperationMode, clock: ManualClock, **more: object) -> CircuitBreaker:
    """A breaker that the system cannot do without."""
    return breaker("payments", criticality="critical", mode=mode, clock=clock, **more)  # type: ignore[arg-type]  # keywords by name


def fail() -> str:
    """A dependency that is down."""
    raise ConnectionError


def test_an_outage_from_end_to_end(mode: SystemOperationMode, clock: ManualClock) -> None:
    """Five failures are an EMERGENCY; closed again, DEGRADED and NORMAL follow in their times."""
    payments = critical(mode, clock)
    assert payments.call(lambda: "paid") == "paid"
    assert mode.current is Mode.NORMAL
    for _ in range(5):
        with pytest.raises(ConnectionError):
            payments.call(fail)
    assert mode.current is Mode.EMERGENCY
    assert mode.explain().contributions[0].signal == "breaker"
    clock.advance(60)
    assert payments.call(lambda: "paid") == "paid"
    seen = []
    for _ in range(120):
        payments.call(lambda: "paid")
        clock.advance(1)
        seen.append(mode.current)
    assert list(dict.fromkeys(seen)) == [Mode.EMERGENCY, Mode.DEGRADED, Mode.NORMAL]


def test_an_outage_behind_a_working_fallback(mode: SystemOperationMode, clock: ManualClock) -> None:
    """As long as the fallback answers, a dead critical dependency is DEGRADED, no EMERGENCY."""
    payments = critical(mode, clock)
    mode.metric("everything else", weight=40, expect_every=60).set(1.0)
    guarded = fallback(resilient.value("later"))(payments(fail))
    seen = set()
    for _ in range(30):
        assert guarded() == "later"
        clock.advance(1)
        seen.add(mode.current)
    assert seen == {Mode.NORMAL, Mode.DEGRADED}
    assert mode.explain().gates[0].softened


def test_one_circuit_of_many_is_no_emergency(mode: SystemOperationMode, clock: ManualClock) -> None:
    """A keyed breaker counts by the mean of its circuits, and one of them trips nothing."""
    payments = critical(mode, clock, key=lambda host: host)

    @payments
    def pay(host: str) -> str:
        if host == "ill":
            raise ConnectionError
        return "paid"

    for host in "abcdefghi":
        pay(host)
    for _ in range(5):
        with pytest.raises(ConnectionError):
            pay("ill")
    assert mode.current is Mode.NORMAL
    health = mode.explain().contributions[0].health
    assert health is not None
    assert 0.5 < health < 1


def test_shed_calls_are_no_evidence(mode: SystemOperationMode, clock: ManualClock) -> None:
    """What our own breaker refuses says nothing about the dependency."""
    payments = critical(mode, clock, failure_threshold=None, failure_rate=0.5)
    for _ in range(10):
        payments.call(lambda: "paid")
        with pytest.raises(ConnectionError):
            payments.call(fail)
    failed = payments.metrics.failures
    for _ in range(50):
        with pytest.raises(resilient.CircuitOpenError):
            payments.call(fail)
    assert payments.metrics.failures == failed
    assert mode.current is Mode.EMERGENCY


def test_latency_of_a_real_breaker(mode: SystemOperationMode, clock: ManualClock) -> None:
    """A component with bounds is judged by the 95th percentile of its calls."""
    slow = breaker("search", mode=mode, clock=clock)
    mode.component("search", latency_target=0.1, latency_limit=0.5)
    for _ in range(30):
        slow.call(lambda: clock.advance(0.3))
    (row,) = mode.explain().contributions
    assert row.signal == "latency"
    assert row.health == pytest.approx(0.5, abs=0.2)


def test_a_breaker_of_another_mode_does_not_wake_this_one(
    mode: SystemOperationMode, clock: ManualClock
) -> None:
    """With ten thousand modes in a process, one breaker that opens is news to one of them."""
    other = SystemOperationMode(clock=clock)
    ours, theirs = critical(mode, clock), critical(other, clock)
    mode.evaluate()
    other.evaluate()
    before = mode._dirt
    theirs.open()
    assert mode._dirt is before
    assert other.current is Mode.EMERGENCY
    ours.open()
    assert mode._dirt is not before
    assert mode.current is Mode.EMERGENCY


def test_a_breaker_made_since_the_last_look_is_heard(
    mode: SystemOperationMode, clock: ManualClock
) -> None:
    """Nobody has asked the new one yet, and its opening counts."""
    critical(mode, clock)
    mode.evaluate()
    late = breaker("late", criticality="critical", mode=mode, clock=clock)
    late.open()
    assert mode.current is Mode.EMERGENCY


def test_a_signal_in_the_midst_of_a_breaker_does_not_lock_up_the_mode() -> None:
    """The thread that was interrupted holds what the evaluation of another waits for.

    A trip in a signal handler must come back nevertheless, and be obeyed.
    """
    mode = SystemOperationMode()
    payments = critical(mode, ManualClock())
    evaluating = threading.Thread(target=mode.evaluate)
    with payments.lock:  # as a call that is being counted
        evaluating.start()
        while not mode._owner:
            time.sleep(0.001)  # until the other thread is at it
        mode.trip("told by a signal")
    evaluating.join(30)
    assert not evaluating.is_alive()
    assert mode.flush(10)
    assert mode.current is Mode.EMERGENCY

"""A health check knows the state of the breaker, the probe, and what set the health."""

from __future__ import annotations

import msgspec
import pytest

from resilient import Mode, SystemOperationMode, breaker, outcome
from resilient.system.impact.checkup import CheckStatus, status_of
from resilient.testing import ManualClock


@pytest.mark.parametrize(
    ("health", "status"),
    [
        (1.0, CheckStatus.OK),
        (0.7, CheckStatus.OK),
        (0.699, CheckStatus.DEGRADED),
        (0.4, CheckStatus.DEGRADED),
        (0.399, CheckStatus.CRITICAL),
        (0.0, CheckStatus.CRITICAL),
        (None, CheckStatus.UNKNOWN),
    ],
)
def test_words_for_a_health(health: float | None, status: CheckStatus) -> None:
    """The edges are those of failed (0.4) and impaired (0.7)."""
    assert status_of(health) is status


def test_a_check_tells_what_breaker_and_probe_know() -> None:
    """State, counts and last error of the circuit; status, time and failures of the probe."""
    clock = ManualClock()
    mode = SystemOperationMode(clock=clock)
    payments = breaker("payments", criticality="critical", mode=mode, clock=clock)

    @payments
    def charge() -> None:
        raise ConnectionError("gone")

    @mode.probe("payments", interval=10, jitter=0)
    def ping() -> bool:
        clock.advance(0.25)
        return False

    mode.component("idle")
    mode.flush()
    for _ in range(5):
        outcome(charge)
    mode.evaluate()
    found = mode.health()
    assert (found.status, found.mode) == (CheckStatus.CRITICAL, Mode.EMERGENCY)
    row = found.components["payments"]
    assert (row.status, row.health) == (CheckStatus.CRITICAL, 0.0)
    assert row.message.startswith("breaker: breaker open")
    assert dict(row.details) == {
        "circuit_state": "open",
        "calls": 5,
        "failures": 5,
        "last_error": "ConnectionError('gone')",
        "probe_status": "unhealthy",
        "response_seconds": 0.25,
        "probe_failures": 1,
    }
    idle = found.components["idle"]
    assert (idle.status, idle.message) == (CheckStatus.UNKNOWN, "idle")


def test_a_check_is_plain_data() -> None:
    """It can be the body of a status page as it is."""
    mode = SystemOperationMode(clock=ManualClock())
    mode.mark_degraded("search", "reindexing", severity="high")
    body = msgspec.json.decode(msgspec.json.encode(mode.health()))
    assert body["status"] == "ok"
    assert body["components"]["search"]["message"] == "mark: high: reindexing"

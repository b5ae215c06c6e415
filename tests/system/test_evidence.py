"""Laws of how one breaker's account is read."""

from __future__ import annotations

import math

import pytest

from resilient.core.ports import CircuitHealth
from resilient.events import CircuitState
from resilient.system.decision.component import Evidence
from resilient.system.decision.evidence import Latency, availability, latency, of_circuit
from resilient.system.settings import Settings

UNTIL = 90.0


def signals(bounds: Latency | None = None, **told: object) -> dict[str, Evidence]:
    """What a breaker's account comes to, by signal."""
    account: dict[str, object] = {
        "state": CircuitState.CLOSED,
        "standing": 1.0,
        "calls": 0,
        "failures": 0,
        "recorded": 100,
    }
    health = CircuitHealth(**(account | told))  # type: ignore[arg-type]  # keywords by name
    return {one.signal: one for one in of_circuit(health, UNTIL, Settings(), bounds)}


@pytest.mark.parametrize(
    ("failures", "health"), [(0, 1.0), (1, 1.0), (50, 0.0), (80, 0.0), (25, 25 / 49)]
)
def test_availability_is_linear_between_half_and_99_percent(failures: int, health: float) -> None:
    """A success rate of 99 % is health 1, one of 50 % health 0, with a straight line between."""
    assert availability(100, failures) == pytest.approx(health)


@pytest.mark.parametrize(("p95", "health"), [(0.05, 1.0), (0.1, 1.0), (0.3, 0.5), (0.5, 0), (9, 0)])
def test_latency_is_linear_between_target_and_limit(p95: float, health: float) -> None:
    """A p95 at the target is health 1, one at the limit health 0."""
    assert latency(p95, Latency(0.1, 0.5)) == pytest.approx(health)


def test_a_rate_over_few_calls_is_unknown() -> None:
    """Nineteen outcomes say nothing about the success rate; twenty do."""
    assert "availability" not in signals(calls=19, failures=19)
    assert signals(calls=20, failures=20)["availability"].value == 0.0


def test_an_open_breaker_never_grows_old() -> None:
    """OPEN and HALF_OPEN count until they end; CLOSED counts while its calls are fresh."""
    assert signals(standing=0.0)["breaker"].until == math.inf
    assert signals(standing=0.5)["breaker"].until == math.inf
    assert signals(standing=1.0)["breaker"].until == UNTIL


def test_a_breaker_that_says_nothing_is_no_signal() -> None:
    """Disabled, or counting only: no verdict, though its counts remain facts."""
    assert "breaker" not in signals(standing=None)
    assert "availability" in signals(standing=None, calls=20)


def test_latency_is_judged_only_where_bounds_are_set() -> None:
    """Without a target and a limit, or without a histogram, latency says nothing."""
    assert "latency" not in signals(p95=9.0)
    assert "latency" not in signals(Latency(0.1, 0.5))
    assert signals(Latency(0.1, 0.5), p95=0.3)["latency"].value == pytest.approx(0.5)

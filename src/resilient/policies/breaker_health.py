"""A breaker's answer to the mode."""

from __future__ import annotations

from resilient.core.ports import CircuitHealth
from resilient.events import CircuitState
from resilient.policies.circuit import Circuit
from resilient.policies.surface import Switchboard

__all__ = ["health_of"]

_STANDING = {
    CircuitState.CLOSED: 1.0,
    CircuitState.HALF_OPEN: 0.5,
    CircuitState.OPEN: 0.0,
    CircuitState.FORCED_OPEN: 0.0,
}


def health_of(breaker: Switchboard) -> CircuitHealth:
    """Fold the circuits of `breaker` into one answer.

    One open key of many is no dead component, so a keyed breaker's standing is the mean.
    """
    each = [_health(circuit) for circuit in breaker.circuits()]
    standings = [health.standing for health in each if health.standing is not None]
    ages = [health.age for health in each if health.age is not None]
    quantiles = [health.p95 for health in each if health.p95 is not None]
    return CircuitHealth(
        state=breaker.state,
        standing=sum(standings) / len(standings) if standings else None,
        calls=sum(health.calls for health in each),
        failures=sum(health.failures for health in each),
        recorded=sum(health.recorded for health in each),
        age=min(ages, default=None),
        p95=max(quantiles, default=None),
        last_error=next((health.last_error for health in each if health.last_error), None),
    )


def _health(circuit: Circuit) -> CircuitHealth:
    now = circuit.owner.clock.monotonic()
    with circuit.owner.lock:
        window = circuit.window
        counts = window.counts(now)
        recorded = window.recorded
        age = window.age(now)
        p95 = None if circuit.latency is None else circuit.latency.quantile(0.95, now)
    failure = circuit.failure
    return CircuitHealth(
        state=circuit.state,
        standing=_STANDING.get(circuit.state),
        calls=counts.calls,
        failures=counts.failures,
        recorded=recorded,
        age=age,
        p95=p95,
        last_error=None if failure is None else failure.text,
    )

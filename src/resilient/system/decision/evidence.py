"""What a breaker tells, read as evidence. One function per kind, all pure."""

from __future__ import annotations

import math
from typing import NamedTuple

from resilient.core.ports import CircuitHealth
from resilient.system.decision.component import Evidence
from resilient.system.settings import Settings

__all__ = ["MARKS", "Latency", "availability", "clamp", "latency", "of_circuit", "standing"]

WELL, DEAD = 0.99, 0.50
"""Success rates that count as health 1 and health 0."""

MARKS = {"low": 0.9, "medium": 0.7, "high": 0.4, "critical": 0.0}
"""Health that a manual mark of each severity leaves."""


class Latency(NamedTuple):
    """A p95 of up to `target` seconds is well; from `limit` seconds on it is as bad as dead."""

    target: float
    limit: float


def clamp(value: float) -> float:
    """`value`, kept within 0 and 1."""
    return min(1.0, max(0.0, value))


def availability(calls: int, failures: int) -> float:
    """Health by success rate: linear from 0 at 50 % to 1 at 99 %.

    Example::

        availability(100, 1)  # 1.0
    """
    return clamp(((calls - failures) / calls - DEAD) / (WELL - DEAD))


def latency(p95: float, bounds: Latency) -> float:
    """Health by the 95th percentile of the latency, linear between limit and target.

    Example::

        latency(0.3, Latency(target=0.1, limit=0.5))  # 0.5
    """
    return clamp((bounds.limit - p95) / (bounds.limit - bounds.target))


def standing(health: CircuitHealth, until: float) -> Evidence | None:
    """Health by the breaker's own verdict; fresh for as long as any circuit is not closed."""
    if health.standing is None:
        return None
    ill = health.standing < 1
    error = f", last error {health.last_error}" if ill and health.last_error else ""
    detail = f"breaker {health.state.value}{error}"
    return Evidence("breaker", clamp(health.standing), math.inf if ill else until, detail)


def of_circuit(
    health: CircuitHealth, until: float, settings: Settings, bounds: Latency | None = None
) -> list[Evidence]:
    """All that one breaker says.

    Parameters: `until`, the instant at which its last outcome is too old to count; `bounds`, if
    latency is to be judged.
    """
    found = [standing(health, until)]
    if health.calls >= settings.minimum_calls:
        value = availability(health.calls, health.failures)
        detail = f"{health.failures} of {health.calls} calls failed"
        found.append(Evidence("availability", value, until, detail))
    if bounds is not None and health.p95 is not None:
        detail = f"p95 {health.p95:.3g} s, target {bounds.target:g} s, limit {bounds.limit:g} s"
        found.append(Evidence("latency", latency(health.p95, bounds), until, detail))
    return [one for one in found if one is not None]

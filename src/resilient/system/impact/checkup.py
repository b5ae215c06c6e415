"""Health checks that know what the breakers and the probes know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from resilient.core.ports import HealthSource
from resilient.system.decision.score import FAILED, IMPAIRED, Contribution
from resilient.system.employing import Employing
from resilient.system.probes.probe import Probe
from resilient.system.states import Mode

__all__ = ["CheckStatus", "Checkup", "ComponentCheck", "HealthCheck", "check", "status_of"]


class CheckStatus(Enum):
    """The words of health checks: `OK` from health 0.7, `DEGRADED` from 0.4, `CRITICAL` below.

    `UNKNOWN`: nothing is known, or what was promised has fallen silent.
    """

    OK = "ok"
    DEGRADED = "degraded"
    CRITICAL = "critical"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ComponentCheck:
    """How one component is.

    Fields: `name`, `status`; `health`, 0 to 1 or `None`; `message`, what set it; `details`: of its
    breakers (``circuit_state``, ``calls``, ``failures``, ``last_error``) and of its probe
    (``probe_status``, ``response_seconds``, ``probe_failures``), as far as it has them.
    """

    name: str
    status: CheckStatus
    health: float | None
    message: str
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """How the system is: `status` by the mode, `mode`, `score` and its `components` by name.

    Example::

        body = msgspec.json.encode(mode.health())
    """

    status: CheckStatus
    mode: Mode
    score: float
    components: Mapping[str, ComponentCheck]


_BY_MODE = {
    Mode.NORMAL: CheckStatus.OK,
    Mode.DEGRADED: CheckStatus.DEGRADED,
    Mode.EMERGENCY: CheckStatus.CRITICAL,
}


class Checkup(Employing):
    """The part of the mode that answers a health check."""

    def health(self) -> HealthCheck:
        """Tell how every component is, with details of its breakers and its probe.

        An answer for people and dashboards. Whether this process should get traffic is `ready()`.

        Example::

            mode.health().components["redis"].details["circuit_state"]  # 'open'
        """
        self.evaluate()
        sources = self._sources()
        probes = {job.name: job for job in self._ledger.jobs.values() if isinstance(job, Probe)}
        rows = self._engine.assessment.contributions
        found = {
            row.name: check(row, sources.get(row.name, ()), probes.get(row.name)) for row in rows
        }
        score = self._engine.steady.smoothed * 100
        return HealthCheck(_BY_MODE[self._current], self._current, score, found)


def check(
    row: Contribution, sources: Sequence[HealthSource] = (), probe: Probe | None = None
) -> ComponentCheck:
    """One component, from its place in the score and from those that know more of it."""
    details: dict[str, Any] = {}
    for source in sources:
        details |= _of_circuit(source)
    if probe is not None and probe.last is not None:
        details["probe_status"] = probe.last.status.value
        details["response_seconds"] = probe.last.seconds
        details["probe_failures"] = probe.last.failures
    said = f"{row.signal}: {row.detail}" if row.signal else row.standing.name.lower()
    return ComponentCheck(row.name, status_of(row.health), row.health, said, details)


def status_of(health: float | None) -> CheckStatus:
    """The word for a health.

    Example::

        status_of(0.5) is CheckStatus.DEGRADED
    """
    if health is None:
        return CheckStatus.UNKNOWN
    if health < FAILED:
        return CheckStatus.CRITICAL
    return CheckStatus.DEGRADED if health < IMPAIRED else CheckStatus.OK


def _of_circuit(source: HealthSource) -> dict[str, Any]:
    """The circuit's own account; of several breakers with one name, that of the last."""
    health = source.health()
    return {
        "circuit_state": health.state.value,
        "calls": health.calls,
        "failures": health.failures,
        "last_error": health.last_error,
    }

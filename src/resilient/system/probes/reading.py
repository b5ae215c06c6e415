"""What a probe says: states, results, readings, and the event of a change."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from resilient.core.members import member
from resilient.events import Event, Severity

__all__ = ["ProbeChanged", "ProbeReading", "ProbeResult", "ProbeStatus"]


class ProbeStatus(Enum):
    """What a probe says of its component, best first. The health is in `health`.

    `HEALTHY`: it answered, in time. `DEGRADED`: it answered, slowly. `UNHEALTHY`: it failed, but
    not yet often enough in a row to be believed dead. `FAILED`: it did.
    """

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"
    FAILED = "failed"

    @property
    def health(self) -> float:
        """1, 0.6, 0.3 or 0."""
        return _HEALTH[self]

    @classmethod
    def of(cls, value: ProbeStatus | str) -> ProbeStatus:
        """Read a member or its name, in either case. Raises `ConfigError` for anything else.

        Example::

            ProbeStatus.of("degraded") is ProbeStatus.DEGRADED
        """
        return member(cls, value, "status")


_HEALTH = dict(zip(ProbeStatus, (1.0, 0.6, 0.3, 0.0), strict=True))


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What the function of a probe may return, to say more than that it returned.

    Fields: `status`, a `ProbeStatus` or its name, taken as it is; `detail`, in words.

    Example::

        return ProbeResult("degraded", "replica 12 s behind")
    """

    status: ProbeStatus | str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ProbeReading:
    """What a probe found last.

    Fields: `status`; `at`, when the question was put, and `seconds`, what the answer took;
    `detail`, in words; `failures`, how many there were in a row up to now.
    """

    status: ProbeStatus
    at: float
    seconds: float
    detail: str
    failures: int = 0


class ProbeChanged(Event, frozen=True, kw_only=True):
    """A probe changed its mind about the component `name`. `old` is `None` the first time.

    Fields: `mode`, the name of the mode; `detail`; `seconds`, what the last answer took.
    """

    mode: str
    old: ProbeStatus | None
    new: ProbeStatus
    detail: str
    seconds: float

    @property
    def severity(self) -> Severity:
        """ERROR when it failed, INFO when it is healthy, else WARNING."""
        if self.new is ProbeStatus.HEALTHY:
            return Severity.INFO
        return Severity.ERROR if self.new is ProbeStatus.FAILED else Severity.WARNING

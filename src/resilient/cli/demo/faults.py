"""The script of faults, as data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = ["CALM_END", "SCRIPT_SECONDS", "Cue", "Fault", "FaultKind", "cues", "script"]

SCRIPT_SECONDS = 45.0
"""The length the script was written for; `script` stretches or squeezes it."""

CALM_END = 0.24
"""The share of the run after the last fault: time to come back to NORMAL."""


class FaultKind(Enum):
    """What goes wrong. The value is what the views call it.

    A database that is restored is locked meanwhile; then its name has another file, and connections
    that were open cannot write any more.
    """

    KILL = "upstream killed"
    SLOW = "upstream slow"
    ERRORS = "upstream answers 500"
    RESTORE = "database restored"


@dataclass(frozen=True, slots=True)
class Fault:
    """`kind` is wrong from `start` until `end`, in seconds since the load began."""

    kind: FaultKind
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Cue:
    """At `at` seconds, `fault` begins, or ends."""

    at: float
    fault: Fault
    begins: bool


_SCRIPT = (
    Fault(FaultKind.KILL, 4.0, 9.5),
    Fault(FaultKind.SLOW, 15.0, 20.0),
    Fault(FaultKind.ERRORS, 25.0, 34.0),
    Fault(FaultKind.RESTORE, 27.5, 34.0),
)


def script(seconds: float) -> tuple[Fault, ...]:
    """Return the faults of a run of `seconds`, in the order in which they begin.

    Example::

        script(45)[0]  # Fault(kind=FaultKind.KILL, start=4.0, end=9.5)
    """
    pace = seconds / SCRIPT_SECONDS
    return tuple(Fault(f.kind, f.start * pace, f.end * pace) for f in _SCRIPT)


def cues(faults: tuple[Fault, ...]) -> list[Cue]:
    """Return what to do when, in order; at one instant, what ends comes before what begins."""
    found = [Cue(f.start, f, begins=True) for f in faults]
    found += [Cue(f.end, f, begins=False) for f in faults]
    return sorted(found, key=lambda cue: (cue.at, cue.begins))

"""What happened in a run: raw, in the order it happened."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from .scenario import Scenario

__all__ = ["CallRecord", "End", "Record"]


class End(StrEnum):
    """How a call ended for its caller."""

    GOOD = "good"
    FAILED = "failed"
    REJECTED = "rejected"
    LATE = "late"


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One call: when it was made, how long it took, how it ended, and what kind it was."""

    at: float
    seconds: float
    end: End
    sheddable: bool = False
    sick: bool = False


@dataclass(slots=True)
class Record:
    """A run of `arm` in `scenario`. Times are seconds since its start.

    `attempts` holds when the server was asked, `completions` when it was done and whether anybody
    still waited. `until` is when the observation ended. `lags` holds how late timers were, in
    seconds: what the machine added.
    """

    arm: str
    scenario: Scenario
    calls: list[CallRecord] = field(default_factory=list)
    attempts: list[float] = field(default_factory=list)
    completions: list[tuple[float, bool]] = field(default_factory=list)
    lags: list[float] = field(default_factory=list)
    until: float = 0.0

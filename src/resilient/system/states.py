"""The words of the mode: three modes, six states, and the record of a change."""

from __future__ import annotations

from enum import Enum

from resilient.core.members import member
from resilient.events import Event, Severity

__all__ = ["Mode", "ModeChange", "SystemState"]


class Mode(Enum):
    """How the application should work now.

    `NORMAL` is everything on, `DEGRADED` cheaper answers, `EMERGENCY` the least that helps.

    Example::

        if mode.current is Mode.EMERGENCY:
            return DEFAULT_ANSWER
    """

    NORMAL = "normal"
    DEGRADED = "degraded"
    EMERGENCY = "emergency"

    @property
    def rank(self) -> int:
        """0 for NORMAL, 1 for DEGRADED, 2 for EMERGENCY: a greater rank is worse."""
        return _RANKS[self]

    @classmethod
    def of(cls, value: Mode | str, setting: str = "mode") -> Mode:
        """Read a member or its name, in either case.

        Parameters: `setting` names the argument in the error.
        Raises `ConfigError` for anything else.

        Example::

            Mode.of("degraded") is Mode.DEGRADED
        """
        return member(cls, value, setting)


_RANKS = {member: rank for rank, member in enumerate(Mode)}


class SystemState(Enum):
    """What the smoothed score says, best first. Thresholds: 95, 85, 70, 50, 25 (configurable).

    The state follows the score at once; the mode follows it steadily, and a trip or an override
    moves only the mode. So the two may disagree for a while, and `explain()` says why.

    Example::

        SystemState.PARTIAL_FAILURE.mode is Mode.DEGRADED
    """

    COMPLETE_SUCCESS = "complete success"
    OPERATIONAL_SUCCESS = "operational success"
    DEGRADED_SUCCESS = "degraded success"
    PARTIAL_FAILURE = "partial failure"
    CASCADE_FAILURE = "cascade failure"
    COMPLETE_FAILURE = "complete failure"

    @property
    def mode(self) -> Mode:
        """The mode this state stands for when nothing is in motion."""
        return _MODES[self]


_MODES = dict(zip(SystemState, [mode for mode in Mode for _ in range(2)], strict=True))


class ModeChange(Event, frozen=True, kw_only=True):
    """The mode went from `old` to `new`.

    Fields: `name`, that of the mode; `at`, the wall-clock time of the change in seconds; `score`,
    0 to 100, and `state` at that instant; `reasons`, in words, the weightiest first; `sequence`
    counts the changes of this mode from 1.

    Example::

        @mode.on_change
        def tell(change: ModeChange) -> None:
            print(change.old.name, "->", change.new.name, *change.reasons)
    """

    old: Mode
    new: Mode
    score: float
    state: SystemState
    reasons: tuple[str, ...]
    sequence: int

    @property
    def severity(self) -> Severity:
        """ERROR on the way into EMERGENCY, WARNING into DEGRADED from NORMAL, INFO on recovery."""
        if self.new.rank <= self.old.rank:
            return Severity.INFO
        return Severity.ERROR if self.new is Mode.EMERGENCY else Severity.WARNING

"""What signals say, whatever their kind: a reading, and an event when it changes."""

from __future__ import annotations

from dataclasses import dataclass

from resilient.events import Event, Severity
from resilient.system.signals.level import SignalLevel

__all__ = ["SignalChanged", "SignalReading"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalReading:
    """What a signal said when it was looked at last.

    Fields: `name`, that of the component; `kind`: ``rate``, ``composite``, ``saturation``, or
    ``threshold`` with its condition; `level`; `health` from 0 to 1, `None` while nothing can be
    said; `value`, the figure, and `limit`, what it is compared with, `None` where there is none;
    `detail`, in words; `action`, what to do, empty if nothing.

    Example::

        for reading in mode.signals:
            print(reading)
    """

    name: str
    kind: str
    level: SignalLevel
    health: float | None
    value: float | None
    limit: float | None
    detail: str
    action: str = ""

    def __str__(self) -> str:
        """One line: name, kind, level, why, and what to do."""
        known = self.level.name if self.health is not None else "UNKNOWN"
        advice = f"; {self.action}" if self.action else ""
        return f"{self.name}  {self.kind}  {known}  {self.detail}{advice}"


class SignalChanged(Event, frozen=True, kw_only=True):
    """A signal changed its level, or took a step. `name` is that of its component.

    Fields: `mode`, the name of the mode; the others as in `SignalReading`; `old` and `new` are
    the levels before and now.

    Example::

        resilient.subscribe(SignalChanged, lambda event: print(event.name, event.action))
    """

    mode: str
    kind: str
    old: SignalLevel
    new: SignalLevel
    value: float | None
    limit: float | None
    detail: str
    action: str = ""

    @property
    def severity(self) -> Severity:
        """ERROR when it is CRITICAL, INFO when it is clear, else WARNING."""
        if self.new is SignalLevel.CLEAR:
            return Severity.INFO
        return Severity.ERROR if self.new is SignalLevel.CRITICAL else Severity.WARNING

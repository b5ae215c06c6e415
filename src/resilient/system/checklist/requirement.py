"""A condition of the checklist: what must hold, and for how long, before the mode improves."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import msgspec

from resilient.system.states import Mode
from resilient.system.view import Job, View

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Requirement", "RequirementStatus"]


class RequirementStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the checklist; `str` of it is that line.

    Fields: `name`; `met`, whether it holds now and has held for long enough; `detail`, what is
    missing, or ``""``; `hold`, the seconds for which it must hold; `to`, the only mode that it
    guards, or `None` for every improvement.

    Example::

        for line in mode.checklist:
            print(line)  # [ ] backlog below 100: answered False
    """

    name: str
    met: bool
    detail: str = ""
    hold: float = 0.0
    to: Mode | None = None

    def __str__(self) -> str:
        """A box, ticked or not, the name, and what is missing."""
        return f"[{'x' if self.met else ' '}] {self.name}" + (
            f": {self.detail}" * bool(self.detail)
        )


class Requirement(Job, ABC):
    """What every condition has: a name, a time to hold, and the improvement that it guards.

    It is looked at all the time, so that it is known how long it has held; it forbids something
    only while there is something to improve.
    """

    kind = "requirement"

    def __init__(self, name: str, hold: float, to: Mode | None, now: Callable[[], float]) -> None:
        self.name = name
        self.hold = hold
        self.to = to
        self.now = now
        self._mode = Mode.NORMAL

    @abstractmethod
    def missing(self, now: float) -> str:
        """What is missing at `now`, in words; nothing if the condition is met."""

    def status(self) -> RequirementStatus:
        """How it stands now."""
        missing = self.missing(self.now())
        return RequirementStatus(
            name=self.name, met=not missing, detail=missing, hold=self.hold, to=self.to
        )

    def poll(self, view: View, /) -> None:
        """See which improvement is the next."""
        self._mode = view.mode

    def unmet(self) -> tuple[str, ...]:
        """Itself, with what is missing, if that forbids the next improvement."""
        if self._mode is Mode.NORMAL:
            return ()
        ahead = Mode.NORMAL if self._mode is Mode.DEGRADED else Mode.DEGRADED
        missing = self.missing(self.now()) if self.to in (None, ahead) else ""
        return (f"{self.name} ({missing})",) if missing else ()

    def lasting(self, since: float, now: float) -> str:
        """What is missing of a condition that has held since `since`."""
        if now - since >= self.hold:
            return ""
        return f"held for {max(0.0, now - since):.0f} of {self.hold:g} s"

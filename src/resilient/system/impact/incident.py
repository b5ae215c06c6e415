"""The times NORMAL was left: how long it took to see, how long to come back, and what was lost."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

from resilient.system.decision.steady import Transition
from resilient.system.impact.traffic import Totals
from resilient.system.states import Mode, ModeChange

__all__ = ["Incident", "Incidents"]

KEPT = 1000
"""Incidents that are remembered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """One stay outside NORMAL. Durations in seconds, instants in seconds since the epoch.

    Fields: `number`, from 1; `at`, when NORMAL was left; `worst` mode; `reasons` for leaving it;
    `forced`, that a hand and no evidence did it; `detected_in`, from the first evidence that called
    for it, if there was one; `lasted`, until NORMAL was back, `None` while it goes on; `calls` and
    `failures` meanwhile, as `mode.traffic` counts them.

    Example::

        mode.incidents[-1].availability
    """

    number: int
    at: float
    worst: Mode
    reasons: tuple[str, ...]
    forced: bool = False
    detected_in: float | None = None
    lasted: float | None = None
    calls: int = 0
    failures: int = 0

    @property
    def availability(self) -> float | None:
        """Share of the requests that were answered meanwhile; `None` if there were none."""
        return 1 - self.failures / self.calls if self.calls else None


class Incidents:
    """Keeps the last 1000.

    Example::

        incidents = Incidents()
        incidents.note(transition, change, Totals())
        incidents.known(Totals())[-1].worst
    """

    def __init__(self) -> None:
        self.over: deque[Incident] = deque(maxlen=KEPT)
        self._open: Incident | None = None
        self._began = 0.0
        self._before = Totals()
        self._number = 0

    def note(self, transition: Transition, change: ModeChange, totals: Totals) -> None:
        """Take one more change of mode."""
        if transition.old is Mode.NORMAL:
            self._begin(transition, change, totals)
        if self._open is None:
            return
        if transition.new is Mode.NORMAL:
            lasted = transition.at - self._began
            self.over.append(replace(self._counted(self._open, totals), lasted=lasted))
            self._open = None
        elif transition.new.rank > self._open.worst.rank:
            self._open = replace(self._open, worst=transition.new)

    def known(self, totals: Totals) -> tuple[Incident, ...]:
        """Those that are over, oldest first, and the one that goes on."""
        going_on = () if self._open is None else (self._counted(self._open, totals),)
        return (*self.over, *going_on)

    def _begin(self, transition: Transition, change: ModeChange, totals: Totals) -> None:
        onset = transition.onset
        forced = transition.cause == "forced"
        self._number += 1
        self._began, self._before = transition.at, totals
        self._open = Incident(
            number=self._number,
            at=change.at,
            worst=transition.new,
            reasons=change.reasons,
            forced=forced,
            detected_in=None if forced or onset is None else transition.at - onset,
        )

    def _counted(self, incident: Incident, totals: Totals) -> Incident:
        calls = totals.calls - self._before.calls
        return replace(incident, calls=calls, failures=totals.failures - self._before.failures)

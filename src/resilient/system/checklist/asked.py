"""A condition that a function of the application's answers, asked in the background."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from resilient.errors import CallTimeoutError
from resilient.system.checklist.requirement import Requirement
from resilient.system.errand import Errand, Report
from resilient.system.shown import shown
from resilient.system.states import Mode
from resilient.system.view import View

__all__ = ["Asked"]

SILENT = 2.0
"""Missed by how many times its interval an answer is worth nothing any more."""


class _Answer(NamedTuple):
    """The last answer: when, since when it is true (`None`: it is not), and what is wrong."""

    at: float
    since: float | None
    trouble: str = ""


class Asked(Requirement):
    """Made by `mode.require`. It is met while the function returns something true."""

    def __init__(  # noqa: PLR0913  (its settings, checked by `mode.require`)
        self,
        name: str,
        hold: float,
        to: Mode | None,
        *,
        interval: float,
        now: Callable[[], float],
        errand: Callable[[Callable[[Report], None]], Errand],
        told: Callable[[Requirement], None],
    ) -> None:
        super().__init__(name, hold, to, now)
        self._interval = interval
        self._told = told
        self._next = now()
        self._last: _Answer | None = None
        self._errand = errand(self._heard)

    def missing(self, now: float) -> str:
        """That there is no answer, what was wrong with the last, or how long it has yet to hold."""
        last = self._last
        if last is None:
            return "not asked yet"
        if last.since is None:
            return last.trouble
        silent = now - last.at - (self._errand.timeout or 0.0)
        if silent > SILENT * self._interval:
            return f"no answer for {now - last.at:.0f} s"
        return self.lasting(last.since, now)

    def poll(self, view: View, /) -> None:
        """Ask, if it is time; give up an answer that does not come."""
        super().poll(view)
        now = view.now
        self._errand.expire(now)
        if now >= self._next:
            self._next = now + self._interval
            self._errand.start()  # refused while the last one hangs: then it stays unmet

    def due(self) -> float:
        """When it is asked next, when the present answer is late, or when it has held."""
        instants = [self._next]
        if (expires := self._errand.expires) is not None:
            instants.append(expires)
        last = self._last
        if last is not None and last.since is not None and last.since + self.hold > self.now():
            instants.append(last.since + self.hold)
        return min(instants)

    def close(self) -> None:
        """Give up the present question."""
        self._errand.cancel()

    def retire(self) -> None:
        """Another condition has taken its place: it is asked no more."""
        self._errand.retire()

    def after_fork(self) -> None:
        """Nobody is asked in the child yet, and nothing is known."""
        self._errand.after_fork()
        self._last, self._next = None, self.now()

    def _heard(self, report: Report) -> None:
        before, trouble = self._last, _trouble(report)
        at = report.began + report.seconds
        if trouble:
            self._last = _Answer(at, None, trouble)
        else:
            held = None if before is None else before.since
            self._last = _Answer(at, at if held is None else held)
        if before is None or (before.since is None) != bool(trouble):
            self._told(self)


def _trouble(report: Report) -> str:
    error = report.error
    if isinstance(error, CallTimeoutError):
        return f"no answer within {error.seconds:.3g} s"
    if error is not None:
        return f"raised {shown(error)}"
    try:
        return "" if report.value else f"answered {shown(report.value)}"
    except Exception as odd:  # noqa: BLE001  (the truth of an answer is the application's, too)
        return f"answered what is neither true nor false: {shown(odd)}"

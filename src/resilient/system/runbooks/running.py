"""A run under way, looked after by the mode."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from resilient.core.hub import hub
from resilient.errors import CallTimeoutError
from resilient.events import Event
from resilient.system.errand import Errand
from resilient.system.runbooks.context import RunContext
from resilient.system.runbooks.crew import Crew, Finding
from resilient.system.runbooks.events import RunbookFinished, RunbookStarted, RunbookStep
from resilient.system.runbooks.office import Office
from resilient.system.runbooks.plan import Do, Plan
from resilient.system.runbooks.record import RunOutcome
from resilient.system.runbooks.run import RunbookRun
from resilient.system.view import Job, View

__all__ = ["Running"]


class _Flight(NamedTuple):
    do: Do
    errand: Errand
    at: float
    context: RunContext


class Running(Job):
    """Does what the plan says, one thing at a time, and tells of it.

    Employed for as long as the run lasts, and after a failure until its incident is over, so that
    the failure stays among the reasons.
    """

    kind = "run"

    def __init__(self, run: RunbookRun, plan: Plan, crew: Crew, office: Office) -> None:
        self.name = run.name
        self.run = run
        self.concerns: Callable[[], bool] | None = None
        self._plan = plan
        self._crew = crew
        self.office = office
        self._lock = threading.Lock()
        self._found: deque[Finding] = deque()
        self._flight: _Flight | None = None
        self._aloft = False
        self._began = office.time.now()
        self._told_all = False
        self._untold: list[Event] = [
            RunbookStarted(**self._words(), cause=run.cause, incident=run.incident)
        ]
        crew.report = self._report

    @property
    def busy(self) -> bool:
        """Whether something is done about the incident still; see ``mode.require_quiet``."""
        return not (self._plan.over or self.run.dry)

    def poll(self, view: View, /) -> None:
        """Take up how the present step ended, and begin what is due."""
        if not self._lock.acquire(blocking=False):
            return  # it is being closed, perhaps by this very thread, below a signal handler
        try:
            if not self.run.incident and not self.run.dry:
                self.run.incident = view.incident
            self._land(view.now)
            self._leave(view.now)
            self._take_off(view)
            told = self._tell(view.now)
        finally:
            self._lock.release()
        self._publish(told)
        if self._plan.over and not self._worth_a_notice(view):
            self.office.over(self)

    def due(self) -> float:
        """When a wait or a time limit is over; at once if it was cancelled."""
        if self._plan.over:
            return math.inf
        if self.run.leaving is not None and not self._plan.undoing:
            return -math.inf
        flight = self._flight
        if flight is None:
            return self._plan.due
        expires = flight.errand.expires if self._aloft else None
        return flight.at + flight.do.step.timeout if expires is None else expires

    def notices(self) -> tuple[str, ...]:
        """A run under way, or a failed one."""
        told = not self._plan.over or self.run.outcome is RunOutcome.FAILED
        return (self.run.notice(),) if told and not self.run.dry else ()

    def leave(self, reason: str) -> None:
        """Cancel it at the next look, unless it is over or undoing already."""
        self.run.leaving = self.run.leaving or reason

    def close(self) -> None:
        """End here: whoever closes the mode has no time for undoing."""
        with self._lock:
            self._drop()
            now = self.office.time.now()
            self._plan.abandon(now, "the mode was closed")
            told = self._tell(now)
        self._publish(told)

    def after_fork(self) -> None:
        """The run is the parent's; in the child it is over, without a word."""
        self._lock = threading.Lock()
        self._crew.after_fork()
        self._found.clear()
        self._flight, self._aloft = None, False
        self._plan.abandon(self.office.time.now(), "it runs in the parent process")
        self._told_all = True

    def _report(self, finding: Finding) -> None:
        self._found.append(finding)
        self.office.nudge(self)

    def _land(self, now: float) -> None:
        flight = self._flight
        if flight is None:
            return
        if not self._aloft:  # an earlier attempt of a sync function has not ended
            self._aloft = flight.errand.start(flight.context)
        if self._aloft:
            flight.errand.expire(now)
        while self._found:
            key, report, error = self._found.popleft()
            mine = key == (flight.do.stage, flight.do.step.name) and report.began >= flight.at
            if mine and self._flight is flight:
                self._flight = None
                end = report.began + report.seconds
                self._plan.ended(end, value=report.value, error=error)
        begun = self._aloft and flight.errand.expires is not None
        if self._flight is flight and not begun and now >= flight.at + flight.do.step.timeout:
            self._drop()
            late = CallTimeoutError(flight.do.step.name, flight.do.step.timeout)
            self._plan.ended(now, error=f"{type(late).__name__}: {late}, in line all the time")

    def _leave(self, now: float) -> None:
        if self.run.leaving is not None and not (self._plan.over or self._plan.undoing):
            self._drop()
            self._plan.cancel(now, self.run.leaving)

    def _take_off(self, view: View) -> None:
        plan = self._plan
        if self._flight is not None or plan.next is None or view.now < plan.due:
            return
        do, errand = plan.next, self._crew.errand(plan.next)
        plan.begin(view.now)
        context = self.office.context(self.run, plan, view, plan.log.began(do.place, view.now))
        self._flight = _Flight(do, errand, view.now, context)
        self._aloft = errand.start(context)

    def _drop(self) -> None:
        """Give up what is under way."""
        flight, self._flight = self._flight, None
        if flight is not None and self._aloft:
            flight.errand.cancel()

    def _worth_a_notice(self, view: View) -> bool:
        if self.run.outcome is not RunOutcome.FAILED or self.run.dry:
            return False
        if self.run.incident:
            return view.incident == self.run.incident
        return self.concerns is not None and self.concerns()

    def _words(self) -> dict[str, Any]:
        run = self.run
        return {"name": run.book, "mode": self.office.mode, "run": run.name, "dry": run.dry}

    def _tell(self, now: float) -> list[Event]:
        """What is yet to be told, in order."""
        told, self._untold = self._untold, []
        if self._told_all:
            return []
        words = self._words()
        told += [RunbookStep(**words, **one._asdict()) for one in self._plan.log.take()]
        if self._plan.over:
            self._told_all = True
            took = self.run.seconds = now - self._began
            outcome, error = self._plan.outcome, self._plan.error
            told.append(RunbookFinished(**words, outcome=outcome, seconds=took, error=error))
        return told

    def _publish(self, told: list[Event]) -> None:
        for event in told:
            hub.bus.publish(event)

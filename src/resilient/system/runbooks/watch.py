"""A runbook that is attached: waits for what starts it, and sees when that is over."""

from __future__ import annotations

import math
from collections.abc import Callable

from resilient.system.ledger import Ledger
from resilient.system.runbooks.crew import Crew
from resilient.system.runbooks.run import RunbookRun
from resilient.system.runbooks.runbook import Runbook
from resilient.system.runbooks.running import Running
from resilient.system.runbooks.start import Condition
from resilient.system.runbooks.trigger import Trigger
from resilient.system.states import Mode
from resilient.system.view import Job, View

__all__ = ["Watch", "under_way"]


class Watch(Job):
    """Starts its book once in an incident; while the mode is NORMAL, once in `cooldown` seconds.

    What started it must pass before it can happen again. A run is cancelled when that is over.
    """

    kind = "runbook"

    def __init__(  # noqa: PLR0913  (its settings, checked by `mode.runbook`)
        self,
        book: Runbook,
        trigger: Trigger | Condition,
        crew: Crew,
        cooldown: float,
        begin: Callable[[tuple[Watch, View, str]], None],
        ledger: Ledger,
    ) -> None:
        self.name = book.name
        self.book = book
        self.crew = crew
        self.trigger = trigger
        self.running: Running | None = None
        self._cooldown = cooldown
        self._begin = begin
        self._ledger = ledger
        self._retired = False
        self._before = Mode.NORMAL
        self._seen: View | None = None
        self._cause = ""
        self._owes = False
        self._served = 0
        self._again = -math.inf
        self._free_at = math.inf

    @property
    def holds(self) -> bool:
        """Whether what starts it has happened, and is not over."""
        return self._seen is not None

    def poll(self, view: View, /) -> None:
        """Begin, or end, what is to be begun or ended."""
        if self._retired:
            return
        if isinstance(self.trigger, Condition):
            self.trigger.poll(view.now)
        self._watch(view)
        self._free_at = self._may_from(view) if self._owes else math.inf
        if view.now >= self._free_at:
            self._owes, self._free_at = False, math.inf
            self._begin((self, view, self._cause))
        if self.running is not None and self.holds and view.incident and not self._owes:
            self._served = view.incident  # it reached into this incident, or began in it
        self._before = view.mode

    def begun(self, running: Running, view: View) -> None:
        """A run was begun, by whomever."""
        self.running = running
        self._served = view.incident or self._served
        self._again = view.now + self._cooldown

    def due(self) -> float:
        """When the condition is to be asked, or the pause is over."""
        asks = self.trigger.due() if isinstance(self.trigger, Condition) else math.inf
        return min(self._free_at, asks)

    def notices(self) -> tuple[str, ...]:
        """That its condition cannot be asked."""
        trouble = self.trigger.trouble if isinstance(self.trigger, Condition) else None
        return (f"RUNBOOK: the condition of {self.name} raised {trouble}",) if trouble else ()

    def close(self) -> None:
        """Give up the present question, and a run that is under way."""
        if self.running is not None:
            self.running.leave("its runbook is no longer attached")
        if isinstance(self.trigger, Condition):
            self.trigger.close()

    def retire(self) -> None:
        """Another has taken its place: it begins nothing more, and lets go of its functions."""
        self._retired = True
        if isinstance(self.trigger, Condition):
            self.trigger.retire()
        if self.running is not None:
            self.running.office.crew = self.crew  # it may be undoing, and lets go afterwards
        if self.running is None or self.running.run.finished:
            self.crew.disband()

    def after_fork(self) -> None:
        """Nothing runs in the child."""
        self.crew.after_fork()
        if isinstance(self.trigger, Condition):
            self.trigger.after_fork()

    def _watch(self, view: View) -> None:
        if self._seen is not None and self.trigger.passed(view, self._seen):
            self._seen, self._owes = None, False
            if self.running is not None and not self.running.run.by_hand:
                self.running.leave(f"what started it is over: {self._cause}")
        if self._seen is None:
            cause = self.trigger.happens(view, self._before)
            if cause is not None:
                self._seen, self._cause, self._owes = view, cause, True

    def _may_from(self, view: View) -> float:
        """The instant from which a run may begin, as far as time decides that."""
        if under_way(self._ledger, self.name) is not None:
            return math.inf
        if not self.trigger.once:
            return view.now
        if view.incident:
            return math.inf if view.incident == self._served else view.now
        return self._again


def under_way(ledger: Ledger, book: str, *, dry: bool = False) -> RunbookRun | None:
    """The run of a book of that name that is not over, if there is one."""
    jobs = [job for job in ledger.jobs.values() if isinstance(job, Running)]
    runs = [job.run for job in jobs if job.run.book == book and job.run.dry is dry]
    return next((run for run in runs if not run.finished), None)

"""What a run needs of the mode, which it must not keep alive."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from types import MappingProxyType

from resilient.system.decision.reasons import reasons_of
from resilient.system.employing import Employing
from resilient.system.runbooks.context import RunContext
from resilient.system.runbooks.crew import Crew
from resilient.system.runbooks.plan import Plan
from resilient.system.runbooks.run import RunbookRun
from resilient.system.view import Job, View

__all__ = ["Office", "looking"]


class Office:
    """Time, orders and news for one run.

    Parameters: `crew`, if it is to be disbanded after the run; `nudge`, which has the mode look
    again soon.
    """

    def __init__(self, mode: Employing, crew: Crew | None, nudge: Callable[[object], None]) -> None:
        self.mode = mode.name
        self.time = mode._time  # noqa: SLF001  (the office is a part of the mode)
        self.nudge = nudge
        self._ledger = mode._ledger  # noqa: SLF001  (as above)
        self._system = weakref.ref(mode)
        self.crew = crew

    def over(self, job: Job) -> None:
        """The run needs no more looking after."""
        self._ledger.dismiss(job)
        if self.crew is not None:
            self.crew.disband()

    def context(self, run: RunbookRun, plan: Plan, view: View, since: float) -> RunContext:
        """What a step that was begun at `since` may know; asked for by an evaluation."""
        cascade, system = view.cascade, self._system()
        return RunContext(
            run=run.name,
            number=run.number,
            book=run.book,
            cause=run.cause,
            incident=run.incident,
            mode=view.mode,
            reasons=() if system is None else tuple(reasons_of(system._engine)),  # noqa: SLF001  (as above)
            trigger=None if cascade is None else cascade.trigger,
            chain=() if cascade is None else cascade.chain,
            failed=view.failed(),
            results=MappingProxyType(plan.results),
            since=since,
            at=self.time.wall(since),
            system=system,
        )


def looking(mode: Employing) -> Callable[[], bool]:
    """Have the mode brought up to date; false once it is gone."""
    me = weakref.ref(mode)

    def look() -> bool:
        living = me()
        if living is not None:
            living.evaluate()
        return living is not None

    return look

"""A condition of the application's own that starts a runbook, asked in the background."""

from __future__ import annotations

from collections.abc import Callable

from resilient.core.inspection import label
from resilient.system.runbooks.context import RunContext
from resilient.system.runbooks.crew import Crew, Finding, Hire
from resilient.system.runbooks.plan import Do, Stage
from resilient.system.runbooks.step import Step
from resilient.system.states import Mode
from resilient.system.view import View

__all__ = ["Condition"]


class Condition:
    """Asks every so many seconds whether something holds, and remembers the last answer.

    An answer that cannot be had, or does not come in that time, changes nothing.
    """

    once = True

    def __init__(
        self, fn: Callable[[], object], every: float, hire: Hire, told: Callable[[object], None]
    ) -> None:
        self.name = label(fn)
        self.every = every
        self.trouble: str | None = None
        self._holds = False
        self._next = 0.0
        self._told = told
        asked = Step(self.name, None, every, when=fn)
        self._crew = Crew([asked], hire)
        self._crew.report = self._answered
        self._errand = self._crew.errand(Do(Stage.WHEN, 0, asked))

    def poll(self, now: float) -> None:
        """Ask, if it is time."""
        self._errand.expire(now)
        if now >= self._next:
            self._next = now + self.every
            self._errand.start(RunContext("", 0, "", ""))

    def due(self) -> float:
        """When to ask, or to give up the present question."""
        expires = self._errand.expires
        return self._next if expires is None else min(self._next, expires)

    def happens(self, view: View, before: Mode, /) -> str | None:
        """The last answer was true."""
        del view, before
        return f"condition {self.name}" if self._holds else None

    def passed(self, view: View, began: View, /) -> bool:
        """The last answer was false."""
        del view, began
        return not self._holds

    def close(self) -> None:
        """Give up the present question."""
        self._errand.cancel()

    def after_fork(self) -> None:
        """Nobody is asked in the child yet."""
        self._crew.after_fork()

    def _answered(self, finding: Finding) -> None:
        before = self._holds, self.trouble
        self.trouble = finding.error
        if finding.error is None:
            self._holds = finding.report.value is True
        if (self._holds, self.trouble) != before:
            self._told(self)

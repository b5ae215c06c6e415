"""What is told of a runbook while it runs."""

from __future__ import annotations

from resilient.events import Event, Severity
from resilient.system.runbooks.record import RunOutcome

__all__ = ["RunbookFinished", "RunbookStarted", "RunbookStep"]


class RunbookStarted(Event, frozen=True, kw_only=True):
    """A runbook was begun.

    Fields: `name`, that of the book; `mode`, the name of the mode; `run`, the name of this run;
    `cause`, in words; `incident`, as in `RunContext`; `dry`, that nothing is done but looking.
    """

    mode: str
    run: str
    cause: str
    incident: int
    dry: bool = False

    @property
    def severity(self) -> Severity:
        """Something acts by itself."""
        return Severity.INFO if self.dry else Severity.WARNING


class RunbookStep(Event, frozen=True, kw_only=True):
    """Something became of a step.

    Fields: `name`, that of the book; `mode`; `run`; `step`; `stage`: started, done, retrying,
    failed, skipped, cancelled, undoing, undone or not undone; `attempt`, from 1, 0 if none was
    begun; `seconds`, what that attempt took; `error`, in words; `dry`.
    """

    mode: str
    run: str
    step: str
    stage: str
    attempt: int
    seconds: float
    error: str | None = None
    dry: bool = False

    @property
    def severity(self) -> Severity:
        """ERROR for what failed for good, WARNING for what is tried again."""
        if self.stage in ("failed", "not undone"):
            return Severity.ERROR
        return Severity.WARNING if self.stage == "retrying" else Severity.INFO


class RunbookFinished(Event, frozen=True, kw_only=True):
    """A run is over.

    Fields: `name`, that of the book; `mode`; `run`; `outcome`; `seconds`; `error`, why it failed or
    was cancelled; `dry`.
    """

    mode: str
    run: str
    outcome: RunOutcome
    seconds: float
    error: str | None = None
    dry: bool = False

    @property
    def severity(self) -> Severity:
        """ERROR if it failed, WARNING if it was cancelled."""
        worse = {RunOutcome.FAILED: Severity.ERROR, RunOutcome.CANCELLED: Severity.WARNING}
        return worse.get(self.outcome, Severity.INFO)

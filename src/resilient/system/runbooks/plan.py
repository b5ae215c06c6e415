"""What to do next in a run, as pure decisions: instants and answers in, things to do out."""

from __future__ import annotations

import math
from collections.abc import Iterable
from enum import Enum
from typing import Any, NamedTuple

from resilient.system.runbooks.record import RunLog, RunOutcome, StepState
from resilient.system.runbooks.step import Step

__all__ = ["Do", "Plan", "Stage"]


class Stage(Enum):
    """Which function of a step is meant."""

    WHEN = "when"
    RUN = "run"
    UNDO = "undo"


class Do(NamedTuple):
    """One attempt at one function of a step."""

    stage: Stage
    place: int
    step: Step
    attempt: int = 1


class Plan:
    """One run of some steps: forward, and back if it fails or is cancelled.

    `next` is what to do at `due`, or later; `begin` says that it was begun, `ended` how it ended.
    At most one thing is under way. Not thread-safe.

    Example::

        plan = Plan(book.steps)
        while (do := plan.next) is not None:
            plan.begin(0.0)
            plan.ended(0.0, value=do.step.fn())
    """

    def __init__(self, steps: Iterable[Step], *, dry: bool = False) -> None:
        self.steps = tuple(steps)
        self.dry = dry
        self.log = RunLog(self.steps)
        self.results: dict[str, Any] = {}
        self.outcome = RunOutcome.RUNNING
        self.error: str | None = None
        self.next: Do | None = None
        self.due = -math.inf
        self.undoing = False
        self._attempt_began = 0.0
        self._verdict = RunOutcome.DONE
        self._back: list[int] = []
        self._forward(0)

    @property
    def over(self) -> bool:
        """Whether nothing is left to do."""
        return self.outcome is not RunOutcome.RUNNING

    def begin(self, now: float) -> None:
        """What is `next` was begun."""
        do = self._doing()
        self._attempt_began = now
        if do.stage is Stage.UNDO:
            self.log.tell(do.place, "undoing", do.attempt)
            return
        self.log.begin(do.place, now)
        if not self.dry:
            self.log.note(do.place, state=StepState.RUNNING, attempts=do.attempt)
        if do.stage is Stage.RUN:
            self.log.tell(do.place, "started", do.attempt)

    def ended(self, now: float, *, value: Any = None, error: str | None = None) -> None:
        """What was begun has ended, with a value or an error; a `when` with true or false."""
        do = self._doing()
        took = max(0.0, now - self._attempt_began)
        if error is not None:
            self._failed(do, now, took, error)
        elif do.stage is Stage.UNDO:
            self.log.note(do.place, state=StepState.UNDONE)
            self.log.tell(do.place, "undone", do.attempt, took)
            self._backward()
        elif do.stage is Stage.WHEN:
            self._answered(do, now, yes=value is True)
        else:
            self.results = {**self.results, do.step.name: value}
            self.log.settle(do.place, now, StepState.DONE)
            self.log.tell(do.place, "done", do.attempt, took)
            self._forward(do.place + 1)

    def cancel(self, now: float, reason: str) -> None:
        """Go no further forward, and take back what was done."""
        if not (self.over or self.undoing):
            self._interrupt(now, reason)
            self._turn_back(RunOutcome.CANCELLED, reason)

    def abandon(self, now: float, reason: str) -> None:
        """End here and now; nothing is taken back."""
        if self.over:
            return
        if self.undoing:
            for index in (self._doing().place, *self._back):
                self.log.note(index, undo_error=reason)
        else:
            self._interrupt(now, reason)
            self._verdict, self.error = RunOutcome.CANCELLED, reason
        self._finish()

    def _doing(self) -> Do:
        assert self.next is not None  # noqa: S101  (asked only while there is something to do)
        return self.next

    def _interrupt(self, now: float, reason: str) -> None:
        do = self._doing()
        if self.log.records[do.place].state is StepState.RUNNING:
            self.log.settle(do.place, now, StepState.CANCELLED, error=reason)
            self.log.tell(do.place, "cancelled", do.attempt, error=reason)

    def _answered(self, do: Do, now: float, *, yes: bool) -> None:
        if not yes:
            note = "its condition does not hold"
            self.log.settle(do.place, now, StepState.SKIPPED, note=note)
            self.log.tell(do.place, "skipped", do.attempt, error=note)
            self._forward(do.place + 1)
        elif self.dry:
            self.log.note(do.place, note="would be done: its condition holds")
            self._forward(do.place + 1)
        else:
            self.next = do._replace(stage=Stage.RUN)

    def _failed(self, do: Do, now: float, took: float, error: str) -> None:
        if self.dry:
            self.log.note(do.place, error=error, note="its condition could not be asked")
            self._forward(do.place + 1)
        elif do.attempt < do.step.attempts:
            self.due = now + do.step.wait(do.attempt)
            self.next = do._replace(attempt=do.attempt + 1)
            if do.stage is not Stage.UNDO:
                self.log.note(do.place, error=error)
            self.log.tell(do.place, "retrying", do.attempt, took, error)
        elif do.stage is Stage.UNDO:
            self.log.note(do.place, undo_error=error)
            self.log.tell(do.place, "not undone", do.attempt, took, error)
            self._backward()
        else:
            self._given_up(do, now, took, error)

    def _given_up(self, do: Do, now: float, took: float, error: str) -> None:
        self.log.settle(do.place, now, StepState.FAILED, error=error)
        self.log.tell(do.place, "failed", do.attempt, took, error)
        if do.step.on_failure == "skip":
            self._forward(do.place + 1)
        else:
            self._turn_back(RunOutcome.FAILED, f"{do.step.name}: {error}")

    def _forward(self, index: int) -> None:
        """Go on with the step of that number, or the next that can be done."""
        self.due = -math.inf
        for at, one in list(enumerate(self.steps))[index:]:
            if one.fn is None:
                self.log.note(at, state=StepState.SKIPPED, note="not provided")
                self.log.tell(at, "skipped", 0, error="not provided")
            elif one.when is not None or not self.dry:
                self.next = Do(Stage.RUN if one.when is None else Stage.WHEN, at, one)
                return
            else:
                self.log.note(at, note="would be done")
        self._finish()

    def _turn_back(self, verdict: RunOutcome, error: str) -> None:
        self._verdict, self.error, self.undoing = verdict, error, True
        done = [at for at, one in enumerate(self.log.records) if one.state is StepState.DONE]
        self._back = [at for at in done if self.steps[at].undo is not None]
        self._backward()

    def _backward(self) -> None:
        """Go on with the last step that was done and is not yet taken back."""
        self.due = -math.inf
        if not self._back:
            self._finish()
            return
        at = self._back.pop()
        self.next = Do(Stage.UNDO, at, self.steps[at])

    def _finish(self) -> None:
        self.next, self.due, self.outcome = None, math.inf, self._verdict
        self.results = {}  # they may be large, and a hundred runs are remembered

"""What becomes of a run and of its steps, in words, and who notes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, NamedTuple

from resilient.system.runbooks.step import Step

__all__ = ["Happened", "RunLog", "RunOutcome", "StepRecord", "StepState"]


class StepState(Enum):
    """Where a step stands.

    `PENDING`: not begun, and once the run is over: never. `RUNNING`: begun, also between attempts.
    `DONE`. `SKIPPED`: its `when` was false, or no function was provided. `FAILED`: no attempt is
    left. `CANCELLED`: the run was given up in the middle of it. `UNDONE`: done, and taken back.
    """

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNDONE = "undone"


class RunOutcome(Enum):
    """Where a run stands: under way (also while it takes back what was done), or how it ended."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class StepRecord:
    """What became of one step.

    Fields: `name`; `state`; `attempts`, begun so far; `seconds`, from its beginning to its end;
    `error`, the last one, in words; `timeout` in seconds for one attempt; `note`, such as
    "not provided"; `undo_error`, why it could not be taken back.

    Example::

        [one.name for one in run.steps if one.state is StepState.FAILED]
    """

    name: str
    timeout: float
    state: StepState = StepState.PENDING
    attempts: int = 0
    seconds: float = 0.0
    error: str | None = None
    note: str = ""
    undo_error: str | None = None

    def __str__(self) -> str:
        """One line."""
        tries = f", attempt {self.attempts}" if self.attempts > 1 else ""
        took = f" {self.seconds:.3g} s" if self.attempts else f" up to {self.timeout:g} s"
        undo = f"not undone: {self.undo_error}" if self.undo_error else ""
        words = "; ".join(text for text in (self.note, self.error, undo) if text)
        return f"{self.name}: {self.state.value},{took}{tries}{f' ({words})' if words else ''}"


class Happened(NamedTuple):
    """What is worth telling; see `RunbookStep`."""

    step: str
    stage: str
    attempt: int
    seconds: float
    error: str | None = None


class RunLog:
    """Keeps a record for each step, and what is yet to be told.

    `records` is replaced, never changed, so that anybody may read it.

    Example::

        log = RunLog(book.steps)
        log.settle(0, 2.0, StepState.DONE)
    """

    def __init__(self, steps: Sequence[Step]) -> None:
        self.records = tuple(StepRecord(one.name, one.timeout) for one in steps)
        self.happened: list[Happened] = []
        self._began: dict[int, float] = {}

    def began(self, index: int, now: float) -> float:
        """The instant at which a step was begun; `now` if it was not."""
        return self._began.get(index, now)

    def begin(self, index: int, now: float) -> None:
        """A step is begun, if it was not already."""
        self._began.setdefault(index, now)

    def settle(self, index: int, now: float, state: StepState, **more: Any) -> None:
        """A step has come to its end."""
        took = max(0.0, now - self.began(index, now))
        self.note(index, state=state, seconds=took, **more)

    def note(self, index: int, **news: Any) -> None:
        """Change fields of the record of a step."""
        records = list(self.records)
        records[index] = replace(records[index], **news)
        self.records = tuple(records)

    def tell(
        self, index: int, stage: str, attempt: int, took: float = 0.0, error: str | None = None
    ) -> None:
        """Something is worth telling."""
        self.happened.append(Happened(self.records[index].name, stage, attempt, took, error))

    def take(self) -> list[Happened]:
        """What was not taken yet."""
        taken, self.happened = self.happened, []
        return taken

"""What becomes of a run and of its steps, in words."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = ["RunOutcome", "StepRecord", "StepState"]


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

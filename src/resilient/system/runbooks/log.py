"""What became of the steps of a run so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from resilient.system.runbooks.record import StepRecord, StepState
from resilient.system.runbooks.step import Step

__all__ = ["Happened", "RunLog"]


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

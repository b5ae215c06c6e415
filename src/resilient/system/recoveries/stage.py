"""The words of a recovery: its stages, what is told of each change, and where it stands."""

from __future__ import annotations

from enum import Enum

import msgspec

from resilient.events import Event, Severity

__all__ = ["RecoveryChanged", "RecoveryStage", "RecoveryStatus"]


class RecoveryStage(Enum):
    """Where the recovery of a component stands.

    `IDLE`: nothing to do. `WAITING`: the component has failed, and the next attempt has its time.
    `ATTEMPTING`: the action runs. `VERIFYING`: it has ended, and whether it helped is not known
    yet. `SUCCEEDED`: the component is well again after an attempt; IDLE follows if that lasts.
    `GAVE_UP`: every attempt has failed; it stays so until the component is well, or an attempt is
    ordered by hand.
    """

    IDLE = "idle"
    WAITING = "waiting"
    ATTEMPTING = "attempting"
    VERIFYING = "verifying"
    SUCCEEDED = "succeeded"
    GAVE_UP = "gave up"


class RecoveryChanged(Event, frozen=True, kw_only=True):
    """The recovery of the component `name` went from `old` to `new`.

    Fields: `mode`, the name of the mode; `attempt`, the number of the last attempt (0 before the
    first), `of` so many; `next_in`, seconds until the next, or `None` if none is planned; `error`,
    what was wrong with the last one, in words, or ``""``; `seconds` since the failure was noticed.

    Example::

        resilient.subscribe(RecoveryChanged, lambda event: print(event.name, event.new.value))
    """

    mode: str
    old: RecoveryStage
    new: RecoveryStage
    attempt: int
    of: int
    next_in: float | None
    error: str
    seconds: float

    @property
    def severity(self) -> Severity:
        """ERROR when it gave up, WARNING when an attempt failed, else INFO."""
        if self.new is RecoveryStage.GAVE_UP:
            return Severity.ERROR
        return Severity.WARNING if self.error else Severity.INFO


class RecoveryStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Where one recovery stands; `str` of it is a line for a tired reader.

    Fields: `name`, that of the component; `stage`; `attempt`, the number of the last attempt, `of`
    so many; `next_in`, seconds until the next, or `None` if none is planned or it waits for others;
    `error`, what was wrong with the last one; `waits_for`, components it depends on that have
    failed themselves and come first.

    Example::

        print(mode.recoveries["redis"])  # redis: waiting, attempt 2 of 5 in 58 s
    """

    name: str
    stage: RecoveryStage
    attempt: int
    of: int
    next_in: float | None = None
    error: str = ""
    waits_for: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The component, the stage, which attempt and when, and what was wrong with the last."""
        stage = self.stage
        if stage in (RecoveryStage.IDLE, RecoveryStage.GAVE_UP):
            said = stage.value
            said += f" after {self.attempt} attempts" if stage is RecoveryStage.GAVE_UP else ""
        elif stage is RecoveryStage.WAITING:
            said = f"{stage.value}, attempt {self.attempt + 1} of {self.of}{self._when()}"
        else:
            said = f"{stage.value}, attempt {self.attempt} of {self.of}"
        return f"{self.name}: {said}" + (f": {self.error}" if self.error else "")

    def _when(self) -> str:
        if self.waits_for:
            return f" when {', '.join(self.waits_for)} is well"
        return "" if self.next_in is None else f" in {self.next_in:.0f} s"

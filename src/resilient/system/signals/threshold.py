"""A threshold, with the time for which it must be crossed."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

from resilient.system.signals.condition import Condition, Form
from resilient.system.signals.reader import Reader, figure
from resilient.system.signals.signal import Found, Signal, Ties
from resilient.system.signals.tally import ONE, marks
from resilient.system.signals.watches import Figure, watching

__all__ = ["ThresholdSignal"]

BACKLOG = 1000
"""Figures that are remembered while nobody looks."""


class ThresholdSignal(Signal):
    """Made by `mode.threshold`. Attribute: `condition`.

    Example::

        restarts = mode.threshold("worker", "> 5 per hour")
        restarts.mark()
    """

    def __init__(  # noqa: PLR0913  (its settings, checked by `mode.threshold`)
        self,
        name: str,
        ties: Ties,
        condition: Condition,
        *,
        health: float,
        action: str,
        life: float,
        reader: Callable[[Signal], Reader | None],
    ) -> None:
        self.condition = condition
        self.kind = f"threshold {condition}"
        self._health = health
        self._action = action
        self._reader = reader(self)
        self._taken: float | None = None
        self._given: deque[tuple[float, float]] = deque(maxlen=BACKLOG)
        self._beyond = False
        self._next = math.inf
        if self._reader is not None:
            life = self._reader.life
        self._watch = watching(condition, ties.now(), life)
        super().__init__(name, ties)

    @property
    def crossed(self) -> bool:
        """Whether it was crossed at the last evaluation.

        Example::

            restarts.crossed
        """
        health = self.reading.health
        return health is not None and health < 1

    def mark(self, n: int = 1) -> None:
        """Count `n` events now, or one sign of life. Cheap, and exact for any number of threads.

        0 is nothing, and no sign of life. Raises `TypeError` if the threshold compares a figure or
        `n` is no whole number, `ValueError` if it is below 0 or above 2**53.

        Example::

            restarts.mark()
        """
        watch = self._watch
        if isinstance(watch, Figure):
            message = f"{self.kind} of {self.name!r} compares a figure: use set(), or read="
            raise TypeError(message)
        if watch.mark(n if n is ONE else marks(n), self._ties.now()):
            self.tell()

    def set(self, value: float) -> None:
        """Report the figure. It counts for 90 s.

        Raises `TypeError` if the threshold counts marks or reads for itself, `ValueError` for what
        is no finite number.

        Example::

            mode.threshold("disk", "> 90% for 60 s").set(0.93)
        """
        watch = self._watch
        if not isinstance(watch, Figure) or self._reader is not None:
            message = f"{self.kind} of {self.name!r} takes no figure"
            raise TypeError(message)
        self._given.append((figure(value), self._ties.now()))
        before, self._beyond = self._beyond, self.condition.holds(value)
        if before is not self._beyond:
            self.tell()

    def look(self, now: float) -> Found:
        """Ask what is watched."""
        self._take_up()
        crossed, value, detail, self._next, until = self._watch.look(now)
        if crossed is None:
            return Found(None, value, self._limit, detail)
        health, action = (self._health, self._action) if crossed else (1.0, "")
        return Found(health, value, self._limit, detail, until, action)

    def due(self) -> float:
        """When something is to be read, or a time is over."""
        return min(super().due(), self._next)

    def readers(self) -> tuple[Reader, ...]:
        """The one, if there is one."""
        return () if self._reader is None else (self._reader,)

    def after_fork(self) -> None:
        """The child has seen nothing."""
        super().after_fork()
        self._watch.after_fork(self._ties.now())

    @property
    def _limit(self) -> float:
        silent = self.condition.form is Form.SILENCE
        return self.condition.seconds if silent else self.condition.limit

    def _take_up(self) -> None:
        """Hand on what was read and set since the last look."""
        reader, watch = self._reader, self._watch
        if not isinstance(watch, Figure):
            return
        while self._given:
            watch.take(*self._given.popleft())
        if reader is not None and reader.at is not None and reader.at != self._taken:
            self._taken = reader.at
            watch.take(reader.value, reader.at)

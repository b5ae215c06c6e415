"""Those who wait for a place that another call gives back, in whatever gate."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from resilient.core.deadline import remaining
from resilient.core.importance import importance, rank
from resilient.core.ports import Criticality
from resilient.core.waiting import Waiting
from resilient.errors import Rejected
from resilient.policies.keeper import Keeper
from resilient.policies.ranks import Order, RankedQueue

__all__ = ["WaitingRoom"]

_FULL_QUEUE = "and so is every place in the queue"
_OUTRANKED = "a more critical call took its place in the queue"
_NO_TIME = "and there is no time to wait"


class WaitingRoom:
    """A queue of calls, of which the more critical go first, and the rules of joining it.

    Nobody is overtaken: while somebody waits, newcomers join. Whoever gives a permit back calls
    `hand_over` afterwards if somebody waits; whoever begins to wait says so before he looks for a
    permit once more: so one of the two sees the other, and no permit lies idle.
    """

    def __init__(self, keeper: Keeper, most: int, order: Order, max_wait: float | None) -> None:
        self.most = most
        self.max_wait = max_wait
        self.lock = threading.RLock()
        self._keeper = keeper
        self._order = order
        self._queue: RankedQueue[_Place] = RankedQueue(most, order)

    def __len__(self) -> int:
        """How many wait."""
        return len(self._queue)

    def ask(self) -> Any:
        """A permit, a place in the queue, or why there is neither, for a call that found no permit.

        Who is more critical than all who wait overtakes them: they may be waiting for more than
        there is for less critical calls.
        """
        level = importance()
        with self.lock:
            leading = self._queue.leading
            overtakes = leading is None or rank(level) < rank(leading)
            permit = self._keeper.take(level) if overtakes else None
        if permit is not None:
            return permit
        if self._queue.full_for(level):
            return self._keeper.refused(self.full(level))
        left, wait = remaining(), self.max_wait
        if left is not None:
            wait = left if wait is None else min(left, wait)
        if wait == 0:
            return self._keeper.refused(f"{self._keeper.busy(level)}, {_NO_TIME}")
        return _Place(self, self._keeper, level, wait)

    def full(self, level: Criticality) -> str:
        """Why a call of that level cannot wait."""
        busy = self._keeper.busy(level)
        return f"{busy}, {_FULL_QUEUE}" if self.most else busy

    def join(self, place: _Place, level: Criticality) -> None:
        """Put `place` into the queue, unless it is full; give it a permit if there is one now."""
        with self.lock:
            if self._queue.full_for(level):
                place.reason = self.full(level)
                victim: _Place | None = place
            else:
                victim = self._queue.add(place, level)
                if victim is not None:
                    victim.reason = _OUTRANKED
                self._keeper.crowded(True)  # noqa: FBT003  (a state)
        if victim is not None:
            with suppress(RuntimeError):  # its event loop is closed: nobody is there
                victim.wake()
        self.hand_over()

    def hand_over(self) -> None:
        """Give permits to those whose turn it is."""
        while (place := self._next()) is not None:
            try:
                place.wake()
            except RuntimeError:  # its event loop is closed: nobody is there
                permit = self.depart(place)
                if permit is not None:
                    self._keeper.give_back(permit)

    def depart(self, place: _Place) -> Any:
        """Take `place` out of the queue; the permit that it was given, if it was."""
        with self.lock:
            self._queue.discard(place)
            self._settle()
            permit, place.permit = place.permit, None
            return permit

    def empty(self) -> None:
        """Forget everybody, with a fresh lock: they are another process's."""
        self.lock = threading.RLock()
        self._queue = RankedQueue(self.most, self._order)

    def resize(self, most: int, max_wait: float | None) -> None:
        """Another length and patience, for newcomers; those who wait keep their places."""
        with self.lock:
            self.most = self._queue.most = most
            self.max_wait = max_wait

    def describe(self) -> str:
        """What follows the limit in a description."""
        if not self.most:
            return ""
        patience = "" if self.max_wait is None else f" for at most {self.max_wait:g} s"
        return f", {self.most} more wait{patience}, {self._order}"

    def _next(self) -> _Place | None:
        """Give a permit to who is next; `None` if there is no permit, or nobody."""
        with self.lock:
            level = self._queue.leading
            permit = None if level is None else self._keeper.take(level)
            if permit is None:
                return None
            place = self._queue.next()
            place.permit = permit
            self._settle()
            return place

    def _settle(self) -> None:
        if not self._queue:
            self._keeper.crowded(False)  # noqa: FBT003  (a state)


class _Place(Waiting):
    """A place in the queue. `permit` is what was handed over, until it is taken."""

    def __init__(
        self, room: WaitingRoom, keeper: Keeper, level: Criticality, wait: float | None
    ) -> None:
        self.clock = keeper.clock
        self.seconds = wait
        self.permit: Any = None
        self.reason: str | None = None
        self.wake: Callable[[], object] = _nobody
        self._room = room
        self._keeper = keeper
        self._level = level

    def notify(self, wake: Callable[[], object]) -> None:
        """Join the queue."""
        self.wake = wake
        self._room.join(self, self._level)

    def finish(self) -> Any:
        """The permit, or why there is none."""
        permit = self._room.depart(self)
        return self._keeper.refused(self._why()) if permit is None else permit

    def cancel(self) -> None:
        """Leave; a permit that was handed over goes to the next."""
        permit = self._room.depart(self)
        if permit is not None:
            self._keeper.give_back(permit)
            self._room.hand_over()

    def refuse(self, reason: str) -> Rejected:
        """Leave, and say why nobody waits."""
        self.cancel()
        return self._keeper.refused(f"{self._keeper.busy(self._level)}, and {reason}")

    def _why(self) -> str:
        waited = f"and that did not change within {self.seconds or 0:.3g} s"
        return self.reason or f"{self._keeper.busy(self._level)}, {waited}"


def _nobody() -> None:
    """Nobody waits yet."""

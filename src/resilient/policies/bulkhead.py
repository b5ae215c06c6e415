"""Bulkheads: no more than so many calls at a time, so that one slow dependency cannot take all."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from resilient.clock import Clock, Duration, chosen, seconds
from resilient.core.deadline import remaining
from resilient.core.gate import Gate
from resilient.core.hub import hub
from resilient.core.importance import importance
from resilient.core.outcome import Outcome
from resilient.core.policy import Places
from resilient.core.ports import Criticality
from resilient.core.waiting import Waiting
from resilient.errors import BulkheadFullError, ConfigError
from resilient.events import CallRejected
from resilient.policies.match import named, whole
from resilient.policies.ranks import Order, RankedQueue

__all__ = ["Bulkhead", "bulkhead"]

_FULL = "every slot is taken"
_FULL_QUEUE = "every slot is taken, and so is every place in the queue"
_OUTRANKED = "a more critical call took its place in the queue"


class _NoPlaces(list[None]):
    """What the straight line finds while somebody waits: nothing, so that nobody is overtaken."""


class _Open(list[None]):
    """The places of a bulkhead that is switched off: without number, and uncounted."""

    def __bool__(self) -> bool:
        """There is always one."""
        return True

    def pop(self, index: Any = -1, /) -> None:
        """Take none."""

    def append(self, place: None, /) -> None:
        """Give none back."""


_NO_PLACES = _NoPlaces()
_OPEN = _Open()


class Bulkhead(Gate):
    """Admits so many calls at a time; others wait in a queue, or are refused.

    Made by `resilient.bulkhead`. One object serves threads and event loops at once, as a
    decorator, through `call`, and as a context manager.
    """

    swift = True

    # A permit is the list that its place was taken from. Taking and giving back are a `pop` and an
    # `append`, which are atomic; only who waits needs the lock. Whoever gives a place back looks
    # afterwards whether somebody waits, and whoever begins to wait says so before looking for a
    # place once more: so one of the two sees the other.

    def __init__(  # noqa: PLR0913  (its settings, checked by `resilient.bulkhead`)
        self, name: str, limit: int, queue: int, max_wait: float | None, order: Order, clock: Clock
    ) -> None:
        self.name = name
        self.limit = limit
        self.clock = clock
        self.waiting = False
        self.rejected = 0
        self._most = queue
        self._order = order
        self._max_wait = max_wait
        self._begin()
        hub.register(self)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._places: list[None] = [None] * self.limit
        self._queue: RankedQueue[_Place] = RankedQueue(self._most, self._order)
        self.waiting = False
        self.free: Places = self._places if hub.active else _OPEN

    @property
    def in_flight(self) -> int:
        """Calls under way: admitted and not yet ended."""
        return self.limit - len(self._places)

    @property
    def queued(self) -> int:
        """Calls that wait for a slot."""
        return len(self._queue)

    # The policy

    def at_once(self, /, *args: Any, **kwargs: Any) -> Places | None:
        """A slot, if one is free and nobody waits."""
        del args, kwargs
        free = self.free
        try:
            free.pop()
        except IndexError:
            return None
        return free

    def succeeded(self, permit: Places, /) -> None:
        """Give the slot back."""
        permit.append(None)
        if self.waiting:
            self.hand_over()

    def settle(self, permit: Places, outcome: Outcome[Any] | None) -> None:
        """Give the slot back, however the call ended."""
        del outcome
        self.succeeded(permit)

    def admit(self, /, *args: Any, **kwargs: Any) -> Places | Waiting | BulkheadFullError:
        """A slot, a place in the queue, or a new `BulkheadFullError`, which is not raised."""
        del args, kwargs
        permit = self.at_once()
        if permit is not None:
            return permit
        level = importance()
        if self._queue.full_for(level):
            return self.refused(_FULL_QUEUE if self._most else _FULL)
        left = remaining()
        wait = self._max_wait
        if left is not None:
            wait = left if wait is None else min(left, wait)
        if wait == 0:
            return self.refused(f"{_FULL}, and there is no time to wait")
        return _Place(self, level, wait)

    def slots(self) -> Bulkhead:
        """Itself: it has nothing but slots."""
        return self

    def refused(self, reason: str) -> BulkheadFullError:
        """Count a rejection, and make its error."""
        with self._lock:
            self.rejected += 1
        if hub.bus.wants(CallRejected):
            hub.bus.publish(CallRejected(name=self.name, reason=reason))
        return BulkheadFullError(self.name, None, reason)

    # The queue

    def join(self, place: _Place, level: Criticality) -> None:
        """Put `place` into the queue, unless there is a slot now, or no room left."""
        with self._lock:
            if self._queue.full_for(level):
                place.reason = _FULL_QUEUE
                victim: _Place | None = place
            else:
                victim = self._queue.add(place, level)
                if victim is not None:
                    victim.reason = _OUTRANKED
                self.waiting = True
                if hub.active:
                    self.free = _NO_PLACES
        if victim is not None:
            with suppress(RuntimeError):  # its event loop is closed: nobody is there
                victim.wake()
        self.hand_over()

    def hand_over(self) -> None:
        """Give free slots to those whose turn it is."""
        while (place := self._next()) is not None:
            try:
                place.wake()
            except RuntimeError:  # its event loop is closed: nobody is there
                permit = self.depart(place)
                if permit is not None:
                    permit.append(None)

    def _next(self) -> _Place | None:
        """Give one free slot to who is next; `None` if there is no slot, or nobody."""
        with self._lock:
            if not self._queue:
                return None
            permit: Places = self._places if hub.active else self.free
            try:
                permit.pop()
            except IndexError:
                return None
            place = self._queue.next()
            place.permit = permit
            self._settle_queue()
            return place

    def _settle_queue(self) -> None:
        """With the lock: open the straight line again when nobody waits."""
        if not self._queue and self.waiting:
            self.waiting = False
            if hub.active:
                self.free = self._places

    def depart(self, place: _Place) -> Places | None:
        """Take `place` out of the queue; the slot that it was given, if it was."""
        with self._lock:
            self._queue.discard(place)
            self._settle_queue()
            permit, place.permit = place.permit, None
            return permit

    # What the hub and others ask

    def describe(self) -> str:
        """One line for `pipeline.describe()`."""
        text = f"bulkhead({self.name!r}): {self.limit} at a time"
        if not self._most:
            return text
        patience = "" if self._max_wait is None else f" for at most {self._max_wait:g} s"
        return f"{text}, {self._most} more wait{patience}, {self._order}"

    def set_active(self, active: bool, /) -> None:  # noqa: FBT001  (a switch is a boolean)
        """Work, or let everything pass uncounted, those who wait included."""
        with self._lock:
            if not active:
                self.free = _OPEN
            else:
                self.free = _NO_PLACES if self.waiting else self._places
        if not active:
            self.hand_over()

    def after_fork(self) -> None:
        """Free slots, a fresh lock, and nobody who waits: those are the parent's."""
        super().after_fork()
        self._begin()


class _Place(Waiting):
    """A place in the queue of a bulkhead. `permit` is the slot handed over, until it is taken."""

    def __init__(self, owner: Bulkhead, level: Criticality, wait: float | None) -> None:
        self.clock = owner.clock
        self.seconds = wait
        self.permit: Places | None = None
        self.reason: str | None = None
        self.wake: Callable[[], object] = _nobody
        self._owner = owner
        self._level = level

    def notify(self, wake: Callable[[], object]) -> None:
        """Join the queue."""
        self.wake = wake
        self._owner.join(self, self._level)

    def finish(self) -> Places | BulkheadFullError:
        """The slot, or why there is none."""
        permit = self._owner.depart(self)
        return self._owner.refused(self._why()) if permit is None else permit

    def cancel(self) -> None:
        """Leave; a slot that was handed over goes to the next."""
        permit = self._owner.depart(self)
        if permit is not None:
            self._owner.succeeded(permit)

    def refuse(self, reason: str) -> BulkheadFullError:
        """Leave, and say why nobody waits."""
        self.cancel()
        return self._owner.refused(f"{_FULL}, and {reason}")

    def _why(self) -> str:
        return self.reason or f"{_FULL}, and none was freed within {self.seconds or 0:.3g} s"


def _nobody() -> None:
    """Nobody waits yet."""


def bulkhead(  # noqa: PLR0913  (every setting of a bulkhead, all but `limit` optional)
    name: str,
    *,
    limit: int,
    queue: int = 0,
    max_wait: Duration | None = None,
    order: Order = "fifo",
    clock: Clock | None = None,
) -> Bulkhead:
    """Let at most `limit` calls run at a time.

    * `name`: what errors and events call it.
    * `queue`: how many more calls may wait for a slot; those beyond are refused at once with
      `BulkheadFullError`.
    * `max_wait`: the longest time to wait, in seconds; by default as long as the `deadline` leaves.
      On a thread that runs an event loop a ``def`` does not wait: it is refused.
    * `order`: who of those waiting is next: ``"fifo"``, the one who came first, or ``"lifo"``, the
      one who came last, which under lasting overload answers some in time rather than all too late.

    Of those waiting, the more critical go first (see `resilient.criticality`), and when the queue
    is full the least critical gives way to a more critical newcomer.

    A waiter that is cancelled, or runs out of time, loses no slot. Slots are shared by
    threads and event loops. Raises `ConfigError` naming the setting, its value and what is allowed.

    Example::

        reports = bulkhead("reports", limit=4, queue=20, max_wait=2)

        @reports
        async def render(report: int) -> bytes: ...

        with reports:
            ...
    """
    if order not in ("fifo", "lifo"):
        raise ConfigError("order", order, '"fifo" or "lifo"')
    whole("queue", queue, least=0)
    if max_wait is not None and queue == 0:
        raise ConfigError("max_wait", max_wait, "None without a queue: nobody waits")
    return Bulkhead(
        named(name),
        whole("limit", limit),
        queue,
        None if max_wait is None else seconds("max_wait", max_wait, zero=True),
        order,
        chosen(clock),
    )

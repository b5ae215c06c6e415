"""Bulkheads: no more than so many calls at a time, so that one slow dependency cannot take all."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any

from resilient.clock import Clock, Duration, chosen
from resilient.core.configured import UNSET, Recipe, UnsetType, configured
from resilient.core.gate import Gate
from resilient.core.hub import hub
from resilient.core.outcome import Outcome
from resilient.core.policy import Places
from resilient.core.ports import Criticality
from resilient.core.waiting import Waiting
from resilient.errors import BulkheadFullError, ConfigError, Rejected
from resilient.policies.keeper import Queueing, queueing
from resilient.policies.match import named, needed, whole
from resilient.policies.ranks import Order
from resilient.policies.waiting_room import WaitingRoom

__all__ = ["MOST", "Bulkhead", "bulkhead"]

MOST = 1_000_000
"""The greatest limit: each place takes 8 bytes, and more calls at a time no process has."""


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
    # `append`, which are atomic; only who waits needs a lock (see `WaitingRoom`).

    def __init__(self, name: str, limit: int, queue: Queueing, clock: Clock) -> None:
        self.name = name
        self.limit = limit
        self.clock = clock
        self.waiting = False
        self.rejected = 0
        self._room = WaitingRoom(self, *queue)
        self._begin()
        hub.register(self)

    def _begin(self) -> None:
        self._counting = threading.RLock()  # reentrant: a finaliser may come back
        self._places: list[None] = [None] * self.limit
        self._surplus = 0  # places that are still out though the limit has shrunk
        self.waiting = False
        self.free: Places = self._places if hub.active else _OPEN

    @property
    def in_flight(self) -> int:
        """Calls under way: admitted and not yet ended."""
        return self.limit + self._surplus - len(self._places)

    @property
    def queued(self) -> int:
        """Calls that wait for a slot."""
        return len(self._room)

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
            self._room.hand_over()

    def settle(self, permit: Places, outcome: Outcome[Any] | None) -> None:
        """Give the slot back, however the call ended."""
        del outcome
        self.succeeded(permit)

    def admit(self, /, *args: Any, **kwargs: Any) -> Places | Waiting | Rejected:
        """A slot, a place in the queue, or a new `BulkheadFullError`, which is not raised."""
        del args, kwargs
        permit = self.at_once()
        return self._room.ask() if permit is None else permit

    def slots(self) -> Bulkhead:
        """Itself: it has nothing but slots."""
        return self

    def hand_over(self) -> None:
        """Give free slots to those whose turn it is."""
        self._room.hand_over()

    # What its waiting room asks

    def take(self, level: Criticality, /) -> Places | None:
        """A slot, also while the straight line finds none."""
        del level
        self._shrink()
        places: Places = self._places if hub.active else _OPEN
        try:
            places.pop()
        except IndexError:
            return None
        return places

    def give_back(self, permit: Places, /) -> None:
        """Take a slot back."""
        permit.append(None)

    def crowded(self, waiting: bool, /) -> None:  # noqa: FBT001  (a state, told as it is)
        """Shut the straight line while somebody waits."""
        self.waiting = waiting
        self._line_up()

    def busy(self, level: Criticality, /) -> str:
        """Why there is no slot."""
        del level
        return "every slot is taken"

    def refused(self, reason: str, /) -> BulkheadFullError:
        """Count a rejection, and make its error."""
        with self._counting:
            self.rejected += 1
        self.announce(reason)
        return BulkheadFullError(self.name, None, reason)

    # Another limit

    def obey(self, made: tuple[int, Queueing], /) -> None:
        """Take another limit and queue from now on; nobody under way or waiting loses a place.

        Calls beyond a lower limit run to their end, and their places are not given out again.
        """
        limit, (queue, _, max_wait) = made
        with self._room.lock:
            self._room.resize(queue, max_wait)
            self._surplus += self.limit - limit
            self.limit = limit
            if self._surplus < 0:
                self._places.extend([None] * -self._surplus)
                self._surplus = 0
            self._shrink()
        self._room.hand_over()

    def _shrink(self) -> None:
        """Take in surplus places that came back. Called with the lock."""
        if not self._surplus:
            return
        with suppress(IndexError):
            while self._surplus:
                self._places.pop()
                self._surplus -= 1
        self._line_up()

    def _line_up(self) -> None:
        """Let the straight line take places, unless somebody waits or there are too many."""
        if hub.active:
            shut = self.waiting or self._surplus
            self.free = _NO_PLACES if shut else self._places

    # What the hub and others ask

    def describe(self) -> str:
        """One line for `pipeline.describe()`."""
        return f"bulkhead({self.name!r}): {self.limit} at a time{self._room.describe()}"

    def set_active(self, active: bool, /) -> None:  # noqa: FBT001  (a switch is a boolean)
        """Work, or let everything pass uncounted, those who wait included."""
        with self._room.lock:
            if active:
                self._line_up()
            else:
                self.free = _OPEN
        if not active:
            self._room.hand_over()

    def after_fork(self) -> None:
        """Free slots, fresh locks, and nobody who waits: those are the parent's."""
        super().after_fork()
        self._room.empty()
        self._begin()


def bulkhead(  # noqa: PLR0913  (every setting of a bulkhead)
    name: str,
    *,
    limit: int | UnsetType = UNSET,
    queue: int | UnsetType = UNSET,
    max_wait: Duration | UnsetType | None = UNSET,
    order: Order = "fifo",
    clock: Clock | None = None,
) -> Bulkhead:
    """Let at most `limit` calls run at a time.

    * `name`: what errors and events call it.
    * `limit`: at most a million. May only be left out if the setting ``bulkhead.limit`` or
      ``bulkhead.<name>.limit`` has a value.
    * `queue`: how many more calls may wait for a slot; those beyond are refused at once with
      `BulkheadFullError`. Default: the setting ``bulkhead.queue``, 0.
    * `max_wait`: the longest time to wait, in seconds; `None` is as long as the `deadline` leaves.
      Default: the setting ``bulkhead.max_wait``, `None`.
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
    given = {"limit": limit, "queue": queue, "max_wait": max_wait}
    recipe = Recipe("bulkhead", named(name), given, _sizes, name, order)
    values = configured.values
    size, waiting = recipe(values)
    made = Bulkhead(name, size, waiting, chosen(clock))
    configured.follow(made, recipe, values)
    return made


def _sizes(
    settings: Mapping[str, Any], given: Collection[str], name: str, order: Order
) -> tuple[int, Queueing]:
    limit, queue, max_wait = settings["limit"], settings["queue"], settings["max_wait"]
    if limit is None:
        raise ConfigError("limit", None, needed("a whole number >= 1", "bulkhead", "limit", name))
    if queue == 0 and "max_wait" not in given:
        max_wait = None
    if whole("limit", limit) > MOST:
        raise ConfigError("limit", limit, f"a whole number from 1 to {MOST}")
    return limit, queueing(queue, order, max_wait)

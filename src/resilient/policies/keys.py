"""A bounded, expiring store of one thing per key."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from resilient.clock import Clock

__all__ = ["KeyedStore"]

V = TypeVar("V")


class KeyedStore(Generic[V]):
    """Second-chance eviction: reading a key costs one dictionary look-up and moves nothing.

    `used` gives a number that grows with each use of a value. Whoever was used since the last look
    goes to the back of the line; whoever was not leaves when room is needed, or when `ttl` seconds
    have passed since that look.
    """

    __slots__ = ("_clock", "_line", "_lock", "_make", "_most", "_ttl", "_used", "values")

    def __init__(
        self,
        make: Callable[[Hashable], V],
        used: Callable[[V], int],
        *,
        most: int,
        ttl: float,
        clock: Clock,
    ) -> None:
        self.values: dict[Hashable, V] = {}
        self._line: dict[Hashable, tuple[int, float]] = {}
        self._lock = threading.RLock()
        self._make = make
        self._used = used
        self._most = most
        self._ttl = ttl
        self._clock = clock

    def get(self, key: Hashable) -> V:
        """The value of `key`, made on first need."""
        value = self.values.get(key)
        return self._add(key) if value is None else value

    def after_fork(self) -> None:
        """A fresh lock for the child."""
        self._lock = threading.RLock()

    def _add(self, key: Hashable) -> V:
        now = self._clock.monotonic()
        made = self._make(key)
        with self._lock:
            found = self.values.get(key)
            if found is not None:
                return found
            self._make_room(now)
            self.values[key] = made
            self._line[key] = (self._used(made), now)
        return made

    def _make_room(self, now: float) -> None:
        # Two looks for each key added keep up with expiry; more only while there is no room.
        looks = 2
        while self._line and (looks > 0 or len(self.values) >= self._most):
            looks -= 1
            key, (used, looked) = next(iter(self._line.items()))
            now_used = self._used(self.values[key])
            expired = now - looked >= self._ttl
            if not expired and len(self.values) < self._most:
                return
            del self._line[key]
            if now_used != used and (looks > -len(self.values)):
                self._line[key] = (now_used, now)
            else:
                del self.values[key]

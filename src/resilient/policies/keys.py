"""A bounded, expiring store of one thing per key."""

from __future__ import annotations

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

    __slots__ = ("_clock", "_line", "_make", "_most", "_used", "ttl", "values")

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
        self._make = make
        self._used = used
        self._most = most
        self.ttl = ttl
        self._clock = clock

    def get(self, key: Hashable) -> V:
        """The value of `key`, made on first need."""
        value = self.values.get(key)
        return self._add(key) if value is None else value

    def _add(self, key: Hashable) -> V:
        # No lock: hashing and comparing keys is the application's code. Each step is atomic by
        # itself, and the worst that a race can do is to evict in another order.
        now = self._clock.monotonic()
        self._make_room(now)
        made = self.values.setdefault(key, self._make(key))
        # The call that makes a key is no further use of it: else a flood of keys that are used once
        # would drive out those in use.
        self._line[key] = (self._used(made) + 1, now)
        return made

    def _make_room(self, now: float) -> None:
        # Two looks for each key added keep up with expiry; more only while there is no room, and
        # then everybody gets a second chance once.
        looks = 2
        while self._line and (looks > 0 or len(self.values) >= self._most):
            looks -= 1
            try:
                key, (used, looked) = next(iter(self._line.items()))
            except (RuntimeError, StopIteration):
                return
            if now - looked < self.ttl and len(self.values) < self._most:
                return
            self._line.pop(key, None)
            value = self.values.get(key)
            now_used = 0 if value is None else self._used(value)
            if now_used not in (used, used - 1) and looks > -self._most:
                self._line[key] = (now_used, now)
            else:
                self.values.pop(key, None)

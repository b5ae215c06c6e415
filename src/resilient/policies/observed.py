"""How long calls take now, and the limit that follows from it.

A call that is ended by the very limit that follows from such calls was not measured to its end.
It must not be left out: of the rest all are quicker, the limit would shrink, end more calls, and
shrink again. It is counted with the time that it took so far, a lower bound. Any limit here is at
least the quantile, so a lower bound lies above the quantile just as the real time does, and the
share of calls above it stays what it is. That is all a quantile depends on. Where more calls than
that are above, the quantile moves up into the lower bounds, and the limit grows.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Generic, TypeVar

from resilient.clock import Clock
from resilient.core.hub import hub
from resilient.core.policy import Line
from resilient.errors import ConfigError
from resilient.policies.latency import Latency
from resilient.policies.match import positive, whole

__all__ = ["Lines", "Observed", "least_samples", "quantile_of"]

T = TypeVar("T", bound=float | None)

_PAUSE = 1.0
"""Seconds between two readings. A reading sums up 320 counts."""
_CLOSE = 0.95
"""A call that took this share of the limit was ended by it: timers and clocks differ a little,
and a bucket of the histogram is 10 % wide."""
_FRESH = 4096
"""Durations between two readings; of more, the latest."""
_LINES = 16


def quantile_of(value: object) -> float:
    """Check a quantile. Raises `ConfigError` unless it is a number in (0, 1)."""
    share = positive("quantile", value, most=1)
    if share == 1:
        raise ConfigError("quantile", value, "a number > 0 and < 1")
    return share


def least_samples(quantile: float) -> int:
    """As many calls as it takes for one to lie above the `quantile`: 20 for 0.95, 100 for 0.99."""
    return math.ceil(1 / (1 - quantile) - 1e-9)


class Recent(Latency):
    """Durations of the last 15 to 30 seconds, and how many."""

    __slots__ = ()

    def count(self, now: float) -> int:
        """How many durations there are."""
        self._roll(now)
        return sum(self._current) + sum(self._before)

    def snapshot(self, now: float) -> dict[str, Any]:
        """Plain data, for `restored`."""
        self._roll(now)
        return {"age": max(0.0, now - self._since), "counts": [[*self._current], [*self._before]]}

    def restored(self, data: Mapping[str, Any], now: float) -> None:
        """Take over a `snapshot`. Raises `KeyError`, `TypeError` or `ValueError` for others."""
        current, before = (
            [whole("counts", count, least=0) for count in half] for half in data["counts"]
        )
        if not len(current) == len(before) == len(self._current):
            raise ValueError(data)
        self._since = now - positive("age", data["age"], zero=True)
        self._current, self._before = current, before


class Observed(Generic[T]):
    """A quantile of what calls take, and what `rule` makes of it.

    `limit` is ``rule(quantile)``, or ``rule(None)`` as long as there are fewer than `warm_up`
    samples of the last 15 to 30 seconds. It is read again once a second; until `due` it holds.
    What a good call costs is an entry in `fresh`, and a note of when the `latest` was made; both
    are atomic, so threads may share it.
    """

    def __init__(
        self, quantile: float, warm_up: int, rule: Callable[[float | None], T], clock: Clock
    ) -> None:
        self.quantile = quantile
        self.warm_up = warm_up
        self.clock = clock
        self._rule = rule
        self.fresh: deque[float] = deque(maxlen=_FRESH)
        self.latest = self.due = -math.inf
        self._lock = threading.RLock()  # reentrant: a finaliser may come back
        self.reset()
        hub.register(self)

    def current(self, now: float) -> T:
        """The limit at `now`."""
        if now >= self.due:
            with self._lock:
                self._sort()
                enough = self._recent.count(now) >= self.warm_up
                found = self._recent.quantile(self.quantile, now) if enough else None
                self.limit = self._rule(found)
                self.due = now + _PAUSE
        return self.limit

    def settle(self, began: float, limit: float | None, *, answered: bool = True) -> None:
        """Count a call that began at `began` and ends now; one that failed, if it was too long.

        An error that came before the `limit` does not say how long an answer takes, and neither
        does a cancellation.
        """
        now = self.clock.monotonic()
        took = now - began
        if not answered:
            if limit is None or took < _CLOSE * limit:
                return
            took = max(took, limit)
        self.latest = now
        self.fresh.append(took)

    def _sort(self) -> None:
        """Put what was measured since the last reading into the histogram; under the lock."""
        fresh, latest = self.fresh, self.latest
        with suppress(IndexError):
            while True:
                self._recent.add(fresh.popleft(), latest)

    def snapshot(self) -> dict[str, Any]:
        """Plain data to restore from."""
        now = self.clock.monotonic()
        with self._lock:
            self._sort()
            return self._recent.snapshot(now)

    def restore(self, data: Mapping[str, Any]) -> None:
        """Take over a `snapshot`, as if made now. Raises `ConfigError` for anything else."""
        now = self.clock.monotonic()
        recent = Recent(now)
        try:
            recent.restored(data, now)
        except (KeyError, TypeError, ValueError) as error:
            allowed = "what snapshot() of the same policy returned"
            raise ConfigError("snapshot", data, allowed) from error
        self._begin(recent)

    def reset(self) -> None:
        """Forget every call."""
        self._begin(Recent(self.clock.monotonic()))

    def _begin(self, recent: Recent) -> None:
        with self._lock:
            self.fresh.clear()
            self._recent = recent
            self.limit = self._rule(None)
            self.due = -math.inf

    def set_active(self, active: bool, /) -> None:  # noqa: FBT001  (a switch is a boolean)
        """Nothing to do: an inactive library observes nothing."""

    def after_fork(self) -> None:
        """A fresh lock. What was learned stays true."""
        self._lock = threading.RLock()

    def line_async(self, line: Line, limited: Callable[[T], Line]) -> Line:
        """`line` within the limit of now; `limited` makes the line of one limit."""
        lines, clock = Lines(limited), self.clock
        made, note = lines.made, self.fresh.append

        async def measured(*args: Any, **kwargs: Any) -> Any:
            if not hub.active:
                return await line(*args, **kwargs)
            began = clock.monotonic()
            limit = self.limit if began < self.due else self.current(began)
            try:
                result = await (made.get(limit) or lines.of(limit))(*args, **kwargs)
            except BaseException:
                self.settle(began, limit, answered=False)
                raise
            self.latest = ended = clock.monotonic()
            note(ended - began)
            return result

        return measured

    def line(self, line: Line, limited: Callable[[T], Line]) -> Line:
        """The same for a ``def``."""
        lines, clock = Lines(limited), self.clock

        def measured(*args: Any, **kwargs: Any) -> Any:
            if not hub.active:
                return line(*args, **kwargs)
            began = clock.monotonic()
            limit = self.current(began)
            try:
                result = lines.of(limit)(*args, **kwargs)
            except BaseException:
                self.settle(began, limit, answered=False)
                raise
            self.settle(began, limit)
            return result

        return measured


class Lines(Generic[T]):
    """A line for each limit, made once. Limits are few: they lie on the grid of the histogram."""

    def __init__(self, make: Callable[[T], Line]) -> None:
        self.made: dict[T, Line] = {}
        self._make = make

    def of(self, limit: T) -> Line:
        """The line within `limit`."""
        found = self.made.get(limit)
        if found is None:
            if len(self.made) >= _LINES:  # an old one still serves the calls that it has
                self.made.clear()
            found = self.made[limit] = self._make(limit)
        return found

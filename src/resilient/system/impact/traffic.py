"""What the application itself serves: how many requests, how fast, and how many of them fail."""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

from resilient.clock import Clock
from resilient.core.gate import Gate
from resilient.core.hub import hub
from resilient.core.outcome import Outcome

__all__ = ["Served", "Totals", "Traffic"]


class Totals(NamedTuple):
    """Requests since the traffic was made: `calls`, and how many of them were `failures`."""

    calls: int = 0
    failures: int = 0


class Served(NamedTuple):
    """One second, or a sum of them: `calls`, `failures`, and the `seconds` that all calls took."""

    calls: int = 0
    failures: int = 0
    seconds: float = 0.0

    @property
    def up(self) -> bool:
        """Whether at least half of the requests were answered."""
        return 2 * self.failures <= self.calls


class Traffic(Gate):
    """Counts what it is put around, and refuses nothing. Made by `mode.traffic`.

    A request that raises an `Exception` has failed, whoever raised it; one that was cancelled is
    not counted.

    Example::

        serving = mode.traffic()

        @serving
        async def handle(request): ...
    """

    swift = True

    def __init__(self, name: str, window: int, clock: Clock) -> None:
        self.name = name
        self.window = window
        self.clock = clock
        self._lock = threading.RLock()  # reentrant: a finaliser may come back
        self.reset()
        hub.register(self)

    def at_once(self, /, *args: Any, **kwargs: Any) -> object | None:
        """Begin: the permit is the instant."""
        del args, kwargs
        return self.clock.monotonic()

    def admit(self, /, *args: Any, **kwargs: Any) -> object:
        """Begin: the permit is the instant."""
        del args, kwargs
        return self.clock.monotonic()

    def succeeded(self, permit: Any, /) -> None:
        """Count an answer."""
        self._count(permit, failed=0)

    def settle(self, permit: Any, outcome: Outcome[Any] | None) -> None:
        """Count how a request ended; an abandoned one is none."""
        if outcome is not None and hub.active:
            self._count(permit, failed=0 if outcome.ok else 1)

    @property
    def totals(self) -> Totals:
        """Requests and failures so far."""
        return self._totals

    def seconds(self) -> list[Served]:
        """The seconds of the window in which something ended, oldest first; the present one too."""
        with self._lock:
            oldest = int(self.clock.monotonic()) - self.window
            return [served for second, served in sorted(self._buckets.items()) if second > oldest]

    def lasting(self) -> float:
        """How many seconds of the window there have been, up to now."""
        return min(float(self.window), max(1.0, self.clock.monotonic() - self._since))

    def reset(self) -> None:
        """Count from nothing."""
        with self._lock:
            self._since = self.clock.monotonic()
            self._totals = Totals()
            self._buckets: dict[int, Served] = {}

    def describe(self) -> str:
        """One line for `pipeline.describe()`."""
        return f"traffic({self.name!r}): counts, over {self.window} s"

    def set_active(self, active: bool, /) -> None:  # noqa: FBT001  (a switch is a boolean)
        """Nothing to do: an inactive line does not ask."""

    def after_fork(self) -> None:
        """A fresh lock."""
        super().after_fork()
        self._lock = threading.RLock()

    def _count(self, began: float, *, failed: int) -> None:
        now = self.clock.monotonic()
        second = int(now)
        with self._lock:
            if second not in self._buckets:
                self._forget(second)
            calls, failures, took = self._buckets.get(second, Served())
            self._buckets[second] = Served(calls + 1, failures + failed, took + now - began)
            self._totals = Totals(self._totals.calls + 1, self._totals.failures + failed)

    def _forget(self, second: int) -> None:
        """Leave out the seconds that are no longer in the window."""
        kept = second - self.window
        self._buckets = {at: served for at, served in self._buckets.items() if at > kept}

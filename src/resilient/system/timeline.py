"""One line of time for the mode, whatever clock it follows."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from resilient.clock import Clock, chosen

__all__ = ["Timeline"]


class Timeline:
    """Seconds since the mode was made; they go on without a jump when the clock is swapped.

    Instants of two clocks must never be compared, and a test may give the system clock another
    source at any moment.

    Example::

        Timeline(ManualClock()).now()  # 0.0
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock: Clock = chosen(clock)
        self._lock = threading.Lock()
        source = self.clock.monotonic
        self._base = (source, -source())
        self._last = 0.0

    def now(self) -> float:
        """The present instant."""
        return self.read()[0]

    def read(self) -> tuple[float, float]:
        """The present instant, and what the clock itself shows."""
        source = self.clock.monotonic
        raw = source()
        known, offset = self._base
        if source != known:
            offset = self._rebase(source, raw)
        self._last = raw + offset
        return self._last, raw

    @property
    def injected(self) -> bool:
        """Whether the time is not the machine's."""
        return self.clock.monotonic is not time.monotonic

    def wall(self, instant: float) -> float:
        """The wall-clock time of an instant, to be shown."""
        return self.clock.time() - (self.now() - instant)

    def after_fork(self) -> None:
        """Take a fresh lock."""
        self._lock = threading.Lock()

    def _rebase(self, source: Callable[[], float], raw: float) -> float:
        with self._lock:
            if source != self._base[0]:
                self._base = (source, self._last - raw)
            return self._base[1]

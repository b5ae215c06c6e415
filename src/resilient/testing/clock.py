"""A clock that moves when it is told to."""

from __future__ import annotations

import asyncio
import threading

from resilient.clock import Duration, seconds

__all__ = ["ManualClock"]


class ManualClock:
    """Time that stands still until somebody moves it. What every ``clock=`` accepts.

    `start` is the first reading, in seconds. Whoever sleeps on this clock moves it and goes on at
    once; only on a `JumpingEventLoop` of this clock do several sleepers take turns, as they would
    in real time. Threads may share it.

    Raises `ConfigError` if `start`, or a step, is negative or not finite.

    Example::

        clock = ManualClock()
        payments = breaker("payments", reset_timeout=60, clock=clock)
        clock.advance(60)
    """

    jumps = True
    """Sleeping on it blocks nobody, so a driver may do that even on an event loop's thread."""

    def __init__(self, start: Duration = 0.0) -> None:
        self._lock = threading.Lock()
        self._now = seconds("start", start, zero=True)

    def __repr__(self) -> str:
        """Show the reading."""
        return f"ManualClock({self._now:g})"

    def monotonic(self) -> float:
        """The reading, in seconds."""
        return self._now

    def time(self) -> float:
        """The reading, in seconds; the epoch is whatever `start` counts from."""
        return self._now

    def advance(self, by: Duration) -> None:
        """Move on by so many seconds, or a `timedelta`; 0 changes nothing.

        Raises `ConfigError` for a step that is negative or not finite.

        Example::

            clock.advance(timedelta(minutes=5))
        """
        step = seconds("advance", by, zero=True)
        with self._lock:
            self._now += step

    def sleep(self, seconds: float, /) -> None:
        """Move on by `seconds` and return at once; as `time.sleep`, it refuses a negative."""
        self.advance(seconds)

    async def sleep_async(self, seconds: float, /) -> None:
        """Suspend the task for `seconds` of this clock.

        On a `JumpingEventLoop` of this clock this is a timer of the loop, so that sleepers wake
        up in the order of their times. On any other loop the clock moves at once and the other
        tasks get one turn.
        """
        if getattr(asyncio.get_running_loop(), "clock", None) is self:
            await asyncio.sleep(seconds)
            return
        self.advance(seconds)
        await asyncio.sleep(0)

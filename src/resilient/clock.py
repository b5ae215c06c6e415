"""Time as a parameter.

Every policy takes ``clock=``. Durations are measured on `Clock.monotonic`; `Clock.time` is only
ever shown or stored. Instants of two clocks are never compared.
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Protocol, cast, runtime_checkable

from resilient.errors import ConfigError

__all__ = ["Clock", "Duration", "SystemClock", "chosen", "seconds", "system_clock"]

Duration = float | timedelta
"""Seconds, or a `datetime.timedelta`."""


@runtime_checkable
class Clock(Protocol):
    """What the library asks of time. `resilient.testing.ManualClock` is another one.

    A clock whose ``sleep`` moves time instead of waiting says so with an attribute
    ``jumps = True``; it may sleep where waiting would block an event loop.

    Example::

        payments = breaker("payments", clock=ManualClock())
    """

    def monotonic(self) -> float:
        """Seconds on a clock that never steps back."""
        ...

    def time(self) -> float:
        """Seconds since the epoch, to be shown or stored, never compared."""
        ...

    def sleep(self, seconds: float, /) -> object:
        """Block this thread for `seconds`."""
        ...

    def sleep_async(self, seconds: float, /) -> Awaitable[object]:
        """Suspend this task for `seconds`."""
        ...


async def _sleep_async(seconds: float, /) -> None:
    import asyncio  # noqa: PLC0415  (threads-only programs never load asyncio)

    await asyncio.sleep(seconds)


class SystemClock:
    """The machine's own clock.

    Its functions are attributes, so that a test can swap the time of policies that were made
    long before the test began.

    Example::

        started = system_clock.monotonic()
    """

    __slots__ = ("following", "jumps", "monotonic", "sleep", "sleep_async", "time")

    def __init__(self) -> None:
        self.monotonic: Callable[[], float]
        self.time: Callable[[], float]
        self.sleep: Callable[[float], object]
        self.sleep_async: Callable[[float], Awaitable[object]]
        self.reset()

    def follow(self, clock: Clock) -> None:
        """Take the time from `clock` until `reset`."""
        self.following: Clock | None = clock
        self.jumps: bool = getattr(clock, "jumps", False)
        self.monotonic = clock.monotonic
        self.time = clock.time
        self.sleep = clock.sleep
        self.sleep_async = clock.sleep_async

    def reset(self) -> None:
        """Take the time from the machine again."""
        self.following = None
        self.jumps = False
        self.monotonic = time.monotonic
        self.time = time.time
        self.sleep = time.sleep
        self.sleep_async = _sleep_async


system_clock = SystemClock()
"""The clock of every policy that was given none."""


def chosen(clock: Clock | None) -> Clock:
    """`clock`, or the system's if there is none. Raises `ConfigError` for what is no clock.

    Example::

        chosen(None).monotonic()
    """
    if clock is None:
        # A cast, because type checkers take functions in attributes for methods yet to be bound.
        return cast("Clock", system_clock)
    if isinstance(clock, type) or not isinstance(cast("object", clock), Clock):
        allowed = "an object with monotonic, time, sleep and sleep_async, such as ManualClock()"
        raise ConfigError("clock", clock, allowed)
    return clock


def seconds(setting: str, value: Duration, *, zero: bool = False) -> float:
    """Read a duration, in seconds.

    Parameters: `setting` names the argument in the error; `zero` allows 0.
    Raises `ConfigError` for what is no duration, negative, not finite, or 0 where that is refused.

    Example::

        seconds("reset_timeout", timedelta(minutes=1))  # 60.0
    """
    least = ">= 0" if zero else "> 0"
    allowed = f"seconds {least} as a number, or a timedelta"
    number = value.total_seconds() if isinstance(value, timedelta) else _number(value)
    if not (0 <= number < math.inf) or (number == 0 and not zero):
        raise ConfigError(setting, value, allowed)
    return number


def _number(value: object) -> float:
    """`value` as a float; not a number if it is none. A boolean is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan

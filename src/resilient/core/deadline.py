"""How much time the caller still has."""

from __future__ import annotations

from contextvars import ContextVar, Token

from resilient.clock import Clock

__all__ = ["Limit", "begin", "current", "end", "remaining"]


class Limit:
    """An instant on a clock. Instants of two clocks are never compared, only what remains."""

    __slots__ = ("_clock", "_until")

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._until = clock.monotonic() + seconds

    def remaining(self) -> float:
        """Seconds left; 0 or less when the time is over."""
        return self._until - self._clock.monotonic()


current: ContextVar[Limit | None] = ContextVar("resilient_deadline", default=None)
"""The innermost deadline of this task or thread."""


def remaining() -> float | None:
    """Seconds left of the innermost `deadline`, never below 0; `None` outside of any.

    Example::

        with deadline(2):
            client.get(url, timeout=resilient.remaining())
    """
    limit = current.get()
    return None if limit is None else max(0.0, limit.remaining())


def begin(clock: Clock, seconds: float) -> Token[Limit | None]:
    """Set a deadline, or keep the outer one if that is earlier. Undone by `end`."""
    left = remaining()
    return current.set(Limit(clock, seconds if left is None else min(left, seconds)))


def end(token: Token[Limit | None]) -> None:
    """Undo `begin`."""
    try:
        current.reset(token)
    except ValueError:
        # A coroutine that was never finished is closed by the collector, in a context that
        # never saw the deadline: nothing is to be undone there.
        return

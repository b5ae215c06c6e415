"""The time that a caller is willing to wait, for the whole of what is inside."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from resilient.clock import Clock, Duration, chosen, seconds
from resilient.core.deadline import begin, end, remaining
from resilient.core.effects import Call, Flow, Guarded, Step, Within
from resilient.core.held import HeldPermits
from resilient.core.hub import hub
from resilient.core.limits import timed_out
from resilient.core.outcome import Outcome
from resilient.core.policy import Line, Policy
from resilient.policies.timeout import no_time

__all__ = ["Deadline", "deadline"]

_NAME = "deadline"


class Deadline(Policy):
    """A decorator and a context manager. Made by `resilient.deadline`."""

    wraps = True

    def __init__(self, limit: float, clock: Clock) -> None:
        self.seconds = limit
        self.clock = clock
        self._blocks = HeldPermits(_nothing)

    def flow(self, call: Call, inner: Step, place: int) -> Flow:
        """Run what is inside under the deadline; an ``async def`` is also cancelled by it."""
        del place
        if remaining() == 0:
            return Outcome(error=no_time(_NAME))
        token = begin(self.clock, self.seconds)
        try:
            if not call.guard.is_async:
                return (yield from inner(call))
            outcome: Outcome[Any] = yield Within(remaining() or 0.0, _NAME, inner, call)
            return outcome
        finally:
            end(token)

    def wrap(self, line: Line, guard: Guarded) -> Line:
        """The straight line."""
        return _bounded_async(self, line) if guard.is_async else _bounded(self, line)

    def describe(self) -> str:
        """One line for `pipeline.describe()`."""
        return f"deadline: {self.seconds:g} s for all that is inside"

    def __enter__(self) -> None:
        """Begin a block that is told what is left. Raises `DeadlineExceededError`."""
        if not hub.active:
            self._blocks.push(None)
            return
        if remaining() == 0:
            raise no_time(_NAME)
        self._blocks.push(begin(self.clock, self.seconds))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the block."""
        token = self._blocks.pop(_NAME, error)
        if token is not None:
            end(token)

    async def __aenter__(self) -> None:
        """Begin a block that is also cancelled. Raises `DeadlineExceededError`."""
        from resilient.core.timer import arm  # noqa: PLC0415  (only async programs load asyncio)

        if not hub.active:
            self._blocks.push(None)
            return
        if remaining() == 0:
            raise no_time(_NAME)
        outer = remaining()
        left = self.seconds if outer is None else min(outer, self.seconds)
        alarm = arm(left)  # first: it raises outside of a task
        self._blocks.push((begin(self.clock, self.seconds), left, alarm))

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the block; its own cancellation becomes `CallTimeoutError`."""
        import asyncio  # noqa: PLC0415  (loaded by __aenter__)

        held = self._blocks.pop(_NAME, error)
        if held is None:
            return
        token, left, alarm = held
        end(token)
        if alarm.disarm() and isinstance(error, asyncio.CancelledError):
            raise timed_out(_NAME, left) from error


def _nothing(held: object) -> None:
    """A dropped task takes its deadline with it."""


def _bounded(policy: Deadline, line: Line) -> Line:
    def bounded(*args: Any, **kwargs: Any) -> Any:
        if not hub.active:
            return line(*args, **kwargs)
        if remaining() == 0:
            raise no_time(_NAME)
        token = begin(policy.clock, policy.seconds)
        try:
            return line(*args, **kwargs)
        finally:
            end(token)

    return bounded


def _bounded_async(policy: Deadline, line: Line) -> Line:
    from resilient.core.timer import limited, within  # noqa: PLC0415  (loads asyncio)

    async def informed(*args: Any, **kwargs: Any) -> Any:
        token = begin(policy.clock, policy.seconds)
        try:
            return await line(*args, **kwargs)
        finally:
            end(token)

    async def clipped(*args: Any, **kwargs: Any) -> Any:
        if not hub.active:
            return await line(*args, **kwargs)
        left = min(remaining() or 0.0, policy.seconds)
        if left <= 0:
            raise no_time(_NAME)
        return await within(informed(*args, **kwargs), left, _NAME)

    return limited(informed, policy.seconds, _NAME, clipped)


def deadline(limit: Duration, *, clock: Clock | None = None) -> Deadline:
    """Give the whole of what is inside `limit` seconds, or what an outer deadline leaves.

    ``with deadline(2):`` and the decorator on a ``def`` inform: `resilient.remaining()` tells
    clients what is left, limits of time are clipped to it, and waits that do not fit are not begun.
    ``async with deadline(2):`` and the decorator on an ``async def`` also cancel, and raise
    `CallTimeoutError`. When nothing is left at the start, `DeadlineExceededError` is raised.

    Raises `ConfigError` if `limit` is not a number of seconds > 0 or a timedelta.

    Example::

        async with deadline(2):
            await client.get(url, timeout=resilient.remaining())
    """
    return Deadline(seconds("deadline", limit), chosen(clock))

"""The limit on the time of one attempt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from resilient.clock import Duration, seconds
from resilient.core import threads
from resilient.core.deadline import current
from resilient.core.effects import Call, Flow, Guarded, Step, Within
from resilient.core.hub import hub
from resilient.core.inspection import label
from resilient.core.outcome import Outcome
from resilient.core.policy import Line, Policy
from resilient.errors import DeadlineExceededError

__all__ = ["Timeout", "no_time", "timeout"]


def no_time(name: str) -> DeadlineExceededError:
    """The rejection of a limit that has nothing left."""
    return DeadlineExceededError(name, None, "no time is left to start the call")


class Timeout(Policy):
    """Ends a call that takes too long. Made by `resilient.timeout`."""

    limiter = True

    def __init__(self, limit: float, *, thread: bool = False) -> None:
        self.title = f"timeout({limit:g})"
        self.seconds = limit
        self.thread = thread

    def check(self, fn: Callable[..., Any], is_async: bool) -> None:  # noqa: FBT001
        """Refuse a ``def`` unless a thread may be used, and a thread for an ``async def``."""
        if is_async and self.thread:
            message = f"{label(fn)} is async: timeout(thread=True) is for a def"
            raise TypeError(message)
        if not (is_async or self.thread):
            message = (
                f"{label(fn)} is a def, which cannot be interrupted. timeout(..., thread=True) "
                "runs it on a worker thread, which lives on after the limit; or give its client "
                "a timeout of its own"
            )
            raise TypeError(message)

    def flow(self, call: Call, inner: Step, place: int) -> Flow:
        """Run what is inside within the limit, or what the deadline leaves of it."""
        del place
        limit = self.limit()
        if limit <= 0:
            return Outcome(error=no_time(self.title))
        outcome: Outcome[Any] = yield Within(limit, call.guard.label, inner, call)
        return outcome

    def wrap(self, line: Line, guard: Guarded) -> Line:
        """The straight line."""
        make = _timed_async if guard.is_async else _timed_thread
        return make(self, line, guard.label)

    def describe(self) -> str:
        """One line for `pipeline.describe()`."""
        return f"timeout: {self.seconds:g} s for what is inside"

    def limit(self) -> float:
        """Seconds that a call may take now."""
        left = current.get()
        return self.seconds if left is None else min(self.seconds, left.remaining())


def _timed_async(policy: Timeout, line: Line, name: str) -> Line:
    from resilient.core.timer import limited, within  # noqa: PLC0415  (loads asyncio)

    async def clipped(*args: Any, **kwargs: Any) -> Any:
        if not hub.active:
            return await line(*args, **kwargs)
        limit = policy.limit()
        if limit <= 0:
            raise no_time(policy.title)
        return await within(line(*args, **kwargs), limit, name)

    return limited(line, policy.seconds, name, clipped)


def _timed_thread(policy: Timeout, line: Line, name: str) -> Line:
    def timed(*args: Any, **kwargs: Any) -> Any:
        if not hub.active:
            return line(*args, **kwargs)
        limit = policy.limit()
        if limit <= 0:
            raise no_time(policy.title)
        return threads.within(lambda: line(*args, **kwargs), limit, name)

    return timed


def timeout(limit: Duration, *, thread: bool = False) -> Timeout:
    """End each call that takes longer than `limit` seconds with `CallTimeoutError`.

    An ``async def`` is cancelled when the time is over. A ``def`` cannot be interrupted:
    decorating one is a `TypeError` unless `thread` is true; then it runs on a worker thread of its
    own, the caller stops waiting for it, and the thread lives on until the function returns.
    Within a `deadline` the limit is what is left of it, if that is less; when nothing is left, the
    call is not started (`DeadlineExceededError`).

    Raises `ConfigError` if `limit` is not a number of seconds > 0 or a timedelta.

    Example::

        @timeout(2)
        async def fetch(url: str) -> bytes: ...
    """
    return Timeout(seconds("timeout", limit), thread=bool(thread))

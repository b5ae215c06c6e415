"""Retrying a block: ``for attempt in retry:`` with ``with attempt:`` inside."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Self

from resilient.core.hub import hub
from resilient.core.outcome import Outcome
from resilient.policies.retry_rules import Run

if TYPE_CHECKING:
    from resilient.policies.retry import Retry

__all__ = ["AsyncAttempts", "Attempt", "attempts_sync"]


class _Block:
    label = "a block"


_BLOCK = _Block()


class Attempt:
    """One attempt at a block. `number` counts from 1.

    The block's error is swallowed if another attempt follows, and raised as it was otherwise.
    """

    __slots__ = ("_blocking", "_retry", "_run", "number", "wait")

    def __init__(self, retry: Retry, run: Run, *, blocking: bool) -> None:
        self.number = run.attempts + 1
        self.wait: float | None = None
        self._retry = retry
        self._run = run
        self._blocking = blocking

    def __enter__(self) -> Self:
        """Begin the attempt."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        """Decide whether another attempt follows."""
        if not isinstance(error, Exception) or not hub.active:
            return False
        self.wait = self._retry.after(self._run, Outcome(error=error), blocking=self._blocking)
        return self.wait is not None


def attempts_sync(retry: Retry) -> Iterator[Attempt]:
    """The attempts of one block on a thread."""
    run = retry.begin(_BLOCK)
    while True:
        attempt = Attempt(retry, run, blocking=True)
        yield attempt
        if attempt.wait is None:
            return
        if attempt.wait > 0:
            retry.clock.sleep(attempt.wait)


class AsyncAttempts:
    """The attempts of one block in a task."""

    __slots__ = ("_last", "_retry", "_run")

    def __init__(self, retry: Retry) -> None:
        self._retry = retry
        self._run = retry.begin(_BLOCK)
        self._last: Attempt | None = None

    def __aiter__(self) -> AsyncIterator[Attempt]:
        """Itself."""
        return self

    async def __anext__(self) -> Attempt:
        """Wait as decided, and give the next attempt."""
        from resilient.core.aio import pause  # noqa: PLC0415  (only async programs load asyncio)

        if self._last is not None:
            if self._last.wait is None:
                raise StopAsyncIteration
            await pause(self._last.wait, self._retry.clock)
        self._last = Attempt(self._retry, self._run, blocking=False)
        return self._last

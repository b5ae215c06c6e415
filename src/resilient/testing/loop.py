"""An asyncio loop that does not wait: when it has nothing to do, its clock jumps."""

from __future__ import annotations

import asyncio
import math
import selectors
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple, Unpack

from resilient.core.hub import hub
from resilient.testing.clock import ManualClock

__all__ = ["JumpingEventLoop", "run"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
Ready = list[tuple[selectors.SelectorKey, int]]

_SLICE = 0.01
_OWN = 1  # the pipe by which other threads wake the loop


class JumpingEventLoop(asyncio.SelectorEventLoop):
    """An event loop that lives on a `ManualClock`, and jumps to the next timer when it is idle.

    ``loop.time()`` is the clock's reading, so every timer of asyncio (sleeps, timeouts,
    ``call_later``) runs on it: an hour passes at once, in the right order, and the same way each
    time.

    It jumps only when no callback is ready and no I/O is. It waits in real time, as any loop does:

    * as long as nothing is scheduled at all;
    * while a job runs in an executor (`asyncio.to_thread`), or a listener of this library on its
      dispatcher (unless it hangs), at most as long as the next timer would really have taken;
    * up to `patience` real seconds before each jump while sockets are watched, because the other
      end of a socket knows nothing of this clock. Default 0.05.

    Of threads that were not started through the loop it knows nothing.

    Example::

        with asyncio.Runner(loop_factory=lambda: JumpingEventLoop(clock)) as runner:
            runner.run(asyncio.sleep(3600))
    """

    def __init__(self, clock: ManualClock | None = None, *, patience: float = 0.05) -> None:
        self.clock = ManualClock() if clock is None else clock
        self.jobs = 0
        super().__init__(_JumpingSelector(self, patience))
        # A callback that moves the clock is not slow.
        self.slow_callback_duration = math.inf

    def time(self) -> float:
        """The clock's reading, in seconds."""
        return self.clock.monotonic()

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Run `func` on another thread; time does not jump until it is done."""
        future = super().run_in_executor(executor, func, *args)
        self.jobs += 1
        future.add_done_callback(self._job_done)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109  (asyncio's name)
        """Wait for the executor's threads; without a time limit, which would pass in a jump."""
        del timeout
        await super().shutdown_default_executor()

    def _job_done(self, _: object) -> None:
        self.jobs -= 1


class _JumpingSelector(selectors.DefaultSelector):
    """Looks for I/O; where it would have slept, it moves the clock."""

    def __init__(self, loop: JumpingEventLoop, patience: float) -> None:
        super().__init__()
        self._loop = loop
        self._patience = patience

    def select(self, timeout: float | None = None) -> Ready:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        due = self._loop.clock.monotonic() + timeout
        ready = super().select(0) or self._wait_for_jobs(due, timeout)
        if not ready and len(self.get_map()) > _OWN:
            ready = super().select(min(self._patience, timeout))
        if not ready:
            self._loop.clock.advance(max(0.0, due - self._loop.clock.monotonic()))
        return ready

    def _wait_for_jobs(self, due: float, most: float) -> Ready:
        """Wait in real time while a job runs, unless it makes the timer due by itself."""
        until = time.monotonic() + most
        while self._busy() and time.monotonic() < until and self._loop.clock.monotonic() < due:
            if ready := super().select(_SLICE):
                return ready
        return []

    def _busy(self) -> bool:
        return self._loop.jobs > 0 or hub.dispatcher.lively


def run(coroutine: Coroutine[Any, Any, T], clock: ManualClock) -> T:
    """Run `coroutine` to its end on a new `JumpingEventLoop` of `clock`.

    Example::

        assert run(charge(42), clock) == "paid"
    """
    with asyncio.Runner(loop_factory=lambda: JumpingEventLoop(clock)) as runner:
        return runner.run(coroutine)

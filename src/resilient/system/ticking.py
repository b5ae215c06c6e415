"""Ticks, for a mode that should notice by itself: a daemon thread, or a task per event loop."""

from __future__ import annotations

import math
import threading
import weakref
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from resilient.clock import Duration, seconds
from resilient.system.listening import Listening

if TYPE_CHECKING:
    import asyncio

__all__ = ["Ticking"]

SHORTEST = 0.01
"""Seconds between two looks, at least."""


class Ticking(Listening):
    """The part of the mode that may be started. Nothing runs unless it is."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._ticker: threading.Thread | None = None
        self._halt = threading.Event()
        self._tasks: dict[asyncio.AbstractEventLoop, list[asyncio.Task[None]]] = {}
        self._closed = False
        self._starting = threading.Lock()

    def start(self) -> None:
        """Evaluate every `interval` seconds on a daemon thread, until `stop`. Twice is once.

        A mode with something to look after (a probe, a recovery, a runbook) starts by itself, if
        it follows the machine's clock.

        Example::

            mode.start()
        """
        with self._starting:
            self._closed = False
            self._start()

    def _start(self) -> None:
        """Start the thread, unless it runs; under the lock."""
        if self._ticker is not None and self._ticker.is_alive():
            return
        self._halt = threading.Event()
        tick = (weakref.ref(self), self._halt)
        ticker = threading.Thread(target=_tick, args=tick, name="resilient-mode", daemon=True)
        ticker.start()
        self._ticker = ticker

    def stop(self) -> None:
        """End the thread of `start` and join it."""
        with self._starting:
            self._closed = True
            ticker, self._ticker = self._ticker, None
            self._halt.set()
        if ticker is not None and ticker is not threading.current_thread():
            ticker.join()

    def close(self, timeout: Duration = 1.0) -> None:
        """Stop ticking, cancel what runs in the background, and tell listeners what is queued.

        They have `timeout` seconds. The mode may still be read afterwards, and started again.

        Example::

            mode.close()
        """
        limit = seconds("timeout", timeout, zero=True)
        self.stop()
        self._quit()
        self.flush(limit)

    async def aclose(self, timeout: Duration = 1.0) -> None:  # noqa: ASYNC109  (of a thread)
        """Do what `close` does, and end the ticking on this event loop, without blocking it."""
        import asyncio  # noqa: PLC0415  (loaded already: a loop runs)

        limit = seconds("timeout", timeout, zero=True)
        tasks = self._tasks.pop(asyncio.get_running_loop(), [])
        self._closed = last = not any(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.to_thread(self.stop)
        if last:
            self._quit()
        await asyncio.to_thread(self.flush, limit)

    def __enter__(self) -> Self:
        """Start the thread."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()

    async def __aenter__(self) -> Self:
        """Tick in a task of this loop; async listeners that have no loop of their own run here."""
        import asyncio  # noqa: PLC0415  (loaded already: a loop runs)

        loop = asyncio.get_running_loop()
        self._closed = False
        self._adopt(loop)
        self._tasks.setdefault(loop, []).append(loop.create_task(self._tick_here()))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End one task of this loop; the last one out closes."""
        import asyncio  # noqa: PLC0415  (loaded already: a loop runs)

        tasks = self._tasks.get(asyncio.get_running_loop(), [])
        if len(tasks) > 1:
            tasks.pop().cancel()
        else:
            await self.aclose()

    def after_fork(self) -> None:
        """Forget the parent's thread and tasks: neither lives here."""
        super().after_fork()
        self._ticker = None
        self._tasks = {}
        self._starting = threading.Lock()

    def _keep_ticking(self) -> None:
        """Start, if there are jobs and nobody ticks yet."""
        if not self._ledger.jobs or self._time.injected:
            return
        if self._starting.acquire(blocking=False):  # not at once is at the next look
            try:
                if not (self._closed or self._ticker is not None or any(self._tasks.values())):
                    self._start()
            finally:
                self._starting.release()

    def _quit(self) -> None:
        for job in self._ledger.jobs.values():
            job.close()

    async def _tick_here(self) -> None:
        import asyncio  # noqa: PLC0415  (loaded already: a loop runs)

        while True:
            self._refresh()
            await self._clock.sleep_async(self._pause_until_due())
            await asyncio.sleep(0)  # an injected clock may not suspend at all

    def _pause_until_due(self) -> float:
        """Seconds until the next look: the interval, or less if something is due before."""
        due = min((job.due() for job in self._ledger.jobs.values()), default=math.inf)
        return min(self.interval, max(SHORTEST, due - self._time.now()))


def _tick(mode: weakref.ref[Ticking], halt: threading.Event) -> None:
    """Evaluate until told to stop or until nobody holds the mode any more."""
    while (living := mode()) is not None:
        living._refresh()  # noqa: SLF001  (the two are one mechanism)
        pause = living._pause_until_due()  # noqa: SLF001
        del living
        if halt.wait(pause):
            return

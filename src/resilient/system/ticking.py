"""Ticks, for a mode that should notice by itself: a daemon thread, or a task per event loop."""

from __future__ import annotations

import math
import threading
import weakref
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from resilient.clock import Duration, seconds
from resilient.core.dispatch import Listener
from resilient.system.listening import Listening, settle

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
        self._starting = threading.RLock()  # reentrant: a signal handler may close the mode

    def start(self) -> None:
        """Evaluate every `interval` seconds on a daemon thread, until `stop`. Twice is once.

        A mode with something to look after (a probe, a recovery, a runbook) starts by itself, if
        it follows the machine's clock; beside an event loop that ticks, the thread only steps in
        when the loop is late.

        Example::

            mode.start()
        """
        with self._starting:
            self._closed = self._resting = False
            self._start()
        self._touch()

    def _start(self) -> None:
        """Start the thread, unless it runs; under the lock."""
        old = self._ticker
        if old is not None and (old.ident is None or old.is_alive()):
            return  # without an ident it is being started, by whom a signal has interrupted
        self._halt = threading.Event()
        tick = (weakref.ref(self), self._halt)
        self._ticker = threading.Thread(target=_tick, args=tick, name="resilient-mode", daemon=True)
        try:
            self._ticker.start()
        except RuntimeError:
            self._ticker = None
            raise

    def stop(self) -> None:
        """End the thread of `start` and join it."""
        with self._starting:
            self._closed = True
            ticker, self._ticker = self._ticker, None
            self._halt.set()
        if ticker is not None and ticker.ident and ticker is not threading.current_thread():
            ticker.join()

    def close(self, timeout: Duration = 1.0) -> None:
        """Stop ticking, cancel what runs in the background, and tell listeners what is queued.

        They have `timeout` seconds. The mode may still be read afterwards; but it asks nobody any
        more, and expects to hear from nobody, until it is started again.

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
        last = not any(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if last:  # else another loop goes on with it
            await asyncio.to_thread(self.stop)
            self._quit(unless_entered=True)
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
        with self._starting:
            self._closed = self._resting = False
            self._tasks.setdefault(loop, []).append(loop.create_task(self._tick_here()))
        self._adopt(loop)  # after that: who comes in between finds the loop by itself
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
        self._starting = threading.RLock()

    def _keep_ticking(self) -> None:
        """Start the thread, if there are jobs; also beside a loop, which may be stuck one day."""
        if not self._ledger.jobs or self._time.injected:
            return
        if self._starting.acquire(blocking=False):  # not at once is at the next look
            try:
                if not self._closed and self._ticker is None:
                    self._start()
            except RuntimeError:
                pass  # no thread is to be had now: readers look, and the next look tries again
            finally:
                self._starting.release()

    def _lodge(self, listener: Listener) -> None:
        running = [loop for loop in tuple(self._tasks) if loop.is_running()]
        if running:
            settle(listener, running[-1])

    def _quit(self, *, unless_entered: bool = False) -> None:
        with self._starting:
            if unless_entered and any(self._tasks.values()):
                self._closed = False  # another loop has come in since
                return
            self._resting = True
        self._under_lock(self._touch)  # nobody is in the middle of polling any more
        for job in self._ledger.jobs.values():
            job.close()

    def _watch(self) -> None:
        """Bring up to date; beside a loop, only if that is late."""
        late = not self._fresh_from <= self._clock.monotonic() < self._fresh_until
        if late or not any(self._tasks.values()):
            self._refresh()

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
        living._watch()  # noqa: SLF001  (the two are one mechanism)
        pause = living._pause_until_due()  # noqa: SLF001
        del living
        if halt.wait(pause):
            return

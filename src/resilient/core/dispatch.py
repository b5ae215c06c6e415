"""Where listeners run: on daemon threads of the library's own, never on a caller's call.

One worker delivers to all listeners, each in its own order. A worker that has been inside one
listener for `PATIENCE` seconds counts as stuck: another takes over the rest, so a listener that
hangs delays nobody but itself. Workers start on first need and end when idle.
"""

from __future__ import annotations

import inspect
import logging
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, cast

from resilient.core.inspection import gives_coroutine
from resilient.errors import ConfigError

if TYPE_CHECKING:
    import asyncio
    from asyncio import AbstractEventLoop

__all__ = ["Dispatcher", "Listener", "running_loop"]

PATIENCE = 0.25
IDLE = 5.0
LIMIT = 1000

_log = logging.getLogger("resilient")


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The loop that runs in this thread, without loading asyncio to find out."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return None
    # The one way to ask that does not raise where no loop runs; documented for authors of loops.
    loop: AbstractEventLoop | None = asyncio._get_running_loop()  # noqa: SLF001  (see above)
    return loop


class Listener:
    """One receiver with its queue. Made by `Dispatcher.listener`.

    Attributes: `dropped` and `errors` count items that did not fit and calls that raised; `loop`
    is where an async receiver runs (`None`: on a loop of the listener's own); `on_cancel` is
    called once by `cancel`, which sets `cancelled`.
    """

    def __init__(self, dispatcher: Dispatcher, fn: Callable[[Any], object], limit: int) -> None:
        self.fn = fn
        self.dropped = 0
        self.errors = 0
        self.loop = running_loop() if gives_coroutine(fn) else None
        self.on_cancel: Callable[[], None] | None = None
        self._dispatcher = dispatcher
        self._limit = limit
        self._queue: deque[Any] = deque()
        self._scheduled = False
        self.cancelled = False
        self._remote: asyncio.AbstractEventLoop | None = None
        self._runner: asyncio.Runner | None = None

    def offer(self, item: object) -> None:
        """Queue `item`; count it as dropped if the queue is full. Never waits for the receiver."""
        with self._dispatcher.changed:
            if self.cancelled:
                return
            if len(self._queue) >= self._limit:
                self.dropped += 1
                return
            self._queue.append(item)
            if self._remote is not None and self._remote.is_closed():
                self._remote = None
                self._scheduled = False
            if not self._scheduled:
                self._scheduled = True
                self._dispatcher.schedule(self)
            else:
                self._dispatcher.wake()

    def cancel(self) -> None:
        """Stop listening; what is queued is not delivered."""
        with self._dispatcher.changed:
            self.cancelled = True
            self._queue.clear()
            self._dispatcher.tell()
        if self.on_cancel is not None:
            self.on_cancel()
        self._close_runner()

    @property
    def idle(self) -> bool:
        """Whether everything offered was delivered."""
        return not self._queue and not self._scheduled

    def deliver(self) -> None:
        """Hand the oldest item over; called by a worker."""
        with self._dispatcher.changed:
            item = self._queue.popleft() if self._queue else None
        if item is not None:
            try:
                result = self.fn(item)
                if inspect.iscoroutine(result) and self._await(result):
                    return
            except BaseException:  # noqa: BLE001  (a worker is nobody's main thread: sys.exit() too)
                self._failed()
        self._delivered()

    def after_fork(self) -> None:
        """Drop what the parent had queued."""
        self._queue.clear()
        self._scheduled = False
        self.loop = None  # it runs in the parent, and says of itself that it does
        self._remote = None
        self._runner = None

    def _await(self, coroutine: Coroutine[Any, Any, object]) -> bool:
        """Run it on the listener's loop; True if somebody else will say when it is done."""
        import asyncio  # noqa: PLC0415  (the receiver is async, so asyncio is loaded)

        loop = self.loop
        if loop is not None and loop.is_running():
            self._remote = loop
            future = asyncio.run_coroutine_threadsafe(coroutine, loop)
            future.add_done_callback(self._remote_done)
            return True
        if self._runner is None:
            self._runner = asyncio.Runner()
        self._runner.run(coroutine)
        return False

    def _remote_done(self, future: Any) -> None:
        self._remote = None
        if not future.cancelled() and future.exception() is not None:
            self._failed(future.exception())
        self._delivered()

    def _failed(self, error: BaseException | None = None) -> None:
        self.errors += 1
        _log.warning("listener %r raised", self.fn, exc_info=error or True)

    def _delivered(self) -> None:
        with self._dispatcher.changed:
            if self._queue:
                self._dispatcher.schedule(self)
            else:
                self._scheduled = False
                self._dispatcher.tell()
        if self.cancelled:
            self._close_runner()

    def _close_runner(self) -> None:
        with self._dispatcher.changed:
            if self._runner is None or self._scheduled:
                return
            if running_loop() is not None:
                # A loop cannot be closed where another one runs: a worker does it.
                self._scheduled = True
                self._dispatcher.schedule(self)
                return
            runner, self._runner = self._runner, None
        runner.close()


class Dispatcher:
    """Runs listeners on daemon threads. The hub has one.

    Example::

        listener = dispatcher.listener(print, limit=100)
        listener.offer("hello")
        dispatcher.flush(timeout=1)
    """

    def __init__(self) -> None:
        self.changed = threading.Condition(threading.RLock())
        self._ready: deque[Listener] = deque()
        self._listeners: weakref.WeakSet[Listener] = weakref.WeakSet()
        self._threads: set[threading.Thread] = set()
        self._busy: dict[threading.Thread, float] = {}
        self._waiting = 0
        self._closing = False
        self._telling = False

    @property
    def lively(self) -> bool:
        """Whether something is in line or being delivered, by a worker that is not stuck."""
        with self.changed:
            return bool(self._ready) or self._patience() > 0

    def listener(self, fn: Callable[[Any], object], *, limit: int = LIMIT) -> Listener:
        """Make a receiver that calls `fn`, sync or async, with each item offered to it.

        An async `fn` runs on the loop that runs now, if one does. `limit` bounds the queue.
        Raises `TypeError` if `fn` cannot be called, `ConfigError` if `limit` is below 1.
        """
        if not callable(cast("object", fn)):
            message = f"a listener must be callable, not {fn!r}"
            raise TypeError(message)
        if limit < 1:
            raise ConfigError("limit", limit, "a whole number >= 1")
        listener = Listener(self, fn, limit)
        with self.changed:
            self._listeners.add(listener)
        return listener

    def schedule(self, listener: Listener) -> None:
        """Put `listener` in line; the caller holds `changed`."""
        self._ready.append(listener)
        self.wake()

    def wake(self) -> None:
        """See to it that somebody serves, or watches over, who is in line; under `changed`."""
        if self._waiting:
            self.tell()
        elif self._ready and not self._closing and len(self._busy) == len(self._threads):
            thread = threading.Thread(target=self._work, name="resilient-dispatcher", daemon=True)
            self._threads.add(thread)
            try:
                thread.start()
            except RuntimeError:
                # No thread is to be had now: who is in line waits for the next event.
                self._threads.discard(thread)

    def tell(self) -> None:
        """Wake whoever waits for a change; under `changed`.

        Not within itself, where a signal handler may find itself: then everybody is being woken.
        """
        if not self._telling:
            self._telling = True
            try:
                self.changed.notify_all()
            finally:
                self._telling = False

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything offered was delivered; False if `timeout` seconds passed first."""
        if threading.current_thread() in self._threads:
            return False
        with self.changed:
            return self.changed.wait_for(
                lambda: all(listener.idle for listener in list(self._listeners)), timeout
            )

    def close(self, timeout: float = 1.0) -> bool:
        """Deliver what is queued, stop and join the workers; False if one is stuck.

        All within `timeout` seconds. A later event starts the dispatcher again.
        """
        until = time.monotonic() + timeout
        self.flush(timeout)
        with self.changed:
            self._closing = True
            self.tell()
            threads = [t for t in self._threads if t is not threading.current_thread()]
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        with self.changed:
            self._closing = False
            self.wake()
            listeners = list(self._listeners)
        for listener in listeners:
            listener._close_runner()  # noqa: SLF001  (the two are one mechanism)
        return not any(thread.is_alive() for thread in threads)

    def after_fork(self) -> None:
        """Fresh lock, no threads, empty queues."""
        self.changed = threading.Condition(threading.RLock())
        self._ready.clear()
        self._threads.clear()
        self._busy.clear()
        self._waiting = 0
        self._closing = False
        self._telling = False
        for listener in list(self._listeners):
            listener.after_fork()

    def _work(self) -> None:
        me = threading.current_thread()
        while (listener := self._next(me)) is not None:
            listener.deliver()
            with self.changed:
                self._busy.pop(me, None)
                self.tell()

    def _next(self, me: threading.Thread) -> Listener | None:
        """Wait for a listener that is in line, as long as no lively worker will take it."""
        with self.changed:
            while not self._closing:
                patience = self._patience()
                if self._ready and patience <= 0:
                    self._busy[me] = time.monotonic()
                    listener = self._ready.popleft()
                    self.wake()  # somebody must watch over this one, in case it hangs
                    return listener
                self._waiting += 1
                told = self.changed.wait(patience if self._ready else IDLE)
                self._waiting -= 1
                if not told and not self._ready:
                    break
            self._threads.discard(me)
            return None

    def _patience(self) -> float:
        """Seconds until the liveliest busy worker counts as stuck; 0 if none is at work."""
        # Real time on purpose: whether a thread hangs is no matter of an injected clock.
        latest = max(self._busy.values(), default=None)
        return 0.0 if latest is None else max(0.0, latest + PATIENCE - time.monotonic())

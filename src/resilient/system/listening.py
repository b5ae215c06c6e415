"""Telling: listeners, streams of changes, and waiting for a mode."""

from __future__ import annotations

import sys
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, overload

from resilient.clock import Duration, seconds
from resilient.core.dispatch import LIMIT, Listener
from resilient.core.hub import hub
from resilient.system.operation import Operation
from resilient.system.states import Mode, ModeChange

if TYPE_CHECKING:
    import asyncio

__all__ = ["Changes", "Listening", "settle"]

POLL = 0.1
"""Seconds between looks while waiting for a mode."""

F = TypeVar("F", bound=Callable[[ModeChange], object])


class _Told(NamedTuple):
    listener: Listener
    to: Mode | None


class Changes:
    """An asynchronous stream of changes, from when it was made; see `mode.changes`.

    Attribute: `dropped`, how many changes did not fit into its backlog of 1000.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._backlog: deque[ModeChange] = deque()
        self._waiter: tuple[asyncio.AbstractEventLoop, asyncio.Future[None]] | None = None
        self._closed = False

    def __aiter__(self) -> Changes:
        """The stream itself."""
        return self

    async def __anext__(self) -> ModeChange:
        """The next change, waiting for it if need be."""
        import asyncio  # noqa: PLC0415  (loaded already: a loop runs)

        while not self._closed:
            if self._backlog:
                return self._backlog.popleft()
            loop = asyncio.get_running_loop()
            waiter = loop.create_future()
            self._waiter = (loop, waiter)
            if not self._backlog:  # one may have arrived before the waiter was in place
                await waiter
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """End the stream; what is in the backlog is not delivered."""
        self._closed = True
        self._wake()

    def push(self, change: ModeChange) -> None:
        """Take one more change; called on the dispatcher."""
        if len(self._backlog) >= LIMIT:
            self.dropped += 1
            return
        self._backlog.append(change)
        self._wake()

    def _wake(self) -> None:
        waiting, self._waiter = self._waiter, None
        if waiting is not None and not waiting[0].is_closed():
            waiting[0].call_soon_threadsafe(_finish, waiting[1])


def _finish(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


class Listening(Operation):
    """The part of the mode that tells."""

    def __init__(self, *given: Any) -> None:
        self._told: list[_Told] = []
        self._owned: list[Listener] = []
        super().__init__(*given)
        weakref.finalize(self, _sweep, self._told, self._owned).atexit = False

    @overload
    def on_change(self, fn: F, /, *, to: Mode | str | None = None) -> F: ...

    @overload
    def on_change(
        self, fn: None = None, /, *, to: Mode | str | None = None
    ) -> Callable[[F], F]: ...

    def on_change(
        self, fn: F | None = None, /, *, to: Mode | str | None = None
    ) -> F | Callable[[F], F]:
        """Call `fn`, sync or async, with each `ModeChange`, or only those that enter the mode `to`.

        It runs on the dispatcher, never on a caller's call: in order, with a backlog of 1000; what
        it raises is logged. An async `fn` runs on the loop that runs now, else on that of
        ``async with mode``, else on one of the library's own. Returns `fn`.
        Raises `TypeError` if `fn` cannot be called, `ConfigError` if `to` is no mode.

        Example::

            @mode.on_change(to=Mode.EMERGENCY)
            async def page(change: ModeChange) -> None: ...
        """
        wanted = None if to is None else Mode.of(to, "to")
        if fn is None:
            return lambda given: self.on_change(given, to=wanted)
        self._add(_Told(hub.dispatcher.listener(fn), wanted))
        return fn

    def off_change(self, fn: Callable[[ModeChange], object]) -> bool:
        """Stop calling `fn`; what is queued is not delivered. False if it was no listener.

        Example::

            mode.off_change(page)
        """
        return self._remove(lambda told: told.listener.fn == fn)

    @property
    def listeners(self) -> tuple[Listener, ...]:
        """The listeners, each with `.fn`, and `.dropped` and `.errors` counted."""
        return tuple(told.listener for told in tuple(self._told))

    def changes(self) -> Changes:
        """Stream the changes from now on: ``async for change in mode.changes()``.

        It keeps 1000 changes for a reader who falls behind, and counts what it drops.

        Example::

            async for change in mode.changes():
                print(change.old, change.new)
        """
        stream = Changes()
        inlet = weakref.WeakMethod(stream.push)

        def push(change: ModeChange) -> None:
            if (take := inlet()) is not None:
                take(change)

        self._add(_Told(hub.dispatcher.listener(push), None))
        weakref.finalize(stream, self.off_change, push).atexit = False
        return stream

    async def wait_for(self, mode: Mode | str, *, timeout: Duration | None = None) -> None:  # noqa: ASYNC109  (measured on the mode's own clock)
        """Suspend this task until the mode is `mode`; at once if it is already.

        Parameters: `timeout`, in seconds or a `timedelta`; `None` waits for ever.
        Raises `TimeoutError` when it passed, `ConfigError` if `mode` is no mode.

        Example::

            await mode.wait_for(Mode.NORMAL, timeout=60)
        """
        wanted, until = Mode.of(mode), self._until(timeout)
        while self._refreshed() is not wanted:
            await self._clock.sleep_async(self._pause(wanted, until))

    def wait(self, mode: Mode | str, *, timeout: Duration | None = None) -> None:
        """Block this thread until the mode is `mode`; the twin of `wait_for` for threads.

        Raises `TimeoutError`, `ConfigError`, and `RuntimeError` on a thread that runs a loop.

        Example::

            mode.wait(Mode.NORMAL, timeout=60)
        """
        if _loop_runs_here():
            message = "wait() would block the event loop; use `await mode.wait_for(...)`"
            raise RuntimeError(message)
        wanted, until = Mode.of(mode), self._until(timeout)
        while self._refreshed() is not wanted:
            self._clock.sleep(self._pause(wanted, until))

    def flush(self, timeout: Duration = 5.0) -> bool:
        """Wait until every listener was told everything; False if `timeout` seconds passed first.

        From a coroutine: ``await asyncio.to_thread(mode.flush)``, as a listener of this very loop
        could not run while it is blocked.

        Example::

            assert mode.flush(1.0)
        """
        return hub.dispatcher.flush(seconds("timeout", timeout, zero=True))

    def _offer(self, change: ModeChange) -> None:
        for listener, to in tuple(self._told):
            if to is None or change.new is to:
                listener.offer(change)

    def _own(self, listener: Listener) -> None:
        for one in [one for one in tuple(self._owned) if one.cancelled]:
            with suppress(ValueError):  # another thread was quicker
                self._owned.remove(one)
        self._owned.append(listener)
        self._lodge(listener)

    def _add(self, told: _Told) -> None:
        self._told.append(told)
        self._lodge(told.listener)

    def _remove(self, unwanted: Callable[[_Told], bool]) -> bool:
        gone = [told for told in tuple(self._told) if unwanted(told)]
        for told in gone:
            self._told.remove(told)
            told.listener.cancel()
        return bool(gone)

    def _adopt(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Let async listeners that were registered without a loop run on `loop`."""
        for listener in (*(told.listener for told in tuple(self._told)), *self._owned):
            settle(listener, loop)

    def _lodge(self, listener: Listener) -> None:
        """Do the same for one that came later, if a loop ticks the mode now."""

    def _until(self, timeout: Duration | None) -> float | None:
        if timeout is None:
            return None
        return self._time.now() + seconds("timeout", timeout, zero=True)

    def _refreshed(self) -> Mode:
        self._refresh()
        return self._current

    def _pause(self, wanted: Mode, until: float | None) -> float:
        if until is None:
            return POLL
        left = until - self._time.now()
        if left <= 0:
            message = f"the mode is {self._current.name}, and was not {wanted.name} in time"
            raise TimeoutError(message)
        return min(POLL, left)


def settle(listener: Listener, loop: asyncio.AbstractEventLoop | None) -> None:
    """Have an async listener run on `loop`, unless it has one that runs."""
    if listener.loop is None or not listener.loop.is_running():
        listener.loop = loop


def _sweep(told: list[_Told], owned: list[Listener]) -> None:
    """Cancel the listeners of a mode that is gone, where their loops may be closed: elsewhere."""
    gone = [*(one.listener for one in told), *owned]
    if gone:
        sweeper = hub.dispatcher.listener(lambda listener: listener.cancel())
        for listener in gone:
            sweeper.offer(listener)


def _loop_runs_here() -> bool:
    if "asyncio" not in sys.modules:
        return False
    import asyncio  # noqa: PLC0415  (loaded already)

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True

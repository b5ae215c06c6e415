"""Code of the application, run in the background: never twice at once, and not for ever."""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine
from contextvars import Context
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from resilient.core.dispatch import running_loop
from resilient.core.hub import hub
from resilient.core.inspection import gives_coroutine, refuse_coroutine
from resilient.errors import CallTimeoutError
from resilient.system.timeline import Timeline

if TYPE_CHECKING:
    import asyncio

__all__ = ["Errand", "Report"]


@dataclass(frozen=True, slots=True)
class Report:
    """How one run ended: with a `value` or an `error`, after `seconds`; it began at `began`."""

    began: float
    seconds: float
    value: Any = None
    error: BaseException | None = None


class _Run(NamedTuple):
    number: int
    args: tuple[Any, ...]


class Errand:
    """One function, sync or async, that is run on demand, away from every caller.

    A sync one runs on the dispatcher; an async one on the loop that ran when it was given, else on
    that of ``async with mode``, else on one of the library's own. `done` is told of each end, once,
    on whatever thread saw it; it must not wait.

    A run that takes longer than `timeout` seconds is reported as a `CallTimeoutError`. An async one
    is cancelled then. A sync one cannot be: its late answer counts for nothing, and until it has
    ended no other run begins.

    Example::

        errand = Errand("ping", client.ping, 0.1, Timeline(), print)
        errand.start()
    """

    def __init__(
        self,
        name: str,
        fn: Callable[..., Any],
        timeout: float | None,
        time: Timeline,
        done: Callable[[Report], None],
    ) -> None:
        self.name = name
        self.timeout = timeout
        self._fn = fn
        self._time = time
        self._done = done
        self._lock = threading.RLock()  # reentrant: a signal handler may look at the mode
        self._number = 0
        self._running = False
        self._began: float | None = None
        self._told = True
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None
        self._is_async = gives_coroutine(fn)
        self.listener = hub.dispatcher.listener(self._go_async if self._is_async else self._go)

    @property
    def running(self) -> bool:
        """Whether a run has been asked for and has not ended; also one that was given up."""
        return self._running

    @property
    def overdue_since(self) -> float | None:
        """When the present run began, if it was given up and has not ended all the same."""
        return self._began if self._running and self._told else None

    @property
    def expires(self) -> float | None:
        """The instant at which the present run has taken too long; `None` if it cannot."""
        began = self._began
        if self._told or began is None or self.timeout is None:
            return None
        return began + self.timeout

    def start(self, *args: Any) -> bool:
        """Have the function called with `args` soon; False if the last run has not ended."""
        loop = self.listener.loop if self._is_async else None
        if loop is not None and loop.is_closed():
            loop = None  # the listener has one of its own then
        with self._lock:
            if self._running and not (self._loop is not None and self._loop.is_closed()):
                return False
            self._running, self._told, self._began = True, False, None
            self._number += 1
            self._loop = loop
            run = _Run(self._number, args)
        if loop is not None and loop is running_loop():
            self._task = task = _task(loop, self._go_async(run))  # no detour over another thread
            task.add_done_callback(lambda _: self._free(run))  # also if it never took a step
        else:
            self.listener.offer(run)
        return True

    def expire(self, now: float) -> bool:
        """Give up a run that has taken too long by `now`; whether there was one."""
        expires = self.expires
        if expires is None or self.timeout is None or now < expires:
            return False
        late = Report(expires - self.timeout, self.timeout, error=self._late())
        self._tell(self._number, late)
        self._end_task()  # its loop may live on another clock
        return True

    def cancel(self) -> None:
        """Give up the present run, if there is one: nothing more is heard of it."""
        with self._lock:
            self._told = True
        self._end_task()

    def retire(self) -> None:
        """Give up the present run, and never begin another one."""
        self.cancel()
        self.listener.cancel()

    def after_fork(self) -> None:
        """Nothing runs in the child."""
        self._lock = threading.RLock()
        self._running, self._told, self._task = False, True, None

    def _late(self) -> CallTimeoutError:
        return CallTimeoutError(self.name, self.timeout or 0.0)

    def _end_task(self) -> None:
        task = self._task
        if task is not None and not task.done():
            loop = task.get_loop()
            if not loop.is_closed():
                loop.call_soon_threadsafe(task.cancel)

    def _go(self, run: _Run) -> None:
        began = self._begin(run)
        if began is None:
            return
        try:
            value = self._fn(*run.args)
            refuse_coroutine(self._fn, value)
        except BaseException as error:  # noqa: BLE001  (reported; the thread is nobody's main one)
            self._end(run, began, None, error)
        else:
            self._end(run, began, value)

    async def _go_async(self, run: _Run) -> None:
        import asyncio  # noqa: PLC0415  (loaded already: a loop runs)

        self._task = asyncio.current_task()
        limit = asyncio.timeout(self.timeout)
        began = self._begin(run)
        if began is None:
            return
        try:
            async with limit:
                value = await self._fn(*run.args)
        except BaseException as error:
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and task and task.cancelling():
                # The loop is closing, or somebody gave the run up: nothing is reported.
                given_up = self._told
                self._free(run)
                if given_up:
                    return
                raise
            self._end(run, began, None, self._late() if limit.expired() else error)
        else:
            self._end(run, began, value)

    def _begin(self, run: _Run) -> float | None:
        """The present instant; `None` if the run was given up while it was in line."""
        with self._lock:
            mine = run.number == self._number
            if not mine or self._told:
                self._running = self._running and not mine
                return None
            self._began = self._time.now()
            return self._began

    def _end(self, run: _Run, began: float, value: Any, error: BaseException | None = None) -> None:
        took = self._time.now() - began
        if error is None and self.timeout is not None and took > self.timeout:
            value, error = None, self._late()
        self._free(run)
        self._tell(run.number, Report(began, took, value, error))

    def _free(self, run: _Run) -> None:
        if run.number == self._number:
            self._task = None
            self._running = False

    def _tell(self, number: int, report: Report) -> None:
        with self._lock:
            if self._told or number != self._number:
                return
            self._told = True
        self._done(report)


def _task(
    loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, None]
) -> asyncio.Task[None]:
    """A task that takes its first step later, whatever factory its loop has.

    Its context is empty: the deadline of whoever happens to look at the mode is not its own.
    """
    import asyncio  # noqa: PLC0415  (loaded already: a loop runs)

    return asyncio.Task(coroutine, loop=loop, context=Context())

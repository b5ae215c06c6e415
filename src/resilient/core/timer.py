"""Limits on the time of an awaitable.

An `Alarm` is one timer of the loop's, for limits that are as long as what is left of a deadline.
A `Watch` serves all running calls of one limit of constant length with a single timer: the order
in which they began is the order in which they end, so only the oldest needs one, and a call costs
no more than an entry made and removed.
"""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

from resilient.core.deadline import current
from resilient.core.hub import hub
from resilient.core.limits import timed_out

__all__ = ["Alarm", "Watch", "Watches", "arm", "limited", "within"]


class Alarm:
    """One running limit: whom to cancel, and how often others had asked for that before."""

    __slots__ = ("_cancelling", "_fired", "_handle", "_task")

    def __init__(
        self, task: asyncio.Task[Any], loop: asyncio.AbstractEventLoop, seconds: float
    ) -> None:
        self._task = weakref.ref(task)
        self._cancelling = task.cancelling()
        self._fired = False
        self._handle = loop.call_later(seconds, self._fire)

    def disarm(self) -> bool:
        """End the limit. True if it fired and nobody else wants the task cancelled."""
        self._handle.cancel()
        task = self._task()
        return self._fired and task is not None and task.uncancel() <= self._cancelling

    def _fire(self) -> None:
        # Always, even if others cancel the task too: the count tells whose it was.
        if (task := self._task()) is not None:
            self._fired = True
            task.cancel()


def arm(seconds: float) -> Alarm:
    """Cancel the running task after `seconds`. Raises `RuntimeError` outside of a task."""
    return Alarm(asyncio.current_task() or no_task(), asyncio.get_running_loop(), seconds)


async def within(awaitable: Awaitable[Any], seconds: float, name: str) -> Any:
    """Await `awaitable` for at most `seconds`.

    Raises `CallTimeoutError` when the time is over. The caller's own cancellation stays what it
    is, and the task's count of cancellations is as before.
    """
    alarm = arm(seconds)
    try:
        result = await awaitable
    except asyncio.CancelledError as cancelled:
        if alarm.disarm():
            raise timed_out(name, seconds) from cancelled
        raise
    except BaseException:
        alarm.disarm()
        raise
    alarm.disarm()
    return result


Running = tuple[Any, float]
"""A task (another kind of watch may need more), and the instant at which its limit ends."""


class Watch:
    """The running calls of one limit in one loop, oldest first.

    A call enters itself into `calls`, asks to be `watched`, and takes itself out when it ends; if
    it is no longer there, the limit has `expired`. The loop owns the watch through its timer, and
    the limit knows it only weakly: a loop that is dropped takes its tasks along.
    """

    __slots__ = ("__weakref__", "_fired", "calls", "loop", "now", "seconds", "timed")

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self.loop = loop
        # The usual loop's clock is this function behind two frames of Python.
        usual = type(loop).time is asyncio.BaseEventLoop.time
        self.now = time.monotonic if usual else loop.time
        self.seconds = seconds
        self.calls: dict[object, Running] = {}
        self.timed = False
        self._fired: set[object] = set()

    def watched(self) -> None:
        """Set the timer for a call that begins now, where none is set."""
        self.timed = True
        self.loop.call_later(self.seconds, self._fire)

    def expired(self, key: object, task: asyncio.Task[Any], cancelling: int) -> bool:
        """End a call that is no longer in `calls`. True if the limit alone cancelled it."""
        if key not in self._fired:
            return False
        self._fired.discard(key)
        return task.uncancel() <= cancelling

    def _fire(self) -> None:
        self.timed = False
        now = self.now()
        due = []
        for key, (_, end) in self.calls.items():
            if end > now:
                self.timed = True
                self.loop.call_at(end, self._fire)
                break
            due.append(key)
        for key in due:
            self.expire(key)

    def expire(self, key: object) -> None:
        """End a call in `calls` whose time is over."""
        # Always, even if others cancel the task too: the count tells whose it was.
        self._fired.add(key)
        self.calls.pop(key)[0].cancel()


def _nobody() -> None:
    """The watch of no loop."""


W = TypeVar("W", bound=Watch)
Make = Callable[[asyncio.AbstractEventLoop, float], W]


class Watches(Generic[W]):
    """The watches of one limit, one for each loop. `last` leads to that of the loop seen last."""

    __slots__ = ("_all", "_make", "_seconds", "last")

    def __init__(self, seconds: float, make: Make[W]) -> None:
        self._seconds = seconds
        self._make = make
        self._all: weakref.WeakKeyDictionary[Any, weakref.ref[W]] = weakref.WeakKeyDictionary()
        self.last: Callable[[], W | None] = _nobody

    def find(self, loop: asyncio.AbstractEventLoop) -> W:
        """The watch of `loop`. A loop runs in one thread, so nobody else makes it meanwhile."""
        known = self._all.get(loop)
        found = None if known is None else known()
        if found is None:
            found = self._make(loop, self._seconds)
            self._all[loop] = weakref.ref(found)
        self.last = self._all[loop]
        return found


def limited(
    line: Callable[..., Any], seconds: float, name: str, clipped: Callable[..., Any]
) -> Callable[..., Any]:
    """The straight line `line` under a limit of `seconds`.

    Where a deadline leaves less than that, or the library is switched off, `clipped` is called
    instead.
    """
    running, current_task, cancellation = (
        asyncio.get_running_loop,
        asyncio.current_task,
        asyncio.CancelledError,
    )
    watches, deadline = Watches(seconds, Watch), current.get

    async def limited(*args: Any, **kwargs: Any) -> Any:
        left = deadline()
        if not hub.active or (left is not None and left.remaining() < seconds):
            return await clipped(*args, **kwargs)
        loop = running()
        watch = watches.last()
        if watch is None or watch.loop is not loop:
            watch = watches.find(loop)
        task = current_task(loop) or no_task()
        cancelling = task.cancelling()
        calls, key = watch.calls, object()
        calls[key] = (task, watch.now() + seconds)
        if not watch.timed:
            watch.watched()
        try:
            result = await (line(*args, **kwargs) if kwargs else line(*args))
        except cancellation as cancelled:
            if calls.pop(key, None) is None and watch.expired(key, task, cancelling):
                raise timed_out(name, seconds) from cancelled
            raise
        except BaseException:
            if calls.pop(key, None) is None:
                watch.expired(key, task, cancelling)
            raise
        if calls.pop(key, None) is None:
            watch.expired(key, task, cancelling)
        return result

    return limited


def no_task() -> asyncio.Task[Any]:
    """Raise what a limit outside of a task is answered with."""
    message = "a limit of time needs a running asyncio task"
    raise RuntimeError(message)

"""Limits on the time of an awaitable, at next to no cost.

A timer is armed only when the awaitable really suspends, and timers that end within the same
`TICK` share one of the loop's. A limit is therefore late by at most one tick, and never early.
"""

from __future__ import annotations

import asyncio
import threading
import time
import types
import weakref
from collections.abc import Coroutine, Generator
from typing import Any

from resilient.core.limits import timed_out

__all__ = ["TICK", "Alarm", "arm", "suspended", "within"]

TICK = 0.02
"""Seconds; the price of sharing timers."""


class Alarm:
    """One running limit: whom to cancel, and how often others had asked for that before."""

    __slots__ = ("cancelling", "fired", "slot", "task")

    def __init__(self, task: asyncio.Task[Any], slot: set[Alarm]) -> None:
        self.task = task
        self.slot = slot
        self.cancelling = task.cancelling()
        self.fired = False
        slot.add(self)

    def disarm(self) -> bool:
        """End the limit. True if it fired and nobody else wants the task cancelled."""
        self.slot.discard(self)
        return self.fired and self.task.uncancel() <= self.cancelling


class _Wheel:
    """The shared timers of one loop, which it does not keep alive."""

    __slots__ = ("_slots", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = weakref.ref(loop)
        self._slots: dict[int, set[Alarm]] = {}

    def arm(self, loop: asyncio.AbstractEventLoop, when: float, task: asyncio.Task[Any]) -> Alarm:
        """Cancel `task` at the first tick at or after `when`."""
        tick = int(when / TICK) + 1
        slot = self._slots.get(tick)
        if slot is None:
            slot = self._slots[tick] = set()
            loop.call_at(tick * TICK, self._fire, tick)
        return Alarm(task, slot)

    def _fire(self, tick: int) -> None:
        for alarm in self._slots.pop(tick):
            alarm.fired = True
            alarm.task.cancel()


class _Local(threading.local):
    wheel: _Wheel | None = None


_local = _Local()


def _wheel(loop: asyncio.AbstractEventLoop) -> _Wheel:
    # A thread runs one loop at a time; the wheel of an earlier loop lives on in its timers.
    wheel = _local.wheel
    if wheel is None or wheel.loop() is not loop:
        wheel = _local.wheel = _Wheel(loop)
    return wheel


def arm(seconds: float) -> Alarm:
    """Cancel the running task after `seconds`, give or take a tick; for ``async with``.

    Raises `RuntimeError` outside of a task.
    """
    loop = asyncio.get_running_loop()
    return _wheel(loop).arm(loop, loop.time() + seconds, _task(loop))


def _task(loop: asyncio.AbstractEventLoop) -> asyncio.Task[Any]:
    task = asyncio.current_task(loop)
    if task is None:
        message = "a time limit needs a running asyncio task"
        raise RuntimeError(message)
    return task


async def within(coroutine: Coroutine[Any, Any, Any], seconds: float, name: str) -> Any:
    """Await `coroutine` for at most `seconds`, give or take a tick.

    Raises `CallTimeoutError` when the time is over. The caller's own cancellation stays what it
    is, and the task's count of cancellations is as before.
    """
    began = time.monotonic()
    try:
        awaited = coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    return await suspended(coroutine, awaited, seconds, began, name)


async def suspended(
    coroutine: Coroutine[Any, Any, Any], awaited: Any, seconds: float, began: float, name: str
) -> Any:
    """Go on with a coroutine that has suspended, yielding `awaited`.

    It `began` at that monotonic time. Only now a timer is worth its cost.
    """
    loop = asyncio.get_running_loop()
    # What the coroutine did before it suspended took real time, whatever clock the loop has.
    left = seconds - (time.monotonic() - began)
    try:
        alarm = _wheel(loop).arm(loop, loop.time() + left, _task(loop))
    except RuntimeError:
        coroutine.close()
        raise
    try:
        result = await _resume(coroutine, awaited)
    except asyncio.CancelledError as cancelled:
        if alarm.disarm():
            raise timed_out(name, seconds) from cancelled
        raise
    except BaseException:
        alarm.disarm()
        raise
    alarm.disarm()
    return result


@types.coroutine
def _resume(coroutine: Any, awaited: Any) -> Generator[Any, Any, Any]:
    """Take over a coroutine that has already yielded `awaited`."""
    while True:
        try:
            yield awaited
        except GeneratorExit:
            coroutine.close()
            raise
        except BaseException as error:  # noqa: BLE001  (it belongs to the coroutine)
            try:
                awaited = coroutine.throw(error)
            except StopIteration as stop:
                return stop.value
        else:
            return (yield from coroutine)

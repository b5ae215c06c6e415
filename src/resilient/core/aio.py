"""The asyncio driver."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from resilient.clock import Clock
from resilient.core.dispatch import running_loop
from resilient.core.effects import Call, Invoke, Race, Reply, Sleep, Step, Wait, Within
from resilient.core.outcome import Outcome
from resilient.core.timer import within
from resilient.core.waiting import Waiting

__all__ = ["drive", "pause", "run", "waited"]


async def drive(step: Step, call: Call) -> Outcome[Any]:
    """Run the flow of `step` to its outcome. Closes it whatever happens, so every gate settles."""
    flow = step(call)
    try:
        effect = next(flow)
        while True:
            if type(effect) is Invoke:
                asked = effect.call
                effect = flow.send(await _answer(asked.fn, asked.args, asked.kwargs))
            else:
                effect = flow.send(await _perform(effect))
    except StopIteration as stop:
        # No local: this frame may outlive the call, as the caller in an error's traceback.
        return cast("Outcome[Any]", stop.value)
    finally:
        flow.close()


async def run(step: Step, call: Call) -> Any:
    """Run the flow of `step`; return its value or raise its error."""
    return (await drive(step, call)).unwrap()


async def pause(seconds: float, clock: Clock) -> None:
    """Wait. A wait of 0 gives the loop a turn: other tasks, and cancellations, come in."""
    if seconds > 0:
        await clock.sleep_async(seconds)
    else:
        await asyncio.sleep(0)


async def waited(waiting: Waiting) -> Any:
    """Wait at a gate: the permit, or a `Rejected`, which is not raised."""
    try:
        await _wait(waiting)
    except BaseException:
        waiting.cancel()
        raise
    return waiting.finish()


async def _perform(effect: Race | Reply | Sleep | Wait | Within) -> Any:
    if type(effect) is Sleep:
        await pause(effect.seconds, effect.clock)
        return None
    if type(effect) is Wait:
        return await _wait(effect.waiting)
    if type(effect) is Within:
        return await _within(effect)
    if type(effect) is Race:
        return await _race(effect)
    return await _answer(effect.fn, effect.args, effect.kwargs)


async def _wait(waiting: Waiting) -> None:
    loop = asyncio.get_running_loop()
    woken = loop.create_future()

    def wake() -> None:
        if running_loop() is loop:
            _resolve(woken)
        else:
            loop.call_soon_threadsafe(_resolve, woken)

    waiting.notify(wake)
    clock, seconds = waiting.clock, waiting.seconds
    if woken.done():
        return
    if seconds is None:
        await woken
    elif getattr(clock, "jumps", False) and not _timed_by(loop, clock):
        await clock.sleep_async(seconds)
    else:
        timer = loop.call_later(seconds, _resolve, woken)
        try:
            await woken
        finally:
            timer.cancel()


def _timed_by(loop: asyncio.AbstractEventLoop, clock: Clock) -> bool:
    """Whether the time of `loop` is that of `clock`, or of the one that `clock` follows."""
    followed = getattr(clock, "following", None)
    return getattr(loop, "clock", None) is (clock if followed is None else followed)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def _answer(
    fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Outcome[Any]:
    # A frame of its own: the error's traceback ends here and holds none of the driver's frames.
    try:
        value = fn(*args, **kwargs)
        if hasattr(value, "__await__"):
            value = await value
    except Exception as error:  # noqa: BLE001  (judged by the policies)
        return Outcome(error=error)
    return Outcome(value)


async def _within(effect: Within) -> Outcome[Any]:
    try:
        outcome: Outcome[Any] = await within(
            drive(effect.step, effect.call), effect.seconds, effect.name
        )
    except Exception as error:  # noqa: BLE001  (judged by the policies)
        return Outcome(error=error)
    return outcome


async def _race(effect: Race) -> Outcome[Any]:
    unused = [effect.call]  # what the straight line handed over is the first attempt's

    async def attempt() -> Outcome[Any]:
        call = unused.pop() if unused else effect.call.again()
        try:
            return await drive(effect.step, call)
        finally:
            if call is not effect.call:
                effect.call.attempts += call.attempts

    try:
        return await effect.run(attempt)
    except Exception as error:  # noqa: BLE001  (judged by the policies)
        return Outcome(error=error)

"""The asyncio driver, and the straight line for coroutine functions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from resilient.clock import Clock, chosen
from resilient.core.effects import Call, Invoke, Reply, Sleep, Step, Within
from resilient.core.outcome import Outcome
from resilient.core.policy import Line
from resilient.core.segment import Segment
from resilient.core.serial import serial
from resilient.core.timer import within

__all__ = ["drive", "line", "pause", "run"]


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


async def _perform(effect: Sleep | Within | Reply) -> Any:
    if type(effect) is Sleep:
        await pause(effect.seconds, effect.clock)
        return None
    if type(effect) is Within:
        return await _within(effect)
    return await _answer(effect.fn, effect.args, effect.kwargs)


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


def line(segment: Segment) -> Line:
    """The straight line of `segment` for a coroutine function."""
    if not segment.straight:
        return _flow_only(segment)
    return _plain(segment) if segment.clock is None else _gated(segment)


def _flow_only(segment: Segment) -> Line:
    async def guarded(*args: Any, **kwargs: Any) -> Any:
        return await run(segment.step, segment.call(args, kwargs, serial.value))

    return guarded


# The lines below are what every good call costs, so they are written for the machine: an empty
# dictionary of keywords is not unpacked, and what is read on each call is a local of the closure.


def _plain(segment: Segment) -> Line:
    target = segment.target

    async def guarded(*args: Any, **kwargs: Any) -> Any:
        mark = serial.value
        try:
            return await (target.fn(*args, **kwargs) if kwargs else target.fn(*args))
        except Exception as error:  # noqa: BLE001  (judged by the policies)
            first: Outcome[Any] = Outcome(error=error)
        call = segment.call(args, kwargs, mark, first)
        del first
        return await run(segment.step, call)

    return guarded


def _gated(segment: Segment) -> Line:
    target, fixed, find = segment.target, segment.gauge, segment.find
    clock, final, marked = chosen(segment.clock), segment.final, segment.marked

    async def guarded(*args: Any, **kwargs: Any) -> Any:
        mark = serial.value if marked else 0
        gauge = fixed or find(*args, **kwargs)
        live = gauge.live
        if live is None:
            left = gauge.barred - clock.monotonic()
            if final and left > 0:
                raise gauge.refused(left)
            return await run(segment.step, segment.call(args, kwargs, mark))
        read = clock.monotonic
        started = read()
        try:
            result = await (target.fn(*args, **kwargs) if kwargs else target.fn(*args))
        except Exception as error:  # noqa: BLE001  (judged by the policies)
            first: Outcome[Any] = Outcome(error=error)
        else:
            ended = read()
            if ended < live.edge and ended - started <= live.limit:
                live.ok += 1
            else:
                gauge.passed(live, started, ended)
            return result
        call = segment.call(args, kwargs, mark, first, gauge.permit(live, started), started)
        del first, gauge
        return await run(segment.step, call)

    return guarded

"""The blocking driver, and the straight line for functions.

The driver performs what a flow yields, on the caller's thread. It never waits on a thread that
runs an event loop, because every task of that loop would wait with it. The one thing it waits for
there is a function that was given a worker thread (`within`): called directly, that function
would have blocked the loop itself, and for longer.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from types import CoroutineType
from typing import Any, cast

from resilient.clock import Clock, chosen
from resilient.core.dispatch import running_loop
from resilient.core.effects import Call, Invoke, Reply, Sleep, Step, Within
from resilient.core.inspection import refuse_coroutine
from resilient.core.limits import timed_out
from resilient.core.outcome import Outcome
from resilient.core.policy import Line
from resilient.core.segment import Segment
from resilient.core.serial import serial

__all__ = ["drive", "line", "may_wait", "run", "within"]


def drive(step: Step, call: Call) -> Outcome[Any]:
    """Run the flow of `step` to its outcome. Closes it whatever happens, so every gate settles."""
    flow = step(call)
    try:
        effect = next(flow)
        while True:
            if type(effect) is Invoke:
                asked = effect.call
                effect = flow.send(_answer(asked.fn, asked.args, asked.kwargs))
            else:
                effect = flow.send(_perform(effect))
    except StopIteration as stop:
        # No local: this frame may outlive the call, as the caller in an error's traceback.
        return cast("Outcome[Any]", stop.value)
    finally:
        flow.close()


def run(step: Step, call: Call) -> Any:
    """Run the flow of `step`; return its value or raise its error."""
    return drive(step, call).unwrap()


def may_wait(clock: Clock) -> bool:
    """Whether waiting on `clock` blocks nobody but the caller: no event loop runs here."""
    return getattr(clock, "jumps", False) or running_loop() is None


def within(fn: Callable[[], Any], seconds: float, name: str) -> Any:
    """Run `fn` on a worker thread and wait `seconds` for it.

    Raises `CallTimeoutError` if it takes longer. The thread cannot be stopped: it lives on until
    `fn` returns, and what `fn` returns then is dropped.
    """
    done = threading.Event()
    box: list[Any] = [None, None]
    context = contextvars.copy_context()

    def work() -> None:
        try:
            box[0] = context.run(fn)
        except BaseException as error:  # noqa: BLE001  (it is raised where the caller waits)
            box[1] = error
        done.set()

    threading.Thread(target=work, name=f"resilient-timeout-{name}", daemon=True).start()
    if not done.wait(seconds):
        raise timed_out(name, seconds)
    value, error = box
    box.clear()
    if error is None:
        return value
    try:
        raise error
    finally:
        del error


def _perform(effect: Sleep | Within | Reply) -> Any:
    if type(effect) is Sleep:
        if effect.seconds > 0:
            effect.clock.sleep(effect.seconds)
        return None
    if type(effect) is Within:
        return _within(effect)
    return _answer(effect.fn, effect.args, effect.kwargs)


def _answer(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Outcome[Any]:
    # A frame of its own: the error's traceback ends here and holds none of the driver's frames.
    try:
        value = fn(*args, **kwargs)
    except Exception as error:  # noqa: BLE001  (judged by the policies)
        return Outcome(error=error)
    refuse_coroutine(fn, value)
    return Outcome(value)


def _within(effect: Within) -> Outcome[Any]:
    try:
        outcome: Outcome[Any] = within(
            lambda: drive(effect.step, effect.call), effect.seconds, effect.name
        )
    except Exception as error:  # noqa: BLE001  (judged by the policies)
        return Outcome(error=error)
    return outcome


def line(segment: Segment) -> Line:
    """The straight line of `segment` for a function."""
    if not segment.straight:
        return _flow_only(segment)
    return _plain(segment) if segment.clock is None else _gated(segment)


def _flow_only(segment: Segment) -> Line:
    def guarded(*args: Any, **kwargs: Any) -> Any:
        return run(segment.step, segment.call(args, kwargs, serial.value))

    return guarded


# The lines below are what every good call costs, so they are written for the machine: an empty
# dictionary of keywords is not unpacked, and what is read on each call is a local of the closure.


def _plain(segment: Segment) -> Line:
    target, coroutine = segment.target, CoroutineType

    def guarded(*args: Any, **kwargs: Any) -> Any:
        mark = serial.value
        try:
            result = target.fn(*args, **kwargs) if kwargs else target.fn(*args)
        except Exception as error:  # noqa: BLE001  (judged by the policies)
            first: Outcome[Any] = Outcome(error=error)
        else:
            if type(result) is coroutine:
                refuse_coroutine(segment.guard.original, result)
            return result
        call = segment.call(args, kwargs, mark, first)
        del first
        return run(segment.step, call)

    return guarded


def _gated(segment: Segment) -> Line:
    target, fixed, find = segment.target, segment.gauge, segment.find
    clock, final, coroutine = chosen(segment.clock), segment.final, CoroutineType
    marked = segment.marked

    def guarded(*args: Any, **kwargs: Any) -> Any:
        mark = serial.value if marked else 0
        gauge = fixed or find(*args, **kwargs)
        live = gauge.live
        if live is None:
            left = gauge.barred - clock.monotonic()
            if final and left > 0:
                raise gauge.refused(left)
            return run(segment.step, segment.call(args, kwargs, mark))
        read = clock.monotonic
        started = read()
        try:
            result = target.fn(*args, **kwargs) if kwargs else target.fn(*args)
        except Exception as error:  # noqa: BLE001  (judged by the policies)
            first: Outcome[Any] = Outcome(error=error)
        else:
            if type(result) is coroutine:
                refuse_coroutine(segment.guard.original, result)
            ended = read()
            if ended < live.edge and ended - started <= live.limit:
                live.ok += 1
            else:
                gauge.passed(live, started, ended)
            return result
        call = segment.call(args, kwargs, mark, first, gauge.permit(live, started), started)
        del first, gauge
        return run(segment.step, call)

    return guarded

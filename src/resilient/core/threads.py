"""The blocking driver.

The driver performs what a flow yields, on the caller's thread. It never waits on a thread that
runs an event loop, because every task of that loop would wait with it. The one thing it waits for
there is a function that was given a worker thread (`within`): called directly, that function
would have blocked the loop itself, and for longer.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from typing import Any, cast

from resilient.clock import Clock
from resilient.core.dispatch import running_loop
from resilient.core.effects import Call, Invoke, Race, Reply, Sleep, Step, Wait, Within
from resilient.core.inspection import refuse_coroutine
from resilient.core.limits import timed_out
from resilient.core.outcome import Outcome
from resilient.core.waiting import Waiting

__all__ = ["BLOCKED", "drive", "may_wait", "run", "waited", "within"]

BLOCKED = "this thread runs an event loop, which waiting would block"


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


def waited(waiting: Waiting) -> Any:
    """Wait at a gate: the permit, or a `Rejected`, which is not raised."""
    if not may_wait(waiting.clock):
        return waiting.refuse(BLOCKED)
    try:
        _wait(waiting)
    except BaseException:
        waiting.cancel()
        raise
    return waiting.finish()


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


def _perform(effect: Race | Reply | Sleep | Wait | Within) -> Any:
    if type(effect) is Sleep:
        if effect.seconds > 0:
            effect.clock.sleep(effect.seconds)
        return None
    if type(effect) is Wait:
        return _wait(effect.waiting)
    if type(effect) is Within:
        return _within(effect)
    if type(effect) is Race:
        message = "attempts at once need an event loop"
        raise TypeError(message)
    return _answer(effect.fn, effect.args, effect.kwargs)


def _wait(waiting: Waiting) -> None:
    woken = threading.Event()
    waiting.notify(woken.set)
    if waiting.seconds is not None and getattr(waiting.clock, "jumps", False):
        if not woken.is_set():
            waiting.clock.sleep(waiting.seconds)
        return
    seconds = waiting.seconds
    woken.wait(None if seconds is None else min(seconds, threading.TIMEOUT_MAX))


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

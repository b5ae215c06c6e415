"""The straight line for functions.

What every good call costs, so it is written for the machine: an empty dictionary of keywords is
not unpacked, what is read on each call is a local of the closure, and each combination of gates
has a line of its own.
"""

from __future__ import annotations

from types import CoroutineType
from typing import Any

from resilient.clock import chosen
from resilient.core.hub import hub
from resilient.core.inspection import refuse_coroutine
from resilient.core.outcome import Outcome
from resilient.core.policy import Line
from resilient.core.segment import Segment
from resilient.core.serial import serial
from resilient.core.threads import run

__all__ = ["line"]


def line(segment: Segment) -> Line:
    """The straight line of `segment` for a function."""
    if not segment.straight:
        return _flow_only(segment)
    if segment.swift is not None:
        return _swift(segment)
    if segment.slots is not None:
        return _slotted(segment)
    return _plain(segment) if segment.clock is None else _gated(segment)


def _flow_only(segment: Segment) -> Line:
    def guarded(*args: Any, **kwargs: Any) -> Any:
        return run(segment.step, segment.call(args, kwargs, serial.value))

    return guarded


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
    target, fixed = segment.target, segment.gauge
    clock, coroutine = chosen(segment.clock), CoroutineType

    def guarded(*args: Any, **kwargs: Any) -> Any:
        mark = serial.value
        gauge = fixed
        if gauge is None:
            gauge = segment.find(*args, **kwargs)
        live = gauge.live
        if live is None:
            left = gauge.barred - clock.monotonic()
            if left > 0 and segment.final:
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
        held = {segment.place: gauge.permit(live, started)}
        call = segment.call(args, kwargs, mark, first, held, started)
        del first, gauge, held
        return run(segment.step, call)

    return guarded


def _slotted(segment: Segment) -> Line:  # noqa: C901  (written for the machine)
    target, fixed = segment.target, segment.gauge
    clock, coroutine = chosen(segment.clock), CoroutineType
    slots = segment.slots
    assert slots is not None  # noqa: S101  (`line` looked)

    def guarded(*args: Any, **kwargs: Any) -> Any:  # noqa: C901, PLR0912  (written for the machine)
        mark = serial.value
        gauge = fixed
        if gauge is None:
            gauge = segment.find(*args, **kwargs)
        live, free = gauge.live, slots.free
        if live is None:
            left = gauge.barred - clock.monotonic()
            if left > 0 and free and segment.final:
                raise gauge.refused(left)
            return run(segment.step, segment.call(args, kwargs, mark))
        read = clock.monotonic
        started = read()
        try:
            free.pop()
        except IndexError:
            live = None  # not from here: a rejection would have this error for its context
        if live is None:
            return run(segment.step, segment.call(args, kwargs, mark))
        try:
            result = target.fn(*args, **kwargs) if kwargs else target.fn(*args)
        except Exception as error:  # noqa: BLE001  (judged by the policies)
            first: Outcome[Any] = Outcome(error=error)
        except BaseException:
            free.append(None)
            if slots.waiting:
                slots.hand_over()
            raise
        else:
            free.append(None)
            if slots.waiting:
                slots.hand_over()
            if type(result) is coroutine:
                refuse_coroutine(segment.guard.original, result)
            ended = read()
            if ended < live.edge and ended - started <= live.limit:
                live.ok += 1
            else:
                gauge.passed(live, started, ended)
            return result
        held = {segment.place: gauge.permit(live, started), segment.slot_place: free}
        call = segment.call(args, kwargs, mark, first, held, started)
        del first, gauge, held
        return run(segment.step, call)

    return guarded


def _swift(segment: Segment) -> Line:
    target, gate, switch = segment.target, segment.swift, hub
    assert gate is not None  # noqa: S101  (`line` looked)
    at_once, succeeded = gate.at_once, gate.succeeded
    place, coroutine = segment.place, CoroutineType

    def guarded(*args: Any, **kwargs: Any) -> Any:
        mark = serial.value
        permit = at_once(*args, **kwargs) if switch.active else None
        if permit is None:
            return run(segment.step, segment.call(args, kwargs, mark))
        try:
            result = target.fn(*args, **kwargs) if kwargs else target.fn(*args)
        except Exception as error:  # noqa: BLE001  (judged by the policies)
            first: Outcome[Any] = Outcome(error=error)
        except BaseException:
            gate.settle(permit, None)
            raise
        else:
            succeeded(permit)
            if type(result) is coroutine:
                refuse_coroutine(segment.guard.original, result)
            return result
        call = segment.call(args, kwargs, mark, first, {place: permit})
        del first
        return run(segment.step, call)

    return guarded

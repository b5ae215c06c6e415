"""The library's own subjects, by the situation they are in.

A part that does not exist yet raises `ImportError` or `AttributeError` here; its row then says so.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Any

import resilient

__all__ = ["OURS", "asyncio_timeout"]

Fn = Callable[..., Any]


def _breaker(**more: Any) -> Any:
    """A breaker with everything on: streak, failure rate, slow calls, time window."""
    return resilient.breaker(
        "benchmark",
        failure_threshold=5,
        failure_rate=0.5,
        window=30,
        minimum_calls=20,
        slow_call_duration=1.0,
        reset_timeout=3600,
        max_reset_timeout=3600,
        **more,
    )


def _guarded_by_breaker(fn: Fn) -> Fn:
    guarded: Fn = _breaker()(fn)
    return guarded


def _counting(fn: Fn) -> Fn:
    made = resilient.breaker("benchmark", failure_threshold=None, slow_call_duration=1.0)
    guarded: Fn = made(fn)
    return guarded


def _watched(fn: Fn) -> Fn:
    made = _breaker()
    made.watch_latency()
    guarded: Fn = made(fn)
    return guarded


def _keyed(fn: Fn) -> Fn:
    guarded: Fn = _breaker(key=lambda order: order)(fn)
    return guarded


def _with_block(fn: Fn) -> Fn:
    made = _breaker()

    def call(order: int) -> Any:
        with made:
            return fn(order)

    return call


def _with_block_async(fn: Fn) -> Fn:
    made = _breaker()

    async def call(order: int) -> Any:
        async with made:
            return await fn(order)

    return call


def _once(fn: Fn) -> Fn:
    return functools.partial(_breaker().call, fn)


def _retry(fn: Fn) -> Fn:
    guarded: Fn = resilient.retry(on=ConnectionError, attempts=3, wait=0)(fn)
    return guarded


def _timeout(fn: Fn) -> Fn:
    guarded: Fn = resilient.timeout(5)(fn)
    return guarded


def _zero(order: int) -> int:
    del order
    return 0


def _fallback(fn: Fn) -> Fn:
    guarded: Fn = resilient.fallback(_zero)(fn)
    return guarded


def _stack(fn: Fn) -> Fn:
    guarded: Fn = resilient.pipeline(
        resilient.fallback(_zero),
        resilient.retry(on=ConnectionError, attempts=3, wait=0),
        _breaker(),
    )(fn)
    return guarded


def _stack_of_four(fn: Fn) -> Fn:
    guarded: Fn = resilient.pipeline(
        resilient.fallback(_zero),
        resilient.retry(on=ConnectionError, attempts=3, wait=0),
        _breaker(),
        resilient.bulkhead("benchmark", limit=20, queue=50),
    )(fn)
    return guarded


def _mode(fn: Fn) -> Fn:
    mode = resilient.SystemOperationMode()
    _breaker(mode=mode)(fn)(1)
    _ = mode.current

    def read(order: int) -> Any:
        del order
        return mode.current

    return read


def asyncio_timeout(fn: Fn) -> Fn:
    """What the standard library offers, as a decorator."""

    @functools.wraps(fn)
    async def wrapped(*a: Any, **k: Any) -> Any:
        async with asyncio.timeout(5):
            return await fn(*a, **k)

    return wrapped


OURS: dict[str, Callable[[Fn], Fn]] = {
    "breaker": _guarded_by_breaker,
    "breaker-counting": _counting,
    "breaker-watched": _watched,
    "breaker-keyed": _keyed,
    "breaker-block": _with_block,
    "breaker-block-async": _with_block_async,
    "breaker-call": _once,
    "retry": _retry,
    "timeout": _timeout,
    "fallback": _fallback,
    "mode": _mode,
    "stack": _stack,
    "stack4": _stack_of_four,
}

"""The library's own subjects, by the situation they are in."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable
from typing import Any

import resilient

__all__ = ["OURS", "asyncio_timeout"]

Fn = Callable[..., Any]

_PLENTY = 10**9
"""Calls a second, more than anybody makes."""


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


def _four() -> tuple[Any, ...]:
    """Fallback, retry, breaker, bulkhead: each as its own row has it."""
    return (
        resilient.fallback(_zero),
        resilient.retry(on=ConnectionError, attempts=3, wait=0),
        _breaker(),
        resilient.bulkhead("benchmark", limit=20, queue=50),
    )


def _stack(fn: Fn) -> Fn:
    guarded: Fn = resilient.pipeline(*_four()[:3])(fn)
    return guarded


def _stack_of_four(fn: Fn) -> Fn:
    guarded: Fn = resilient.pipeline(*_four())(fn)
    return guarded


def _stack_of_five(fn: Fn) -> Fn:
    fallback, *rest = _four()
    guarded: Fn = resilient.pipeline(fallback, resilient.deadline(5), *rest)(fn)
    return guarded


def _by(make: Callable[[], Any]) -> Callable[[Fn], Fn]:
    """A subject that is one policy, made anew for each function."""

    def build(fn: Fn) -> Fn:
        guarded: Fn = make()(fn)
        return guarded

    return build


def _budgeted() -> Any:
    budget = resilient.retry_budget()
    return resilient.retry(on=ConnectionError, attempts=3, wait=0, budget=budget)


def _informed(made: Any, observed: Any) -> Any:
    """`made`, told of a thousand calls of 10 us, so that its limit is a learned one at once."""
    observed.latest = observed.clock.monotonic()
    observed.fresh.extend([1e-5] * 1000)
    return made


def _hedge_by_quantile() -> Any:
    made: Any = resilient.hedge(idempotent=True, quantile=0.95)
    return _informed(made, made._delay)  # noqa: SLF001  (nothing public tells it)


def _timeout_by_quantile() -> Any:
    made: Any = resilient.timeout(quantile=0.99, max=5)
    return _informed(made, made._observed)  # noqa: SLF001  (nothing public tells it)


def _failover(fn: Fn) -> Fn:
    @functools.wraps(fn)
    def other(order: int) -> Any:
        return fn(order)

    @functools.wraps(fn)
    async def other_async(order: int) -> Any:
        return await fn(order)

    replica = other_async if inspect.iscoroutinefunction(fn) else other
    guarded: Fn = resilient.failover(fn, replica, labels=["one", "other"])
    return guarded


def _mode_gate() -> Any:
    return resilient.mode_gate("benchmark", mode=resilient.SystemOperationMode())


def _protect(**more: Any) -> Any:
    mode = resilient.SystemOperationMode()
    return resilient.protect("benchmark", deadline=5, mode=mode, **more)


def _protect_all() -> Any:
    return _protect(criticality="high", fallback=_zero, rate=_PLENTY, limit=20)


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
    "stack5": _stack_of_five,
    "bulkhead": _by(lambda: resilient.bulkhead("benchmark", limit=20, queue=50)),
    "rate-limit": _by(lambda: resilient.rate_limit("benchmark", rate=_PLENTY)),
    "adaptive-limit": _by(lambda: resilient.adaptive_limit("benchmark")),
    "throttle": _by(lambda: resilient.throttle("benchmark")),
    "retry-budget": _by(_budgeted),
    "hedge": _by(lambda: resilient.hedge(idempotent=True, delay=5)),
    "hedge-quantile": _by(_hedge_by_quantile),
    "timeout-quantile": _by(_timeout_by_quantile),
    "deadline": _by(lambda: resilient.deadline(5)),
    "failover": _failover,
    "criticality": _by(lambda: resilient.criticality("low")),
    "mode-gate": _by(_mode_gate),
    "protect": _by(_protect),
    "protect-all": _by(_protect_all),
}

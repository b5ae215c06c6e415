"""Other libraries with several policies around one function, as `peers` has them with one.

Where a library cannot take a policy into its stack, that is said beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from peers import (
    Peer,
    hyx_breaker,
    hyx_retry,
    interlock_breaker,
    peer,
    serial,
    with_tenacity,
)

__all__ = ["STACKS"]

Fn = Callable[..., Any]

STACKS: list[Peer] = []
"""Three policies (`stack`), a bulkhead too (`stack4`), and a limit of time (`stack5`)."""

_peer = partial(peer, STACKS)


@_peer("stack-sync", "tenacity(pybreaker)", "no window, no timing, no bulkhead")
@_peer("stack4-sync", "tenacity(pybreaker)", "no window, no timing, no bulkhead")
def _(fn: Fn) -> Fn:
    import pybreaker

    broken = pybreaker.CircuitBreaker(fail_max=5, reset_timeout=3600)(fn)
    guarded: Fn = with_tenacity(retry_error_callback=lambda _state: 0)(broken)
    return guarded


# interlock-cb -------------------------------------------------------------------------------


def _interlock(fn: Fn, *, bulkhead: bool, seconds: float | None = None) -> Fn:
    import interlock
    import tenacity

    builder = interlock.Pipeline.builder().fallback(lambda _error: 0)
    if seconds is not None:
        builder = builder.timeout(seconds)
    builder = builder.retry(
        attempts=3,
        retry=tenacity.retry_if_exception_type(ConnectionError),
        wait=tenacity.wait_none(),
    )
    builder = builder.circuit_breaker(interlock_breaker())
    if bulkhead:
        builder = builder.bulkhead(20)
    guarded: Fn = builder.build()(fn)
    return guarded


@_peer("stack-sync", "interlock-cb", "its retry is tenacity; no bulkhead, as ours")
@_peer("stack-async", "interlock-cb", "its retry is tenacity; no bulkhead, as ours")
def _(fn: Fn) -> Fn:
    return _interlock(fn, bulkhead=False)


@_peer("stack4-sync", "interlock-cb", "its retry is tenacity")
@_peer("stack4-async", "interlock-cb", "its retry is tenacity")
def _(fn: Fn) -> Fn:
    return _interlock(fn, bulkhead=True)


@_peer("stack5-async", "interlock-cb", "its retry is tenacity")
def _(fn: Fn) -> Fn:
    return _interlock(fn, bulkhead=True, seconds=5)


# hyx ----------------------------------------------------------------------------------------


def _hyx(fn: Fn, *, bulkhead: bool, seconds: float | None = None) -> Fn:
    from hyx.bulkhead import bulkhead as limit
    from hyx.fallback import fallback
    from hyx.timeout import timeout

    async def zero(_error: object, _order: int) -> int:
        return 0

    inner = limit(max_concurrency=20, max_capacity=70)(fn) if bulkhead else fn
    inner = hyx_retry()(hyx_breaker()(inner))
    handler: Any = zero
    guarded: Fn = fallback(handler)(inner if seconds is None else timeout(seconds)(inner))
    return guarded


@_peer("stack-async", "hyx", "counts consecutive failures; no bulkhead, as ours")
def _(fn: Fn) -> Fn:
    return _hyx(fn, bulkhead=False)


@_peer("stack4-async", "hyx", "counts consecutive failures; no window, no timing")
def _(fn: Fn) -> Fn:
    return _hyx(fn, bulkhead=True)


@_peer("stack5-async", "hyx", "counts consecutive failures; no window, no timing")
def _(fn: Fn) -> Fn:
    return _hyx(fn, bulkhead=True, seconds=5)


# grelmicro ----------------------------------------------------------------------------------


def _grelmicro(fn: Fn, *, bulkhead: bool, seconds: float | None = None) -> Fn:
    from grelmicro import resilience as theirs

    breaker = theirs.CircuitBreaker.consecutive_count(
        serial(),
        error_threshold=5,
        reset_timeout=3600,
        backend=theirs.MemoryCircuitBreakerAdapter(),
        env_load=False,
    )
    backoff = theirs.ConstantBackoff(delay=0.001)
    patterns = [
        theirs.Fallback(serial(), when=Exception, default=0, env_load=False),
        theirs.Retry(serial(), backoff, when=ConnectionError, attempts=3, env_load=False),
        breaker,
        theirs.Bulkhead(serial(), max_concurrent=20, max_wait=1, env_load=False)
        if bulkhead
        else None,
        None if seconds is None else theirs.Timeout(serial(), seconds=seconds, env_load=False),
    ]
    guarded: Fn = theirs.Stack(serial(), patterns=patterns)(fn)
    return guarded


@_peer("stack-async", "grelmicro", "counts consecutive failures; no bulkhead, as ours")
def _(fn: Fn) -> Fn:
    return _grelmicro(fn, bulkhead=False)


@_peer("stack4-async", "grelmicro", "counts consecutive failures; no window, no timing")
def _(fn: Fn) -> Fn:
    return _grelmicro(fn, bulkhead=True)


@_peer("stack5-async", "grelmicro", "counts consecutive failures; its timeout is innermost")
def _(fn: Fn) -> Fn:
    return _grelmicro(fn, bulkhead=True, seconds=5)

"""Other libraries, configured as near as each can be to what they are compared with.

A builder takes the function to protect and returns it protected. What a peer does not do is said
beside it; nothing is left out silently: a peer that is not installed appears as missing.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

__all__ = ["PEERS", "Peer", "silence"]

Fn = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Peer:
    """A library in one situation, and how it differs from ours there."""

    situation: str
    name: str
    differs: str
    build: Callable[[Fn], Fn]


PEERS: list[Peer] = []


def _peer(situation: str, name: str, differs: str) -> Callable[[Callable[[Fn], Fn]], Any]:
    def register(build: Callable[[Fn], Fn]) -> Callable[[Fn], Fn]:
        PEERS.append(Peer(situation, name, differs, build))
        return build

    return register


def silence() -> None:
    """Stop peers from logging, and from warning of what they use that Python deprecates."""
    warnings.simplefilter("ignore")
    try:
        from stamina import instrumentation
    except ImportError:
        return
    instrumentation.set_on_retry_hooks([])


def _serial(prefix: str = "peer", _count: list[int] = [0]) -> str:  # noqa: B006  (a counter)
    _count[0] += 1
    return f"{prefix}-{_count[0]}"


# breakers -----------------------------------------------------------------------------------


@_peer("breaker-sync", "pybreaker", "counts consecutive failures; no window, no timing, no metrics")
def _(fn: Fn) -> Fn:
    import pybreaker

    guarded: Fn = pybreaker.CircuitBreaker(fail_max=5, reset_timeout=3600)(fn)
    return guarded


@_peer(
    "breaker-sync", "circuitbreaker", "counts consecutive failures; no window, no timing, no lock"
)
@_peer(
    "breaker-async", "circuitbreaker", "counts consecutive failures; no window, no timing, no lock"
)
def _(fn: Fn) -> Fn:
    import circuitbreaker

    guarded: Fn = circuitbreaker.CircuitBreaker(
        failure_threshold=5, recovery_timeout=3600, name=_serial()
    )(fn)
    return guarded


@_peer("breaker-async", "aiobreaker", "counts consecutive failures; no window, no timing")
def _(fn: Fn) -> Fn:
    import aiobreaker

    guarded: Fn = aiobreaker.CircuitBreaker(fail_max=5, timeout_duration=timedelta(hours=1))(fn)
    return guarded


@_peer("breaker-sync", "purgatory", "counts consecutive failures; no window, no timing")
def _(fn: Fn) -> Fn:
    import purgatory

    factory = purgatory.SyncCircuitBreakerFactory(default_threshold=5, default_ttl=3600)
    guarded: Fn = factory(_serial())(fn)
    return guarded


@_peer("breaker-async", "purgatory", "counts consecutive failures; no window, no timing")
def _(fn: Fn) -> Fn:
    import purgatory

    factory = purgatory.AsyncCircuitBreakerFactory(default_threshold=5, default_ttl=3600)
    guarded: Fn = factory(_serial())(fn)
    return guarded


def _hyx_breaker() -> Any:
    from hyx.circuitbreaker import consecutive_breaker

    return consecutive_breaker(Exception, failure_threshold=5, recovery_time_secs=3600)


@_peer("breaker-async", "hyx", "counts consecutive failures; no window, no timing, no metrics")
def _(fn: Fn) -> Fn:
    guarded: Fn = _hyx_breaker()(fn)
    return guarded


def _interlock_breaker() -> Any:
    import interlock

    return interlock.CircuitBreaker(
        name=_serial(),
        config=interlock.Config(
            failure_rate_threshold=0.5,
            minimum_number_of_calls=20,
            slow_call_duration_threshold=1.0,
            window_type=interlock.WindowType.TIME_BASED,
            window_size=30,
            wait_duration_in_open=3600,
        ),
    )


@_peer("breaker-sync", "interlock-cb", "the same window and timing; no consecutive threshold")
@_peer("breaker-async", "interlock-cb", "the same window and timing; no consecutive threshold")
def _(fn: Fn) -> Fn:
    guarded: Fn = _interlock_breaker()(fn)
    return guarded


# retries ------------------------------------------------------------------------------------


def _tenacity(**more: Any) -> Any:
    import tenacity

    return tenacity.retry(
        retry=tenacity.retry_if_exception_type(ConnectionError),
        stop=tenacity.stop_after_attempt(3),
        wait=tenacity.wait_none(),
        reraise=True,
        **more,
    )


async def _no_sleep_async(_seconds: float) -> None:
    pass


def _no_sleep(_seconds: float) -> None:
    pass


@_peer("retry-sync", "tenacity", "its sleep replaced by a function that does nothing")
def tenacity_retry(fn: Fn) -> Fn:
    """Retry three times without sleeping."""
    guarded: Fn = _tenacity(sleep=_no_sleep)(fn)
    return guarded


@_peer("retry-async", "tenacity", "its sleep replaced by a coroutine that does nothing")
def tenacity_retry_async(fn: Fn) -> Fn:
    """Retry three times without sleeping."""
    guarded: Fn = _tenacity(sleep=_no_sleep_async)(fn)
    return guarded


@_peer("retry-sync", "stamina", "hooks removed; a zero wait is a real sleep(0)")
@_peer("retry-async", "stamina", "hooks removed; a zero wait is a real sleep(0)")
def _(fn: Fn) -> Fn:
    import stamina

    return stamina.retry(
        on=ConnectionError, attempts=3, timeout=None, wait_initial=0, wait_max=0, wait_jitter=0
    )(fn)


@_peer("retry-sync", "backoff", "a zero wait is a real sleep(0)")
@_peer("retry-async", "backoff", "a zero wait is a real sleep(0)")
def _(fn: Fn) -> Fn:
    import backoff

    guarded: Fn = backoff.on_exception(
        backoff.constant, ConnectionError, max_tries=3, interval=0, jitter=None, logger=None
    )(fn)
    return guarded


def _hyx_retry() -> Any:
    from hyx.retry import retry

    return retry(on=ConnectionError, attempts=3, backoff=0.0)


@_peer("retry-async", "hyx", "a zero wait is a real sleep(0)")
def _(fn: Fn) -> Fn:
    guarded: Fn = _hyx_retry()(fn)
    return guarded


# timeouts -----------------------------------------------------------------------------------


@_peer("timeout-async", "asyncio.wait_for", "the standard library's other one")
def _(fn: Fn) -> Fn:
    async def guarded(order: int) -> Any:
        return await asyncio.wait_for(fn(order), 5)

    return guarded


@_peer("timeout-async", "hyx", "starts a task for its watch on every call")
def _(fn: Fn) -> Fn:
    from hyx.timeout import timeout

    guarded: Fn = timeout(5)(fn)
    return guarded


@_peer("timeout-async", "interlock-cb", "wraps asyncio.timeout")
def _(fn: Fn) -> Fn:
    import interlock

    guarded: Fn = interlock.Pipeline(interlock.TimeoutStrategy(5))(fn)
    return guarded


# stacks -------------------------------------------------------------------------------------


@_peer("stack-sync", "tenacity(pybreaker)", "no window, no timing, no bulkhead")
def _(fn: Fn) -> Fn:
    import pybreaker

    broken = pybreaker.CircuitBreaker(fail_max=5, reset_timeout=3600)(fn)
    guarded: Fn = _tenacity(retry_error_callback=lambda _state: 0)(broken)
    return guarded


def _interlock_stack(fn: Fn, *, bulkhead: bool) -> Fn:
    import interlock
    import tenacity

    builder = interlock.Pipeline.builder().fallback(lambda _error: 0)
    builder = builder.retry(
        attempts=3,
        retry=tenacity.retry_if_exception_type(ConnectionError),
        wait=tenacity.wait_none(),
    )
    builder = builder.circuit_breaker(_interlock_breaker())
    if bulkhead:
        builder = builder.bulkhead(20)
    guarded: Fn = builder.build()(fn)
    return guarded


@_peer("stack-sync", "interlock-cb", "its retry is tenacity; no bulkhead, as ours")
@_peer("stack-async", "interlock-cb", "its retry is tenacity; no bulkhead, as ours")
def _(fn: Fn) -> Fn:
    return _interlock_stack(fn, bulkhead=False)


@_peer("stack4-sync", "interlock-cb", "its retry is tenacity")
@_peer("stack4-async", "interlock-cb", "its retry is tenacity")
def _(fn: Fn) -> Fn:
    return _interlock_stack(fn, bulkhead=True)


def _hyx_stack(fn: Fn, *, bulkhead: bool) -> Fn:
    from hyx.bulkhead import bulkhead as limit
    from hyx.fallback import fallback

    async def zero(_error: object, _order: int) -> int:
        return 0

    inner = limit(max_concurrency=20, max_capacity=70)(fn) if bulkhead else fn
    handler: Any = zero
    guarded: Fn = fallback(handler)(_hyx_retry()(_hyx_breaker()(inner)))
    return guarded


@_peer("stack-async", "hyx", "counts consecutive failures; no bulkhead, as ours")
def _(fn: Fn) -> Fn:
    return _hyx_stack(fn, bulkhead=False)


@_peer("stack4-async", "hyx", "counts consecutive failures; no window, no timing")
def _(fn: Fn) -> Fn:
    return _hyx_stack(fn, bulkhead=True)

"""Other libraries, configured as near as each can be to what they are compared with.

A builder takes the function to protect and returns it protected. What a peer does not do is said
beside it; nothing is left out silently: a peer that is not installed appears as missing.
"""

from __future__ import annotations

import asyncio
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

__all__ = [
    "PEERS",
    "Peer",
    "hyx_breaker",
    "hyx_retry",
    "interlock_breaker",
    "peer",
    "serial",
    "silence",
    "tenacity_retry",
    "tenacity_retry_async",
    "with_tenacity",
]

Fn = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Peer:
    """A library in one situation, and how it differs from ours there."""

    situation: str
    name: str
    differs: str
    build: Callable[[Fn], Fn]


PEERS: list[Peer] = []
"""Whoever has the policy of a row. Stacks of several are in `stacks`."""


def peer(
    into: list[Peer], situation: str, name: str, differs: str
) -> Callable[[Callable[[Fn], Fn]], Any]:
    """Put the builder that is decorated into a list of peers."""

    def register(build: Callable[[Fn], Fn]) -> Callable[[Fn], Fn]:
        into.append(Peer(situation, name, differs, build))
        return build

    return register


_peer = partial(peer, PEERS)


def silence() -> None:
    """Stop peers from logging, and from warning of what they use that Python deprecates."""
    warnings.simplefilter("ignore")
    try:
        from stamina import instrumentation
    except ImportError:
        return
    instrumentation.set_on_retry_hooks([])


def serial(prefix: str = "peer", _count: list[int] = [0]) -> str:  # noqa: B006  (a counter)
    """A name that nobody has yet."""
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
        failure_threshold=5, recovery_timeout=3600, name=serial()
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
    guarded: Fn = factory(serial())(fn)
    return guarded


@_peer("breaker-async", "purgatory", "counts consecutive failures; no window, no timing")
def _(fn: Fn) -> Fn:
    import purgatory

    factory = purgatory.AsyncCircuitBreakerFactory(default_threshold=5, default_ttl=3600)
    guarded: Fn = factory(serial())(fn)
    return guarded


def hyx_breaker() -> Any:
    """Count consecutive failures, as hyx does."""
    from hyx.circuitbreaker import consecutive_breaker

    return consecutive_breaker(Exception, failure_threshold=5, recovery_time_secs=3600)


@_peer("breaker-async", "hyx", "counts consecutive failures; no window, no timing, no metrics")
def _(fn: Fn) -> Fn:
    guarded: Fn = hyx_breaker()(fn)
    return guarded


def interlock_breaker() -> Any:
    """The same window and timing as ours, of interlock-cb."""
    import interlock

    return interlock.CircuitBreaker(
        name=serial(),
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
    guarded: Fn = interlock_breaker()(fn)
    return guarded


# retries ------------------------------------------------------------------------------------


def with_tenacity(**more: Any) -> Any:
    """Three attempts without a wait, of tenacity."""
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
    guarded: Fn = with_tenacity(sleep=_no_sleep)(fn)
    return guarded


@_peer("retry-async", "tenacity", "its sleep replaced by a coroutine that does nothing")
def tenacity_retry_async(fn: Fn) -> Fn:
    """Retry three times without sleeping."""
    guarded: Fn = with_tenacity(sleep=_no_sleep_async)(fn)
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


def hyx_retry() -> Any:
    """Three attempts without a wait, of hyx."""
    from hyx.retry import retry

    return retry(on=ConnectionError, attempts=3, backoff=0.0)


@_peer("retry-async", "hyx", "a zero wait is a real sleep(0)")
def _(fn: Fn) -> Fn:
    guarded: Fn = hyx_retry()(fn)
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


# limits of calls in flight, and of their rate ------------------------------------------------


@_peer("bulkhead-sync", "threading.BoundedSemaphore", "waits without end, and counts nothing")
def _(fn: Fn) -> Fn:
    slots = threading.BoundedSemaphore(20)

    def guarded(order: int) -> Any:
        with slots:
            return fn(order)

    return guarded


@_peer("bulkhead-async", "asyncio.Semaphore", "waits without end, and counts nothing")
def _(fn: Fn) -> Fn:
    slots = asyncio.Semaphore(20)

    async def guarded(order: int) -> Any:
        async with slots:
            return await fn(order)

    return guarded


@_peer("bulkhead-async", "hyx", "for one event loop")
def _(fn: Fn) -> Fn:
    from hyx.bulkhead import bulkhead

    guarded: Fn = bulkhead(max_concurrency=20, max_capacity=70)(fn)
    return guarded


@_peer("bulkhead-sync", "interlock-cb", "no queue")
@_peer("bulkhead-async", "interlock-cb", "no queue")
def _(fn: Fn) -> Fn:
    import interlock

    guarded: Fn = interlock.Pipeline.builder().bulkhead(20).build()(fn)
    return guarded


@_peer("rate-limit-async", "hyx", "always waits, refuses nobody")
def _(fn: Fn) -> Fn:
    from hyx.ratelimit import tokenbucket

    guarded: Fn = tokenbucket(1e9, 1, bucket_size=1e9)(fn)
    return guarded

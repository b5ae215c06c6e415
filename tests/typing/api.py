"""What type checkers are promised. Never run: checked by mypy and pyright.

Each `assert_type` fails to check if a decorator loses a signature; each line that must be refused
says so with an ignore, which is an error itself where it is not needed.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, assert_type

import resilient
from resilient import (
    CallTimeoutError,
    CircuitBreaker,
    CircuitOpened,
    CircuitState,
    Mode,
    ModeChange,
    Outcome,
    Rejected,
    SystemOperationMode,
    breaker,
    deadline,
    fallback,
    pipeline,
    retry,
    timeout,
)
from resilient.testing import ManualClock, Resilience

payments = breaker("payments", reset_timeout=timedelta(minutes=1), clock=ManualClock())
assert_type(payments, CircuitBreaker)
assert_type(payments.state, CircuitState)
assert_type(payments.metrics.failure_rate, float | None)


@payments
def plain(order: int, *, note: str = "") -> str:
    """Something protected."""
    return f"{order} {note}"


@fallback("later", on=Rejected)
@retry(on=ConnectionError, attempts=3)
@payments
@timeout(2)
async def stacked(order: int, *, note: str = "") -> str:
    """Something with four policies."""
    return f"{order} {note}"


@resilient.protect("search", fallback=resilient.stale(), criticality="high")
@resilient.hedge(delay=0.05, idempotent=True, budget=resilient.retry_budget())
@resilient.rate_limit("search", rate=10)
@resilient.throttle("search")
@resilient.adaptive_limit("search", algorithm="aimd")
async def loaded(words: str) -> list[str]:
    """Something with the policies for overload."""
    return words.split()


places = resilient.bulkhead("reports", limit=4, queue=8, max_wait=timedelta(seconds=2))


@resilient.criticality("low")
@resilient.mode_gate("reports")
@places
def report(number: int) -> bytes:
    """A function that may be shed."""
    return bytes(number)


def _primary(key: str) -> int:
    return len(key)


async def _primary_async(key: str) -> int:
    return len(key)


spread = resilient.failover(_primary, _primary, name="pool", spread=True)
spread_async = resilient.failover(_primary_async, _primary_async)
joined = pipeline(retry(on=(ConnectionError, CallTimeoutError)), payments, deadline(2.0))


@joined
async def piped(order: int) -> bytes:
    """Something with a pipeline."""
    return bytes(order)


class Shop:
    """Has protected methods of every kind."""

    @payments
    def charge(self, order: int) -> str:
        """A method."""
        return str(order)

    @payments
    async def charge_async(self, order: int) -> str:
        """An async method."""
        return str(order)


async def signatures_stay() -> None:
    """Parameters and results are what they were, for functions, coroutines and methods."""
    assert_type(plain(1, note="x"), str)
    assert_type(await stacked(1, note="x"), str)
    assert_type(await piped(1), bytes)
    assert_type(Shop().charge(1), str)
    assert_type(await Shop().charge_async(1), str)
    takes: Callable[[int], Coroutine[Any, Any, bytes]] = piped
    plain("1")  # type: ignore[arg-type]  # an order is a number
    plain(1, "x")  # type: ignore[call-arg]  # a note is named
    await stacked(order="1")  # type: ignore[arg-type]  # an order is a number
    Shop().charge("1")  # type: ignore[arg-type]  # an order is a number
    del takes


async def overload_keeps_signatures() -> None:
    """The policies for overload keep parameters and results too."""
    assert_type(await loaded("a b"), list[str])
    assert_type(report(3), bytes)
    assert_type(places.in_flight, int)
    assert_type(spread("key"), int)
    assert_type(await spread_async("key"), int)
    assert_type(resilient.importance(), resilient.Criticality)
    await loaded(3)  # type: ignore[arg-type]  # words are a string
    report("3")  # type: ignore[arg-type]  # a number
    spread(3)  # type: ignore[arg-type]  # a key is a string
    with places:
        pass
    async with places:
        pass


async def calls_keep_their_types() -> None:
    """`call` and `outcome` pass on parameters and results."""
    assert_type(payments.call(plain, 1, note="x"), str)
    assert_type(await payments.call(stacked, 1), str)
    assert_type(resilient.outcome(plain, 1), Outcome[str])
    assert_type(await resilient.outcome(stacked, 1), Outcome[str])
    assert_type(await resilient.outcome(Shop().charge_async, 1), Outcome[str])
    assert_type(resilient.outcome(plain, 1).error, Exception | None)
    payments.call(plain, "1")  # type: ignore[arg-type]  # an order is a number
    resilient.outcome(plain, "1")  # type: ignore[call-overload]  # an order is a number


async def blocks() -> None:
    """A gate is a context manager of both kinds; a retry is not."""
    with payments:
        pass
    async with payments:
        pass
    with payments.permit():
        pass
    with retry(on=OSError):  # type: ignore[attr-defined]  # a block cannot run twice
        pass


def modes(mode: SystemOperationMode) -> None:
    """The mode answers with members, and knows its listeners."""
    assert_type(mode.current, Mode)
    assert_type(mode.reasons, tuple[str, ...])
    assert_type(mode.select(normal=1, degraded=2), int)

    @mode.on_change
    def tell(change: ModeChange) -> None:
        assert_type(change.new, Mode)

    del tell


def settings() -> None:
    """Names and kinds of settings are checked where they are written."""
    retry(attempts=3)  # type: ignore[call-arg]  # what to retry must be said
    breaker("db", failure_treshold=3)  # type: ignore[call-arg]  # a slip of the pen
    resilient.bulkhead("db", limit=2, order="random")  # type: ignore[arg-type]  # fifo or lifo
    resilient.adaptive_limit("db", algorithm="best")  # type: ignore[arg-type]  # one of three
    breaker("db", reset_timeout="1m")  # type: ignore[arg-type]  # seconds or a timedelta


def fixtures(resilience: Resilience) -> None:
    """The testing kit knows what it records."""
    assert_type(resilience.events.of(CircuitOpened), list[CircuitOpened])
    resilience.faults.at("payments").fail(ConnectionError, times=5).delay(0.2, jitter=0.1)
    resilience.faults.at("payments").fail("boom")  # type: ignore[arg-type]  # an exception
    assert_type(resilience.run(stacked(1)), str)


def acting(mode: SystemOperationMode) -> None:
    """What is given to the mode is given back with its signature; what it tells has types."""

    @mode.probe("redis", interval=10, criticality="critical")
    async def ping(key: str = "k") -> bool:
        return bool(key)

    @mode.recovery("redis", attempts=5)
    def restart(hard: bool = False) -> int:  # noqa: FBT001, FBT002  (a signature to keep)
        return int(hard)

    @resilient.feature("search", otherwise="later", mode=mode)
    def search(words: str) -> str:
        return words

    @mode.traffic()
    async def handle(order: int) -> bytes:
        return bytes(order)

    assert_type(restart(hard=True), int)
    assert_type(search("a"), str)
    keeps: Callable[[int], Coroutine[Any, Any, bytes]] = handle
    asks: Callable[[str], Coroutine[Any, Any, bool]] = ping
    search(3)  # type: ignore[arg-type]  # words are a string
    mode.probe("redis", interval="10")  # type: ignore[call-overload]  # seconds or a timedelta
    assert_type(mode.probes["redis"].status, resilient.ProbeStatus | None)
    assert_type(mode.impact().worse["latency"], float)
    assert_type(mode.incidents[-1].lasted, float | None)
    assert_type(mode.health().components["db"].status, resilient.CheckStatus)
    assert_type(mode.context().headers(), dict[str, str])
    assert_type(mode.frozen, resilient.Frozen | None)
    del keeps, asks

"""Counts are exact, for any number of threads and loops, and one object serves them all."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

import resilient
from resilient import CircuitState, breaker, bulkhead, calls, criticality
from resilient.policies.adaptive import adaptive_limit
from resilient.testing import ManualClock
from tests.laws.gates import KINDS, ROOM
from tests.laws.harness import SURFACES, BrokenError, HarmlessError, block, in_threads

THREADS = 8
CALLS = 100_000


@pytest.fixture(autouse=True)
def _often() -> Iterator[None]:
    """Threads take turns a hundred times as often as usual."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(5e-5)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.parametrize("window", [3600, calls(10**7)], ids=["time", "count"])
def test_eight_threads_and_every_call_counts(window: Any) -> None:
    """800,000 calls, one in a thousand of which fails or is ignored: not one is lost or doubled."""
    gate = breaker("exact", failure_threshold=None, window=window, ignore=HarmlessError)

    @gate
    def fn(number: int) -> None:
        if number % 1000 == 0:
            raise BrokenError
        if number % 1000 == 1:
            raise HarmlessError

    def work(_index: int) -> None:
        for number in range(CALLS):
            with suppress(BrokenError, HarmlessError):
                fn(number)

    in_threads(work)
    per_thousand = THREADS * CALLS // 1000
    metrics = gate.metrics
    assert metrics.failures == per_thousand
    assert metrics.ignored == per_thousand
    assert metrics.calls == THREADS * CALLS - per_thousand
    assert metrics.rejected == metrics.transitions == 0


def test_counts_are_exact_while_buckets_pass() -> None:
    """The window rolls again and again while eight threads count; nothing falls between buckets."""
    clock = ManualClock()
    gate = breaker("rolling", failure_threshold=None, window=1000, clock=clock)
    fn = gate(abs)
    each = 5_000

    def work(index: int) -> None:
        for number in range(each):
            fn(-1)
            if index == 0 and number % 50 == 0:
                clock.advance(9)  # 100 times within a window of 1,000 s: nothing has expired

    in_threads(work)
    assert clock.monotonic() == 900
    assert gate.metrics.calls == THREADS * each


def test_counts_are_exact_while_the_circuit_opens_and_closes() -> None:
    """Failures, rejections and successes add up to the calls that were made."""
    clock = ManualClock()
    gate = breaker("stormy", failure_threshold=3, reset_timeout=1, window=1e9, clock=clock)
    ran = [0] * THREADS
    refused = [0] * THREADS
    each = 3_000

    def work(index: int) -> None:
        @gate
        def fn(number: int) -> None:
            ran[index] += 1
            if number % 7 < 3:
                raise BrokenError

        for number in range(each):
            try:
                fn(number)
            except resilient.CircuitOpenError:
                refused[index] += 1
                clock.advance(0.3)
            except BrokenError:
                pass

    in_threads(work)
    assert sum(ran) + sum(refused) == THREADS * each
    assert gate.metrics.rejected == sum(refused)
    assert gate.metrics.transitions > 2


@pytest.mark.parametrize("window", [1e9, calls(10**6)], ids=["time", "count"])
def test_failures_are_counted_as_exactly_as_successes(window: Any) -> None:
    """Every second call fails, and threads take turns at every line."""
    gate = breaker(
        "half", failure_threshold=None, slow_call_duration=1, window=window, clock=ManualClock()
    )
    each = 50

    @gate
    def fn(number: int) -> None:
        if number % 2:
            raise BrokenError

    def work(_index: int) -> None:
        for number in range(each):
            with suppress(BrokenError):
                fn(number)

    in_threads(work, traced=True)
    metrics = gate.metrics
    assert (metrics.calls, metrics.failures) == (THREADS * each, THREADS * each // 2)


def test_two_failures_at_once_open_once() -> None:
    """The failure that trips is one, however many come at the same time."""
    for _ in range(10):
        opened: list[object] = []
        gate = breaker("once", failure_threshold=THREADS, clock=ManualClock())
        inside = threading.Barrier(THREADS)

        @gate
        def fn() -> None:
            inside.wait()  # noqa: B023  (called in this round)
            raise BrokenError

        def work(_index: int) -> None:
            with pytest.raises(BrokenError):
                fn()

        remove = resilient.core.hub.hub.bus.tap(resilient.CircuitOpened, opened.append)
        in_threads(work, traced=True)
        remove()
        assert gate.state is CircuitState.OPEN
        assert len(opened) == gate.metrics.transitions == 1
        assert gate.metrics.failures == THREADS


def test_one_breaker_for_threads_and_several_loops() -> None:
    """Functions, coroutines and blocks, on threads and on a loop in each: one exact count."""
    gate: Any = breaker("shared", failure_threshold=None, window=3600)
    each = 200

    @gate
    def plain() -> int:
        return 1

    @gate
    async def suspending() -> int:
        await asyncio.sleep(0)
        return 1

    async def all_ways() -> None:
        for _ in range(each):
            await suspending()
            await gate.call(suspending.__wrapped__)
            async with gate:
                await asyncio.sleep(0)
            with gate:
                await asyncio.sleep(0)
            async with gate.permit():
                await asyncio.sleep(0)
            plain()

    async def several() -> None:
        await asyncio.gather(*(all_ways() for _ in range(3)))

    def work(index: int) -> None:
        if index % 2:
            asyncio.run(several())
            return
        for _ in range(each):
            plain()
            with gate:
                pass
            gate.call(lambda: 1)

    in_threads(work, 4)
    assert gate.metrics.calls == gate.metrics.successes == 2 * 3 * each * 6 + 2 * each * 3
    assert not gate._held._stacks


def test_blocks_of_tasks_do_not_mix() -> None:
    """Tasks that leave in another order than they entered each settle their own permit."""
    gate = breaker("mixed", failure_threshold=None, clock=ManualClock(), on=BrokenError)

    async def holder(until: asyncio.Event, error: Exception | None) -> None:
        async with gate:
            await until.wait()
            if error is not None:
                raise error

    async def scenario() -> None:
        first, second = asyncio.Event(), asyncio.Event()
        failing = asyncio.create_task(holder(first, BrokenError()))
        fine = asyncio.create_task(holder(second, None))
        await asyncio.sleep(0)
        first.set()
        with pytest.raises(BrokenError):
            await failing
        assert (gate.metrics.failures, gate.metrics.successes) == (1, 0)
        second.set()
        await fine
        assert (gate.metrics.failures, gate.metrics.successes) == (1, 1)

    asyncio.run(scenario())


def test_keys_are_exact_in_threads() -> None:
    """Circuits of keys that many threads need at once: each is made once and loses nothing."""
    gate = breaker("keys", failure_threshold=None, key=lambda key: key, window=3600)
    fn = gate(lambda key: key)
    each = 5_000

    def work(_index: int) -> None:
        for number in range(each):
            fn(number % 50)

    in_threads(work)
    assert gate.metrics.calls == THREADS * each
    assert gate.for_key(7).metrics.calls == THREADS * each // 50


# Every other gate


ANSWERS = 400
"""For each thread or task of the tests below."""


def roomy(kind: str) -> Any:
    """A gate that lets all of them in, and cannot forget or learn meanwhile."""
    settings: dict[str, Any] = {}
    if "rate" in kind:
        settings = {"rate": 10**6, "per": 10**9}
        settings["burst"] = None if "windows" in kind else 10**6
    if "adaptive" in kind:
        settings = {"min": ROOM}
    return KINDS[kind].open(**settings)


def admitted(gate: Any) -> int:
    """How many calls the gate has counted, of those that count them."""
    for number in ("requests", "admitted"):
        if hasattr(gate, number):
            return int(getattr(gate, number))
    return int(gate.metrics.admitted)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("traced", [False, True], ids=["fast", "line by line"])
def test_eight_threads_leave_exact_books(kind: str, traced: bool) -> None:  # noqa: FBT001
    """Good calls, failures and what is ignored, by all surfaces at once: counted once, none out."""
    gate = roomy(kind)
    each = 12 if traced else ANSWERS

    def fn(number: Any) -> None:
        if number % 4 == 1:
            raise BrokenError
        if number % 4 == 3:
            raise HarmlessError

    runs = [SURFACES[each](gate, fn) for each in ("decorator", "flow", "block", "inside a gate")]

    def work(index: int) -> None:
        for number in range(each):
            with suppress(BrokenError, HarmlessError):
                runs[(index + number // 4) % 4](number)

    in_threads(work, traced=traced)
    assert getattr(gate, "in_flight", 0) == getattr(gate, "queued", 0) == 0
    total = THREADS * each
    if kind == "throttle":
        assert (gate.requests, gate.accepts, gate.throttled) == (total * 3 // 4, total // 2, 0)
    elif kind.startswith(("rate", "adaptive")):
        assert admitted(gate) == total
    assert block(gate).call(lambda: 1) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_threads_and_several_loops_share_a_gate(kind: str) -> None:
    """Law 9: functions, coroutines, blocks and cancellations, on two threads and two loops."""
    gate = roomy(kind)
    shared = block(gate)

    @gate
    def plain() -> int:
        return 1

    @gate
    async def suspending() -> int:
        await asyncio.sleep(0)
        return 1

    async def all_ways() -> None:
        for _ in range(ANSWERS // 20):
            await suspending()
            async with shared, shared.permit():
                await asyncio.sleep(0)
            cancelled = asyncio.create_task(suspending())
            await asyncio.sleep(0)
            cancelled.cancel()
            plain()

    async def several() -> None:
        await asyncio.gather(*(all_ways() for _ in range(3)))

    def work(index: int) -> None:
        if index % 2:
            asyncio.run(several())
            return
        for _ in range(ANSWERS // 2):
            plain()
            with shared:
                pass

    in_threads(work, 4)
    assert getattr(gate, "in_flight", 0) == getattr(gate, "queued", 0) == 0
    if kind.startswith(("rate", "adaptive")):
        assert admitted(gate) == 2 * ANSWERS + 2 * 3 * (ANSWERS // 20) * 5
    assert shared._held is None or not shared._held._stacks


LIMITS: dict[str, Any] = {
    "bulkhead": lambda: bulkhead("few", limit=2, queue=1000),
    "newest first": lambda: bulkhead("few", limit=2, queue=1000, order="lifo"),
    "beside a breaker": lambda: bulkhead("few", limit=2, queue=1000),
    "adaptive limit": lambda: adaptive_limit("few", initial=2, max=2, queue=1000),
}


@pytest.mark.parametrize("kind", LIMITS)
def test_two_at_a_time_for_threads_and_several_loops(kind: str) -> None:
    """Everybody waits for a place and gets one, whichever loop or thread gave it back."""
    gate = LIMITS[kind]()
    most, done = [0], []
    around = breaker("around", failure_threshold=None) if kind == "beside a breaker" else None

    def protected(fn: Any) -> Any:
        return gate(fn) if around is None else around(gate(fn))

    @protected
    def plain() -> None:
        most.append(gate.in_flight)
        done.append(1)

    @protected
    async def suspending() -> None:
        await asyncio.sleep(0)
        most.append(gate.in_flight)
        done.append(1)

    async def tasks() -> None:
        await asyncio.gather(*(suspending() for _ in range(60)))

    def work(index: int) -> None:
        if index % 2:
            asyncio.run(tasks())
            return
        for number in range(60):
            with criticality("low" if number % 2 else "high"):
                plain()

    in_threads(work, 6)
    assert len(done) == 6 * 60
    assert max(most) <= 2
    assert (gate.in_flight, gate.queued, gate.waiting, gate.rejected) == (0, 0, False, 0)
    if around is not None:
        assert around.metrics.successes == 6 * 60

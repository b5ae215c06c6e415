"""The time a caller is willing to wait, for the whole of what is inside."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import resilient
from resilient import (
    CallTimeoutError,
    DeadlineExceededError,
    deadline,
    pipeline,
    remaining,
    retry,
    timeout,
)
from resilient.core.policy import Protector
from resilient.testing import ManualClock
from resilient.testing.loop import run

TICK = 0.02
ROUNDING = 1e-6

SYNC_WAYS: dict[str, Callable[[Protector, Callable[[], Any]], Any]] = {
    "decorated": lambda policy, fn: policy(fn)(),
    "call": lambda policy, fn: policy.call(fn),
    "outcome": lambda policy, fn: resilient.outcome(policy(fn)).unwrap(),
    "around a retry": lambda policy, fn: pipeline(policy, retry(on=ZeroDivisionError))(fn)(),
}
sync_ways = pytest.mark.parametrize("way", SYNC_WAYS.values(), ids=SYNC_WAYS)


async def by_outcome(policy: Protector, fn: Any) -> Any:
    """What the caller would have got, by way of an outcome."""
    return (await resilient.outcome(policy(fn))).unwrap()


async def as_block(policy: Any, fn: Any) -> Any:
    """The call inside ``async with``."""
    async with policy:
        return await fn()


ASYNC_WAYS: dict[str, Callable[[Protector, Callable[[], Any]], Any]] = {
    "decorated": lambda policy, fn: policy(fn)(),
    "call": lambda policy, fn: policy.call(fn),
    "outcome": by_outcome,
    "around a retry": lambda policy, fn: pipeline(policy, retry(on=ZeroDivisionError))(fn)(),
    "block": as_block,
}
async_ways = pytest.mark.parametrize("way", ASYNC_WAYS.values(), ids=ASYNC_WAYS)


async def forever() -> None:
    """Never comes back."""
    await asyncio.Event().wait()


# Informing


def test_outside_of_any_there_is_none() -> None:
    """`remaining()` is `None`: no limit is known."""
    assert remaining() is None


@pytest.mark.parametrize("limit", [2, 0.5, timedelta(minutes=1)])
def test_a_block_tells_what_is_left(limit: Any) -> None:
    """It counts down to 0, never below, is gone after the block, and interrupts nothing."""
    clock = ManualClock(99)
    seconds = limit.total_seconds() if isinstance(limit, timedelta) else limit
    with deadline(limit, clock=clock):
        assert remaining() == seconds
        clock.advance(seconds / 4)
        assert remaining() == pytest.approx(seconds * 0.75)
        clock.advance(seconds * 2)
        assert remaining() == 0
    assert remaining() is None


@given(st.lists(st.floats(0.001, 1e6), min_size=1, max_size=6))
def test_nested_blocks_take_the_earlier(limits: list[float]) -> None:
    """Whatever the order, what is left is the least of all; each block ends only itself."""
    clock = ManualClock()

    def enter(rest: list[float], least: float) -> None:
        if not rest:
            return
        with deadline(rest[0], clock=clock):
            earlier = min(least, rest[0])
            assert remaining() == earlier
            enter(rest[1:], earlier)
            assert remaining() == earlier

    enter(limits, float("inf"))
    assert remaining() is None


@pytest.mark.parametrize(("outer", "inner", "left"), [(5, 10, 5), (10, 5, 5), (5, 5, 5)])
def test_instants_of_two_clocks_are_never_compared(outer: float, inner: float, left: float) -> None:
    """One clock says 1e9, the other 0: only what remains counts, inside and after."""
    one, other = ManualClock(1e9), ManualClock()
    for first, second in ((one, other), (other, one)):
        with deadline(outer, clock=first):
            with deadline(inner, clock=second):
                assert remaining() == left
                second.advance(2)
                assert remaining() == left - 2
            assert remaining() == outer


def test_a_block_that_raises_ends_all_the_same() -> None:
    """An error leaves the block as it was, and the outer deadline is back in force."""
    clock = ManualClock()
    error = LookupError()

    def fails() -> None:
        with deadline(1, clock=clock):
            clock.advance(3)
            raise error

    with deadline(9, clock=clock):
        with pytest.raises(LookupError) as caught:
            fails()
        assert caught.value is error
        assert remaining() == 6


@sync_ways
def test_a_def_is_only_informed(way: Any) -> None:
    """The decorator on a ``def`` tells what is left, and lets it finish however long it takes."""
    clock = ManualClock()

    def slow() -> list[float | None]:
        seen = [remaining()]
        clock.advance(10)
        return [*seen, remaining()]

    assert way(deadline(3, clock=clock), slow) == [3, 0]
    assert remaining() is None
    with deadline(2, clock=clock):
        assert way(deadline(3, clock=clock), slow) == [2, 0]


@sync_ways
def test_a_def_is_not_started_with_nothing_left(way: Any) -> None:
    """`DeadlineExceededError`, and the function is not called."""
    clock = ManualClock()
    calls: list[int] = []
    with deadline(1, clock=clock):
        clock.advance(1)
        with pytest.raises(DeadlineExceededError) as caught:
            way(deadline(5, clock=clock), lambda: calls.append(1))
    assert calls == []
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.name == "deadline"
    assert caught.value.retry_after is None


def test_a_block_is_not_entered_with_nothing_left() -> None:
    """Neither a ``with`` nor an ``async with``; and the outer deadline stays in force."""
    clock = ManualClock()
    entered: list[int] = []

    async def enter() -> None:
        async with deadline(5, clock=clock):
            entered.append(1)

    def enter_at_once() -> None:
        with deadline(5, clock=clock):
            entered.append(1)

    with deadline(1, clock=clock):
        clock.advance(2)
        with pytest.raises(DeadlineExceededError):
            enter_at_once()
        with pytest.raises(DeadlineExceededError):
            run(enter(), clock)
        assert remaining() == 0
    assert entered == []


# Cancelling


@async_ways
@pytest.mark.parametrize("limit", [0.02, 1, 90])
def test_an_async_def_is_cancelled(way: Any, limit: float) -> None:
    """`CallTimeoutError`, never early, at most 20 ms late; the task is left as it was."""
    clock = ManualClock(3)

    async def main() -> None:
        with pytest.raises(CallTimeoutError) as caught:
            await way(deadline(limit, clock=clock), forever)
        assert caught.value.name == "deadline"
        assert caught.value.seconds == pytest.approx(limit)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        assert remaining() is None
        await asyncio.sleep(5)

    run(main(), clock)
    assert limit - ROUNDING <= clock.monotonic() - 5 - 3 <= limit + TICK + ROUNDING


@async_ways
def test_in_time_it_changes_nothing(way: Any) -> None:
    """Answers and errors pass, and inside it is known what is left."""
    clock = ManualClock()
    error = LookupError()

    async def answers() -> float | None:
        await asyncio.sleep(1)
        return remaining()

    async def fails() -> None:
        await asyncio.sleep(1)
        raise error

    async def main() -> None:
        assert await way(deadline(3, clock=clock), answers) == pytest.approx(2)
        with pytest.raises(LookupError) as caught:
            await way(deadline(3, clock=clock), fails)
        assert caught.value is error
        await asyncio.sleep(10)

    run(main(), clock)


@async_ways
@pytest.mark.parametrize("when", [0.0, 0.5, 1.0])
def test_a_cancellation_stays_a_cancellation(way: Any, when: float) -> None:
    """Whoever cancels the caller sees it cancelled, even at the instant of the limit."""
    clock = ManualClock()

    async def main() -> None:
        task = asyncio.ensure_future(way(deadline(1, clock=clock), forever))
        asyncio.get_running_loop().call_later(when, task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main(), clock)


@async_ways
@pytest.mark.parametrize(("outer", "inner"), [(1, 5), (5, 1), (2, 2)])
def test_the_earlier_of_two_ends_the_call(way: Any, outer: float, inner: float) -> None:
    """A longer deadline inside a shorter one ends with the shorter one, and the other way round."""
    clock = ManualClock()

    async def main() -> None:
        async def around() -> None:
            await way(deadline(inner, clock=clock), forever)

        with pytest.raises(CallTimeoutError):
            await way(deadline(outer, clock=clock), around)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        await asyncio.sleep(0)

    run(main(), clock)
    least = min(outer, inner)
    assert least - ROUNDING <= clock.monotonic() <= least + TICK + ROUNDING


@async_ways
def test_the_error_tells_the_limit_in_force(way: Any) -> None:
    """What the outer deadline left, if that is what ended the call."""
    clock = ManualClock()

    async def main() -> None:
        with deadline(1, clock=clock), pytest.raises(CallTimeoutError) as caught:
            await way(deadline(10, clock=clock), forever)
        assert caught.value.seconds == pytest.approx(1)

    run(main(), clock)


@async_ways
@pytest.mark.parametrize(
    ("limit", "attempts", "elapsed", "error"),
    [
        # An attempt takes 1 s, a wait 1 s.
        (4.5, 3, 4.5, CallTimeoutError),
        (3.5, 2, 3, ConnectionError),
        (3.999, 2, 3, ConnectionError),
        (0.5, 1, 0.5, CallTimeoutError),
    ],
)
def test_all_attempts_share_it(
    way: Any, limit: float, attempts: int, elapsed: float, error: type[Exception]
) -> None:
    """The time is over in the middle of an attempt, or a wait that does not fit is not begun."""
    clock = ManualClock()
    began: list[float] = []

    @retry(on=ConnectionError, attempts=9, wait=1, clock=clock)
    async def tries() -> None:
        began.append(clock.monotonic())
        await asyncio.sleep(1)
        raise ConnectionError

    async def main() -> None:
        with pytest.raises(error):
            await way(deadline(limit, clock=clock), tries)

    run(main(), clock)
    assert len(began) == attempts
    assert clock.monotonic() == pytest.approx(elapsed, abs=TICK + ROUNDING)


@async_ways
def test_a_task_group_inside_ends_with_its_tasks(way: Any) -> None:
    """Its tasks know what is left and are cancelled with it."""
    clock = ManualClock()
    seen: list[float | None] = []

    async def child() -> None:
        seen.append(remaining())
        try:
            await forever()
        finally:
            seen.append(remaining())

    async def group() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(child())
            tasks.create_task(child())

    async def main() -> None:
        with pytest.raises(CallTimeoutError):
            await way(deadline(4, clock=clock), group)

    run(main(), clock)
    assert seen == pytest.approx([4, 4, 0, 0], abs=ROUNDING)


# Sharing


def test_one_deadline_serves_many_tasks() -> None:
    """200 tasks in blocks of one object: each has its own two seconds."""
    clock = ManualClock()
    shared = deadline(2, clock=clock)

    async def one(number: int) -> bool:
        await asyncio.sleep(number / 10)
        try:
            async with shared:
                left = remaining()
                assert left == pytest.approx(2)
                await asyncio.sleep(1 if number % 2 else 3)
        except CallTimeoutError:
            return False
        assert remaining() is None
        return True

    async def main() -> list[bool]:
        return await asyncio.gather(*(one(number) for number in range(200)))

    assert run(main(), clock) == [bool(number % 2) for number in range(200)]


def test_one_deadline_serves_many_threads() -> None:
    """Eight threads enter blocks of one object at once: none sees another's deadline."""
    clock = ManualClock()
    shared = deadline(2, clock=clock)
    together = threading.Barrier(8, timeout=30)

    def one(_: int) -> tuple[float | None, float | None]:
        together.wait()
        with shared, shared:
            inside = remaining()
            together.wait()
        return inside, remaining()

    with ThreadPoolExecutor(8) as pool:
        for _ in range(200):
            assert list(pool.map(one, range(8))) == [(2, None)] * 8


@async_ways
def test_a_timeout_inside_is_clipped(way: Any) -> None:
    """`timeout` takes what the deadline leaves, and is refused when that is nothing."""
    clock = ManualClock()

    async def late() -> None:
        await asyncio.sleep(1.5)
        await timeout(5)(forever)()

    async def main() -> None:
        with pytest.raises(CallTimeoutError):
            await way(deadline(2, clock=clock), late)

    run(main(), clock)
    assert 2 - ROUNDING <= clock.monotonic() <= 2 + 2 * TICK + ROUNDING


def test_switched_off_it_limits_nothing() -> None:
    """While the library is inactive, a guarded call knows no deadline and is not cancelled."""
    clock = ManualClock()

    async def slow() -> float | None:
        await asyncio.sleep(50)
        return remaining()

    resilient.set_active(False)
    try:
        assert run(deadline(1, clock=clock)(slow)(), clock) is None
        assert deadline(1, clock=clock)(remaining)() is None
    finally:
        resilient.set_active(True)


@pytest.mark.parametrize("bad", [0, -1, float("nan"), float("inf"), "1", None, True, timedelta(0)])
def test_bad_limits_are_refused_when_given(bad: Any) -> None:
    """`ConfigError` names the setting, its value and what is allowed."""
    with pytest.raises(resilient.ConfigError) as caught:
        deadline(bad)
    assert caught.value.setting == "deadline"
    assert caught.value.value is bad
    assert "seconds > 0" in caught.value.allowed

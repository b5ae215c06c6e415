"""A limit on the time of a call: never early, hardly late, and no business of anybody else's."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any, TypeVarTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import resilient
from resilient import CallTimeoutError, DeadlineExceededError, deadline, pipeline, retry, timeout
from resilient.core.policy import Protector
from resilient.policies.observed import Lines
from resilient.testing import JumpingEventLoop, ManualClock
from resilient.testing.isolation import isolated
from resilient.testing.loop import run

Ts = TypeVarTuple("Ts")
Fn = Callable[[], Coroutine[Any, Any, Any]]
Way = Callable[[Protector, Fn], Awaitable[Any]]

ROUNDING = 1e-6


async def by_outcome(policy: Protector, fn: Fn) -> Any:
    """What the caller would have got, by way of an outcome."""
    return (await resilient.outcome(policy(fn))).unwrap()


WAYS: dict[str, Way] = {
    "decorated": lambda policy, fn: policy(fn)(),
    "call": lambda policy, fn: policy.call(fn),
    "outcome": by_outcome,
    "in a retry": lambda policy, fn: pipeline(retry(on=ZeroDivisionError), policy)(fn)(),
    "around a retry": lambda policy, fn: pipeline(policy, retry(on=ZeroDivisionError))(fn)(),
}
every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


async def forever() -> None:
    """Never comes back."""
    await asyncio.Event().wait()


def cancelling() -> int:
    """How often the running task was asked to stop."""
    task = asyncio.current_task()
    assert task is not None
    return task.cancelling()


class CountingLoop(JumpingEventLoop):
    """Counts the timers that are asked of it."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.timers = 0

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """One more."""
        self.timers += 1
        return super().call_at(when, callback, *args, context=context)


def counted(main: Coroutine[Any, Any, Any]) -> int:
    """Run `main`; the number of timers that it took."""
    loop = CountingLoop(ManualClock())
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main)
        return loop.timers


# How long


@every_way
@pytest.mark.parametrize("limit", [0.001, 0.02, 0.05, 1, 30, 3600, timedelta(minutes=2)])
def test_ends_what_takes_too_long(way: Way, limit: Any) -> None:
    """`CallTimeoutError`, at the limit and not before, on the loop's time."""
    clock = ManualClock(7.3)
    seconds = limit.total_seconds() if isinstance(limit, timedelta) else limit

    async def main() -> None:
        with pytest.raises(CallTimeoutError) as caught:
            await way(timeout(limit), forever)
        assert caught.value.seconds == pytest.approx(seconds)
        assert "forever" in caught.value.name
        assert isinstance(caught.value, TimeoutError)
        assert cancelling() == 0

    run(main(), clock)
    assert clock.monotonic() - 7.3 == pytest.approx(seconds, abs=ROUNDING)


@settings(max_examples=60, deadline=None)
@given(st.floats(0.001, 500), st.floats(0, 1e6))
def test_never_early_and_hardly_late(limit: float, start: float) -> None:
    """For any limit, from any instant."""
    clock = ManualClock(start)

    async def main() -> None:
        with pytest.raises(CallTimeoutError):
            await timeout(limit)(forever)()

    run(main(), clock)
    assert clock.monotonic() - start == pytest.approx(limit, abs=ROUNDING)


@every_way
def test_the_limit_counts_from_the_start_of_the_call(way: Way) -> None:
    """What passed on the loop's clock before the call first suspended belongs to the call."""
    clock = ManualClock()

    async def late_to_suspend() -> None:
        clock.advance(0.7)
        await forever()

    async def main() -> None:
        with pytest.raises(CallTimeoutError):
            await way(timeout(1), late_to_suspend)

    run(main(), clock)
    assert clock.monotonic() == pytest.approx(1, abs=ROUNDING)


@every_way
@pytest.mark.parametrize("takes", [0, 0.5, 0.99])
def test_what_is_in_time_is_untouched(way: Way, takes: float) -> None:
    """The answer is the answer, an error the same object, and no time is lost."""
    clock = ManualClock()
    error = ValueError("of the application")

    async def answers() -> str:
        await asyncio.sleep(takes)
        return "answer"

    async def fails() -> None:
        await asyncio.sleep(takes)
        raise error

    async def main() -> None:
        assert await way(timeout(1), answers) == "answer"
        assert clock.monotonic() == pytest.approx(takes)
        with pytest.raises(ValueError, match="of the application") as caught:
            await way(timeout(1), fails)
        assert caught.value is error
        assert cancelling() == 0
        await asyncio.sleep(5)

    run(main(), clock)


@every_way
def test_each_call_has_its_own_time(way: Way) -> None:
    """One policy, 200 calls at once that take 0.1 to 20 s: those above the limit end, no others."""
    clock = ManualClock()
    policy = timeout(10)

    def taking(seconds: float) -> Fn:
        async def sleeps() -> float:
            await asyncio.sleep(seconds)
            return seconds

        return sleeps

    async def main() -> list[Any]:
        calls = (way(policy, taking(n / 10)) for n in range(1, 201))
        return await asyncio.gather(*calls, return_exceptions=True)

    results = run(main(), clock)
    assert results[:99] == [n / 10 for n in range(1, 100)]
    assert {type(result) for result in results[101:]} == {CallTimeoutError}


# What it costs


def test_calls_of_one_limit_share_a_timer() -> None:
    """200 calls at once and 200 one after the other, suspending or not: one timer serves them."""

    async def at_once() -> None:
        pass

    async def suspends() -> None:
        await asyncio.sleep(0)

    async def main(fn: Fn) -> None:
        guarded = timeout(1)(fn)
        await asyncio.gather(*(guarded() for _ in range(200)))
        for _ in range(200):
            await guarded()

    assert counted(main(at_once)) <= 1
    assert counted(main(suspends)) == 1


# Cancellation


@every_way
@pytest.mark.parametrize("when", [0, 0.5, 0.999])
def test_a_cancellation_stays_a_cancellation(way: Way, when: float) -> None:
    """Whoever cancels the caller before the limit sees it cancelled."""
    clock = ManualClock()

    async def main() -> None:
        task = asyncio.ensure_future(way(timeout(1), forever))
        asyncio.get_running_loop().call_later(when, task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()

    run(main(), clock)
    assert clock.monotonic() == pytest.approx(when)


async def _cancelled_around(
    way: Way, cancel_at: float, turns: int, *, first: bool
) -> tuple[bool, asyncio.Future[Any]]:
    """Cancel a call of limit 1 at some instant near it; whether it was still under way."""
    loop = asyncio.get_running_loop()
    asked: list[bool] = []
    task: asyncio.Future[Any]

    def cancel(left: int) -> None:
        if left:
            loop.call_soon(cancel, left - 1)
        else:
            asked.append(task.cancel())

    if first:
        loop.call_at(cancel_at, cancel, turns)
    task = asyncio.ensure_future(way(timeout(1), forever))
    await asyncio.sleep(0)
    if not first:
        loop.call_at(cancel_at, cancel, turns)
    await asyncio.wait([task])
    await asyncio.sleep(0.1)
    return asked[0], task


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(list(WAYS)),
    st.sampled_from([0.98, 1.0, 1.01, 1.02, 1.02 + 1e-9, 1.04]),
    st.integers(0, 4),
    st.booleans(),
)
def test_even_at_the_very_instant_of_the_limit(
    way: str,
    cancel_at: float,
    turns: int,
    first: bool,  # noqa: FBT001
) -> None:
    """A task that was still under way when its caller cancelled it ends as cancelled."""
    asked, task = run(_cancelled_around(WAYS[way], cancel_at, turns, first=first), ManualClock())
    assert task.cancelled() is asked
    if not asked:
        assert isinstance(task.exception(), CallTimeoutError)


@every_way
def test_an_earlier_cancellation_is_not_forgotten(way: Way) -> None:
    """A task that was cancelled once and went on has as many cancellations after the timeout."""

    async def goes_on() -> int:
        with contextlib.suppress(asyncio.CancelledError):
            await forever()
        with pytest.raises(CallTimeoutError):
            await way(timeout(1), forever)
        return cancelling()

    async def main() -> int:
        task = asyncio.ensure_future(goes_on())
        await asyncio.sleep(0)
        task.cancel()
        return await task

    assert run(main(), ManualClock()) == 1


@every_way
def test_a_swallowed_cancellation_still_gives_its_answer(way: Way) -> None:
    """A function that survives its limit and returns later has its answer taken."""
    clock = ManualClock()

    async def survives() -> str:
        try:
            await forever()
        except asyncio.CancelledError:
            await asyncio.sleep(2)
        return "late"

    async def main() -> None:
        assert await way(timeout(1), survives) == "late"
        assert cancelling() == 0
        await asyncio.sleep(1)

    run(main(), clock)
    assert clock.monotonic() == pytest.approx(4, abs=ROUNDING)


@every_way
def test_an_error_while_being_cancelled_is_the_error(way: Way) -> None:
    """What clean-up raises is what the caller gets, and the task is left as it was."""

    async def stumbles() -> None:
        try:
            await forever()
        finally:
            raise LookupError

    async def main() -> None:
        with pytest.raises(LookupError):
            await way(timeout(1), stumbles)
        assert cancelling() == 0
        await asyncio.sleep(1)

    run(main(), ManualClock())


@every_way
def test_clean_up_runs_before_the_caller_goes_on(way: Way) -> None:
    """The call has ended, with everything in its ``finally``, when `CallTimeoutError` is raised."""
    steps: list[str] = []

    async def tidy() -> None:
        try:
            await forever()
        finally:
            await asyncio.sleep(3)
            steps.append("tidied")

    async def main() -> None:
        with pytest.raises(CallTimeoutError):
            await way(timeout(1), tidy)
        steps.append("raised")

    run(main(), ManualClock())
    assert steps == ["tidied", "raised"]


# Nesting


@every_way
@pytest.mark.parametrize(
    ("outer", "inner", "limit"), [(1, 5, 1), (5, 1, 1), (2, 2, 2), (1, 1.001, 1), (1.001, 1, 1)]
)
def test_of_nested_limits_the_shorter_one_ends_the_call(
    way: Way, outer: float, inner: float, limit: float
) -> None:
    """In one pipeline or around each other, equal or not, and the task is left as it was."""
    clock = ManualClock()

    async def main() -> None:
        began = clock.monotonic()
        with pytest.raises(CallTimeoutError):
            await way(pipeline(timeout(outer), timeout(inner)), forever)
        assert clock.monotonic() - began == pytest.approx(limit, abs=ROUNDING)
        assert cancelling() == 0

        async def around() -> None:
            await way(timeout(inner), forever)

        began = clock.monotonic()
        with pytest.raises(CallTimeoutError):
            await way(timeout(outer), around)
        assert clock.monotonic() - began == pytest.approx(limit, abs=ROUNDING)
        assert cancelling() == 0
        await asyncio.sleep(10)

    run(main(), clock)


@every_way
def test_an_inner_timeout_can_be_handled_within_the_outer_limit(way: Way) -> None:
    """The inner limit fires, the caller goes on, and the outer one still counts."""
    clock = ManualClock()

    async def tries_twice() -> None:
        with pytest.raises(CallTimeoutError):
            await timeout(1)(forever)()
        await forever()

    async def main() -> None:
        with pytest.raises(CallTimeoutError):
            await way(timeout(3), tries_twice)

    run(main(), clock)
    assert clock.monotonic() == pytest.approx(3, abs=ROUNDING)


@every_way
@pytest.mark.parametrize("inside", [asyncio.timeout, deadline])
@pytest.mark.parametrize("others", [0.9, 1.0, 1.5])
def test_a_limit_is_not_lost_in_a_crowd(way: Way, inside: Any, others: float) -> None:
    """After a hiccup of the loop several are due at once; who handles the inner one ends, too."""
    clock = ManualClock()

    async def carries_on() -> None:
        with contextlib.suppress(TimeoutError):
            async with inside(others):
                await forever()
        with contextlib.suppress(CallTimeoutError):
            await timeout(others)(forever)()
        await forever()

    async def main() -> None:
        asyncio.get_running_loop().call_later(0.5, clock.advance, 10)
        task = asyncio.ensure_future(way(timeout(1), carries_on))
        await asyncio.wait([task], timeout=100)
        assert task.done()
        assert isinstance(task.exception(), CallTimeoutError)

    run(main(), clock)


@every_way
def test_a_limit_outlasts_a_swallowed_cancellation(way: Way) -> None:
    """A function that ignores its caller's cancellation is still ended by its limit."""
    clock = ManualClock()

    async def ignores() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await forever()
        await forever()

    async def main() -> None:
        task = asyncio.ensure_future(way(timeout(1), ignores))
        asyncio.get_running_loop().call_later(0.5, task.cancel)
        await asyncio.wait([task], timeout=50)
        assert task.done()

    run(main(), clock)


@every_way
def test_in_asyncio_timeouts_and_around_them(way: Way) -> None:
    """`asyncio.timeout` outside or inside: each limit is reported by its owner."""

    async def inner() -> None:
        async with asyncio.timeout(1):
            await forever()

    async def outer() -> None:
        async with asyncio.timeout(1):
            await way(timeout(5), forever)

    async def main() -> None:
        with pytest.raises(TimeoutError) as caught:
            await outer()
        assert not isinstance(caught.value, CallTimeoutError)
        with pytest.raises(TimeoutError) as caught:
            await way(timeout(5), inner)
        assert not isinstance(caught.value, CallTimeoutError)
        async with asyncio.timeout(5):
            with pytest.raises(CallTimeoutError):
                await way(timeout(1), forever)
        assert cancelling() == 0
        await asyncio.sleep(10)

    run(main(), ManualClock())


@every_way
def test_a_task_group_inside_ends_with_its_tasks(way: Way) -> None:
    """The limit cancels the group and all of its tasks, and is reported as a timeout."""
    ended: list[int] = []

    async def child(number: int) -> None:
        try:
            await forever()
        finally:
            ended.append(number)

    async def group() -> None:
        async with asyncio.TaskGroup() as tasks:
            for number in range(3):
                tasks.create_task(child(number))

    async def main() -> None:
        with pytest.raises(CallTimeoutError):
            await way(timeout(1), group)
        assert sorted(ended) == [0, 1, 2]
        assert cancelling() == 0

    run(main(), ManualClock())


@every_way
def test_a_failing_task_group_is_no_timeout(way: Way) -> None:
    """What its tasks raise in time comes out as the group raised it."""

    async def fails() -> None:
        await asyncio.sleep(0.5)
        raise LookupError

    async def group() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fails())
            tasks.create_task(forever())

    async def main() -> None:
        with pytest.raises(ExceptionGroup) as caught:
            await way(timeout(1), group)
        assert caught.group_contains(LookupError)

    run(main(), ManualClock())


def test_a_timed_call_in_a_task_group_can_fail_alone() -> None:
    """A timeout that its caller handles does not cancel the group around it."""

    async def handles() -> str:
        try:
            await timeout(1)(forever)()
        except CallTimeoutError:
            await asyncio.sleep(1)
        return "handled"

    async def main() -> str:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(handles())
        return task.result()

    assert run(main(), ManualClock()) == "handled"


# Loops


def test_one_function_serves_several_loops() -> None:
    """Eight threads with a loop each, 25 loops one after the other: limits fire on each."""

    @timeout(5)
    async def guarded(seconds: float) -> float:
        await asyncio.sleep(seconds)
        return seconds

    async def main() -> None:
        fast = asyncio.ensure_future(guarded(4))
        with pytest.raises(CallTimeoutError):
            await guarded(6)
        assert await fast == 4

    def loops(_: int) -> float:
        spent = 0.0
        for _ in range(25):
            clock = ManualClock()
            run(main(), clock)
            spent += clock.monotonic()
        return spent

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(loops, range(8))) == pytest.approx([125] * 8, abs=ROUNDING)


def test_two_loops_may_take_turns_on_one_thread() -> None:
    """A limit that began on one loop fires there, although another loop ran in between."""
    clocks = ManualClock(), ManualClock(1000)
    loops = [JumpingEventLoop(clock) for clock in clocks]
    try:
        tasks = [loop.create_task(timeout(5)(forever)()) for loop in loops]
        for _ in range(3):
            for loop in loops:
                loop.run_until_complete(asyncio.sleep(1))
        for loop, task in zip(loops, tasks, strict=True):
            with pytest.raises(CallTimeoutError):
                loop.run_until_complete(task)
    finally:
        for loop in loops:
            loop.close()
    assert [clock.monotonic() for clock in clocks] == pytest.approx([5, 1005], abs=ROUNDING)


# Deadlines


@every_way
def test_a_limit_is_clipped_to_the_deadline(way: Way) -> None:
    """What is left counts where it is less; the error tells the limit that was in force."""
    clock = ManualClock()

    async def main() -> None:
        with deadline(1, clock=clock):
            clock.advance(0.25)
            with pytest.raises(CallTimeoutError) as caught:
                await way(timeout(5), forever)
        assert caught.value.seconds == pytest.approx(0.75)
        assert clock.monotonic() == pytest.approx(1, abs=ROUNDING)
        with deadline(100, clock=clock), pytest.raises(CallTimeoutError) as caught:
            await way(timeout(5), forever)
        assert caught.value.seconds == 5

    run(main(), clock)


@every_way
@pytest.mark.parametrize("over", [0, 0.5])
def test_with_nothing_left_the_call_is_not_started(way: Way, over: float) -> None:
    """`DeadlineExceededError`: a rejection and a `TimeoutError` that says who refused."""
    clock = ManualClock()
    started: list[int] = []

    async def call() -> None:
        started.append(1)

    async def main() -> None:
        with deadline(1, clock=clock):
            clock.advance(1 + over)
            with pytest.raises(DeadlineExceededError) as caught:
                await way(timeout(5), call)
        assert isinstance(caught.value, resilient.Rejected)
        assert isinstance(caught.value, TimeoutError)
        assert caught.value.name == "timeout(5)"
        assert caught.value.retry_after is None

    run(main(), clock)
    assert started == []


# Events, outcomes, switches


@every_way
def test_an_event_tells_of_it(way: Way, resilience: resilient.testing.Resilience) -> None:
    """One `CallTimedOut` for each call that was ended, none for those in time."""

    async def at_once() -> None:
        pass

    async def main() -> None:
        await way(timeout(1), at_once)
        with pytest.raises(CallTimeoutError):
            await way(timeout(1), forever)

    resilience.run(main())
    (event,) = resilience.events.of(resilient.CallTimedOut)
    assert event.seconds == pytest.approx(1)
    assert "forever" in event.name
    assert event.severity is resilient.Severity.WARNING


def test_switched_off_it_limits_nothing() -> None:
    """While the library is inactive, calls take what they take."""
    clock = ManualClock()

    async def slow() -> str:
        await asyncio.sleep(50)
        return "slow"

    async def main() -> list[str]:
        return [await way(timeout(1), slow) for way in WAYS.values()]

    resilient.set_active(False)
    try:
        assert run(main(), clock) == ["slow"] * len(WAYS)
    finally:
        resilient.set_active(True)


# What can be limited at all


def plain() -> str:
    """A function that cannot be interrupted."""
    return "done"


async def coroutine_function() -> str:
    """A function that can."""
    return "done"


@pytest.mark.parametrize(
    ("fn", "thread", "says"), [(plain, False, "thread=True"), (coroutine_function, True, "async")]
)
def test_what_it_cannot_limit_is_refused_when_decorated(fn: Any, thread: bool, says: str) -> None:  # noqa: FBT001
    """A ``def`` needs `thread=True`, an ``async def`` must not have it; the error says so."""
    policy = timeout(1, thread=thread)
    for attempt in (policy, pipeline(retry(on=OSError), policy), policy.call):
        with pytest.raises(TypeError, match=says):
            attempt(fn)


@pytest.mark.parametrize("bad", [0, -1, float("nan"), float("inf"), "1", None, True, timedelta(0)])
def test_bad_limits_are_refused_when_given(bad: Any) -> None:
    """`ConfigError` names the setting, its value and what is allowed."""
    with pytest.raises(resilient.ConfigError) as caught:
        timeout(bad)
    assert caught.value.setting == "timeout"
    assert caught.value.value is bad
    assert "seconds > 0" in caught.value.allowed


# Threads


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """What a function on a worker thread waits for; set at the end, so that no thread is left."""
    event = threading.Event()
    yield event
    event.set()
    for thread in threading.enumerate():
        if thread.name.startswith("resilient-timeout"):
            thread.join(10)
            assert not thread.is_alive()


THREAD_WAYS: dict[str, Callable[[Protector, Callable[[], Any]], Any]] = {
    "decorated": lambda policy, fn: policy(fn)(),
    "call": lambda policy, fn: policy.call(fn),
    "outcome": lambda policy, fn: resilient.outcome(policy(fn)).unwrap(),
    "in a retry": lambda policy, fn: pipeline(retry(on=ZeroDivisionError), policy)(fn)(),
    "around a retry": lambda policy, fn: pipeline(policy, retry(on=ZeroDivisionError))(fn)(),
}
every_thread_way = pytest.mark.parametrize("way", THREAD_WAYS.values(), ids=THREAD_WAYS)


@every_thread_way
def test_on_a_thread_the_caller_stops_waiting(way: Any, release: threading.Event) -> None:
    """The limit ends the waiting, not the function: it lives on, and its late answer is dropped."""
    began, ended = threading.Event(), threading.Event()

    def hangs() -> str:
        began.set()
        release.wait()
        ended.set()
        return "late"

    with pytest.raises(CallTimeoutError) as caught:
        way(timeout(0.01, thread=True), hangs)
    assert caught.value.seconds == pytest.approx(0.01)
    assert began.wait(10)
    assert not ended.is_set()
    release.set()
    assert ended.wait(10)


@every_thread_way
def test_on_a_thread_answers_and_errors_arrive(way: Any) -> None:
    """In time, the answer, or the very error; Ctrl-C and exit too."""
    policy = timeout(60, thread=True)
    assert way(policy, plain) == "done"
    error = ValueError("of the application")
    for raised in (error, KeyboardInterrupt(), SystemExit(3)):

        def raises(raised: BaseException = raised) -> None:
            raise raised

        with pytest.raises(type(raised)) as caught:
            way(policy, raises)
        assert caught.value is raised


@every_thread_way
def test_on_a_thread_the_context_is_the_callers(way: Any) -> None:
    """Context variables and the deadline are seen inside; another thread runs it."""
    variable = contextvars.ContextVar("variable", default="unset")
    clock = ManualClock()

    def looks() -> tuple[str, float | None, int]:
        return variable.get(), resilient.remaining(), threading.get_ident()

    variable.set("set")
    with deadline(50, clock=clock):
        clock.advance(20)
        seen, left, ident = way(timeout(60, thread=True), looks)
    assert (seen, left) == ("set", 30)
    assert ident != threading.get_ident()


@every_thread_way
def test_on_a_thread_the_deadline_clips(way: Any, release: threading.Event) -> None:
    """The shorter of limit and deadline; nothing is started with nothing left."""
    clock = ManualClock()
    calls: list[int] = []

    def hangs() -> None:
        calls.append(1)
        release.wait()

    with deadline(1, clock=clock):
        clock.advance(0.99)
        with pytest.raises(CallTimeoutError) as caught:
            way(timeout(3600, thread=True), hangs)
        assert caught.value.seconds == pytest.approx(0.01)
        clock.advance(0.01)
        with pytest.raises(DeadlineExceededError):
            way(timeout(3600, thread=True), hangs)
    assert calls == [1]


def test_on_threads_concurrent_calls_keep_apart() -> None:
    """200 calls from eight threads: each gets its own answer."""

    @timeout(60, thread=True)
    def double(number: int) -> int:
        return number * 2

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(double, range(200))) == [2 * number for number in range(200)]


def test_on_a_thread_an_event_tells_of_it(
    release: threading.Event, resilience: resilient.testing.Resilience
) -> None:
    """One `CallTimedOut` for the call that was given up."""
    with pytest.raises(CallTimeoutError):
        timeout(0.01, thread=True)(release.wait)()
    (event,) = resilience.events.of(resilient.CallTimedOut)
    assert event.seconds == pytest.approx(0.01)


# A limit that follows the calls


class Dependency:
    """Takes as long as it is told."""

    def __init__(self, takes: float) -> None:
        self.takes = takes

    async def __call__(self) -> float:
        """Answer."""
        await asyncio.sleep(self.takes)
        return self.takes


async def calls_for(guarded: Callable[[], Awaitable[Any]], seconds: float) -> tuple[int, int]:
    """Call one after the other for so long; how many answered, and how many were ended."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    answers = ended = 0
    while loop.time() < until:
        try:
            await guarded()
        except CallTimeoutError:
            ended += 1
        else:
            answers += 1
    return answers, ended


LEARNING_WAYS = {name: way for name, way in WAYS.items() if name in {"decorated", "outcome"}}
by_line_and_flow = pytest.mark.parametrize("way", LEARNING_WAYS.values(), ids=LEARNING_WAYS)


@by_line_and_flow
def test_a_learned_limit_follows_what_answers_take(way: Way) -> None:
    """The longest before the warm-up; then factor x quantile, a tenth at most above it."""
    clock = ManualClock()
    policy = timeout(quantile=0.9, max=5, factor=2, clock=clock)
    dependency = Dependency(0.1)

    async def main() -> None:
        assert policy.limit_now == 5
        for _ in range(9):
            await way(policy, dependency.__call__)
        await asyncio.sleep(1)
        assert policy.limit_now == 5  # one more makes ten, of which one lies above
        await way(policy, dependency.__call__)
        await asyncio.sleep(1)
        assert 0.2 <= policy.limit_now <= 0.22
        dependency.takes = 0.3
        with pytest.raises(CallTimeoutError) as caught:
            await way(policy, dependency.__call__)
        assert caught.value.seconds == policy.limit_now
        await asyncio.sleep(31)
        assert policy.limit_now == 5  # nothing recent is known

    run(main(), clock)


TRACE = [
    # second, answers and timed-out calls in it, limit after it: 0.02 s each, from second 3 on 0.2 s
    (1, 50, 0, 5.0),
    (2, 50, 0, 0.031),
    (3, 0, 33, 0.05),
    (4, 0, 21, 0.08),
    (5, 0, 13, 0.13),
    (6, 0, 8, 0.21),
    (7, 5, 0, 0.30),
    (8, 5, 0, 0.30),
]


@by_line_and_flow
def test_a_limit_that_became_too_short_grows_again(way: Way) -> None:
    """A dependency becomes ten times slower: four seconds later its answers are waited for.

    Timed-out calls count with their limit. Left out, the limit would stay, and every call fail.
    """
    clock = ManualClock()
    policy = timeout(quantile=0.99, max=5, factor=1.5, clock=clock)
    dependency = Dependency(0.02)
    trace: list[tuple[int, int, int, float]] = []

    async def main() -> None:
        for second in range(1, 9):
            if second == 3:
                dependency.takes = 0.2
            answers, ended = await calls_for(partial(way, policy, dependency.__call__), 1)
            trace.append((second, answers, ended, policy.limit_now))

    run(main(), clock)
    for seen, expected in zip(trace, TRACE, strict=True):
        assert seen[:3] == pytest.approx(expected[:3], abs=1)
        assert seen[3] == pytest.approx(expected[3], rel=0.05)


@by_line_and_flow
def test_it_grows_to_its_longest_and_comes_back(way: Way) -> None:
    """A dependency that hangs is given `max`; half a minute after it is well the limit is short."""
    clock = ManualClock()
    policy = timeout(quantile=0.9, max=2, min=0.5, clock=clock)
    dependency = Dependency(0.02)

    async def main() -> None:
        await calls_for(partial(way, policy, dependency.__call__), 3)
        assert policy.limit_now == 0.5
        dependency.takes = 3600
        answers, _ = await calls_for(partial(way, policy, dependency.__call__), 60)
        assert (answers, policy.limit_now) == (0, 2)
        dependency.takes = 0.02
        _, ended = await calls_for(partial(way, policy, dependency.__call__), 32)
        assert (ended, policy.limit_now) == (0, 0.5)

    run(main(), clock)


@by_line_and_flow
@pytest.mark.parametrize("ending", ["error", "cancelled", "deadline", "inner timeout"])
def test_what_ended_before_the_limit_without_an_answer_is_no_sample(way: Way, ending: str) -> None:
    """A quick error, a cancellation, a clipped limit: none says how long an answer takes."""
    clock = ManualClock()
    policy = timeout(quantile=0.5, max=20, warm_up=5, factor=2, clock=clock)

    async def fails() -> None:
        await asyncio.sleep(0.01)
        raise ValueError

    async def main() -> None:
        for _ in range(10):
            await way(policy, Dependency(1).__call__)
        for _ in range(40):
            with contextlib.suppress(ValueError, TimeoutError):
                if ending == "error":
                    await way(policy, fails)
                elif ending == "cancelled":
                    await asyncio.wait_for(way(policy, forever), 0.01)
                elif ending == "deadline":
                    await way(pipeline(deadline(0.01, clock=clock), policy), forever)
                else:
                    await way(pipeline(policy, timeout(0.01)), forever)
        await asyncio.sleep(1)
        assert policy.limit_now == pytest.approx(2, rel=0.1)

    run(main(), clock)


@by_line_and_flow
def test_a_learned_limit_is_clipped_by_a_deadline(way: Way) -> None:
    """The shorter of the two; nothing is started with nothing left."""
    clock = ManualClock()
    policy = timeout(quantile=0.5, max=20, clock=clock)

    async def main() -> None:
        async with deadline(1, clock=clock):
            with pytest.raises(CallTimeoutError) as caught:
                await way(policy, forever)
            assert caught.value.seconds == pytest.approx(1)

    with pytest.raises(CallTimeoutError):
        run(main(), clock)


def test_calls_of_a_learned_limit_share_a_timer() -> None:
    """200 calls at once take the timers of their sleeps, and one."""
    policy = timeout(quantile=0.9, max=50, warm_up=1, clock=(clock := ManualClock()))
    dependency = Dependency(0.1)
    guarded = policy(dependency.__call__)
    loop = CountingLoop(clock)

    async def main() -> int:
        for takes in (0.1, 0.12, 0.1):
            dependency.takes = takes
            await guarded()
            await asyncio.sleep(1)
        before = loop.timers
        await asyncio.gather(*(guarded() for _ in range(200)))
        return loop.timers - before

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        assert runner.run(main()) == 201
    assert policy.limit_now < 50


def test_lines_of_learned_limits_are_few() -> None:
    """However the limit wanders, there are never more than 16 at a time, each made once."""
    made: list[float | None] = []

    def make(limit: float | None) -> Callable[..., Any]:
        made.append(limit)
        return plain

    lines = Lines(make)
    for limit in [*range(100), *range(90, 100)]:
        lines.of(float(limit))
        assert len(lines.made) <= 16
    assert made.count(99.0) == 1


@every_thread_way
def test_on_a_thread_a_limit_is_learned_too(way: Any, release: threading.Event) -> None:
    """Answers count, and who takes longer than they did is left behind."""
    clock = ManualClock()
    policy = timeout(quantile=0.5, max=60, min=0.01, warm_up=5, thread=True, clock=clock)

    def answers() -> str:
        clock.advance(0.01)
        return "done"

    for _ in range(5):
        assert way(policy, answers) == "done"
    clock.advance(1)
    limit = policy.limit_now
    assert limit == pytest.approx(0.015, rel=0.1)
    with pytest.raises(CallTimeoutError) as caught:
        way(policy, release.wait)
    assert caught.value.seconds == limit
    release.set()


def test_the_emergency_switch_and_a_learned_limit() -> None:
    """Switched off nothing is ended, and nothing learned."""
    clock = ManualClock()
    policy = timeout(quantile=0.5, max=1, warm_up=1, clock=clock)
    threaded = timeout(quantile=0.5, max=1, warm_up=1, thread=True, clock=clock)
    resilient.set_active(False)
    try:
        assert run(policy(Dependency(9).__call__)(), clock) == 9
        assert threaded(plain)() == "done"
    finally:
        resilient.set_active(True)
    clock.advance(1)
    assert (policy.limit_now, threaded.limit_now) == (1, 1)


def test_a_learned_limit_in_isolation(resilience: resilient.testing.Resilience) -> None:
    """It begins at its longest, on the test's clock."""
    policy = timeout(quantile=0.5, max=9, warm_up=1)
    resilience.run(policy(Dependency(1).__call__)())
    resilience.clock.advance(1)
    assert policy.limit_now == pytest.approx(1.5, rel=0.1)
    assert policy.seconds == 9
    says = "timeout: by the 0.5 quantile of what is inside, at most 9 s"
    assert policy.describe() == says
    assert timeout(2).describe() == "timeout: 2 s for what is inside"
    assert timeout(2).limit_now == 2


def test_a_learned_limit_made_long_before_the_test() -> None:
    """What a fixture's test teaches it is gone afterwards, and what it knew before is back."""
    policy = timeout(quantile=0.5, max=9, warm_up=1)
    with isolated() as world:
        world.run(policy(Dependency(1).__call__)())
        world.clock.advance(1)
        assert policy.limit_now < 2
    assert policy.limit_now == 9


LEARNED: list[tuple[dict[str, Any], str]] = [
    ({}, "timeout"),
    ({"limit": 2, "quantile": 0.9}, "timeout"),
    ({"quantile": 0.9}, "max"),
    ({"quantile": 0.9, "max": 0}, "max"),
    ({"quantile": 0.9, "max": "5"}, "max"),
    ({"quantile": 1, "max": 5}, "quantile"),
    ({"quantile": 0, "max": 5}, "quantile"),
    ({"quantile": "0.9", "max": 5}, "quantile"),
    ({"quantile": 0.9, "max": 5, "min": 6}, "min"),
    ({"quantile": 0.9, "max": 5, "min": 0}, "min"),
    ({"quantile": 0.9, "max": 5, "factor": 0.9}, "factor"),
    ({"quantile": 0.9, "max": 5, "factor": "2"}, "factor"),
    ({"quantile": 0.9, "max": 5, "warm_up": 0}, "warm_up"),
    ({"quantile": 0.9, "max": 5, "clock": 5}, "clock"),
    ({"limit": 2, "max": 5}, "max"),
    ({"limit": 2, "min": 1}, "min"),
    ({"limit": 2, "factor": 2}, "factor"),
    ({"limit": 2, "warm_up": 2}, "warm_up"),
    ({"limit": 2, "clock": ManualClock()}, "clock"),
]


@pytest.mark.parametrize(("settings_", "setting"), LEARNED)
def test_bad_settings_of_a_learned_limit(settings_: dict[str, Any], setting: str) -> None:
    """`ConfigError` names the setting; what belongs to the other form is refused, not ignored."""
    with pytest.raises(resilient.ConfigError) as caught:
        timeout(**settings_)
    assert caught.value.setting == setting


def test_a_shorter_max_than_the_default_min() -> None:
    """What was not given makes way."""
    assert timeout(quantile=0.9, max=0.005).limit_now == 0.005

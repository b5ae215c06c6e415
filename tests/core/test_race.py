"""Attempts at once: the first good answer counts, nothing outlives the call, nothing leaks out."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import itertools
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, NamedTuple, TypeVarTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import resilient
from resilient import CallTimeoutError, hedge, pipeline, retry, timeout
from resilient.core.policy import Protector
from resilient.testing import JumpingEventLoop, ManualClock
from resilient.testing.loop import run

Ts = TypeVarTuple("Ts")
Fn = Callable[..., Coroutine[Any, Any, Any]]
Way = Callable[[Protector, Fn], Awaitable[Any]]


async def by_outcome(policy: Protector, fn: Fn) -> Any:
    """What the caller would have got, by way of an outcome."""
    return (await resilient.outcome(policy(fn))).unwrap()


WAYS: dict[str, Way] = {
    "decorated": lambda policy, fn: policy(fn)(),
    "call": lambda policy, fn: policy.call(fn),
    "outcome": by_outcome,
    "in a retry": lambda policy, fn: pipeline(retry(on=ZeroDivisionError), policy)(fn)(),
    "around a retry": lambda policy, fn: pipeline(policy, retry(on=ZeroDivisionError))(fn)(),
    "in a timeout": lambda policy, fn: pipeline(timeout(99), policy)(fn)(),
}
every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


class Halt(BaseException):
    """Somebody's own way to end a program."""


class Answer:
    """Something that wants to be closed."""

    def __init__(self, by: int) -> None:
        self.by = by
        self.closed = 0

    async def aclose(self) -> None:
        """Count it, after a turn of the loop."""
        await asyncio.sleep(0)
        self.closed += 1


class Attempt(NamedTuple):
    """How long an attempt takes, how it ends (`None`: it answers), and how it takes being stopped.

    `stubborn` seconds it goes on after it was cancelled, and `then` it raises that, or answers.
    """

    takes: float
    error: BaseException | None = None
    stubborn: float | None = None
    then: BaseException | None = None


class Script:
    """A function whose attempts are laid down, and what became of them."""

    def __init__(self, *attempts: Attempt | float) -> None:
        self.attempts = [each if isinstance(each, Attempt) else Attempt(each) for each in attempts]
        self.started: list[float] = []
        self.cancelled: list[int] = []
        self.ended: list[int] = []
        self.answers: list[Answer] = []

    async def __call__(self) -> Answer:
        """Make the next attempt."""
        number = len(self.started)
        attempt = self.attempts[number]
        self.started.append(asyncio.get_running_loop().time())
        try:
            await asyncio.sleep(attempt.takes)
            if attempt.error is not None:
                raise attempt.error
        except asyncio.CancelledError:
            self.cancelled.append(number)
            if attempt.stubborn is None:
                raise
            await asyncio.sleep(attempt.stubborn)
            if attempt.then is not None:
                raise attempt.then from None
        finally:
            self.ended.append(number)
        self.answers.append(Answer(number))
        return self.answers[-1]

    def check(self, winner: Answer | None = None) -> None:
        """Every attempt has ended, and every answer that nobody got was closed, once."""
        assert sorted(self.ended) == list(range(len(self.started)))
        assert {each.by: each.closed for each in self.answers} == {
            each.by: int(each is not winner) for each in self.answers
        }


async def settled() -> None:
    """Nothing of a race is left: no task, no request to cancel, and no timer that does harm."""
    task = asyncio.current_task()
    assert task is not None
    assert asyncio.all_tasks() == {task}
    assert task.cancelling() == 0
    await asyncio.sleep(1000)


def race(main: Coroutine[Any, Any, Any], clock: ManualClock | None = None) -> Any:
    """Run `main` on a loop that jumps, and whose errors are the test's."""
    complaints: list[dict[str, Any]] = []

    async def watched() -> Any:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        try:
            return await main
        finally:
            gc.collect(1)  # a task whose exception nobody looked at complains when it is dropped
            await asyncio.sleep(0)

    result = run(watched(), clock or ManualClock())
    assert complaints == []
    return result


# How many attempts, and who answers


TABLE = [
    # delay, most, latencies of the attempts   -> starts, winner, and when
    (1, 1, [0.5], [0], 0, 0.5),
    (1, 1, [0], [0], 0, 0),
    (1, 1, [3, 0.5], [0, 1], 1, 1.5),
    (1, 1, [3, 5], [0, 1], 0, 3),
    (1, 1, [9, 9, 0], [0, 1], 0, 9),
    (1, 2, [9, 9, 0.25], [0, 1, 2], 2, 2.25),
    (1, 2, [9, 0.5, 0], [0, 1], 1, 1.5),
    (1, 3, [9, 9, 9, 1], [0, 1, 2, 3], 3, 4),
    (1, 3, [2.5, 9, 9, 9], [0, 1, 2], 0, 2.5),
    (0.1, 1, [0.3, 0.1], [0, 0.1], 1, 0.2),
    (0.001, 1, [60, 60], [0, 0.001], 0, 60),
]


@every_way
@pytest.mark.parametrize(("delay", "most", "latencies", "starts", "winner", "when"), TABLE)
def test_how_many_attempts_start_and_which_answers(  # noqa: PLR0913
    way: Way,
    delay: float,
    most: int,
    latencies: list[float],
    starts: list[float],
    winner: int,
    when: float,
) -> None:
    """One more attempt for each delay that passes without an answer; the first answer counts."""
    clock = ManualClock(50)
    script = Script(*latencies)

    async def main() -> None:
        policy = hedge(delay=delay, max_hedges=most, idempotent=True)
        answer = await way(policy, script.__call__)
        assert answer.by == winner
        assert clock.monotonic() - 50 == pytest.approx(when)
        assert [at - 50 for at in script.started] == pytest.approx(starts)
        script.check(answer)
        await settled()

    race(main(), clock)


ERRORS = [
    # attempts -> the call's answer or error, how many attempts, when
    ([Attempt(0.5, OSError("0")), 0], "0", 1, 0.5),  # before any other: a retry's business
    ([Attempt(2, OSError("0")), 2.0], 1, 2, 3),  # the first fails: the other is waited for
    ([2.0, Attempt(0.5, OSError("1"))], 0, 2, 2),  # the other fails: the first goes on
    ([Attempt(2, OSError("0")), Attempt(0.5, OSError("1"))], "0", 2, 2),
    ([Attempt(2, OSError("0")), Attempt(5, OSError("1"))], "0", 2, 6),
    ([Attempt(2, OSError("0")), Attempt(5, asyncio.CancelledError("1"))], "0", 2, 6),
    ([3.0, Attempt(0.5, asyncio.CancelledError("1"))], 0, 2, 3),
]


@every_way
@pytest.mark.parametrize(("attempts", "ending", "number", "when"), ERRORS)
def test_failures(
    way: Way, attempts: list[Any], ending: int | str, number: int, when: float
) -> None:
    """A failure waits for those under way, and if nobody answers, the first one's is raised."""
    clock = ManualClock()
    script = Script(*attempts)

    async def main() -> None:
        policy = hedge(delay=1, idempotent=True)
        if isinstance(ending, int):
            answer = await way(policy, script.__call__)
            assert answer.by == ending
            script.check(answer)
        else:
            with pytest.raises(OSError, match=ending) as caught:
                await way(policy, script.__call__)
            assert caught.value is script.attempts[0].error
            script.check()
        assert clock.monotonic() == pytest.approx(when)
        assert len(script.started) == number
        await settled()

    race(main(), clock)


@every_way
@pytest.mark.parametrize(
    ("attempts", "accepted", "by"),
    [
        ([0.5], [], 0),  # nobody else was asked: it is what it is
        ([2.0, 0.5], [0, 1], 1),
        ([2.0, 0.5], [0], 0),  # the other's is not good enough, so the first is waited for
        ([2.0, 3.0], [1], 1),
        ([2.0, 3.0], [], 0),  # nobody has a better one
        ([3.0, 1.0], [], 0),
        ([2.0, Attempt(3, OSError())], [], 0),
    ],
)
def test_results_that_are_no_answers(
    way: Way, attempts: list[Any], accepted: list[int], by: int
) -> None:
    """`accept` says what ends a race; what it does not accept is closed, or returned at last."""
    script = Script(*attempts)

    async def main() -> None:
        policy = hedge(delay=1, idempotent=True, accept=lambda answer: answer.by in accepted)
        answer = await way(policy, script.__call__)
        assert answer.by == by
        script.check(answer)
        await settled()

    race(main())


@every_way
@pytest.mark.parametrize("attempts", [(2.0, 5.0), (5.0, 0.5)])
def test_an_error_of_accept_is_the_callers(way: Way, attempts: tuple[float, float]) -> None:
    """Whoever judges wrongly hears of it, and both attempts are ended and closed."""
    script = Script(*attempts)

    def accept(_: Answer) -> bool:
        raise ZeroDivisionError("a mistake in accept")

    async def main() -> None:
        policy = hedge(delay=1, idempotent=True, accept=accept)
        with pytest.raises(ZeroDivisionError, match="accept"):
            await pipeline(policy)(script.__call__)()
        script.check()
        await settled()

    race(main())


# Losers


@every_way
def test_a_loser_that_answers_nevertheless_is_closed(way: Way) -> None:
    """First or other: it is waited for, and what it returns is closed, once."""
    for attempts, winner in (
        ((Attempt(9, stubborn=2), 0.5), 1),
        ((2.0, Attempt(9, stubborn=2)), 0),
        ((Attempt(9, stubborn=2), Attempt(9, stubborn=1), 0.5), 2),
    ):
        script = Script(*attempts)

        async def main(script: Script = script, winner: int = winner) -> None:
            answer = await way(hedge(delay=1, max_hedges=2, idempotent=True), script.__call__)
            assert answer.by == winner
            assert len(script.answers) == len(script.attempts)
            script.check(answer)
            await settled()

        race(main())


@every_way
def test_a_loser_that_raises_is_nobodys_news(way: Way) -> None:
    """Neither the caller's, nor an exception that "was never retrieved"."""
    for attempts, winner in (
        ((Attempt(9, stubborn=1, then=OSError("too late")), 0.5), 1),
        ((2.0, Attempt(9, stubborn=1, then=OSError("too late"))), 0),
        ((2.0, Attempt(9, stubborn=0, then=OSError("too late"))), 0),
    ):
        script = Script(*attempts)

        async def main(script: Script = script, winner: int = winner) -> None:
            answer = await way(hedge(delay=1, idempotent=True), script.__call__)
            assert answer.by == winner
            script.check(answer)
            await settled()

        race(main())


@every_way
def test_losers_are_cancelled_once(way: Way) -> None:
    """Clean-up that takes a while is not disturbed: neither by the answer nor by the waiting."""
    for attempts in (
        (9, Attempt(9, stubborn=1), 0),
        (Attempt(9, stubborn=1), Attempt(9, stubborn=3), 0),
        (2.5, Attempt(9, stubborn=1), Attempt(9, stubborn=2)),
    ):
        script = Script(*attempts)

        async def main(script: Script = script) -> None:
            answer = await way(hedge(delay=1, max_hedges=2, idempotent=True), script.__call__)
            stubborn = [number for number, each in enumerate(script.attempts) if each.stubborn]
            assert {each.by for each in script.answers} == {answer.by, *stubborn}
            script.check(answer)
            await settled()

        race(main())


@every_way
def test_answers_of_the_same_turn(way: Way) -> None:
    """Two or three that answer at the same instant: one counts, the others are closed."""
    for latencies in ([2.0, 1.0], [3.0, 2.0, 1.0]):
        script = Script(*latencies)

        async def main(script: Script = script) -> None:
            answer = await way(hedge(delay=1, max_hedges=2, idempotent=True), script.__call__)
            script.check(answer)
            await settled()

        race(main())


@every_way
def test_an_object_that_all_return_is_not_closed(way: Way) -> None:
    """A shared object is the winner's, whoever else returns it."""
    shared = Answer(0)

    async def returns() -> Answer:
        try:
            await asyncio.sleep(9)
        except asyncio.CancelledError:
            await asyncio.sleep(1)
        return shared

    async def main() -> None:
        assert await way(hedge(delay=8.5, idempotent=True), returns) is shared
        assert shared.closed == 0
        await settled()

    race(main())


@every_way
def test_all_losers_are_cancelled_at_once(way: Way) -> None:
    """The others do not run on while the first attempt cleans up."""
    script = Script(Attempt(9, stubborn=3), 9, 0)

    async def main() -> None:
        answer = await way(hedge(delay=1, max_hedges=2, idempotent=True), script.__call__)
        assert script.ended == [2, 1, 0]
        script.check(answer)
        await settled()

    race(main())


@every_way
def test_an_object_that_several_return_to_nobody_is_closed_once(way: Way) -> None:
    """The answer, and what the first attempt returned too late, when the caller has gone."""
    shared = Answer(0)
    calls: list[int] = []

    async def returns() -> Answer:
        number = len(calls)
        calls.append(number)
        try:
            await asyncio.sleep([9, 9, 0][number])
        except asyncio.CancelledError:
            await asyncio.sleep([1, 5][number])
        return shared

    async def main() -> None:
        policy = hedge(delay=1, max_hedges=2, idempotent=True)
        task = asyncio.ensure_future(way(policy, returns))
        asyncio.get_running_loop().call_later(4, task.cancel)
        await asyncio.wait([task])
        assert task.cancelled()
        assert shared.closed == 1
        await settled()

    race(main())


@every_way
def test_an_attempt_that_is_due_when_there_is_an_answer(way: Way) -> None:
    """It is not started, and so not waited for."""
    script = Script(9, 1 - 5e-10, Attempt(9, stubborn=50))  # in one turn of the loop with it
    clock = ManualClock()

    async def main() -> None:
        policy = hedge(delay=1, max_hedges=2, idempotent=True)
        answer = await way(policy, script.__call__)
        assert (answer.by, len(script.started), policy.metrics.started) == (1, 2, 1)
        assert clock.monotonic() == pytest.approx(2)
        script.check(answer)
        await settled()

    race(main(), clock)


def test_a_race_that_is_over_keeps_nothing() -> None:
    """Neither the arguments nor the answer, although another attempt might have been due later."""

    class Thing:
        """Something that a call holds."""

    @hedge(delay=1, max_hedges=5, idempotent=True)
    async def call(thing: Thing, latencies: list[float]) -> Thing:
        await asyncio.sleep(latencies.pop(0))
        return thing

    async def main() -> None:
        for _ in range(200):
            thing = Thing()
            seen = weakref.ref(thing)
            await call(thing, [9, 0.5])
            del thing
            await asyncio.sleep(0)  # the loop lets go of the callback that it has run
            assert seen() is None

    gc.disable()
    try:
        race(main())
    finally:
        gc.enable()


@every_way
def test_generators_are_closed(way: Way) -> None:
    """An async generator that a loser returns has run its ``finally``."""
    closed: list[int] = []
    calls: list[int] = []

    async def rows(number: int) -> AsyncIterator[int]:
        try:
            yield number
        finally:
            closed.append(number)

    async def opens() -> AsyncIterator[int]:
        number = len(calls)
        calls.append(1)
        stream = rows(number)
        await anext(stream)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep([9, 0.5][number])
        return stream

    async def main() -> None:
        stream = await way(hedge(delay=1, idempotent=True), opens)
        assert closed == [0]
        await stream.aclose()
        assert closed == [0, 1]
        await settled()

    race(main())


async def test_what_fails_in_closing_is_told_to_the_loop_and_nobody_else() -> None:
    """The answer is the answer."""
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: complaints.append(told))
    script = Script(Attempt(9, stubborn=0), 0)

    def dispose(_: Answer) -> None:
        raise OSError("cannot be closed")

    answer = await hedge(delay=0.001, idempotent=True, dispose=dispose)(script.__call__)()
    assert answer.by == 1
    (complaint,) = complaints
    assert "cannot be closed" in str(complaint["exception"])


# Cancellation


@every_way
@pytest.mark.parametrize("when", [0, 0.5, 1.0, 1.2, 2.0, 3.9])
@pytest.mark.parametrize(
    "attempts",
    [
        [9, 9, 9],
        [Attempt(9, stubborn=1), Attempt(9, stubborn=1), Attempt(9, stubborn=1)],
        [Attempt(9, stubborn=1, then=asyncio.CancelledError()), 9, 9],
        [9, Attempt(9, stubborn=1, then=OSError("late")), Attempt(0.1, OSError("1"))],
        [Attempt(1.1, OSError("0")), 9, 9],
    ],
)
def test_a_cancelled_caller_is_cancelled(way: Way, when: float, attempts: list[Any]) -> None:
    """All attempts are cancelled and awaited, and the cancellation goes through."""
    script = Script(*attempts)
    swallows = script.attempts[0].stubborn is not None and script.attempts[0].then is None

    async def main() -> None:
        policy = hedge(delay=1, max_hedges=2, idempotent=True)
        task = asyncio.ensure_future(way(policy, script.__call__))
        asyncio.get_running_loop().call_later(when, task.cancel, "by the caller")
        await asyncio.wait([task])
        if swallows:  # the function has decided to go on, as it may without any policy
            assert task.result().by == 0
            script.check(task.result())
        else:
            assert task.cancelled()
            script.check()
        await settled()

    race(main())


async def _cancelled_around(
    way: Way, attempts: tuple[Attempt, ...], at: float, turns: int, *, first: bool
) -> None:
    """Cancel a call some turns of the loop after an instant at which much happens."""
    loop = asyncio.get_running_loop()
    asked: list[bool] = []
    script = Script(*attempts)

    def cancel(left: int) -> None:
        if left:
            loop.call_soon(cancel, left - 1)
        else:
            asked.append(task.cancel())

    if first:
        loop.call_at(at, cancel, turns)
    policy = hedge(delay=1, max_hedges=2, idempotent=True)
    task: asyncio.Future[Any] = asyncio.ensure_future(way(policy, script.__call__))
    await asyncio.sleep(0)
    if not first:
        loop.call_at(at, cancel, turns)
    await asyncio.wait([task])
    await asyncio.sleep(20)
    assert task.cancelled() is asked[0]
    script.check(None if task.cancelled() or task.exception() else task.result())
    await settled()


ATTEMPTS = st.builds(
    Attempt,
    takes=st.sampled_from([0.0, 0.5, 1.0, 1.5, 2.0]),
    error=st.sampled_from([None, None, OSError("failed")]),
    stubborn=st.none(),
    then=st.none(),
)


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(list(WAYS)),
    st.tuples(ATTEMPTS, ATTEMPTS, ATTEMPTS),
    st.sampled_from([0.0, 0.5, 1.0, 1.5, 2.0, 2.5]),
    st.integers(0, 6),
    st.booleans(),
)
def test_a_cancellation_at_the_very_instant_of_anything(
    way: str,
    attempts: tuple[Attempt, ...],
    at: float,
    turns: int,
    first: bool,  # noqa: FBT001
) -> None:
    """A call that was under way when its caller cancelled it ends as cancelled, no other does.

    Whatever wins at that very instant is closed.
    """
    race(_cancelled_around(WAYS[way], attempts, at, turns, first=first))


@every_way
def test_an_impatient_caller(way: Way) -> None:
    """Cancelled again while losers end: they are cancelled again too, and awaited all the same."""
    script = Script(9, Attempt(9, stubborn=5), Attempt(9, stubborn=5))

    async def main() -> None:
        policy = hedge(delay=1, max_hedges=2, idempotent=True)
        loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(way(policy, script.__call__))
        loop.call_later(3, task.cancel)
        loop.call_later(4, task.cancel)
        await asyncio.wait([task])
        assert task.cancelled()
        assert loop.time() == pytest.approx(4)
        script.check()
        await settled()

    race(main())


@every_way
def test_a_limit_that_fires_while_losers_end(way: Way) -> None:
    """Whoever cannot wait for a loser is cancelled, and the answer that was there is closed."""
    script = Script(1.5, Attempt(9, stubborn=5))

    async def main() -> None:
        began = asyncio.get_running_loop().time()
        policy = pipeline(timeout(3), hedge(delay=1, idempotent=True))
        with pytest.raises(CallTimeoutError):
            await way(policy, script.__call__)
        assert asyncio.get_running_loop().time() - began == pytest.approx(3)
        script.check()
        await settled()

    race(main())


@every_way
def test_an_earlier_cancellation_is_not_forgotten(way: Way) -> None:
    """A task that was cancelled once and went on has as many requests afterwards."""
    script = Script(9, 0.5)

    async def goes_on() -> int:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(99)
        answer = await way(hedge(delay=1, idempotent=True), script.__call__)
        assert answer.by == 1
        task = asyncio.current_task()
        assert task is not None
        return task.cancelling()

    async def main() -> None:
        task = asyncio.ensure_future(goes_on())
        await asyncio.sleep(0)
        task.cancel()
        assert await task == 1
        await settled()

    race(main())


@every_way
@pytest.mark.parametrize(
    ("number", "first_fails", "error"),
    [
        (0, False, GeneratorExit),
        *itertools.product([0, 1], [False, True], [KeyboardInterrupt, SystemExit, Halt]),
    ],
)
def test_what_is_no_exception_ends_everything(
    way: Way,
    number: int,
    first_fails: bool,  # noqa: FBT001  (a table)
    error: type[BaseException],
) -> None:
    """From whichever attempt, it reaches the caller as it is, when the others have ended."""
    raised = error("now")
    if number == 0:
        script = Script(Attempt(2, raised), Attempt(9, stubborn=None))
    else:
        first = Attempt(1.1, OSError("before")) if first_fails else Attempt(9)
        script = Script(first, Attempt(1, raised))
    caught: list[BaseException] = []

    async def main() -> None:
        try:
            await way(hedge(delay=1, idempotent=True), script.__call__)
        except BaseException as got:  # noqa: BLE001  (that is the point)
            caught.append(got)
        if error is GeneratorExit:  # who is being closed cannot wait for anybody
            await asyncio.sleep(0.1)
        script.check()
        await settled()

    race(main())
    assert caught == [raised]


@every_way
@pytest.mark.parametrize("when", [None, 1.75])
def test_even_from_a_loser(way: Way, when: float | None) -> None:
    """What is no exception comes before an answer that was there, and before a cancellation."""
    halt = Halt("from a loser")
    script = Script(9, Attempt(9, stubborn=1, then=halt), 0)
    caught: list[BaseException] = []

    async def calls() -> int:
        task = asyncio.current_task()
        assert task is not None
        try:
            await way(hedge(delay=1, max_hedges=2, idempotent=True), script.__call__)
        except Halt as error:
            caught.append(error)
        return task.cancelling()

    async def main() -> None:
        task = asyncio.ensure_future(calls())
        if when is not None:
            asyncio.get_running_loop().call_later(when, task.cancel)
        assert await task == (when is not None)
        script.check()
        await settled()

    race(main())
    assert caught == [halt]


@every_way
def test_an_attempt_that_closes_itself_drops_out(way: Way) -> None:
    """A `GeneratorExit` of its own ends a task, not the race, and is nobody's news."""
    script = Script(3, Attempt(0.5, GeneratorExit()))

    async def main() -> None:
        answer = await way(hedge(delay=1, idempotent=True), script.__call__)
        assert answer.by == 0
        script.check(answer)
        await settled()

    race(main())


@every_way
def test_several_ends_at_once_count_once(way: Way) -> None:
    """The first attempt still cleans up when a loser ends everything: it was cancelled once."""
    halt = Halt("from a loser")
    script = Script(Attempt(9, stubborn=3), Attempt(9, stubborn=1, then=halt), 0)

    async def main() -> None:
        with pytest.raises(Halt):
            await way(hedge(delay=1, max_hedges=2, idempotent=True), script.__call__)
        script.check()
        await settled()

    race(main())


# What it leaves alone


@every_way
def test_context_is_the_callers_in_every_attempt(way: Way) -> None:
    """Each sees what the caller had set, deadline included, and changes only its own copy."""
    variable = contextvars.ContextVar("variable", default="unset")
    seen: list[tuple[str, bool]] = []

    async def looks() -> str:
        seen.append((variable.get(), resilient.remaining() is not None))
        number = len(seen)
        variable.set(f"of attempt {number}")
        await asyncio.sleep([9, 9, 0.5][number - 1])
        return variable.get()

    async def main() -> None:
        variable.set("of the caller")
        async with resilient.deadline(50):
            policy = hedge(delay=1, max_hedges=2, idempotent=True)
            assert await way(policy, looks) == "of attempt 3"
        assert seen == [("of the caller", True)] * 3
        await settled()

    race(main())


@every_way
def test_context_is_that_of_the_own_caller(way: Way) -> None:
    """Callers who share a timer do not share context."""
    variable = contextvars.ContextVar("variable", default="unset")
    policy = hedge(delay=1, idempotent=True)
    seen: dict[str, list[str]] = {}

    async def looks() -> str:
        name = variable.get()
        seen.setdefault(name, []).append(name)
        await asyncio.sleep(9 if len(seen[name]) == 1 else 0.5)
        return name

    async def calls(name: str) -> None:
        variable.set(name)
        assert await way(policy, looks) == name

    async def main() -> None:
        names = [f"caller {number}" for number in range(5)]
        await asyncio.gather(*map(calls, names))
        assert seen == {name: [name] * 2 for name in names}
        await settled()

    race(main())


@every_way
def test_races_in_races(way: Way) -> None:
    """An inner race is ended with its attempts by the outer one, and only once."""
    calls: list[float] = []
    ended: list[int] = []

    async def leaf() -> int:
        number = len(calls)
        calls.append(asyncio.get_running_loop().time())
        try:
            await asyncio.sleep([9, 9, 9, 0.25][number])
        finally:
            ended.append(number)
        return number

    async def main() -> None:
        inner = hedge(delay=1, idempotent=True)
        outer = hedge(delay=1.5, idempotent=True)
        assert await way(pipeline(outer, inner), leaf) == 3
        assert calls == pytest.approx([0, 1, 1.5, 2.5])
        assert sorted(ended) == [0, 1, 2, 3]
        await settled()

    race(main())


@every_way
@pytest.mark.parametrize(
    ("limit", "latencies", "ending"),
    [
        (0.75, [9, 9], None),
        (2, [9, 9], None),
        (2, [9, 0.5], 1),
        (1.5, [1.4, 9], 0),
        (1, [9, 0], None),
    ],
)
def test_a_limit_inside_and_outside(
    way: Way, limit: float, latencies: list[float], ending: int | None
) -> None:
    """Around the race it ends all attempts; inside, each attempt has its own time."""

    async def main() -> None:
        hedged = hedge(delay=1, idempotent=True)
        for policy in (pipeline(timeout(limit), hedged), pipeline(hedged, timeout(limit))):
            script = Script(*latencies)
            if ending is None and policy is not None:
                with contextlib.suppress(CallTimeoutError):
                    answer = await way(policy, script.__call__)
                    assert (limit, answer.by) == (1, 1)  # at that instant either may come first
                    script.check(answer)
                    continue
                script.check()
            else:
                answer = await way(policy, script.__call__)
                assert answer.by == ending
                script.check(answer)
        await settled()

    race(main())


@every_way
def test_a_loop_that_closes_over_a_race(way: Way) -> None:
    """Everything is cancelled and nothing complains, and the policy serves the next loop."""
    policy = hedge(delay=1, idempotent=True)
    for _ in range(20):
        script = Script(9, 9)

        async def drops(script: Script = script) -> None:
            task = asyncio.ensure_future(way(policy, script.__call__))
            await asyncio.sleep(1.5)
            assert len(script.started) == 2
            assert not task.done()

        race(drops())
        script.check()
        again = Script(9, 0.5)

        async def main(again: Script = again) -> None:
            assert (await way(policy, again.__call__)).by == 1
            await settled()

        race(main())


@every_way
@pytest.mark.parametrize(
    "attempts",
    [(9, 9), (Attempt(0.5, OSError()), 9), (0.5, Attempt(9, stubborn=9))],
    ids=["first", "others", "losers"],
)
def test_a_loop_that_is_dropped_with_a_race_is_not_kept(
    way: Way, attempts: tuple[Attempt | float, ...]
) -> None:
    """Closed under running attempts: the loop and its tasks go, whatever was left to do."""
    policy = hedge(delay=0.001, idempotent=True)
    dropped: list[weakref.ref[Any]] = []
    for _ in range(3):
        loop = JumpingEventLoop(ManualClock())
        loop.set_exception_handler(lambda *_: None)  # it reports what it drops
        script = Script(*attempts)
        coroutine: Any = way(policy, script.__call__)
        task: asyncio.Task[Any] = loop.create_task(coroutine)
        loop.run_until_complete(asyncio.sleep(1))
        assert len(script.started) == 2
        dropped += [weakref.ref(loop), weakref.ref(task)]
        loop.close()
        del loop, task, script, coroutine
    run(hedge(delay=1, idempotent=True)(Script(0).__call__)(), ManualClock())
    for _ in range(3):
        gc.collect()
    assert [ref() for ref in dropped] == [None] * 6


def test_a_call_that_answers_in_time_makes_no_task_and_shares_a_timer() -> None:
    """200 calls at once and 200 one after the other: one timer, and no task of ours."""
    made: list[int] = []
    timers: list[float] = []

    class Loop(JumpingEventLoop):
        def call_at(
            self,
            when: float,
            callback: Callable[[*Ts], object],
            *args: *Ts,
            context: contextvars.Context | None = None,
        ) -> asyncio.TimerHandle:
            timers.append(when)
            return super().call_at(when, callback, *args, context=context)

    def factory(
        loop: asyncio.AbstractEventLoop, coroutine: Any, **kwargs: Any
    ) -> asyncio.Task[Any]:
        made.append(1)
        return asyncio.Task(coroutine, loop=loop, **kwargs)

    @hedge(delay=1, idempotent=True)
    async def answers() -> None:
        await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.gather(*(answers() for _ in range(200)))
        asyncio.get_running_loop().set_task_factory(factory)
        for _ in range(200):
            await answers()
        assert made == []

    with asyncio.Runner(loop_factory=lambda: Loop(ManualClock())) as runner:
        runner.run(main())
    assert len(timers) == 1


def test_attempts_are_tasks_of_the_loops_own_making() -> None:
    """A task factory that takes no context is enough."""
    made: list[int] = []

    def factory(loop: asyncio.AbstractEventLoop, coroutine: Any) -> asyncio.Task[Any]:
        made.append(1)
        return asyncio.Task(coroutine, loop=loop)

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(factory)
        script = Script(9, 0.5)
        assert (await hedge(delay=1, idempotent=True)(script.__call__)()).by == 1
        assert made == [1]
        await settled()

    race(main())


@every_way
def test_an_eager_attempt(way: Way) -> None:
    """A loop that begins tasks at once (Python 3.12) may have the answer before the task."""
    eager = getattr(asyncio, "eager_task_factory", None)
    for first, other in ((9, 0), (9, 0.5), (Attempt(1.5, OSError()), 0.6)):
        script = Script(first, other)

        async def main(script: Script = script) -> None:
            asyncio.get_running_loop().set_task_factory(eager)
            answer = await way(hedge(delay=1, idempotent=True), script.__call__)
            assert answer.by == 1
            script.check(answer)
            await settled()

        race(main())


def test_outside_of_a_task_it_is_refused() -> None:
    """Nobody could be cancelled; the error says so."""

    @hedge(delay=1, idempotent=True)
    async def call() -> None:
        await asyncio.sleep(0)

    async def main() -> None:
        refused: list[str] = []

        def outside() -> None:
            coroutine = call()
            try:
                coroutine.send(None)
            except RuntimeError as error:
                refused.append(str(error))
            finally:
                coroutine.close()

        asyncio.get_running_loop().call_soon(outside)
        await asyncio.sleep(0.1)
        assert "task" in refused[0]

    race(main())

"""The straight line is an optimisation that changes nothing: the flow tells the same story.

Random pipelines live through random scripts three times: as they are decorated, with the straight
line switched off, and through `resilient.outcome`, which takes the flow from the beginning.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import resilient
from resilient import (
    CircuitBreaker,
    Rejected,
    breaker,
    calls,
    deadline,
    fallback,
    pipeline,
    point,
    retry,
    stale,
    timeout,
)
from resilient.testing import JumpingEventLoop, ManualClock
from tests.laws.harness import AnsweredError, BrokenError, HarmlessError, finish, history, pause

DIRECT, SWITCHED_OFF, OUTCOME = "decorated", "straight line off", "outcome"


class HandClock(ManualClock):
    """Sleeping on it is an await that a test resumes by hand."""

    async def sleep_async(self, seconds: float, /) -> None:
        """Move on, and suspend."""
        self.advance(seconds)
        await pause()


def broken_alternative(_token: object) -> None:
    """An alternative that is down as well."""
    raise OSError("alternative")


def with_error(_token: object, error: Exception) -> str:
    """An alternative that looks at the error."""
    return type(error).__name__


def judged(on: object, ignore: object) -> dict[str, Any]:
    """The settings that say what counts."""
    return {"on": on, "ignore": ignore}


LAYERS: dict[str, Callable[[ManualClock], Any]] = {
    "breaker": lambda clock: breaker(
        "streak", failure_threshold=2, reset_timeout=2, ignore=HarmlessError, clock=clock
    ),
    "breaker by rate": lambda clock: breaker(
        "rate",
        failure_threshold=None,
        failure_rate=0.5,
        window=calls(4),
        minimum_calls=3,
        reset_timeout=3,
        half_open_calls=2,
        half_open_success_rate=0.5,
        on=(BrokenError, OSError),
        ignore=HarmlessError,
        clock=clock,
    ),
    "breaker by slowness": lambda clock: breaker(
        "slow",
        failure_threshold=None,
        slow_call_duration=0.75,
        slow_call_rate=0.5,
        window=100,  # wide buckets, so that a slow call may end in the bucket it began in
        minimum_calls=2,
        reset_timeout=1,
        reset_backoff=2,
        clock=clock,
    ),
    "breaker by key": lambda clock: breaker(
        "keys",
        failure_threshold=1,
        reset_timeout=1,
        key=lambda token: token,
        on=lambda error: isinstance(error, BrokenError),
        clock=clock,
    ),
    "breaker by result": lambda clock: breaker(
        "results",
        failure_threshold=2,
        reset_timeout=1,
        failure_result=lambda value: value == "bad",
        retry_after=lambda _: 2.5,
        clock=clock,
    ),
    "retry": lambda clock: retry(on=(BrokenError, OSError), attempts=3, wait=0.5, clock=clock),
    "retry rejections": lambda clock: retry(
        on=(BrokenError, Rejected), attempts=2, wait=0.25, max_delay=2.5, clock=clock
    ),
    "retry results": lambda clock: retry(
        on=AnsweredError, on_result=lambda value: value == "bad", wait=0.25, clock=clock
    ),
    "fallback": lambda _: fallback("default", on=BrokenError),
    "fallback chain": lambda _: fallback(broken_alternative, with_error),
    "fallback that fails": lambda _: fallback(broken_alternative, on=(BrokenError, Rejected)),
    "fallback of rejections": lambda _: fallback("refused", on=Rejected),
    "stale": lambda clock: fallback(stale(clock=clock), on=BrokenError),
    "deadline": lambda clock: deadline(2, clock=clock),
    "point": lambda _: point("here"),
}

ERRORS: dict[str, Callable[[], BaseException]] = {
    "broken": lambda: BrokenError("down"),
    "harmless": lambda: HarmlessError("gone"),
    "answered": lambda: AnsweredError("odd"),
    "os": lambda: OSError("os"),
    "time-out": lambda: resilient.CallTimeoutError("inside", 1.0),
    "rejected": lambda: Rejected("inside", 0.5, "no"),
    "cancelled": asyncio.CancelledError,
    "Ctrl-C": KeyboardInterrupt,
}


def made_error(how: str) -> BaseException:
    """A new error of that kind."""
    return ERRORS[how]()


class Step(NamedTuple):
    """First `wait` seconds pass; then a call for `token`, whose attempts end as `ends` say."""

    wait: float
    token: str
    ends: list[tuple[str, float]]
    by_hand: str | None = None


ending = st.sampled_from(["good", "good", "good", "bad", "broken", "broken", *ERRORS])
took = st.sampled_from([0.0, 0.0, 0.5, 1.0])
steps = st.lists(
    st.builds(
        Step,
        st.sampled_from([0.0, 0.0, 0.5, 1.0, 3.0]),
        st.sampled_from("ab"),
        st.lists(st.tuples(ending, took), max_size=4),
        st.sampled_from(
            [None] * 8 + ["open", "close", "half_open", "disable", "metrics_only", "reset"]
        ),
    ),
    min_size=1,
    max_size=12,
)
stacks = st.lists(st.sampled_from(sorted(LAYERS)), min_size=1, max_size=4)
# Awaits resumed by hand: a deadline would want an event loop.
stacks_by_hand = st.lists(st.sampled_from(sorted({*LAYERS} - {"deadline"})), min_size=1, max_size=4)
thorough = settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)


class World:
    """One way to run the script: its policies, its clock, and what was seen."""

    def __init__(self, names: list[str], way: str, clock: ManualClock) -> None:
        self.way = way
        self.clock = clock
        self.policies = [LAYERS[name](clock) for name in names]
        self.seen: list[object] = []
        self.ends: Iterator[tuple[str, float]] = iter(())
        if way == SWITCHED_OFF:
            for policy in self.policies:
                policy.straight = False
                policy.limiter = policy.observes = False

    def decorated(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """`fn` under the policies."""
        guarded = pipeline(*self.policies)(fn)
        if self.way != OUTCOME:
            return guarded
        return lambda token: resilient.outcome(guarded, token)

    def begin(self, step: Step) -> None:
        """What happens before the call."""
        self.clock.advance(step.wait)
        self.ends = iter(step.ends)
        for policy in self.policies:
            if step.by_hand is not None and isinstance(policy, CircuitBreaker):
                getattr(policy, step.by_hand)()

    def attempt(self, token: object) -> str:
        """The dependency."""
        how, seconds = next(self.ends, ("good", 0.0))
        self.seen.append(("called", token, how, self.clock.monotonic()))
        self.clock.advance(seconds)
        if how in ERRORS:
            raise made_error(how)
        return how

    def note(self, value: Any = None, error: BaseException | None = None) -> None:
        """What the caller got, and what the policies say now."""
        if isinstance(value, resilient.Outcome):
            value, error = value.value, value.error
        self.seen.append(("value", value) if error is None else ("error", *told(error)))
        self.seen.append(self.clock.monotonic())
        for policy in self.policies:
            if isinstance(policy, CircuitBreaker):
                numbers = policy.metrics
                self.seen.append((policy.name, policy.state, *plain(numbers)))


def told(error: BaseException | None) -> list[object]:
    """Everything an error says, and its causes."""
    words: list[object] = []
    while error is not None:
        notes = getattr(error, "__notes__", [])
        words += [type(error), str(error), tuple(notes), getattr(error, "retry_after", None)]
        error = error.__cause__
    return words


def plain(record: Any) -> list[object]:
    """The fields of a record; instants of the real clock and frames aside."""
    names = (
        [each.name for each in fields(record)] if is_dataclass(record) else record.__struct_fields__
    )
    values = {name: getattr(record, name) for name in names}
    values.pop("at", None)
    if isinstance(record, resilient.RetryGaveUp):
        del values["seconds"]  # the straight line reads no clock before something went wrong
    return [str(value) if isinstance(value, BaseException) else value for value in values.values()]


def story(names: list[str], way: str, script: list[Step], *, is_async: bool) -> list[object]:
    """Run the script in a world of its own."""
    world = World(names, way, HandClock())

    async def dependency(token: object) -> str:
        await pause()
        return world.attempt(token)

    guarded = world.decorated(dependency if is_async else world.attempt)
    with history() as events:
        for step in script:
            world.begin(step)
            try:
                answer = finish(guarded(step.token)) if is_async else guarded(step.token)
            except BaseException as error:  # noqa: BLE001  (whatever it is, both must do it)
                world.note(error=error)
            else:
                world.note(answer)
    return [*world.seen, *((type(event), *plain(event)) for event in events)]


@given(names=stacks, script=steps)
@thorough
def test_the_flow_tells_the_same_story(names: list[str], script: list[Step]) -> None:
    """Results, errors, notes, calls, clock, metrics, states and events are the same."""
    expected = story(names, SWITCHED_OFF, script, is_async=False)
    assert story(names, DIRECT, script, is_async=False) == expected
    assert story(names, OUTCOME, script, is_async=False) == expected


@given(names=stacks_by_hand, script=steps)
@thorough
def test_the_flow_tells_coroutines_the_same_story(names: list[str], script: list[Step]) -> None:
    """The same for coroutine functions."""
    expected = story(names, SWITCHED_OFF, script, is_async=True)
    assert story(names, DIRECT, script, is_async=True) == expected
    assert story(names, OUTCOME, script, is_async=True) == expected


@given(names=stacks_by_hand, script=steps)
@thorough
def test_sync_and_async_tell_the_same_story(names: list[str], script: list[Step]) -> None:
    """The drivers decide nothing: only the name of the function differs."""
    sync = str(story(names, DIRECT, script, is_async=False))
    other = str(story(names, DIRECT, script, is_async=True))
    assert sync.replace("World.attempt", "fn") == other.replace("story.<locals>.dependency", "fn")


def limited(names: list[str], way: str, script: list[Step]) -> list[object]:
    """The script with a limit on each attempt, on a loop whose time jumps."""
    clock = ManualClock()
    world = World(names, way, clock)
    limit = timeout(0.75)
    if way == SWITCHED_OFF:
        limit.straight = limit.limiter = False
    world.policies.append(limit)

    async def dependency(token: object) -> str:
        how, seconds = next(world.ends, ("good", 0.0))
        await asyncio.sleep(seconds)
        if how in {"cancelled", "Ctrl-C"}:
            how = "good"  # they would end the loop's own run
        if how in ERRORS:
            raise made_error(how)
        return how

    async def play() -> None:
        guarded = world.decorated(dependency)
        for step in script:
            await asyncio.sleep(step.wait)
            world.begin(step._replace(wait=0))
            try:
                answer = await guarded(step.token)
            except Exception as error:  # noqa: BLE001  (whatever it is, both must do it)
                world.seen.append(type(error))
            else:
                if isinstance(answer, resilient.Outcome):
                    answer = answer.value if answer.error is None else type(answer.error)
                world.seen.append(answer)
            world.seen += [p.state for p in world.policies if isinstance(p, CircuitBreaker)]

    with asyncio.Runner(loop_factory=lambda: JumpingEventLoop(clock)) as runner:
        runner.run(play())
    return world.seen


@given(names=stacks, script=steps)
@settings(thorough, max_examples=100)
def test_limits_of_time_tell_the_same_story(names: list[str], script: list[Step]) -> None:
    """With a timeout inside: the same answers and states; instants may differ by a tick."""
    expected = limited(names, SWITCHED_OFF, script)
    assert limited(names, DIRECT, script) == expected
    assert limited(names, OUTCOME, script) == expected

"""The straight line is an optimisation that changes nothing: the flow tells the same story.

Random pipelines live through random scripts three times: as they are decorated, with the straight
line switched off, and through `resilient.outcome`, which takes the flow from the beginning.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from random import Random
from types import SimpleNamespace
from typing import Any, NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import resilient
from resilient import (
    CircuitBreaker,
    Feature,
    Mode,
    ModeGate,
    Rejected,
    SlowStart,
    breaker,
    bulkhead,
    calls,
    criticality,
    deadline,
    fallback,
    hedge,
    pipeline,
    point,
    retry,
    retry_budget,
    slow_start,
    stale,
    timeout,
)
from resilient.core.waiting import Waiting
from resilient.policies.adaptive import adaptive_limit
from resilient.policies.rate_limit import rate_limit
from resilient.policies.throttle import throttle
from resilient.testing import JumpingEventLoop, ManualClock
from tests.laws.gates import KINDS, books
from tests.laws.harness import AnsweredError, BrokenError, HarmlessError, finish, history, pause

MODES = {"open": Mode.EMERGENCY, "half_open": Mode.DEGRADED}
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
    "retry on a budget": lambda clock: retry(
        on=(BrokenError, OSError),
        attempts=3,
        wait=0.25,
        budget=retry_budget(ratio=0.5, min_per_second=0.1, clock=clock),
        clock=clock,
    ),
    "bulkhead": lambda clock: bulkhead("two", limit=2, clock=clock),
    "bulkhead with a queue": lambda clock: bulkhead(
        "queue", limit=1, queue=2, max_wait=0.5, clock=clock
    ),
    "rate limit": lambda clock: rate_limit("rate", rate=0.5, burst=3, clock=clock),
    "rate limit by key": lambda clock: rate_limit(
        "rates", rate=0.5, burst=2, key=lambda token: token, clock=clock
    ),
    "rate limit that waits": lambda clock: rate_limit(
        "paced", rate=1, max_wait=1.5, algorithm="fixed_window", clock=clock
    ),
    "throttle": lambda clock: throttle(
        "spared",
        k=1,
        window=5,
        minimum_calls=2,
        on=(BrokenError, OSError, Rejected),
        ignore=HarmlessError,
        draw=Random(7).random,  # noqa: S311  (a test's dice)
        clock=clock,
    ),
    "adaptive limit": lambda clock: adaptive_limit(
        "found", initial=2, max=5, on=BrokenError, clock=clock
    ),
    "adaptive limit by drops": lambda clock: adaptive_limit(
        "dropped", algorithm="aimd", initial=3, max=5, on=(BrokenError, OSError), clock=clock
    ),
    "adaptive limit with a queue": lambda clock: adaptive_limit(
        "room", algorithm="aimd", initial=1, max=2, queue=2, max_wait=0.5, on=OSError, clock=clock
    ),
    "mode gate": lambda clock: KINDS["mode gate"].make(
        "moded", degraded="high", emergency="critical", probe_every=2, clock=clock
    ),
    "feature": lambda clock: KINDS["feature"].make("shown", probe_every=2, clock=clock),
    "slow start": lambda clock: slow_start("back", over=4, first=0.3, clock=clock),
    "hedge": lambda clock: hedge(delay=0.6, idempotent=True, clock=clock),
    "low": lambda _: criticality("low"),
    "critical unless marked": lambda _: criticality("critical", only_unmarked=True),
}
BREAKERS = [name for name in LAYERS if name.startswith("breaker")]
BULKHEADS = [name for name in LAYERS if name.startswith("bulkhead")]

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
            [None] * 8
            + ["open", "close", "half_open", "disable", "metrics_only", "reset"]
            + ["hold", "hold", "hold", "release"]
        ),
    ),
    min_size=1,
    max_size=12,
)


def stacks_of(names: set[str], *more: str) -> st.SearchStrategy[list[str]]:
    """Any few of them; or a breaker beside a bulkhead, in either order, with others around them."""
    some = st.lists(st.sampled_from(sorted(names) + [*more] * 3), min_size=1, max_size=4)
    few = st.lists(st.sampled_from(sorted(names) + [*more] * 3), max_size=1)
    pair = st.tuples(
        st.sampled_from(BREAKERS), st.sampled_from(sorted(names.intersection(BULKHEADS)))
    ).flatmap(st.permutations)
    beside = st.builds(lambda outer, two, inner: [*outer, *two, *inner], few, pair, few)
    return st.one_of(some, some, beside)


stacks = stacks_of({*LAYERS} - {"hedge"})
# Awaits resumed by hand: what arms a timer of its own would want an event loop.
TIMED = {
    "hedge",
    "deadline",
    "bulkhead with a queue",
    "adaptive limit with a queue",
    "rate limit that waits",
}
stacks_by_hand = stacks_of({*LAYERS} - TIMED)
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
        self.held: list[tuple[Any, Any]] = []
        self.ends: Iterator[tuple[str, float]] = iter(())
        if way == SWITCHED_OFF:
            for policy in self.policies:
                policy.straight = False
                policy.wraps = policy.observes = False

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
        for policy in self.policies if step.by_hand else ():
            self.act(policy, str(step.by_hand))

    def act(self, policy: Any, what: str) -> None:
        """What somebody does by hand, if it is something that such a policy knows."""
        if isinstance(policy, Feature | ModeGate):
            policy.mode = SimpleNamespace(current=MODES.get(what, Mode.NORMAL), frozen=None)
        elif isinstance(policy, SlowStart) and what == "open":
            policy.start()
        elif what == "hold" and hasattr(policy, "in_flight"):
            permit = policy.admit()
            if not isinstance(permit, Rejected | Waiting):
                self.held.append((policy, permit))
        elif what == "release" and any(policy is owner for owner, _ in self.held):
            owned = next(each for each in self.held if each[0] is policy)
            self.held.remove(owned)
            policy.settle(owned[1], None)
        elif isinstance(policy, CircuitBreaker) and what not in {"hold", "release"}:
            getattr(policy, what)()

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
        self.seen += [(policy.name, *books(policy)) for policy in self.policies]


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
    values.pop("origin", None)
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
        limit.straight = limit.wraps = False
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
            world.seen += [standing(policy) for policy in world.policies]

    with asyncio.Runner(loop_factory=lambda: JumpingEventLoop(clock)) as runner:
        runner.run(play())
    return world.seen


def standing(policy: Any) -> list[object]:
    """Where a policy stands, without anything that a tick of the clock could change."""
    return [getattr(policy, number, None) for number in ("state", "in_flight", "queued")]


@given(names=stacks_of({*LAYERS}, "hedge"), script=steps)
@settings(thorough, max_examples=100)
def test_limits_of_time_tell_the_same_story(names: list[str], script: list[Step]) -> None:
    """With a timeout inside: the same answers and states; instants may differ by a tick."""
    expected = limited(names, SWITCHED_OFF, script)
    assert limited(names, DIRECT, script) == expected
    assert limited(names, OUTCOME, script) == expected


class Arrival(NamedTuple):
    """After `wait` seconds a call that matters so much comes, takes so long, and ends so."""

    wait: float
    level: str
    took: float
    how: str
    patience: float | None


crowds = st.lists(
    st.builds(
        Arrival,
        st.sampled_from([0.0, 0.0, 0.0, 0.25, 1.0]),
        st.sampled_from(["critical", "high", "low"]),
        # No sums of the policies' own times: who comes first at one instant is nobody's promise.
        st.sampled_from([0.0, 0.31, 0.31, 0.73]),
        st.sampled_from(["good", "good", "good", "broken", "harmless", "rejected"]),
        st.sampled_from([None, None, None, 0.13, 0.57]),
    ),
    min_size=2,
    max_size=10,
)
QUEUES = ["bulkhead with a queue", "adaptive limit with a queue", "rate limit that waits"]
crowded = st.builds(
    lambda outer, queue, inner: [*outer, queue, *inner],
    st.lists(st.sampled_from(sorted(LAYERS)), max_size=2),
    st.sampled_from(QUEUES),
    st.lists(st.sampled_from([*BREAKERS, *BULKHEADS, "retry", "low", "hedge"]), max_size=2),
)


def crowd(names: list[str], way: str, arrivals: list[Arrival]) -> list[object]:
    """What becomes of calls that come while others are under way, wait, or have gone away."""
    clock = ManualClock()
    world = World(names, way, clock)

    async def dependency(number: int) -> str:
        each = arrivals[number]
        world.seen.append(("called", number))
        await asyncio.sleep(each.took)
        if each.how in ERRORS:
            raise made_error(each.how)
        return each.how

    guarded = world.decorated(dependency)

    async def call(number: int) -> None:
        each = arrivals[number]
        try:
            with criticality(each.level):
                answer = await asyncio.wait_for(guarded(number), each.patience)
        except Exception as error:  # noqa: BLE001  (whatever it is, both must do it)
            answer = error
        if isinstance(answer, resilient.Outcome):
            answer = answer.value if answer.error is None else answer.error
        world.seen.append((number, str(answer), clock.monotonic()))

    async def play() -> None:
        tasks = []
        for number, each in enumerate(arrivals):
            await asyncio.sleep(each.wait)
            tasks.append(asyncio.create_task(call(number)))
        await asyncio.gather(*tasks)

    with asyncio.Runner(loop_factory=lambda: JumpingEventLoop(clock)) as runner:
        runner.run(play())
    for policy in world.policies:
        assert getattr(policy, "in_flight", 0) == getattr(policy, "queued", 0) == 0
    return [*world.seen, *(books(policy) for policy in world.policies)]


@given(names=crowded, arrivals=crowds)
@settings(thorough, max_examples=100)
def test_crowds_are_told_the_same_story(names: list[str], arrivals: list[Arrival]) -> None:
    """Who is served, in what order, when, who is refused, and why; and no permit stays out."""
    expected = crowd(names, SWITCHED_OFF, arrivals)
    assert crowd(names, DIRECT, arrivals) == expected
    assert crowd(names, OUTCOME, arrivals) == expected

"""So many calls in a time: who is admitted, who waits, who is refused, and what is given back."""

from __future__ import annotations

import asyncio
import json
import pickle
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import resilient
from resilient import (
    CallRejected,
    CallTimeoutError,
    ConfigError,
    Criticality,
    RateLimit,
    RateLimitedError,
    Rejected,
    breaker,
    criticality,
    deadline,
    pipeline,
    point,
    rate_limit,
    retry,
)
from resilient.core.waiting import Waiting
from resilient.testing import ManualClock
from resilient.testing.loop import run
from tests.laws.harness import NeverError, history, in_threads

calm = settings(deadline=None, derandomize=True, database=None, max_examples=200)
both = pytest.mark.parametrize("algorithm", ["token_bucket", "fixed_window"])


def make(clock: ManualClock | None = None, **given: Any) -> tuple[RateLimit, ManualClock]:
    """A limit of one call a second, unless told otherwise, and its clock."""
    clock = clock or ManualClock(1000)
    return rate_limit("search", **{"rate": 1, "clock": clock, **given}), clock


def answer(token: object = None) -> object:
    """Works."""
    return token


def admitted(limit: Any, most: int = 100_000) -> int:
    """How many calls are admitted at this instant."""
    for number in range(most):
        try:
            limit.call(answer)
        except RateLimitedError:
            return number
    return most


def refusal(fn: Callable[[], object]) -> RateLimitedError:
    """What it is refused with."""
    with pytest.raises(RateLimitedError) as caught:
        fn()
    return caught.value


@contextmanager
def restless_threads() -> Iterator[None]:
    """Threads take turns as often as the interpreter lets them."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


# Who is admitted


@pytest.mark.parametrize(
    ("given", "burst"),
    [
        ({"rate": 10}, 10),
        ({"rate": 10, "per": 60}, 10),
        ({"rate": 2.5}, 2),
        ({"rate": 0.5}, 1),
        ({"rate": 1, "per": timedelta(days=1)}, 1),
        ({"rate": 10, "burst": 1}, 1),
        ({"rate": 10, "burst": 25}, 25),
        ({"rate": 1e6, "burst": 50_000}, 50_000),
        ({"rate": 7, "algorithm": "fixed_window"}, 7),
        ({"rate": 7.0, "algorithm": "fixed_window"}, 7),
    ],
)
def test_so_many_at_once(given: dict[str, Any], burst: int) -> None:
    """By default the whole calls of one `per`, and one at least."""
    limit, _ = make(**given)
    assert limit.available == burst
    assert admitted(limit) == burst
    assert limit.available < 1


@pytest.mark.parametrize(
    ("given", "wait"),
    [
        ({"rate": 10}, 0.1),
        ({"rate": 10, "per": 60}, 6),
        ({"rate": 0.5}, 2),
        ({"rate": 1, "per": timedelta(days=1)}, 86400),
        ({"rate": 1e6, "burst": 10}, 1e-6),
        ({"rate": 7, "per": 3, "algorithm": "fixed_window"}, 3),
    ],
)
def test_the_error_says_when_to_come_back(given: dict[str, Any], wait: float) -> None:
    """To the moment: a hair earlier is too early, and at that time there is one token."""
    limit, clock = make(**given)
    admitted(limit)
    error = refusal(lambda: limit.call(answer))
    assert error.retry_after == pytest.approx(wait, rel=1e-3)
    assert error.name == "search"
    assert "used up" in error.reason
    assert pickle.loads(pickle.dumps(error)).retry_after == error.retry_after
    clock.advance(wait * 0.99)
    refusal(lambda: limit.call(answer))
    clock.advance(wait * 0.011)
    assert limit.call(answer, 1) == 1


@calm
@given(
    st.floats(0.001, 1e4),
    st.floats(0.01, 1e4),
    st.integers(1, 5),
    st.floats(0, 1e6),
    st.booleans(),
)
def test_who_comes_back_then_is_admitted(
    rate: float,
    per: float,
    burst: int,
    start: float,
    fixed: bool,  # noqa: FBT001  (drawn)
) -> None:
    """Whatever the rate and the instant: rounding is in the caller's favour."""
    given: dict[str, Any] = {"rate": rate, "per": per, "burst": burst}
    if fixed:
        given = {"rate": burst, "per": per, "algorithm": "fixed_window"}
    limit, clock = make(ManualClock(start), **given)
    for _ in range(5):
        admitted(limit)
        clock.advance(refusal(lambda: limit.call(answer)).retry_after or 0.0)
        assert limit.call(answer, 1) == 1


@pytest.mark.parametrize(
    ("burst", "reserve", "low", "medium", "high"),
    [
        (10, None, 5, 8, 10),
        (5, None, 3, 4, 5),
        (3, None, 2, 3, 3),
        (2, None, 1, 2, 2),
        (1, None, 1, 1, 1),
        (100, {"low": 0.29}, 71, 100, 100),
        (10, {Criticality.LOW: 0.9, "Medium": 0.4}, 1, 6, 10),
        (10, {"low": 0.999}, 1, 10, 10),
        (10, {"high": 0.5}, 10, 10, 5),
        (10, {}, 10, 10, 10),
    ],
)
@both
def test_the_less_critical_leave_some(  # noqa: PLR0913  (a table)
    algorithm: str, burst: int, reserve: Any, low: int, medium: int, high: int
) -> None:
    """Shares of the burst, rounded down; what they leave is there for the others."""
    given: dict[str, Any] = {"rate": burst, "algorithm": algorithm}
    if reserve is not None:
        given["reserve"] = reserve
    for level, most in [("low", low), ("medium", medium), ("high", high), ("critical", burst)]:
        limit, _ = make(**given)
        with criticality(level):
            assert admitted(limit) == most
        assert admitted(limit) == max(0, high - most)  # of those that are not marked


def test_the_less_critical_wait_longer() -> None:
    """Until there is one for them beside what they leave; others go first meanwhile."""
    limit, clock = make(burst=4, max_wait=10)
    assert admitted(limit, 4) == 4
    with criticality("low"):
        waiting = limit.admit()
    assert isinstance(waiting, Waiting)
    assert waiting.seconds == 3
    assert limit.call(lambda: clock.monotonic() - 1000) == 2


# Waiting


@both
@pytest.mark.parametrize("way", ["def", "async def", "with", "async with", "permit", "retry"])
def test_waits_its_turn(algorithm: str, way: str) -> None:
    """Four calls of two at once and two a second: the last two are one step later."""
    limit, clock = make(rate=2, max_wait=5, algorithm=algorithm)
    starts: list[float] = []

    async def begin() -> None:
        starts.append(clock.monotonic() - 1000)

    async def block() -> None:
        async with limit:
            await begin()

    async def permit() -> None:
        async with limit.permit():
            await begin()

    calls: dict[str, Callable[[], Any]] = {
        "async def": limit(begin),
        "async with": block,
        "permit": permit,
        "retry": retry(on=NeverError)(limit(begin)),
    }

    async def main() -> None:
        await asyncio.gather(*(calls[way]() for _ in range(4)))

    if way in calls:
        run(main(), clock)
    for _ in range(0 if way in calls else 4):
        if way == "def":
            limit.call(lambda: starts.append(clock.monotonic() - 1000))
        else:
            with limit:
                starts.append(clock.monotonic() - 1000)
    expected = [0, 0, 0.5, 1] if algorithm == "token_bucket" else [0, 0, 1, 1]
    assert starts == pytest.approx(expected, abs=1e-6)
    assert limit.metrics.admitted == 4
    # On a manual clock a def moves time by waiting, so the next one finds a new window.
    assert limit.metrics.waited == (1 if (way, algorithm) in ALONE else 2)


ALONE = {("def", "fixed_window"), ("with", "fixed_window")}


@pytest.mark.parametrize(
    ("max_wait", "left", "waits"),
    [
        (0, None, False),
        (0.999, None, False),
        (1, None, True),
        (5, None, True),
        (timedelta(seconds=5), 1.5, True),
        (5, 1, False),  # nothing would be left for the call
        (5, 0.5, False),
    ],
)
def test_waits_no_longer_than_it_may(
    max_wait: Any,
    left: float | None,
    waits: bool,  # noqa: FBT001  (a table)
) -> None:
    """A wait that does not fit `max_wait`, or the deadline, is not begun."""
    limit, clock = make(max_wait=max_wait)
    limit.call(answer)

    def ask() -> object:
        if left is None:
            return limit.call(answer)
        with deadline(left, clock=clock):
            return limit.call(answer)

    if waits:
        ask()
        assert clock.monotonic() == 1001
        return
    assert refusal(ask).retry_after == 1
    assert clock.monotonic() == 1000
    assert limit.available == 0
    clock.advance(1)
    assert admitted(limit, 1) == 1  # nobody reserved anything


def test_a_def_does_not_wait_on_an_event_loop() -> None:
    """All of its tasks would wait with it; the place is given back."""
    limit = rate_limit("search", rate=1, per=3600, max_wait=7200)

    async def main() -> None:
        limit.call(answer)
        assert "event loop" in refusal(lambda: limit.call(answer)).reason
        with pytest.raises(RateLimitedError), limit:
            pass

    asyncio.run(main())
    waiting = limit.admit()
    assert isinstance(waiting, Waiting)
    assert waiting.seconds == pytest.approx(3600, abs=60)


# Giving back


@pytest.mark.parametrize("when", ["before", "at once", "at the end", "after"])
@both
def test_who_goes_away_gives_the_place_back(algorithm: str, when: str) -> None:
    """Cancelled before its time, at the very moment, or when the call has begun already."""
    clock = ManualClock()
    limit, _ = make(clock, max_wait=10, algorithm=algorithm)
    began: list[float] = []

    @limit
    async def work() -> None:
        began.append(clock.monotonic())
        await asyncio.sleep(0.25)

    async def main() -> None:
        await work()
        task = asyncio.ensure_future(work())
        await asyncio.sleep({"before": 0.5, "at once": 0, "at the end": 0.75, "after": 0.9}[when])
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await work()

    run(main(), clock)
    expected = {"after": [0, 1, 2], "at the end": [0, 1]}.get(when, [0, 1])
    assert began == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("error", "given_back"),
    [
        (lambda: Rejected("inside", 1.0, "no"), True),
        (lambda: resilient.CircuitOpenError("inside", 1.0, "no"), True),
        (lambda: resilient.DeadlineExceededError("inside", None, "no"), True),
        (lambda: CallTimeoutError("inside", 1.0), False),
        (ConnectionError, False),
        (KeyboardInterrupt, False),
        (asyncio.CancelledError, False),
    ],
)
@pytest.mark.parametrize("way", ["straight", "flow", "call", "block", "outcome"])
@both
def test_what_never_asked_is_given_back(
    algorithm: str,
    way: str,
    error: Callable[[], BaseException],
    given_back: bool,  # noqa: FBT001  (a table)
) -> None:
    """A rejection further in is no call; a call that was cancelled may have been one."""
    limit, _ = make(rate=3, algorithm=algorithm)

    def fail() -> None:
        raise error()

    def block() -> None:
        with limit:
            fail()

    ways: dict[str, Callable[[], object]] = {
        "straight": limit(fail),
        "flow": retry(on=NeverError, on_result=lambda _: False)(limit(fail)),
        "call": lambda: limit.call(fail),
        "block": block,
        "outcome": lambda: resilient.outcome(limit(fail)).unwrap(),
    }
    for _ in range(2):
        with pytest.raises(type(error())):
            ways[way]()
    assert limit.available == pytest.approx(3 if given_back else 1)
    assert limit.metrics.refunded == (2 if given_back else 0)


def test_an_open_circuit_inside_costs_no_tokens() -> None:
    """Ten thousand refused calls, and all of the burst is there."""
    limit, clock = make(rate=5)
    gate = breaker("db", clock=clock)
    guarded = pipeline(point("here"), limit, gate)(answer)
    gate.open()
    for _ in range(10_000):
        with suppress(resilient.CircuitOpenError):
            guarded()
    gate.close()
    assert admitted(limit) == 5


# Threads


@both
def test_exact_for_any_number_of_threads(algorithm: str) -> None:
    """On a clock that stands still: the burst, and not one more."""
    for _ in range(10):
        limit, _ = make(rate=1000, algorithm=algorithm)
        guarded = limit(answer)
        counts = [0] * 8

        def work(index: int) -> None:
            for _ in range(300):
                with suppress(RateLimitedError):
                    guarded()  # noqa: B023
                    counts[index] += 1  # noqa: B023

        with restless_threads():
            in_threads(work)
        assert sum(counts) == 1000
        assert limit.metrics.admitted == 1000
        assert limit.metrics.rejected == 1400


@both
def test_the_last_token_is_one_thread_s(algorithm: str) -> None:
    """However many come for it at the same time: eight threads, and five hundred bursts of 3."""
    clock = ManualClock()
    limits = [make(clock, rate=3, algorithm=algorithm)[0](answer) for _ in range(500)]
    counts = [[0] * 8 for _ in limits]

    def work(index: int) -> None:
        for guarded, count in zip(limits, counts, strict=True):
            with suppress(RateLimitedError):
                guarded()
                count[index] += 1

    with restless_threads():
        in_threads(work)
    assert {sum(count) for count in counts} == {3}


def test_exact_on_the_machine_s_clock() -> None:
    """With refunds and waits between: never more than burst + rate * t."""
    limit = rate_limit("search", rate=2000, burst=20, max_wait=0.005)
    started: list[float] = []

    def work(index: int) -> None:
        until = time.monotonic() + 0.3
        while time.monotonic() < until:
            with suppress(Rejected), limit:
                if index % 4 == 0:
                    raise Rejected("inside", None, "no")
                started.append(time.monotonic())

    begin = time.monotonic()
    with restless_threads():
        in_threads(work)
    assert len(started) <= 20 + 2000 * (time.monotonic() - begin)


# Keys


def test_each_key_has_a_limit_of_its_own() -> None:
    """As a function of the arguments, in a block, and by itself."""
    limit, _ = make(rate=2, key=lambda host: host)
    guarded = limit(answer)
    assert [guarded("a"), guarded("a"), guarded("b")] == ["a", "a", "b"]
    refusal(lambda: guarded("a"))
    assert [limit.for_key(key).available for key in "abc"] == [0, 1, 2]
    with limit.for_key("c"):
        pass
    assert limit.for_key("c").call(answer, 1) == 1
    refusal(lambda: limit.for_key("c").call(answer))
    assert limit.metrics.admitted == 5


def test_a_key_must_be_named_where_there_are_no_arguments() -> None:
    """`TypeError`, which says how."""
    keyed, _ = make(key=lambda host: host)
    plain, _ = make()
    with pytest.raises(TypeError, match="for_key"), keyed:
        pass
    with pytest.raises(TypeError, match="for_key"):
        _ = keyed.available
    with pytest.raises(TypeError, match="key="):
        plain.for_key("a")


@both
@pytest.mark.parametrize("ttl", [1, 3600])
def test_a_forgotten_key_has_no_more_than_its_rate(algorithm: str, ttl: float) -> None:
    """It is forgotten only when its bucket is full again, even if its ttl is over before."""
    limit, clock = make(rate=2, per=86400, key=lambda key: key, key_ttl=ttl, algorithm=algorithm)
    guarded = limit(answer)
    for _ in range(2):
        guarded("a")
    for other in range(20):
        clock.advance(86400 / 21 / 2)
        guarded(other)
    with suppress(RateLimitedError):
        guarded("a")
    refusal(lambda: guarded("a"))


def test_the_number_of_keys_is_bounded() -> None:
    """A flood of keys leaves no more than it may."""
    limit, _ = make(key=lambda key: key, max_keys=50)
    guarded = limit(answer)
    for key in range(1000):
        guarded(key)
    assert len(limit.snapshot()["keys"]) <= 50


# Around it


@pytest.mark.parametrize(
    ("given", "setting"),
    [
        ({"rate": 0}, "rate"),
        ({"rate": -1}, "rate"),
        ({"rate": float("inf")}, "rate"),
        ({"rate": 1e-320, "per": 1e9}, "rate"),
        ({"rate": "1"}, "rate"),
        ({"per": 0}, "per"),
        ({"per": "1"}, "per"),
        ({"burst": 0}, "burst"),
        ({"burst": 1.5}, "burst"),
        ({"max_wait": -1}, "max_wait"),
        ({"max_wait": float("inf")}, "max_wait"),
        ({"algorithm": "leaky"}, "algorithm"),
        ({"algorithm": "fixed_window", "burst": 2}, "burst"),
        ({"algorithm": "fixed_window", "rate": 0.5}, "rate"),
        ({"reserve": {"low": 1}}, "reserve"),
        ({"reserve": {"low": -0.1}}, "reserve"),
        ({"reserve": {"lowest": 0.1}}, "reserve"),
        ({"reserve": 0.5}, "reserve"),
        ({"key": 5}, "key"),
        ({"max_keys": 0}, "max_keys"),
        ({"key_ttl": 0}, "key_ttl"),
        ({"clock": 5}, "clock"),
    ],
)
def test_bad_settings_are_refused(given: dict[str, Any], setting: str) -> None:
    """When they are given, by the name of the setting."""
    with pytest.raises(ConfigError) as caught:
        make(**given)
    assert caught.value.setting == setting
    with pytest.raises(ConfigError):
        rate_limit("", rate=1)


def test_says_what_it_is() -> None:
    """For `describe()`."""
    assert make(rate=100, per=60)[0].describe() == (
        "rate_limit('search'): 100 in 60 s, 100 at once"
    )
    limit, _ = make(rate=5, max_wait=2, algorithm="fixed_window", key=lambda key: key)
    words = "rate_limit('search'): 5 in 1 s, in fixed windows, waits up to 2 s"
    assert limit.describe() == words
    assert limit.for_key(1).describe() == words + ", for one key"


def test_a_rejection_is_an_event() -> None:
    """With the name, the reason, and when to come back."""
    limit, _ = make()
    with history() as seen:
        assert admitted(limit) == 1
    (event,) = seen
    assert isinstance(event, CallRejected)
    assert (event.name, event.retry_after) == ("search", 1)


def test_switched_off_it_lets_everything_pass() -> None:
    """And takes nothing; switched on, it knows what it knew."""
    limit, _ = make()
    keyed, _ = make(key=lambda: 1)
    limit.call(answer)
    resilient.set_active(False)
    try:
        assert admitted(limit, 5) == admitted(keyed, 5) == 5
        for _ in range(5):
            with limit, limit.permit(), keyed.for_key(1):
                pass
    finally:
        resilient.set_active(True)
    assert (limit.available, keyed.for_key(1).available) == (0, 1)


@both
@pytest.mark.parametrize("joins", ["before", "after"])
@pytest.mark.parametrize("keyed", [False, True])
def test_switched_off_who_waits_passes(algorithm: str, joins: str, keyed: bool) -> None:  # noqa: FBT001
    """At once, uncounted, even if the switch is back by then; and the turn is given back."""
    given: dict[str, Any] = {"rate": 1, "per": 100, "max_wait": 500, "algorithm": algorithm}
    if keyed:
        given["key"] = lambda: 1
    whole, _ = make(**given)
    limit = whole.for_key(1) if keyed else whole
    limit.call(answer)
    place, woken = limit.admit(), []
    assert isinstance(place, Waiting)
    if joins == "before":
        place.notify(lambda: woken.append(1))
    resilient.set_active(False)
    try:
        if joins == "after":
            place.notify(lambda: woken.append(1))
    finally:
        resilient.set_active(True)
    assert woken == [1]
    limit.settle(place.finish(), None)
    assert (whole.metrics.admitted, whole.metrics.waited) == (1, 0)
    following = limit.admit()
    assert isinstance(following, Waiting)
    assert following.seconds == 100  # the turn that was given back
    following.cancel()


@both
@pytest.mark.parametrize("keyed", [False, True])
def test_a_snapshot_is_plain_data(algorithm: str, keyed: bool) -> None:  # noqa: FBT001  (a table)
    """It survives JSON, and another one goes on from it; `reset` begins anew."""
    given: dict[str, Any] = {"rate": 3, "per": 30, "algorithm": algorithm}
    if keyed:
        given["key"] = lambda: "k"
    limit, clock = make(**given)
    assert admitted(limit) == 3
    clock.advance(5)
    other, later = make(ManualClock(7), **given)
    other.restore(json.loads(json.dumps(limit.snapshot())))
    wait = 5 if algorithm == "token_bucket" else 25
    assert refusal(lambda: other.call(answer)).retry_after == pytest.approx(wait)
    later.advance(wait)
    assert admitted(other) == (1 if algorithm == "token_bucket" else 3)
    other.reset()
    assert admitted(other) == 3


@both
@pytest.mark.parametrize("data", [{}, {"tokens": "x"}, {"seconds": 0, "taken": 5}, {"keys": [[1]]}])
@pytest.mark.parametrize("keyed", [False, True])
def test_what_is_no_snapshot_is_refused(
    algorithm: str,
    data: Any,
    keyed: bool,  # noqa: FBT001  (a table)
) -> None:
    """`ConfigError`, and nothing has changed."""
    limit, _ = make(rate=2, algorithm=algorithm, key=(lambda: 1) if keyed else None)
    admitted(limit)
    with pytest.raises(ConfigError):
        limit.restore(data)
    assert admitted(limit) == 0


def test_a_test_begins_with_full_buckets(resilience: resilient.testing.Resilience) -> None:
    """On the clock of the test; afterwards all is as it was."""
    limit = rate_limit("search", rate=2, per=60)
    assert admitted(limit) == 2
    resilience.clock.advance(30)
    assert admitted(limit) == 1


def test_a_child_has_a_lock_and_a_queue_of_its_own() -> None:
    """After a fork nobody waits, whoever had the lock."""
    limit, _ = make(max_wait=100, burst=2)
    keyed, _ = make(max_wait=100, key=lambda: 1)
    for _ in range(5):
        limit.admit()
        keyed.admit()
    held = limit._lock
    thread = threading.Thread(target=held.acquire)
    thread.start()
    thread.join()
    limit.after_fork()
    keyed.after_fork()
    for each in (limit.admit(), keyed.admit()):
        assert isinstance(each, Waiting)
        assert each.seconds == 1

"""A throttle sheds by the published equation, forgets with its window, and counts exactly."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import math
import pickle
import random
import sys
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import resilient
from resilient import (
    CallRejected,
    ConfigError,
    Criticality,
    Rejected,
    Throttle,
    ThrottledError,
    criticality,
    fallback,
    pipeline,
    retry,
    throttle,
)
from resilient.policies.buckets import Buckets
from resilient.policies.throttle_rules import ThrottleRules
from resilient.testing import ManualClock
from tests.laws.harness import (
    ASYNC_SURFACES,
    ENDINGS,
    SURFACES,
    AnsweredError,
    BrokenError,
    Ending,
    HarmlessError,
    finish,
    history,
    in_threads,
    naming,
    pause,
)

LEVELS = list(Criticality)


def make(*, draw: Callable[[], float] = lambda: 1.0, **settings_: Any) -> tuple[Any, ManualClock]:
    """A throttle with a clock of its own, which knows the errors of the laws; it sheds nobody."""
    clock = ManualClock(1000)
    known: dict[str, Any] = {
        "on": (BrokenError, TimeoutError),
        "ignore": HarmlessError,
        "minimum_calls": 1,
    }
    return throttle("law", clock=clock, draw=draw, **{**known, **settings_}), clock


def seen(gate: Throttle, accepts: int, others: int) -> None:
    """Let it see so many calls; each makes a call of its own."""
    for number in range(accepts + others):
        with contextlib.suppress(BrokenError):
            gate.call(answer if number < accepts else breaks)


def answer() -> str:
    """A good call."""
    return "answer"


def breaks() -> None:
    """A call that is not accepted."""
    raise BrokenError


# The equation: Beyer et al., "Site Reliability Engineering", 2016, chapter 21, equation 21-1

EQUATION = [
    # requests, accepts, k, probability
    (0, 0, 2, Fraction(0)),
    (1, 1, 2, Fraction(0)),
    (1, 0, 2, Fraction(1, 2)),
    (2, 0, 2, Fraction(2, 3)),
    (2, 1, 2, Fraction(0)),
    (3, 1, 2, Fraction(1, 4)),
    (10, 5, 2, Fraction(0)),
    (10, 4, 2, Fraction(2, 11)),
    (100, 50, 2, Fraction(0)),
    (100, 49, 2, Fraction(2, 101)),
    (100, 25, 2, Fraction(50, 101)),
    (100, 10, 2, Fraction(80, 101)),
    (100, 10, 1.1, Fraction(89, 101)),
    (100, 10, 1, Fraction(90, 101)),
    (100, 99, 1, Fraction(1, 101)),
    (100, 100, 1, Fraction(0)),
    (100, 10, 4, Fraction(60, 101)),
    (100, 25, 4, Fraction(0)),
    (100, 4, 2, Fraction(9, 10)),  # 92/101 is above the cap
    (1000, 0, 2, Fraction(9, 10)),
]


@pytest.mark.parametrize(("requests", "accepts", "k", "expected"), EQUATION)
def test_the_probability_is_that_of_the_equation(
    requests: int, accepts: int, k: float, expected: Fraction
) -> None:
    """max(0, (requests - k accepts) / (requests + 1)), at most the cap."""
    gate, _ = make(k=k)
    seen(gate, accepts, requests - accepts)
    assert (gate.requests, gate.accepts) == (requests, accepts)
    assert gate.probability == pytest.approx(float(expected))


@pytest.mark.parametrize("cap", [0.1, 0.5, 0.9, 0.999])
def test_the_cap_is_the_highest_probability(cap: float) -> None:
    """However long nothing is accepted, and for every level."""
    gate, _ = make(cap=cap)
    seen(gate, 0, 5_000)
    assert gate.probability == cap
    for level in LEVELS:
        assert gate.rules.chance(gate.probability, level) <= cap


@pytest.mark.parametrize(
    ("drawn", "sheds"), [(0.0, True), (0.49, True), (0.5, False), (0.9, False)]
)
def test_a_call_is_shed_with_that_probability(drawn: float, sheds: bool) -> None:  # noqa: FBT001
    """After one refusal p is 1/2, so half of the numbers that may be drawn shed."""
    gate, _ = make(draw=lambda: drawn)
    seen(gate, 0, 1)
    expectation = pytest.raises(ThrottledError) if sheds else contextlib.nullcontext()
    with expectation:
        gate.call(answer)
    assert gate.throttled == sheds


def test_shed_calls_are_requests() -> None:
    """So the probability grows while calls are shed: 1/2, 2/3, 3/4, ... to the cap."""
    gate, _ = make(draw=lambda: 0.0)
    seen(gate, 0, 1)
    for number in range(1, 20):
        assert gate.requests == number
        assert gate.probability == pytest.approx(min(0.9, number / (number + 1)))
        with pytest.raises(ThrottledError):
            gate.call(answer)


def test_nothing_is_drawn_while_the_probability_is_zero() -> None:
    """Good calls, and as many bad ones as k allows, need no luck."""

    def never() -> float:
        raise AssertionError

    gate, _ = make(draw=never)
    seen(gate, 50, 50)
    seen(gate, 10, 0)
    assert (gate.probability, gate.throttled) == (0, 0)


@pytest.mark.parametrize(
    ("k", "refused_for_each"), [(2.0, 1.0), (1.5, 0.5), (1.1, 0.1), (3.0, 2.0)]
)
def test_in_the_long_run_it_sends_k_times_what_is_accepted(
    k: float, refused_for_each: float
) -> None:
    """The book: with 2 one call is refused for each that is accepted, with 1.1 one for ten.

    A dependency that accepts 300 calls a second, and a client that has 1,000 of them.
    """
    gate, clock = make(k=k, draw=random.Random(7).random, cap=0.999)  # noqa: S311  (no secret)
    left = accepted = refused = 0

    def serve() -> None:
        nonlocal left, accepted, refused
        left -= 1
        if left < 0:
            refused += 1
            raise BrokenError
        accepted += 1

    for second in range(24):
        left = 300
        if second == 10:
            accepted = refused = 0
        for _ in range(1_000):
            with contextlib.suppress(BrokenError, ThrottledError):
                gate.call(serve)
        clock.advance(1)
    assert accepted == pytest.approx(14 * 300, rel=0.03)
    assert refused / accepted == pytest.approx(refused_for_each, rel=0.1, abs=0.02)


def test_a_dependency_that_comes_back_is_noticed() -> None:
    """Dead for a minute, then well: one call in ten finds out; two windows later all pass."""
    gate, clock = make(draw=random.Random(3).random)  # noqa: S311  (no secret)
    passed = 0
    for _ in range(6_000):
        clock.advance(0.01)
        try:
            gate.call(breaks)
        except BrokenError:
            passed += 1
        except ThrottledError:
            pass
    assert passed == pytest.approx(600, rel=0.15)
    shares = []
    for _ in range(3):
        shares.append(1 - gate.probability)
        for _ in range(1_000):
            clock.advance(0.01)
            with contextlib.suppress(ThrottledError):
                gate.call(answer)
    assert shares == pytest.approx([0.1, 0.3, 1], rel=0.15)


# Who is shed first

CHANCES = [
    # p, and the chance of CRITICAL, HIGH, MEDIUM, LOW: p^2, p, p^(1/2), p^(1/4), capped at 0.9
    (0.0, (0.0, 0.0, 0.0, 0.0)),
    (0.01, (0.0001, 0.01, 0.1, 0.316227766)),
    (0.0625, (0.00390625, 0.0625, 0.25, 0.5)),
    (0.25, (0.0625, 0.25, 0.5, 0.707106781)),
    (0.5, (0.25, 0.5, 0.707106781, 0.840896415)),
    (0.64, (0.4096, 0.64, 0.8, 0.894427191)),
    (0.81, (0.6561, 0.81, 0.9, 0.9)),
    (0.9, (0.81, 0.9, 0.9, 0.9)),
]


@pytest.mark.parametrize(("probability", "chances"), CHANCES)
def test_each_level_has_its_chance(probability: float, chances: tuple[float, ...]) -> None:
    """The exponents are 2, 1, 1/2, 1/4, as Envoy's 1/aggression for aggressions 1/2, 1, 2, 4."""
    rules = make()[0].rules
    found = [rules.chance(probability, level) for level in LEVELS]
    assert found == pytest.approx(list(chances))


@settings(deadline=None, derandomize=True, database=None)
@given(st.floats(0, 0.9))
def test_what_matters_less_is_never_shed_less(probability: float) -> None:
    """For every p: the order of the levels, HIGH exactly p, nobody above the cap, 0 for nobody."""
    rules = ThrottleRules(name="t", k=2, cap=0.9, window=10, minimum_calls=1, draw=random.random)
    critical, high, medium, low = (rules.chance(probability, level) for level in LEVELS)
    assert 0 <= critical <= high == probability <= medium <= low <= 0.9
    assert bool(probability) or not low


@pytest.mark.parametrize("level", [None, *LEVELS])
def test_the_mark_of_the_call_decides(level: Criticality | None) -> None:
    """Seeded: 20,000 calls at p = 1/2; one that is not marked counts as HIGH."""
    rng = random.Random(11)  # noqa: S311  (no secret)
    gate, _ = make(draw=rng.random)
    seen(gate, 0, 1)
    saved = gate.snapshot()
    shed = 0
    for _ in range(2_000):
        gate.restore(saved)
        with contextlib.ExitStack() as stack:
            if level is not None:
                stack.enter_context(criticality(level))
            try:
                gate.call(answer)
            except ThrottledError:
                shed += 1
    assert shed / 2_000 == pytest.approx(
        gate.rules.chance(0.5, level or Criticality.HIGH), abs=0.03
    )


# What counts

COUNTED = {"success": (1, 1), "failure": (1, 0), "ignored": (0, 0), "abandoned": (0, 0)}
endings = pytest.mark.parametrize("ending", ENDINGS, ids=[ending.name for ending in ENDINGS])


@endings
@pytest.mark.parametrize("surface", SURFACES)
def test_how_a_call_counts(surface: str, ending: Ending) -> None:
    """A request and its acceptance; what is ignored, cancelled or rejected inside is no trace."""
    for settle in (0, 2):  # on the straight line; and in the flow, because p is above 0
        gate, _ = make()
        seen(gate, 0, settle)

        def ends(_token: object) -> str:
            if ending.error is not None:
                raise ending.error()
            return "answer"

        with contextlib.suppress(BaseException):
            SURFACES[surface](gate, ends)(object())
        requests, accepts = COUNTED[ending.verdict]
        with naming(surface, ending.name, settle):
            assert (gate.requests, gate.accepts) == (settle + requests, accepts)


@endings
@pytest.mark.parametrize("surface", ASYNC_SURFACES)
def test_how_an_async_call_counts(surface: str, ending: Ending) -> None:
    """The same, after it had suspended."""
    for settle in (0, 2):
        gate, _ = make()
        seen(gate, 0, settle)

        async def ends(_token: object) -> str:
            await pause()
            if ending.error is not None:
                raise ending.error()
            return "answer"

        async def main(surface: str, gate: Any, fn: Any) -> None:
            await ASYNC_SURFACES[surface](gate, fn)(object())

        with contextlib.suppress(BaseException):
            finish(main(surface, gate, ends))
        requests, accepts = COUNTED[ending.verdict]
        with naming(surface, ending.name, settle):
            assert (gate.requests, gate.accepts) == (settle + requests, accepts)


def test_calls_under_way_say_nothing_yet() -> None:
    """A burst of 200 calls to a dependency that is well: nobody is shed, though none has ended."""
    gate, _ = make(draw=lambda: 0.0)
    waiting = asyncio.Event

    async def main() -> list[str]:
        ready = waiting()

        @gate
        async def call() -> str:
            await ready.wait()
            return "answer"

        tasks = [asyncio.create_task(call()) for _ in range(200)]
        await asyncio.sleep(0)
        assert (gate.requests, gate.probability) == (0, 0)
        ready.set()
        answers: list[str] = await asyncio.gather(*tasks)
        return answers

    assert asyncio.run(main()) == ["answer"] * 200
    assert (gate.requests, gate.accepts) == (200, 200)


def test_cancelled_calls_leave_no_trace() -> None:
    """100 tasks that are cancelled while they wait, in calm and in trouble."""
    for trouble in (0, 3):
        gate, _ = make()
        seen(gate, 0, trouble)

        @gate
        async def hangs() -> None:
            await asyncio.Event().wait()

        async def main(hangs: Any) -> None:
            tasks = [asyncio.create_task(hangs()) for _ in range(100)]
            await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert {type(result) for result in results} == {asyncio.CancelledError}

        asyncio.run(main(hangs))
        assert (gate.requests, gate.accepts, gate.throttled) == (trouble, 0, 0)


def test_a_timeout_inside_is_a_refusal_unless_ignored() -> None:
    """A dependency that hangs does not accept."""
    late = resilient.CallTimeoutError("inside", 1.0)

    def times_out() -> None:
        raise late

    for ignore, requests in (((), 1), (TimeoutError, 0)):
        gate, _ = make(on=Exception, ignore=ignore)
        with pytest.raises(resilient.CallTimeoutError):
            gate(times_out)()
        assert (gate.requests, gate.accepts) == (requests, 0)


# The window

Step = tuple[float, str]
steps = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.0, 0.25, 0.5, 1.0, 2.75, 9.75, 10.0, 30.0]),
        st.sampled_from(["good", "good", "good", "bad", "bad", "answered", "ignored", "cancelled"]),
    ),
    max_size=60,
)
KINDS: dict[str, type[BaseException] | None] = {
    "good": None,
    "bad": BrokenError,
    "answered": AnsweredError,
    "ignored": HarmlessError,
    "cancelled": asyncio.CancelledError,
}


def model(script: list[Step], k: float, draws: list[float]) -> Iterator[tuple[bool, float]]:
    """A throttle that remembers everything: whether each call is shed, and p after it."""
    now, drawn = 1000.0, iter(draws)
    past: list[tuple[int, bool]] = []

    def probability() -> float:
        held = [accepted for bucket, accepted in past if bucket > math.floor(now) - 10]
        return min(0.9, max(0.0, (len(held) - k * sum(held)) / (len(held) + 1)))

    for wait, kind in script:
        now += wait
        chance = probability()
        shed = chance > 0 and next(drawn) < chance
        if shed or kind in ("good", "bad", "answered"):
            past.append((math.floor(now), not shed and kind != "bad"))
        yield shed, probability()


@settings(deadline=None, derandomize=True, database=None, max_examples=300)
@given(
    steps,
    st.sampled_from([1.0, 1.1, 2.0, 3.0]),
    st.lists(st.floats(0, 1, exclude_max=True), min_size=60, max_size=60),
    st.sampled_from(["decorator", "call", "block", "flow", "around retry", "keyword"]),
)
def test_it_is_what_a_naive_throttle_is(
    script: list[Step], k: float, draws: list[float], surface: str
) -> None:
    """Of any sequence of calls and waits: the same calls are shed, with the same probability.

    On the straight line and off it alike.
    """
    drawn = iter(draws)
    gate, clock = make(k=k, draw=lambda: next(drawn))
    kind = "good"

    def fn(_token: object) -> None:
        error = KINDS[kind]
        if error is not None:
            raise error

    guarded = SURFACES[surface](gate, fn)
    for (wait, kind), (shed, probability) in zip(script, model(script, k, draws), strict=True):  # noqa: B007  (`fn` reads it)
        clock.advance(wait)
        try:
            guarded(object())
        except ThrottledError:
            assert shed
        except BaseException:  # noqa: BLE001  (what `fn` raised)
            assert not shed
        else:
            assert not shed
        if clock.monotonic() % 0.5:
            continue  # not at each step: a look must not be what makes it right
        assert gate.probability == pytest.approx(probability)


def test_the_window_forgets() -> None:
    """Nine to ten tenths of it after the last refusal, the throttle is as new."""
    gate, clock = make(window=60)
    clock.advance(5)
    seen(gate, 3, 30)
    assert gate.probability > 0.6
    clock.advance(54)
    assert gate.requests == 33
    clock.advance(3)
    assert (gate.requests, gate.probability) == (0, 0)


def test_the_probability_grows_when_only_the_good_calls_are_forgotten() -> None:
    """Also on the straight line: the call after a bucket has gone is not admitted unseen."""
    gate, clock = make(draw=lambda: 0.0)
    fn = gate(answer)
    for _ in range(100):
        fn()
    clock.advance(5)
    seen(gate, 0, 60)
    assert fn() == "answer"
    clock.advance(4.5)
    assert fn() == "answer"
    clock.advance(0.5)
    with pytest.raises(ThrottledError):
        fn()


# Threads


@pytest.fixture
def _often() -> Iterator[None]:
    """Threads take turns a hundred times as often as usual."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(5e-5)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("_often")
def test_eight_threads_and_every_call_counts() -> None:
    """160,000 calls, one in a hundred of which is refused and one ignored, while buckets pass."""
    gate, clock = make(window=1_000)
    each = 20_000

    @gate
    def fn(number: int) -> None:
        if number % 100 == 0:
            raise BrokenError
        if number % 100 == 1:
            raise HarmlessError

    def work(index: int) -> None:
        for number in range(each):
            with contextlib.suppress(BrokenError, HarmlessError):
                fn(number)
            if index == 0 and number % 400 == 0:
                clock.advance(9)  # 50 times within a window of 1,000 s: nothing has expired

    in_threads(work)
    assert clock.monotonic() == 1450
    assert gate.requests == 8 * each * 99 // 100
    assert gate.accepts == 8 * each * 98 // 100


def test_eight_threads_that_are_shed_are_counted_too() -> None:
    """Calls that ran and calls that were shed are the calls that were made."""
    numbers = itertools.cycle([0.1, 0.7, 0.4, 0.95])
    gate, _ = make(draw=lambda: next(numbers), window=1e6)
    ran, shed = [0] * 8, [0] * 8

    def work(index: int) -> None:
        @gate
        def fn(number: int) -> None:
            ran[index] += 1
            if number % 4:
                raise BrokenError

        for number in range(20):
            try:
                fn(number)
            except ThrottledError:
                shed[index] += 1
            except BrokenError:
                pass

    in_threads(work, traced=True)
    assert sum(ran) + sum(shed) == 160
    assert 0 < gate.throttled == sum(shed)
    assert gate.requests == 160


def test_eight_threads_that_pause_while_they_count() -> None:
    """Refusals are counted under the lock: 40 are 40."""
    gate, clock = make()

    class Slow(Buckets):
        def add(self, amount: float) -> None:
            before = self.total()
            time.sleep(1e-4)  # lets the others run, in the middle of the count
            self.restore([*self.snapshot()[:-1], before + amount])

    gate._evidence._refused = Slow(1.0, clock.monotonic())

    def work(_index: int) -> None:
        seen(gate, 0, 5)

    in_threads(work)
    assert gate.requests == 40


# Rejections


def test_a_rejection_is_new_and_says_what_it_knows() -> None:
    """Each is an object of its own, with a name and a reason, without a time; and it pickles."""
    gate, _ = make(draw=lambda: 0.0)
    seen(gate, 0, 1)
    errors: list[ThrottledError] = []
    with history() as events:
        for _ in range(3):
            with pytest.raises(ThrottledError) as caught:
                gate(answer)()
            errors.append(caught.value)
    assert len(set(map(id, errors))) == 3
    assert [error.name for error in errors] == ["law"] * 3
    assert {error.retry_after for error in errors} == {None}
    assert errors[0].reason == "too few calls are accepted, so 50% of such calls are not made"
    assert pickle.loads(pickle.dumps(errors[0])).args == errors[0].args
    rejections = [event for event in events if isinstance(event, CallRejected)]
    assert [event.reason for event in rejections] == [error.reason for error in errors]


def test_a_retry_does_not_repeat_what_is_shed() -> None:
    """Nobody knows when it ends, even if rejections are named; a fallback answers."""
    gate, _ = make(draw=lambda: 0.0)
    seen(gate, 0, 1)
    again = retry(on=(BrokenError, Rejected), wait=0, attempts=9)
    with pytest.raises(ThrottledError):
        pipeline(again, gate)(answer)()
    assert gate.throttled == 1
    assert pipeline(fallback("stale page", on=Rejected), gate)(answer)() == "stale page"


def test_what_is_shed_is_never_called() -> None:
    """On no surface."""
    for name, surface in SURFACES.items():
        gate, _ = make(draw=lambda: 0.0)
        seen(gate, 0, 1)
        called: list[object] = []
        with naming(name), pytest.raises(ThrottledError):
            surface(gate, called.append)(object())
        assert not called


def test_user_code_runs_without_a_lock() -> None:
    """A predicate, and the source of random numbers, may ask the throttle itself."""
    looks: list[float] = []

    def judges(error: Exception) -> bool:
        looks.append(gate.probability)
        return isinstance(error, BrokenError)

    def draws() -> float:
        looks.append(gate.probability)
        return 0.95

    gate, _ = make(on=judges, draw=draws, ignore=())
    seen(gate, 0, 3)
    assert looks == pytest.approx([0, 1 / 2, 1 / 2, 2 / 3, 2 / 3])


def test_a_predicate_that_raises_counts_nothing() -> None:
    """Its error is the caller's; the call leaves no trace."""

    def broken(_error: Exception) -> bool:
        raise ZeroDivisionError

    gate, _ = make(on=broken)
    with pytest.raises(ZeroDivisionError):
        gate(breaks)()
    assert gate.requests == 0


# Eras, the switch, forks, plain data


def test_answers_of_an_earlier_era_change_nothing() -> None:
    """A call that began before `reset`, `restore` or a fork ends without a trace."""
    for renew in (
        lambda gate: gate.reset(),
        lambda gate: gate.restore({"accepted": [0] * 10, "refused": [0] * 10}),
        lambda gate: gate.after_fork(),
    ):
        for error in (None, BrokenError()):
            gate, _ = make()
            permits = [gate.permit() for _ in range(3)]
            for permit in permits:
                permit.__enter__()
            straight = gate(lambda renew, gate: renew(gate))
            straight(renew, gate)
            for permit in permits:
                permit.__exit__(type(error), error, None)
            assert (gate.requests, gate.accepts) == (0, 0)


def test_inactive_it_lets_everything_pass_uncounted() -> None:
    """Calls begun before, during and after the switch; then it works as before."""
    gate, _ = make(draw=lambda: 0.0)
    seen(gate, 0, 1)
    calm, _ = make()
    before = calm.permit()
    before.__enter__()
    resilient.set_active(False)
    try:
        for name, surface in SURFACES.items():
            with naming(name):
                assert surface(gate, lambda _token: "answer")(object()) == "answer"
                assert surface(calm, lambda _token: "answer")(object()) == "answer"
        before.__exit__(None, None, None)
        during = gate.permit()
        during.__enter__()
    finally:
        resilient.set_active(True)
    during.__exit__(None, None, None)
    assert (gate.requests, gate.accepts, gate.probability) == (1, 0, 0.5)
    assert calm.requests == 0
    calm(answer)()
    assert calm.requests == 1


def test_a_call_during_which_the_library_is_switched_off_is_not_counted() -> None:
    """However it ends, on the straight line."""
    for error in (None, BrokenError):
        gate, _ = make()

        @gate
        def fn(error: type[Exception] | None) -> None:
            resilient.set_active(False)
            if error is not None:
                raise error

        try:
            with contextlib.suppress(BrokenError):
                fn(error)
            assert gate.requests == 0
        finally:
            resilient.set_active(True)
        assert gate.requests == 0


def test_a_fork_gets_a_lock_of_its_own_and_keeps_the_evidence() -> None:
    """A thread of the parent may hold the lock at that moment."""
    gate, _ = make()
    seen(gate, 1, 4)
    with gate._lock:
        gate.after_fork()
        assert (gate.requests, gate.accepts) == (5, 1)


def test_a_snapshot_is_plain_and_restores() -> None:
    """Through JSON, into another throttle with another clock; it ages there as it would here."""
    gate, clock = make()
    seen(gate, 3, 9)
    clock.advance(4)
    seen(gate, 1, 2)
    twin, its_clock = make()
    its_clock.advance(77.5)
    seen(twin, 50, 0)
    twin.restore(json.loads(json.dumps(gate.snapshot())))
    for _ in range(12):
        assert (twin.requests, twin.accepts) == (gate.requests, gate.accepts)
        clock.advance(1)
        its_clock.advance(1)
    assert twin.requests == 0


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        [],
        {"accepted": [0] * 10},
        {"accepted": [0] * 9, "refused": [0] * 10},
        {"accepted": ["x"] * 10, "refused": [0] * 10},
        {"accepted": [-1] * 10, "refused": [0] * 10},
        {"accepted": 1, "refused": 2},
    ],
)
def test_a_snapshot_of_something_else_is_refused(data: Any) -> None:
    """And changes nothing."""
    gate, _ = make()
    seen(gate, 3, 1)
    with pytest.raises(ConfigError, match="snapshot"):
        gate.restore(data)
    assert gate.requests == 4


def test_the_fixture_gives_a_test_a_fresh_throttle(
    resilience: resilient.testing.Resilience,
) -> None:
    """On the time of the test, with the faults of the test."""
    gate = throttle("search", minimum_calls=1)
    guarded = gate(answer)
    resilience.faults.at("search").fail(BrokenError, times=1)
    with pytest.raises(BrokenError):
        guarded()
    assert gate.probability == 0.5
    resilience.clock.advance(11)
    assert gate.probability == 0


def test_memory_is_bounded() -> None:
    """Days of trouble take no more than the first call."""
    gate, clock = make()
    for _ in range(2_000):
        clock.advance(3.7)
        seen(gate, 1, 2)
    assert {name: len(held) for name, held in gate.snapshot().items()} == {
        "accepted": 10,
        "refused": 10,
    }
    assert len(json.dumps(gate.snapshot())) < 200


@pytest.mark.parametrize("outcomes", [[False] * 20, [True] * 3 + [False] * 17])
def test_too_few_calls_say_nothing(outcomes: list[bool]) -> None:
    """Below `minimum_calls` nothing is shed; the call that makes enough of them counts at once."""
    gate, _ = make(minimum_calls=20)
    for number, accepted in enumerate(outcomes):
        assert gate.probability == 0
        seen(gate, int(accepted), int(not accepted))
        assert gate.requests == number + 1
    accepts = sum(outcomes)
    assert gate.probability == min(0.9, (20 - 2 * accepts) / 21)


def test_an_accepted_call_may_make_enough_of_them() -> None:
    """The straight line does not count past the point where there is something to conclude."""
    gate, _ = make(minimum_calls=5)
    seen(gate, 0, 4)
    assert gate.probability == 0
    assert gate(answer)() == "answer"
    assert gate.requests == 5
    assert gate.probability == 0.5


# Settings


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        *(("name", value) for value in ("", None, 3)),
        *(("k", value) for value in (0, 0.99, -1, math.nan, math.inf, "x", None, True)),
        *(("cap", value) for value in (0, 1, 1.5, -0.1, math.nan, "x", None, True)),
        *(("minimum_calls", value) for value in (0, -1, 1.5, "x", None, True)),
        *(("window", value) for value in (0, -1, math.nan, math.inf, "x", None)),
        *(("on", value) for value in (3, "x", None, KeyboardInterrupt, (OSError, 3))),
        *(("ignore", value) for value in (3, "x", asyncio.CancelledError)),
        *(("draw", value) for value in (None, 0.5, asyncio.sleep)),
        *(("clock", value) for value in (3, ManualClock)),
    ],
)
def test_bad_settings_are_refused(setting: str, value: Any) -> None:
    """At once, naming the setting."""
    settings_: dict[str, Any] = {"name": "t", setting: value}
    with pytest.raises(ConfigError) as caught:
        throttle(settings_.pop("name"), **settings_)
    assert caught.value.setting == setting


def test_the_defaults() -> None:
    """Those of the book, and a cap."""
    gate = throttle("t")
    assert (gate.rules.k, gate.rules.cap, gate.rules.window) == (2, 0.9, 10)
    assert gate.describe() == (
        "throttle('t'): sheds up to 90% of the calls while fewer than 50% are accepted"
    )

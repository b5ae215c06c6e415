"""Hedges: for whom, when, how many, and beside which other policies."""

from __future__ import annotations

import asyncio
import contextlib
import random
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

import resilient
from resilient import (
    CallTimeoutError,
    CircuitOpenError,
    ConfigError,
    breaker,
    bulkhead,
    fallback,
    hedge,
    pipeline,
    retry,
    retry_budget,
    timeout,
)
from resilient.clock import system_clock
from resilient.core.hub import hub
from resilient.policies.observed import Observed
from resilient.testing import JumpingEventLoop, ManualClock, Resilience
from resilient.testing.loop import run
from tests.laws.harness import in_threads

Fn = Callable[[], Coroutine[Any, Any, Any]]


WAYS: list[Callable[[Any, Fn], Any]] = [
    lambda policy, fn: policy(fn)(),
    lambda policy, fn: resilient.outcome(policy(fn)),
]
"""By the straight line, and by the flow."""


def sleeping(*latencies: float) -> tuple[Fn, list[float]]:
    """A function whose attempts take so long, each answering its number, and when they began."""
    began: list[float] = []

    async def attempt() -> int:
        number = len(began)
        began.append(asyncio.get_running_loop().time())
        await asyncio.sleep(latencies[number])
        return number

    return attempt, began


# What may be hedged


def test_it_must_be_said_that_twice_does_no_harm() -> None:
    """Without `idempotent=True` there is no hedge; the error says what is promised by it."""
    for settings in ({}, {"idempotent": False}, {"idempotent": 1}, {"idempotent": "yes"}):
        with pytest.raises(ConfigError) as caught:
            hedge(delay=1, **settings)
        assert caught.value.setting == "idempotent"
        assert "twice does no harm" in caught.value.allowed


def plain() -> None:
    """A function that would block."""


@pytest.mark.parametrize("how", [lambda policy: policy(plain), lambda policy: policy.call(plain)])
def test_a_def_is_refused(how: Callable[[Any], Any]) -> None:
    """When it is decorated: what runs on a thread cannot be cancelled."""
    policy = hedge(delay=1, idempotent=True)
    for each in (policy, pipeline(retry(on=OSError), policy)):
        with pytest.raises(TypeError, match="plain is a def: an attempt on a thread cannot be"):
            how(each)


BAD: list[tuple[dict[str, Any], str]] = [
    ({}, "delay"),
    ({"delay": 1, "quantile": 0.9}, "delay"),
    ({"delay": 0}, "delay"),
    ({"delay": -1}, "delay"),
    ({"delay": "1"}, "delay"),
    ({"delay": float("nan")}, "delay"),
    ({"quantile": 0}, "quantile"),
    ({"quantile": 1}, "quantile"),
    ({"quantile": 95}, "quantile"),
    ({"quantile": True}, "quantile"),
    ({"quantile": "0.95"}, "quantile"),
    ({"delay": 1, "max_hedges": 0}, "max_hedges"),
    ({"delay": 1, "max_hedges": 1.5}, "max_hedges"),
    ({"delay": 1, "min_delay": 0.5}, "min_delay"),
    ({"delay": 1, "warm_up": 10}, "warm_up"),
    ({"quantile": 0.9, "min_delay": 0}, "min_delay"),
    ({"quantile": 0.9, "warm_up": 0}, "warm_up"),
    ({"delay": 1, "budget": 10}, "budget"),
    ({"delay": 1, "budget": resilient.RetryBudget}, "budget"),
    ({"delay": 1, "accept": 1}, "accept"),
    ({"delay": 1, "accept": asyncio.sleep}, "accept"),
    ({"delay": 1, "dispose": "close"}, "dispose"),
    ({"delay": 1, "clock": 1}, "clock"),
]


@pytest.mark.parametrize(("settings", "setting"), BAD)
def test_bad_settings_are_refused_when_given(settings: dict[str, Any], setting: str) -> None:
    """`ConfigError` names the setting and what is allowed."""
    with pytest.raises(ConfigError) as caught:
        hedge(idempotent=True, **settings)
    assert caught.value.setting == setting


def test_it_says_what_it_is() -> None:
    """In a pipeline's description, and as itself."""
    policy = hedge(delay=timedelta(milliseconds=50), idempotent=True)
    assert policy.describe() == "hedge: up to 1 more, each after 0.05 s"
    assert policy.delay == 0.05
    learned = hedge(quantile=0.95, max_hedges=2, budget=retry_budget(), idempotent=True)
    says = "hedge: up to 2 more, each after the 0.95 quantile, on a budget"
    assert says in pipeline(learned).describe()
    assert learned.delay is None


def test_it_does_not_load_asyncio_for_threads() -> None:
    """A program that makes a hedge, and never hedges anything, has no event loop in memory."""
    program = (
        "import sys, resilient; resilient.hedge(quantile=0.9, idempotent=True); "
        "assert 'resilient.core.race' not in sys.modules; "
        "assert 'resilient.core.aio' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


# Budgets


class Tokens:
    """A budget that counts, of so many tokens."""

    def __init__(self, tokens: int) -> None:
        self.calls = 0
        self.tokens = tokens

    def deposit(self) -> None:
        """Count a call."""
        self.calls += 1

    def withdraw(self) -> bool:
        """Take a token."""
        self.tokens -= 1
        return self.tokens >= 0


def test_a_budget_is_asked_before_each_attempt_but_the_first() -> None:
    """Whoever gets no token makes do with what is under way; every call is counted."""
    budget = Tokens(3)
    attempts: list[int] = []

    async def main() -> None:
        policy = hedge(delay=1, max_hedges=2, idempotent=True, budget=budget)
        for number in range(4):
            attempt, began = sleeping(5, 5, 5)
            # The last two by the flow.
            call = policy(attempt) if number < 2 else lambda: resilient.outcome(policy(attempt))  # noqa: B023
            await call()
            attempts.append(len(began))
        assert budget.calls == 4
        quick, _ = sleeping(0.5)
        await policy(quick)()
        assert budget.calls == 5

    run(main(), ManualClock())
    assert attempts == [3, 2, 1, 1]


async def test_a_budget_that_fails_is_the_loops_news() -> None:
    """Its call goes on without another attempt, and so do those that are due with it."""
    told: list[type[BaseException]] = []
    release = asyncio.Event()

    def hears(_: object, context: dict[str, Any]) -> None:
        told.append(type(context["exception"]))
        if len(told) == 4:
            release.set()

    asyncio.get_running_loop().set_exception_handler(hears)

    class Broken(Tokens):
        def withdraw(self) -> bool:
            raise OSError(self.tokens)

    async def waits() -> int:
        await release.wait()
        return 1

    call = hedge(delay=0.001, idempotent=True, budget=Broken(1))(waits)
    assert await asyncio.gather(*(call() for _ in range(4))) == [1] * 4
    assert told == [OSError] * 4


@pytest.mark.parametrize("learned", [False, True])
def test_with_a_retry_budget(learned: bool) -> None:  # noqa: FBT001
    """Hedges and a retry around them share one: a call is counted once, a hedge takes a token."""
    clock = ManualClock()
    budget = retry_budget(0, 0.2, 10, clock=clock)  # two tokens
    when: dict[str, Any] = {"quantile": 0.5, "warm_up": 9} if learned else {"delay": 1}
    policy = pipeline(
        retry(on=OSError, budget=budget),
        hedge(idempotent=True, budget=budget, clock=clock, **when),
    )

    async def main() -> None:
        attempt, began = sleeping(5, 5, 5, 5)
        call = policy(attempt)
        assert await call() == 0
        assert await call() >= 0
        assert budget.calls == 2
        assert budget.remaining == (2 if learned else 0)
        assert len(began) == (2 if learned else 4)

    run(main(), clock)


def test_metrics_tell_what_it_was_good_for() -> None:
    """Attempts beside the first: how many were made, how many answered, how many were refused."""
    policy = hedge(delay=1, max_hedges=3, idempotent=True, budget=Tokens(4))
    seen: list[tuple[int, int, int]] = []

    async def main() -> None:
        for latencies in ((0.5,), (9, 0.5), (2.5, 9, 9), (9, 9, 9, 9), (9, 9)):
            for way in WAYS[: 1 if len(seen) < 4 else 2]:
                attempt, _ = sleeping(*latencies)
                await way(policy, attempt)
            metrics = policy.metrics
            seen.append((metrics.started, metrics.won, metrics.refused))

    run(main(), ManualClock())
    policy.after_fork()
    assert seen == [(0, 0, 0), (1, 1, 0), (3, 1, 0), (4, 1, 1), (4, 1, 3)]


# The quantile


class Service:
    """Answers after a time that is drawn; how many attempts it has seen."""

    def __init__(self, draw: Callable[[], float]) -> None:
        self.draw = draw
        self.attempts = 0

    async def __call__(self) -> None:
        """Take an attempt."""
        self.attempts += 1
        await asyncio.sleep(self.draw())


@pytest.mark.parametrize("quantile", [0.5, 0.9, 0.95])
@pytest.mark.parametrize("slow", [0.0, 0.02, 0.2])
def test_about_the_rest_is_hedged(quantile: float, slow: float) -> None:
    """Of 4000 calls of which `slow` hang for 3 s, up to 1 - quantile are attempted twice.

    Losers count with what they took so far. Left out, the delay would shrink with each reading,
    until nearly every call were attempted twice.

    Waiting for the 95th percentile keeps the extra load at about 5 % (Dean and Barroso, "The Tail
    at Scale", Communications of the ACM, 2013).
    """
    draws = random.Random(7)  # noqa: S311  (to be repeatable, not secret)
    clock = ManualClock()
    policy = hedge(quantile=quantile, idempotent=True)

    def draw() -> float:
        return 3.0 if draws.random() < slow else draws.lognormvariate(-4, 0.3)

    service = Service(draw)
    guarded = policy(service.__call__)

    async def main() -> None:
        for _ in range(1000):
            await guarded()
        before = service.attempts
        for _ in range(4000):
            await guarded()
        hedged = (service.attempts - before - 4000) / 4000
        assert hedged <= 1.1 * (1 - quantile)
        # Where more than that hang, three seconds are what calls take, and nobody is late.
        assert hedged >= 0.5 * (1 - quantile) or slow > 1 - quantile

    with isolated_clock(clock):
        run(main(), clock)


@contextlib.contextmanager
def isolated_clock(clock: ManualClock) -> Iterator[None]:
    """Let policies without a clock of their own follow `clock`."""
    system_clock.follow(clock)
    for policy in hub.policies():
        if isinstance(policy, Observed):
            policy.reset()
    try:
        yield
    finally:
        system_clock.reset()


def test_the_delay_follows_what_calls_take() -> None:
    """Unknown before the warm-up, then the quantile rounded up to a tenth, and unknown again."""
    clock = ManualClock()
    policy = hedge(quantile=0.9, warm_up=20, idempotent=True, clock=clock)
    seen: list[float | None] = []

    @policy
    async def call(latency: float) -> None:
        await asyncio.sleep(latency)

    async def main() -> None:
        for _ in range(19):
            await call(0.1)
        await asyncio.sleep(1)
        seen.append(policy.delay)
        await call(0.1)
        await asyncio.sleep(1)
        seen.append(policy.delay)
        await asyncio.sleep(31)
        seen.append(policy.delay)

    run(main(), clock)
    assert seen[0] is None
    assert seen[1] is not None
    assert 0.1 <= seen[1] <= 0.11
    assert seen[2] is None


def test_before_the_warm_up_there_is_no_hedge() -> None:
    """The first calls run to their end, however long that takes, by line and by flow."""
    clock = ManualClock()
    policy = hedge(quantile=0.5, warm_up=2, idempotent=True, clock=clock)

    async def main() -> None:
        for way in WAYS:
            attempt, began = sleeping(50, 50)
            await way(policy, attempt)
            assert len(began) == 1

    run(main(), clock)


def test_a_delay_is_never_shorter_than_told() -> None:
    """Calls that take no time at all are not hedged at once."""
    clock = ManualClock()
    for least, expected in ((None, 0.001), (0.25, 0.25)):
        settings = {} if least is None else {"min_delay": least}
        policy = hedge(quantile=0.5, warm_up=1, idempotent=True, clock=clock, **settings)  # type: ignore[arg-type]  # a table
        run(policy(asyncio.sleep)(0), clock)
        clock.advance(1)
        assert policy.delay == expected


@pytest.mark.parametrize("way", [0, 1], ids=["line", "flow"])
@pytest.mark.parametrize("ending", ["error", "cancelled", "rejected"])
def test_what_is_no_answer_is_no_sample(way: int, ending: str) -> None:
    """Calls that fail, or are cancelled, before the delay say nothing about how long it takes."""
    clock = ManualClock()
    policy = hedge(quantile=0.5, warm_up=5, idempotent=True, clock=clock)
    closed = breaker("closed", clock=clock)
    closed.force_open()

    async def call(latency: float, *, fails: bool = False) -> None:
        await asyncio.sleep(latency)
        if fails:
            raise OSError

    async def main() -> None:
        for _ in range(10):
            await policy(call)(1)
        for _ in range(40):
            with contextlib.suppress(OSError, CircuitOpenError, TimeoutError):
                if ending == "error":
                    await WAYS[way](policy, partial(call, 0.01, fails=True))
                elif ending == "rejected":
                    await WAYS[way](pipeline(policy, closed), partial(call, 1))
                else:
                    await asyncio.wait_for(WAYS[way](policy, partial(call, 1)), 0.01)
        await asyncio.sleep(1)
        assert policy.delay is not None
        assert policy.delay == pytest.approx(1, rel=0.1)

    run(main(), clock)


def test_isolation_and_snapshots(resilience: Resilience) -> None:
    """What was learned goes away with `reset`, comes back with `restore`, and is plain data."""
    policy = hedge(quantile=0.5, warm_up=1, idempotent=True)
    observed = policy._delay
    assert isinstance(observed, Observed)
    resilience.run(policy(asyncio.sleep)(2))
    resilience.clock.advance(1)
    assert policy.delay == pytest.approx(2, rel=0.1)
    saved = observed.snapshot()
    observed.reset()
    assert policy.delay is None
    observed.restore(saved)
    assert policy.delay == pytest.approx(2, rel=0.1)
    observed.after_fork()
    assert policy.delay == pytest.approx(2, rel=0.1)
    for bad in (
        {},
        {"age": 1, "counts": [[1], [2]]},
        {"age": "x", "counts": [[0] * 160] * 2},
        {"age": float("inf"), "counts": [[0] * 160] * 2},  # the next call would have raised
        {"age": float("nan"), "counts": [[0] * 160] * 2},
        {"age": 1, "counts": [[-1] * 160] * 2},
        None,
    ):
        with pytest.raises(ConfigError):
            observed.restore(bad)  # type: ignore[arg-type]  # that is the point
    assert policy.delay == pytest.approx(2, rel=0.1)


# Beside other policies


def attempts_of(policy: Any, *latencies: float) -> tuple[Any, int, int]:
    """The outcome of a call, how many attempts it tells, and how many there were."""
    attempt, began = sleeping(*latencies)

    async def main() -> Any:
        return await resilient.outcome(policy(attempt))

    outcome = run(main(), ManualClock())
    return outcome.value, outcome.attempts, len(began)


@pytest.mark.parametrize(
    ("policy", "latencies", "value", "attempts"),
    [
        (hedge(delay=1, idempotent=True), (0.5,), 0, 1),
        (hedge(delay=1, idempotent=True), (5, 0.5), 1, 2),
        (hedge(delay=1, max_hedges=3, idempotent=True), (9, 9, 9, 0.5), 3, 4),
        (pipeline(hedge(delay=1, idempotent=True), timeout(2)), (9, 1.5), None, 2),
        (
            pipeline(hedge(delay=1, idempotent=True), hedge(delay=2, idempotent=True)),
            (9,) * 4,
            0,
            4,
        ),
        (
            pipeline(retry(on=TimeoutError, wait=0), hedge(delay=1, idempotent=True), timeout(1.5)),
            (9, 9, 9, 0.25),
            3,
            4,
        ),
        (
            pipeline(hedge(delay=2, idempotent=True), retry(on=TimeoutError, wait=0), timeout(1.5)),
            (9, 9, 0.25),
            2,
            3,
        ),
    ],
)
def test_outcome_counts_all_attempts(
    policy: Any, latencies: tuple[float, ...], value: int | None, attempts: int
) -> None:
    """Those of losers too; with a retry outside or inside, and with a race in a race."""
    got, told, made = attempts_of(policy, *latencies)
    if value is not None:
        assert got == value
    assert (told, made) == (attempts, attempts)


def test_each_attempt_asks_the_gates() -> None:
    """A bulkhead inside holds a slot for each attempt, and has all of them back afterwards."""

    async def main() -> None:
        inner = bulkhead("slots", limit=2)
        policy = pipeline(hedge(delay=1, max_hedges=2, idempotent=True), inner)
        for way in WAYS:
            attempt, began = sleeping(9, 9, 9)
            task = asyncio.ensure_future(way(policy, attempt))
            await asyncio.sleep(2.5)
            assert len(began) == 2  # the third was refused, which ends nothing
            attempt2, _ = sleeping(0)
            with pytest.raises(resilient.BulkheadFullError):
                await inner(attempt2)()
            await task
            assert began == pytest.approx([began[0], began[0] + 1])
            free, _ = sleeping(0.5, 0.5)
            call = inner(free)
            assert sorted(await asyncio.gather(call(), call())) == [0, 1]

    run(main(), ManualClock())


@pytest.mark.parametrize("by", ["line", "flow"])
def test_a_breaker_inside_forgets_the_loser(by: str) -> None:
    """A loser is abandoned: neither failure nor success, and a trial's place is given back."""
    clock = ManualClock()
    gate = breaker("inside", failure_threshold=1, reset_timeout=10, half_open_calls=2, clock=clock)
    policy = pipeline(hedge(delay=1, idempotent=True), gate)

    async def main() -> None:
        attempt, began = sleeping(9, 0.5, 9, 0.5)
        call = policy(attempt) if by == "line" else lambda: resilient.outcome(policy(attempt))
        await call()
        assert (gate.metrics.successes, gate.metrics.failures) == (1, 0)
        gate.open()
        clock.advance(10)
        await call()  # two trials: one answers, one is given back
        assert len(began) == 4
        assert gate.state is resilient.CircuitState.HALF_OPEN
        assert (await asyncio.gather(gate(asyncio.sleep)(0.1)))[0] is None
        assert gate.state is resilient.CircuitState.CLOSED

    run(main(), clock)


def test_a_rejection_inside_is_the_failure() -> None:
    """An open circuit refuses the first attempt at once; nothing waits for the delay."""
    clock = ManualClock()
    gate = breaker("open", clock=clock)
    gate.force_open()
    attempt, began = sleeping()

    async def main() -> None:
        with pytest.raises(CircuitOpenError):
            await pipeline(hedge(delay=1, idempotent=True), gate)(attempt)()

    run(main(), clock)
    assert (began, clock.monotonic()) == ([], 0)


def test_in_a_retry_and_a_fallback() -> None:
    """An outer policy sees one ending for the race: the first attempt's error."""
    calls: list[int] = []

    async def fails() -> None:
        calls.append(1)
        number = len(calls)
        await asyncio.sleep(1.5)
        raise OSError(number)

    policy = pipeline(
        fallback("instead", on=OSError),
        retry(on=OSError, attempts=2, wait=0.5),
        hedge(delay=1, idempotent=True),
    )
    assert run(policy(fails)(), ManualClock()) == "instead"
    assert len(calls) == 4


def test_a_timeout_inside_gives_each_attempt_its_time() -> None:
    """The first is ended by its limit, the other answers within its own."""
    attempt, began = sleeping(9, 1)

    async def main() -> int:
        policy = pipeline(hedge(delay=1, idempotent=True), timeout(1.5))
        answer: int = await policy(attempt)()
        return answer

    clock = ManualClock()
    assert run(main(), clock) == 1
    assert (began, clock.monotonic()) == ([0, 1], 2)


def test_a_deadline_ends_all_attempts() -> None:
    """And none is started with nothing left."""
    attempt, began = sleeping(9, 9, 9)

    async def main() -> None:
        async with resilient.deadline(1.5):
            await hedge(delay=1, max_hedges=2, idempotent=True)(attempt)()

    with pytest.raises(CallTimeoutError):
        run(main(), ManualClock())
    assert began == [0, 1]


@pytest.mark.parametrize("when", [{"delay": 0.5}, {"quantile": 0.5, "warm_up": 1}])
def test_the_emergency_switch(when: dict[str, Any]) -> None:
    """Switched off there is one attempt, by line and by flow."""
    policy = hedge(idempotent=True, **when)
    resilient.set_active(False)
    try:
        for way in WAYS:
            attempt, began = sleeping(9, 9)
            run(way(policy, attempt), ManualClock())
            assert len(began) == 1
    finally:
        resilient.set_active(True)


def test_methods_and_arguments() -> None:
    """Each attempt gets the same arguments, positional and named, and the same object."""
    seen: list[tuple[Any, ...]] = []

    class Client:
        @hedge(delay=1, idempotent=True)
        async def get(self, key: str, *, size: int) -> str:
            seen.append((self, key, size))
            await asyncio.sleep(9 if len(seen) == 1 else 0)
            return key

    client = Client()
    assert run(client.get("k", size=2), ManualClock()) == "k"
    assert seen == [(client, "k", 2)] * 2


def test_many_calls_at_once_keep_apart() -> None:
    """200 calls under one hedge, half of them slow: each gets its own answer."""
    attempts: dict[int, int] = {}

    @hedge(delay=1, idempotent=True)
    async def double(number: int) -> int:
        attempts[number] = attempts.get(number, 0) + 1
        slow = number % 2 and attempts[number] == 1
        await asyncio.sleep(9 if slow else number / 1000)
        return number * 2

    async def main() -> list[int]:
        return await asyncio.gather(*(double(number) for number in range(200)))

    clock = ManualClock()
    assert run(main(), clock) == [2 * number for number in range(200)]
    assert attempts == {number: 1 + number % 2 for number in range(200)}
    assert clock.monotonic() < 2


def test_one_hedge_serves_loops_in_many_threads() -> None:
    """Eight loops at once under one hedge whose delay is learned: each call gets its answer."""
    policy = hedge(quantile=0.9, warm_up=1, min_delay=0.001, idempotent=True)

    @policy
    async def echo(number: int) -> int:
        await asyncio.sleep(0)
        return number

    def work(index: int) -> None:
        async def main() -> list[int]:
            return [await echo(index * 1000 + number) for number in range(100)]

        assert asyncio.run(main()) == [index * 1000 + number for number in range(100)]

    in_threads(work)
    observed = policy._delay
    assert isinstance(observed, Observed)
    assert sum(map(sum, observed.snapshot()["counts"])) == 800


def test_one_hedge_serves_many_loops() -> None:
    """One after the other and nested in time: each has a timer of its own."""
    policy = hedge(delay=1, idempotent=True)
    for _ in range(3):
        attempt, began = sleeping(9, 0.5)
        with asyncio.Runner(loop_factory=lambda: JumpingEventLoop(ManualClock())) as runner:
            assert runner.run(policy(attempt)()) == 1
        assert began == [0, 1]

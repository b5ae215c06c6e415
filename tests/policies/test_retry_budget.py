"""Each retried call is counted once for the budget, each further attempt takes a token of it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import resilient
from resilient import (
    CallRejected,
    ConfigError,
    Rejected,
    RetryBudget,
    RetryGaveUp,
    RetryScheduled,
    breaker,
    deadline,
    fallback,
    pipeline,
    retry,
    retry_budget,
    timeout,
)
from resilient.core.policy import Protector
from resilient.testing import ManualClock
from tests.laws.harness import history, in_threads
from tests.policies.scripted import RUNNERS, Runner, Script, Sleeper, our_notes, run_async

every_way = pytest.mark.parametrize("run", RUNNERS.values(), ids=RUNNERS)
FUNCTIONS = {way: run for way, run in RUNNERS.items() if "block" not in way}
as_function = pytest.mark.parametrize("run", FUNCTIONS.values(), ids=FUNCTIONS)
SPENT = "the retry budget is spent"


def budget_of(tokens: float) -> RetryBudget:
    """A budget with so many tokens, and calls that add none."""
    return retry_budget(0, tokens, 1, clock=ManualClock())


def asked(policy: Protector, run: Runner, *steps: object) -> int:
    """Run a script, whatever comes of it; how often the function was called."""
    script = Script(*steps)
    with contextlib.suppress(Exception):
        run(policy, script)
    return script.count


# A call deposits once


@every_way
@pytest.mark.parametrize(
    "steps",
    [
        ["yes"],
        [OSError(), "yes"],
        [OSError(), OSError(), "yes"],
        [OSError()],
        [ValueError()],
        [Rejected("inside", 1.0, "no")],
        [OSError(), ValueError()],
    ],
    ids=lambda steps: "-".join(type(step).__name__ for step in steps),
)
def test_a_call_is_counted_once_however_it_goes(run: Runner, steps: list[object]) -> None:
    """Success, failure, both, and what is not retried; ten calls are ten."""
    budget = budget_of(100)
    policy = retry(on=OSError, wait=0, budget=budget)
    for number in range(1, 11):
        asked(policy, run, *steps)
        assert budget.calls == number


def around(budget: RetryBudget) -> dict[str, Protector]:
    """Pipelines with one retry, or several on one budget."""

    def again(**more: Any) -> Protector:
        return retry(on=OSError, wait=0, budget=budget, **more)

    def gate() -> Protector:
        return breaker("inside", failure_threshold=None)

    same = again()
    return {
        "alone": again(),
        "judging results": again(on_result=lambda result: result == "again"),
        "in a fallback": pipeline(fallback("instead", on=OSError), again()),
        "around a fallback": pipeline(again(), fallback("instead", on=OSError)),
        "around a breaker": pipeline(again(), gate()),
        "in a breaker": pipeline(gate(), again()),
        "around two breakers": pipeline(again(), gate(), gate()),
        "between breakers": pipeline(gate(), again(), gate()),
        "in a deadline": pipeline(deadline(99), again()),
        "around a deadline": pipeline(again(), deadline(99)),
        "stacked": pipeline(again(), again()),
        "stacked three times": pipeline(again(), again(retry_exhausted=True), again()),
        "stacked on itself": pipeline(same, same),
        "stacked around a breaker": pipeline(again(), gate(), again()),
        "stacked in two segments": pipeline(again(), gate(), again(), gate()),
        "itself in two segments": pipeline(same, gate(), same, gate()),
        "stacked, one judging": pipeline(again(), again(on_result=lambda _: False)),
        "stacked around a deadline": pipeline(again(), deadline(99), again()),
        "another budget inside": pipeline(again(), retry(on=OSError, wait=0, budget=budget_of(9))),
        "no budget outside": pipeline(retry(on=OSError, wait=0), again()),
    }


AROUND = list(around(budget_of(1)))


@as_function
@pytest.mark.parametrize("name", AROUND)
def test_whatever_is_around_it_a_good_call_is_counted_once(run: Runner, name: str) -> None:
    """On the straight line and off it, in one segment or several."""
    budget = budget_of(100)
    policy = around(budget)[name]
    for number in range(1, 4):
        assert asked(policy, run, "yes") == 1
        assert budget.calls == number


@as_function
@pytest.mark.parametrize("name", [name for name in AROUND if name != "no budget outside"])
def test_whatever_is_around_it_a_bad_call_is_counted_once(run: Runner, name: str) -> None:
    """The failure is handed to the flow, which does not count again; nor do further attempts."""
    budget = budget_of(100)
    policy = around(budget)[name]
    for number in range(1, 4):
        asked(policy, run, OSError("first"), OSError("second"), "yes")
        assert budget.calls == number


def test_to_a_budget_each_call_of_an_outer_retry_is_a_call() -> None:
    """An outer retry that has another budget, or none, calls the inner one anew."""
    budget = budget_of(100)
    inner = retry(on=OSError, wait=0, attempts=1, budget=budget)
    outer = retry(on=OSError, wait=0, attempts=3, retry_exhausted=True)
    assert asked(pipeline(outer, inner), RUNNERS["def"], OSError()) == 3
    assert budget.calls == 3


def test_functions_that_call_one_another_are_calls_of_their_own() -> None:
    """One budget around both: two calls."""
    budget = budget_of(100)
    policy = retry(on=OSError, budget=budget)
    inner = policy(Script("yes"))

    @policy
    def outer() -> object:
        return inner()

    assert outer() == "yes"
    assert budget.calls == 2


def test_a_call_that_a_breaker_outside_refuses_is_none() -> None:
    """The retry was never asked; one that is refused inside it was."""
    budget = budget_of(100)
    gate = breaker("b")
    gate.force_open()
    policy = retry(on=OSError, budget=budget)
    for run in FUNCTIONS.values():
        assert asked(pipeline(gate, policy), run, "yes") == 0
    assert budget.calls == 0
    for run in FUNCTIONS.values():
        assert asked(pipeline(policy, gate), run, "yes") == 0
    assert budget.calls == len(FUNCTIONS)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
def test_a_call_that_is_interrupted_is_counted_and_takes_nothing(
    error: type[BaseException],
) -> None:
    """It was made; nothing is asked again."""
    budget = budget_of(5)
    policy = retry(on=OSError, budget=budget)
    for run in (RUNNERS["def"], RUNNERS["call"], RUNNERS["outcome"], RUNNERS["block"]):
        script = Script(error)
        with pytest.raises(error):
            run(policy, script)
    assert (budget.calls, budget.remaining) == (4, 5)


def test_a_method_and_keywords() -> None:
    """As for any other function."""
    budget = budget_of(5)

    class Client:
        @retry(on=OSError, budget=budget)
        def get(self, number: int, *, more: int = 0) -> int:
            return number + more

        @retry(on=OSError, budget=budget)
        async def get_later(self, number: int, *, more: int = 0) -> int:
            return number + more

    client = Client()
    assert client.get(1) == 1
    assert client.get(1, more=2) == 3
    assert run_async(client.get_later(1, more=3)) == 4
    assert budget.calls == 3


# A further attempt withdraws


@every_way
@pytest.mark.parametrize("tokens", range(6))
def test_no_token_no_attempt(run: Runner, tokens: int) -> None:
    """Up to five attempts, while there are tokens; then the error as it was, with the reason."""
    budget = budget_of(tokens)
    errors = [OSError(str(number)) for number in range(5)]
    script = Script(*errors)
    with history() as events, pytest.raises(OSError, match=r"\d") as caught:
        run(retry(on=OSError, attempts=5, wait=0, budget=budget), script)
    calls = min(5, tokens + 1)
    assert script.count == calls
    assert caught.value is errors[calls - 1]
    assert budget.remaining == tokens - (calls - 1)
    reason = SPENT if calls < 5 else "no attempts left"
    (note,) = our_notes(caught.value)
    assert note.endswith("; " + reason)
    (event,) = [event for event in events if isinstance(event, RetryGaveUp)]
    assert (event.reason, event.attempts) == (reason, calls)
    assert len([event for event in events if isinstance(event, RetryScheduled)]) == calls - 1


@every_way
def test_a_good_call_takes_nothing(run: Runner) -> None:
    """And so does one that fails in a way that is not retried."""
    budget = budget_of(3)
    policy = retry(on=OSError, wait=0, budget=budget)
    asked(policy, run, "yes")
    asked(policy, run, ValueError())
    assert budget.remaining == 3


def unfit(**more: Any) -> Callable[[RetryBudget], resilient.Retry]:
    """A retry that matches and yet waits for nothing."""
    return lambda budget: retry(
        **{"on": (OSError, Rejected), "wait": 5, "clock": Sleeper(), **more}, budget=budget
    )


@every_way
@pytest.mark.parametrize(
    ("make", "error"),
    [
        (unfit(attempts=1), OSError()),
        (unfit(wait=20), OSError()),
        (unfit(wait=lambda attempt, error: float("inf")), OSError()),
        (unfit(wait=lambda attempt, error: float("nan")), OSError()),
        (unfit(), Rejected("inside", None, "no")),
        (unfit(max_delay=1), Rejected("inside", 3.0, "no")),
    ],
)
def test_a_wait_that_is_not_begun_takes_nothing(
    run: Runner, make: Callable[[RetryBudget], resilient.Retry], error: Exception
) -> None:
    """No attempts left, no end, no time left, a rejection without end: the budget is not asked."""
    budget = budget_of(3)
    clock = Sleeper()
    with deadline(10, clock=clock):
        assert asked(make(budget), run, error) == 1
    assert budget.remaining == 3
    assert SPENT not in str(our_notes(error))


def test_a_wait_that_would_block_a_loop_takes_nothing() -> None:
    """A retried def on an event loop's thread gives up for that reason, not for the budget's."""
    for tokens in (0, 2):
        budget = budget_of(tokens)
        error = OSError()

        async def main(policy: Protector, error: OSError) -> None:
            asked(policy, RUNNERS["def"], error)

        asyncio.run(main(retry(on=OSError, wait=1, budget=budget), error))
        assert "event loop" in our_notes(error)[0]
        assert budget.remaining == tokens


def test_results_that_are_asked_again_take_tokens_too() -> None:
    """Without one, the last result is returned."""
    budget = budget_of(1)
    policy = retry(on=OSError, on_result=lambda result: result < 9, wait=0, budget=budget)
    with history() as events:
        assert policy.call(Script(1, 2, 3)) == 2
    assert [event.reason for event in events if isinstance(event, RetryGaveUp)] == [SPENT]
    assert (budget.calls, budget.remaining) == (1, 0)


def test_what_the_budget_ends_an_outer_retry_does_not_begin_again() -> None:
    """The error has the stamp of one that was given up on."""
    script = Script(OSError())
    inner = retry(on=OSError, wait=0, budget=budget_of(0))
    with pytest.raises(OSError):  # noqa: PT011  (it has no message)
        pipeline(retry(on=OSError, wait=0, attempts=9), inner)(script)()
    assert script.count == 1


def test_one_budget_for_many_functions() -> None:
    """What one takes another has not."""
    budget = budget_of(3)
    policies = [retry(on=OSError, wait=0, attempts=3, budget=budget) for _ in range(3)]
    counts = [asked(policy, RUNNERS["def"], OSError()) for policy in policies]
    assert counts == [3, 2, 1]


def test_tokens_come_back_with_time_and_calls() -> None:
    """As the budget says, not the retry."""
    clock = ManualClock()
    budget = retry_budget(0.5, 0, 10, clock=clock)
    policy = retry(on=OSError, wait=0, attempts=2, budget=budget)
    assert asked(policy, RUNNERS["def"], OSError()) == 1
    assert asked(policy, RUNNERS["def"], OSError()) == 2
    assert asked(policy, RUNNERS["def"], OSError()) == 1
    clock.advance(11)
    for _ in range(4):
        asked(policy, RUNNERS["def"], "yes")
    assert budget.calls == 7


@settings(deadline=None, derandomize=True, database=None)
@given(
    st.lists(st.tuples(st.sampled_from(sorted(FUNCTIONS)), st.integers(0, 4)), max_size=30),
    st.sampled_from([0, 0.25, 0.5, 1]),
    st.sampled_from([0, 1, 4]),
)
def test_the_bound_holds_for_any_mix_of_calls(
    script: list[tuple[str, int]], ratio: float, tokens: int
) -> None:
    """Attempts <= calls + ratio x calls + the reserve, after each call, on whatever surface."""
    budget = retry_budget(ratio, tokens, 1, clock=ManualClock())
    policy = retry(on=OSError, wait=0, attempts=4, budget=budget)
    attempts = 0
    for calls, (way, failures) in enumerate(script, 1):
        attempts += asked(policy, RUNNERS[way], *[OSError] * failures, "yes")
        assert budget.calls == calls
        assert attempts - calls <= ratio * calls + tokens
        assert budget.remaining == int(ratio * calls + tokens - (attempts - calls))


# Threads, the switch, settings


@pytest.fixture
def _often() -> Iterator[None]:
    """Threads take turns a hundred times as often as usual."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(5e-5)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("_often")
def test_eight_threads_and_every_call_counts() -> None:
    """160,000 calls, one in a hundred of which fails: every call, and every further attempt."""
    budget = retry_budget(0, 1e6, 10, clock=ManualClock())
    failed = [0] * 8

    @retry(on=OSError, wait=0, attempts=2, budget=budget)
    def fn(index: int, number: int) -> None:
        if number % 100 == 0:
            failed[index] += 1
            raise OSError

    def work(index: int) -> None:
        for number in range(20_000):
            with contextlib.suppress(OSError):
                fn(index, number)

    in_threads(work)
    assert budget.calls == 160_000
    assert sum(failed) == 3_200
    assert budget.remaining == 10_000_000 - 1_600


def test_eight_threads_share_the_last_tokens() -> None:
    """With 50 tokens there are 50 further attempts, never one more."""
    budget = budget_of(50)
    made = [0] * 8
    policy = retry(on=OSError, wait=0, attempts=3, budget=budget)

    def work(index: int) -> None:
        for _ in range(10):
            made[index] += asked(policy, RUNNERS["def"], OSError)

    in_threads(work, traced=True)
    assert sum(made) == 80 + 50
    assert (budget.calls, budget.remaining) == (80, 0)


def test_inactive_it_takes_nothing() -> None:
    """`set_active(False)`: no retry, no token, and calls earn nothing."""
    budget = retry_budget(1, 2, 1, clock=ManualClock())
    policy = retry(on=OSError, wait=0, budget=budget)
    resilient.set_active(False)
    try:
        for run in RUNNERS.values():
            assert asked(policy, run, OSError()) == 1
            assert asked(policy, run, "yes") == 1
    finally:
        resilient.set_active(True)
    assert budget.remaining == 2


def test_faults_of_a_test_are_counted_like_others(
    resilience: resilient.testing.Resilience,
) -> None:
    """An injected failure goes through the same straight line."""
    budget = retry_budget(0, 5)
    policy = pipeline(retry(on=OSError, wait=0, budget=budget), resilient.point("here"))
    guarded = policy(Script("yes"))
    resilience.faults.at("here").fail(OSError, times=2)
    assert guarded() == "yes"
    assert (budget.calls, budget.remaining) == (1, 48)


def test_an_attempt_timeout_that_fires_is_retried_on_the_budget() -> None:
    """The pipeline of every client: retry with a budget around a timeout."""
    budget = budget_of(1)

    async def hangs() -> None:
        await asyncio.Event().wait()

    guarded = pipeline(retry(on=TimeoutError, wait=0, budget=budget), timeout(0.001))(hangs)
    with pytest.raises(resilient.CallTimeoutError) as caught:
        asyncio.run(guarded())
    assert SPENT in our_notes(caught.value)[0]
    assert (budget.calls, budget.remaining) == (1, 0)


@pytest.mark.parametrize("value", [0.2, "x", True, retry_budget, RetryBudget, object()])
def test_only_a_budget_is_a_budget(value: Any) -> None:
    """Anything else is refused at once, naming the setting and its value."""
    with pytest.raises(ConfigError) as caught:
        retry(on=OSError, budget=value)
    assert caught.value.setting == "budget"
    assert caught.value.value is value


def test_it_says_that_it_has_one() -> None:
    """In the description of a pipeline."""
    assert retry(on=OSError).describe() == "retry: up to 3 attempts"
    with_budget = retry(on=OSError, budget=retry_budget())
    assert with_budget.describe() == "retry: up to 3 attempts, on a budget"


def test_it_rejects_nothing() -> None:
    """A spent budget ends retries; it is no refusal of a call."""
    with history() as events:
        asked(retry(on=OSError, wait=0, budget=budget_of(0)), RUNNERS["def"], OSError())
    assert not [event for event in events if isinstance(event, CallRejected)]

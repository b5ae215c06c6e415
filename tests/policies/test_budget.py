"""A budget gives out what calls have earned and what is in reserve, and not one token more."""

from __future__ import annotations

import json
import math
import sys
import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import resilient
from resilient import ConfigError, RetryBudget, retry_budget
from resilient.core.hub import hub
from resilient.policies.buckets import Buckets
from resilient.testing import ManualClock
from tests.laws.harness import in_threads

START = 1000.0
ratios = st.sampled_from([0, 0.01, 0.1, 0.2, 0.25, 0.5, 1, 2.0])
reserves = st.sampled_from([0, 0.05, 0.1, 0.3, 1, 2.5])


def make(
    ratio: float = 0.2, min_per_second: float = 10, window: float = 10, start: float = START
) -> tuple[RetryBudget, ManualClock]:
    """A budget with a clock of its own."""
    clock = ManualClock(start)
    return retry_budget(ratio, min_per_second, window, clock=clock), clock


def called(budget: RetryBudget, number: int) -> None:
    """Calls that the straight line has counted, dated by a look."""
    budget.calls += number
    assert budget.remaining >= 0


def taken(budget: RetryBudget, most: int = 100_000) -> int:
    """Withdraw until there is nothing left; how many there were."""
    for count in range(most):
        if not budget.withdraw():
            return count
    return most


# Numbers of the source


@pytest.mark.parametrize(
    ("ratio", "retries"),
    [
        (0.0001, 1),
        (0.001, 10),
        (0.01, 100),
        (0.1, 1_000),
        (0.25, 2_500),
        (0.5, 5_000),
        (0.75, 7_500),
        (0.99, 9_900),
        (0.999, 9_990),
        (0.9999, 9_999),
        (2.0, 20_000),
    ],
)
def test_a_share_of_ten_thousand_calls(ratio: float, retries: int) -> None:
    """Without a reserve, exactly `ratio` x calls (rows of Finagle's RetryBudgetTest)."""
    budget, _ = make(ratio, 0, 60)
    assert budget.remaining == 0
    assert not budget.withdraw()
    budget.calls += 10_000
    assert budget.remaining == retries
    assert taken(budget) == retries


@pytest.mark.parametrize(
    ("window", "min_per_second", "ratio", "at_once", "in_all"),
    [
        (1, 10, 0.0, 10, 10),
        (2, 5, 0.0, 10, 10),
        (1, 10, 0.1, 10, 1_010),
        (2, 5, 0.5, 10, 5_010),
        (10, 10, 0.2, 100, 2_100),
    ],
)
def test_a_reserve_is_there_at_once(
    window: float, min_per_second: float, ratio: float, at_once: int, in_all: int
) -> None:
    """`min_per_second` x `window` before the first call (rows of Finagle's RetryBudgetTest)."""
    budget, _ = make(ratio, min_per_second, window)
    assert budget.remaining == at_once
    granted = 0
    for _ in range(10_000):
        budget.calls += 1
        granted += budget.withdraw()
    assert granted == in_all


def test_the_defaults_are_those_of_the_source() -> None:
    """Finagle: percentCanRetry 0.2, minRetriesPerSec 10, ttl 10 s."""
    budget = retry_budget()
    assert (budget.ratio, budget.min_per_second, budget.window) == (0.2, 10, 10)
    assert budget.remaining == 100


@pytest.mark.parametrize(("calls", "retries"), [(0, 0), (1, 0), (4, 0), (5, 1), (9, 1), (10, 2)])
def test_one_retry_for_five_calls(calls: int, retries: int) -> None:
    """Only whole tokens are given."""
    budget, _ = make(0.2, 0)
    budget.calls += calls
    assert budget.remaining == retries
    assert taken(budget) == retries


def test_with_both_zero_there_is_never_a_retry() -> None:
    """That is allowed: a way to switch retries off."""
    budget, clock = make(0, 0)
    for _ in range(50):
        budget.calls += 1_000
        clock.advance(0.5)
        assert not budget.withdraw()
        assert budget.remaining == 0


@pytest.mark.parametrize("reserve", [0.05, 0.1, 0.25, 1.05])
def test_a_reserve_that_is_no_whole_number(reserve: float) -> None:
    """Less than a whole token is none; calls fill it up."""
    budget, _ = make(0.25, reserve)
    whole = math.floor(reserve * 10)
    assert budget.remaining == whole
    budget.calls += 2
    assert budget.remaining == math.floor(reserve * 10 + 0.5)


# Time


def test_calls_are_forgotten_after_the_window() -> None:
    """In buckets of a tenth of the window; never later than that."""
    budget, clock = make(1, 0)
    called(budget, 7)
    clock.advance(9.99)
    assert budget.remaining == 7
    clock.advance(0.01)
    assert budget.remaining == 0


def test_withdrawals_are_remembered_for_the_whole_window() -> None:
    """And a bucket longer, because a bucket leaves whole."""
    budget, clock = make(0, 0.2)
    clock.advance(0.5)
    assert taken(budget) == 2
    clock.advance(10.4)
    assert budget.remaining == 0
    clock.advance(0.1)
    assert budget.remaining == 2


@pytest.mark.parametrize(
    ("quiet", "calls", "expected"),
    [
        (0, 100, 100),  # all of them now
        (5, 100, 100),  # from 5 s ago: all within the window
        (10, 100, 90),  # a tenth is in the bucket that has left
        (100, 100, 9),  # one a second, of which nine full buckets remain
        (3600, 3600, 9),
        (1_000_000, 100, 0),
    ],
)
def test_calls_since_the_last_look_are_spread_evenly(
    quiet: float, calls: int, expected: int
) -> None:
    """No clock is read on success: what falls out of the window on average is dropped."""
    budget, clock = make(1, 0)
    assert budget.remaining == 0
    clock.advance(quiet)
    budget.calls += calls
    assert budget.remaining == expected


def test_a_look_dates_the_calls_before_it() -> None:
    """What was looked at is not spread again."""
    budget, clock = make(1, 0)
    called(budget, 50)
    clock.advance(9)
    assert budget.remaining == 50
    called(budget, 3)
    clock.advance(1)
    assert budget.remaining == 3
    assert budget.calls == 53


# The law, for any history

Step = tuple[float, int, bool]
steps = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.0, 0.25, 0.5, 1.0, 2.75, 9.75, 10.0, 40.0]),
        st.integers(0, 12),
        st.booleans(),
    ),
    max_size=60,
)


class Model:
    """A budget that remembers everything: runs of calls, and withdrawals, with their times."""

    def __init__(self, ratio: float, min_per_second: float, window: float) -> None:
        self.ratio = ratio
        self.reserve = min_per_second * window
        self.width = window / 10
        self.runs: list[tuple[float, float, int]] = []
        self.taken: list[float] = []
        self.looked = START

    def left(self, now: float, calls: int) -> float:
        """Tokens; `calls` were made since the last look."""
        self.runs.append((self.looked, now, calls))
        self.looked = now
        begin = math.floor(now / self.width) * self.width
        earned = sum(self._after(begin - 9 * self.width, *run) for run in self.runs)
        spent = sum(when >= begin - 10 * self.width for when in self.taken)
        return self.ratio * earned + self.reserve - spent

    @staticmethod
    def _after(begin: float, since: float, until: float, calls: int) -> float:
        if since == until:
            return calls if until >= begin else 0
        return calls * max(0.0, until - max(since, begin)) / (until - since)


@settings(deadline=None, derandomize=True, database=None, max_examples=300)
@given(steps, ratios, reserves, st.sampled_from([2.5, 10.0, 40.0]))
def test_it_is_what_a_naive_budget_is(
    script: list[Step], ratio: float, min_per_second: float, window: float
) -> None:
    """Of any sequence of calls, waits and withdrawals, compared step by step."""
    budget, clock = make(ratio, min_per_second, window)
    model = Model(ratio, min_per_second, window)
    for wait, calls, withdraws in script:
        clock.advance(wait * window / 10)
        budget.calls += calls
        left = model.left(clock.monotonic(), calls)
        assert budget.remaining == max(0, math.floor(left + 1e-9))
        if withdraws:
            granted = budget.withdraw()
            assert granted == (left + 1e-9 >= 1)
            if granted:
                model.taken.append(clock.monotonic())


@settings(deadline=None, derandomize=True, database=None, max_examples=300)
@given(
    st.lists(st.tuples(st.floats(0, 4), st.integers(0, 6), st.integers(0, 9)), max_size=50),
    ratios,
    reserves,
)
def test_never_more_than_the_window_has_earned(
    script: list[tuple[float, int, int]], ratio: float, min_per_second: float
) -> None:
    """Whenever a token is given: those of the last window <= ratio x its calls + the reserve.

    The window is the true one, of the seconds before that instant; calls are dated by looks.
    """
    window = 10
    budget, clock = make(ratio, min_per_second, window)
    made: list[float] = []
    given_out: list[float] = []
    for wait, calls, asks in script:
        clock.advance(wait)
        now = clock.monotonic()
        assert budget.remaining >= 0
        called(budget, calls)
        made += [now] * calls
        for _ in range(asks):
            if budget.withdraw():
                given_out.append(now)
                tokens = sum(when > now - window for when in given_out)
                earned = ratio * sum(when > now - window for when in made)
                assert tokens <= earned + min_per_second * window + 1e-6


@settings(deadline=None, derandomize=True, database=None)
@given(
    st.floats(0.1, 60),
    st.floats(0, 1e6),
    st.floats(0, 30),
    st.floats(0, 50),
    st.integers(1, 1_000),
)
def test_spreading_invents_nothing(
    width: float, since: float, duration: float, later: float, amount: int
) -> None:
    """What the buckets get of an amount is never more than it, and all of it if all is recent."""
    now = since + duration
    buckets = Buckets(width, since)
    buckets.roll(now)
    buckets.spread(amount, since, now)
    assert -1e-6 <= buckets.total() <= amount * (1 + 1e-6)
    if duration < 8 * width:
        assert buckets.total() == pytest.approx(amount, rel=1e-3)
    buckets.roll(now + later)
    assert buckets.total() <= amount * (1 + 1e-6)
    if later > 11 * width:
        assert buckets.total() == 0


# Threads, memory, forks, the switch


def test_eight_threads_take_exactly_what_there_is() -> None:
    """Ten times three tokens, each time for eight threads that pause after they looked."""

    class Slow(Buckets):
        def total(self) -> float:
            total = super().total()
            time.sleep(1e-4)  # lets the others run, in the middle of the decision
            return total

    budgets = [make(0.5, 0.2, 10)[0] for _ in range(10)]
    got = [[0] * 8 for _ in budgets]
    together = threading.Barrier(8)

    def work(index: int) -> None:
        for budget, taken_by in zip(budgets, got, strict=True):
            together.wait()
            taken_by[index] += budget.withdraw()

    for budget in budgets:
        budget._spent = Slow(1.0, START, 11)
        budget.calls += 2
    in_threads(work)
    assert [sum(each) for each in got] == [3] * 10
    assert {budget.remaining for budget in budgets} == {0}


def test_eight_threads_deposit_and_look_without_losing_a_call() -> None:
    """Calls are counted without a lock while others take them into the window."""
    budget, _ = make(1, 0)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)

    def work(index: int) -> None:
        for number in range(20_000):
            budget.deposit()
            if index == 0 and number % 10 == 0:
                assert budget.remaining >= 0

    try:
        in_threads(work)
    finally:
        sys.setswitchinterval(interval)
    assert budget.calls == 160_000
    assert budget.remaining == 160_000


def test_time_that_two_threads_read_in_another_order() -> None:
    """A reading that is a little older than the last one loses and invents nothing."""
    budget, clock = make(1, 0)
    clock.advance(5)
    called(budget, 10)
    budget.clock = ManualClock(START + 3)
    budget.calls += 5
    assert budget.remaining == 15
    assert budget.withdraw()
    budget.clock = clock
    assert budget.remaining == 14


def test_memory_is_bounded() -> None:
    """A million calls and thousands of withdrawals over days take what a new budget takes."""
    budget, clock = make()

    def size() -> int:
        return len(json.dumps(budget.snapshot()))

    for _ in range(5_000):
        clock.advance(7.3)
        budget.calls += 200
        budget.withdraw()
    lists = budget.snapshot()
    assert {name: len(held) for name, held in lists.items()} == {"calls": 10, "withdrawn": 11}
    assert size() < 1_000


def test_while_the_library_is_inactive_calls_earn_nothing() -> None:
    """`set_active(False)`: nothing is counted; what was before still is."""
    budget, clock = make(1, 0)
    budget.calls += 5
    resilient.set_active(False)
    try:
        clock.advance(1)
        budget.calls += 100
        made = retry_budget(1, 0, clock=clock)
        made.calls += 100
        assert (budget.remaining, made.remaining) == (5, 0)  # and looking counts nothing either
    finally:
        resilient.set_active(True)
    budget.calls += 2
    made.calls += 3
    assert budget.remaining == 7
    assert made.remaining == 3
    resilient.set_active(True)
    assert budget.remaining == 7


def test_reset_forgets() -> None:
    """Calls and withdrawals of the window; `calls` counts on."""
    budget, _ = make(1, 1)
    budget.calls += 5
    assert taken(budget) == 15
    budget.reset()
    assert budget.remaining == 10
    assert budget.calls == 5


def test_a_snapshot_is_plain_and_restores() -> None:
    """Through JSON, into another budget with another clock; it ages there as it would have here."""
    budget, clock = make(1, 0.2)
    called(budget, 4)
    clock.advance(5)
    called(budget, 3)
    assert budget.withdraw()
    data = json.loads(json.dumps(budget.snapshot()))
    twin, its_clock = make(1, 0.2, start=77.0)
    twin.calls += 1_000
    twin.restore(data)
    assert twin.remaining == budget.remaining == 8
    for _ in range(13):
        clock.advance(1)
        its_clock.advance(1)
        assert twin.remaining == budget.remaining


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        [],
        {"calls": [0] * 10},
        {"calls": [0] * 9, "withdrawn": [0] * 11},
        {"calls": [0] * 10, "withdrawn": [0] * 10},
        {"calls": ["x"] * 10, "withdrawn": [0] * 11},
        {"calls": [-1] * 10, "withdrawn": [0] * 11},
        {"calls": [math.nan] * 10, "withdrawn": [0] * 11},
        {"calls": 3, "withdrawn": 4},
    ],
)
def test_a_snapshot_of_something_else_is_refused(data: Any) -> None:
    """And changes nothing."""
    budget, _ = make(1, 1)
    called(budget, 3)
    with pytest.raises(ConfigError, match="snapshot"):
        budget.restore(data)
    assert budget.remaining == 13


def test_the_fixture_gives_a_test_a_fresh_budget(resilience: resilient.testing.Resilience) -> None:
    """One on the system's clock follows the time of the test."""
    budget = retry_budget(0, 1)
    assert taken(budget) == 10
    resilience.clock.advance(11)
    assert budget.remaining == 10
    assert budget in hub.policies()


def test_a_fork_gets_a_lock_of_its_own() -> None:
    """A thread of the parent may hold it at that moment."""
    budget, _ = make(0, 1)
    with budget._lock:  # as another thread does at the moment of the fork
        budget.after_fork()
        assert budget.withdraw()
    assert budget.remaining == 9


# Settings


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        *(("ratio", value) for value in (-0.1, math.nan, math.inf, "x", None, True)),
        *(("min_per_second", value) for value in (-1, math.nan, math.inf, "x", None, False)),
        *(("window", value) for value in (0, -1, math.nan, math.inf, "x", None, timedelta(0))),
        *(("clock", value) for value in (ManualClock, 3, "x")),
    ],
)
def test_bad_settings_are_refused(setting: str, value: Any) -> None:
    """At once, naming the setting and its value."""
    settings_: dict[str, Any] = {setting: value}
    with pytest.raises(ConfigError) as caught:
        retry_budget(**settings_)
    assert caught.value.setting == setting
    assert caught.value.value is value


def test_it_says_what_it_is() -> None:
    """In words, with its numbers."""
    budget = retry_budget(0.1, 5, timedelta(minutes=1))
    assert budget.describe() == ("a budget of 0.1 retries for each call and 5 a second, over 60 s")
    assert budget.describe() in repr(budget)

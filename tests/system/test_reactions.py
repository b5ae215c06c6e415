"""What the library does by itself in each mode: fewer retries, no hedges, older answers."""

from __future__ import annotations

import asyncio
import math
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

import resilient
from resilient import (
    ConfigError,
    Mode,
    Reaction,
    Reactions,
    RetryBudget,
    SystemOperationMode,
    fallback,
    hedge,
    protect,
    retry,
    retry_budget,
    stale,
)
from resilient.core.hub import hub
from resilient.testing import ManualClock, Resilience
from resilient.testing.loop import run

TABLE = {
    Mode.NORMAL: Reaction(retries=1.0, hedging=True, stale=1.0, drain=1.0),
    Mode.DEGRADED: Reaction(retries=0.5, hedging=False, stale=4.0, drain=0.25),
    Mode.EMERGENCY: Reaction(retries=0.0, hedging=False, stale=math.inf, drain=0.0),
}
each_mode = pytest.mark.parametrize("current", Mode)


def mode_at(current: Mode, **settings: Any) -> SystemOperationMode:
    """A mode that stands there."""
    mode = SystemOperationMode(clock=ManualClock(), **settings)
    mode.force(current, reason="a test")
    return mode


def tokens(budget: RetryBudget) -> int:
    """How many withdrawals it allows at one instant."""
    return next(number for number in range(10_000) if not budget.withdraw())


def budget_of(calls: int, mode: Any, **more: Any) -> RetryBudget:
    """A budget of Finagle's 20 % that has seen so many calls, on a clock that stands still."""
    settings = {"ratio": 0.2, "min_per_second": 0, "window": 10, **more}
    budget = retry_budget(**settings, mode=mode, clock=ManualClock(1000))
    for _ in range(calls):
        budget.deposit()
    return budget


def aged(age: float, max_age: float, mode: Any) -> resilient.Outcome[str]:
    """The outcome of a call whose last good answer is so old."""
    clock, answers = ManualClock(), iter(["good"])

    @fallback(stale(max_age=max_age, mode=mode, clock=clock))
    def ask() -> str:
        return next(answers)

    ask()
    clock.advance(age)
    return resilient.outcome(ask)


def hedged(mode: Any, budget: Any = None) -> resilient.HedgeMetrics:
    """What became of hedges around a call that takes longer than the delay."""
    policy = hedge(delay=1, idempotent=True, budget=budget, mode=mode)

    async def slow() -> int:
        await asyncio.sleep(10)
        return 1

    assert run(policy(slow)(), ManualClock()) == 1
    return policy.metrics


@each_mode
def test_the_table(current: Mode) -> None:
    """The figures of the design, by the mode and by the record; the present one is `reaction`."""
    mode = mode_at(current)
    assert mode.reactions == Reactions()
    assert mode.reaction == Reactions().of(current) == TABLE[current]


@pytest.mark.parametrize(
    ("current", "allowed"), [(Mode.NORMAL, 20), (Mode.DEGRADED, 10), (Mode.EMERGENCY, 0)]
)
def test_retry_budgets_shrink(current: Mode, allowed: int) -> None:
    """20, 10 and 0 retries for 100 calls, as `remaining` says before."""
    budget = budget_of(100, mode_at(current))
    assert budget.remaining == allowed
    assert tokens(budget) == allowed


@pytest.mark.parametrize(
    ("current", "allowed"), [(Mode.NORMAL, 100), (Mode.DEGRADED, 50), (Mode.EMERGENCY, 0)]
)
def test_the_reserve_shrinks_with_them(current: Mode, allowed: int) -> None:
    """Of the default reserve of 10 a second over 10 s nothing is left in an emergency."""
    assert tokens(budget_of(0, mode_at(current), min_per_second=10)) == allowed


def test_what_was_spent_stays_spent() -> None:
    """A budget that was used up in NORMAL allows nothing in DEGRADED, and calls go on counting."""
    mode = mode_at(Mode.NORMAL)
    budget = budget_of(100, mode)
    assert tokens(budget) == 20
    mode.force(Mode.DEGRADED, reason="a test")
    assert (budget.remaining, tokens(budget)) == (0, 0)
    mode.force(Mode.EMERGENCY, reason="a test")
    for _ in range(100):
        budget.deposit()
    assert tokens(budget) == 0
    mode.force(Mode.NORMAL, reason="a test")
    assert tokens(budget) == 20


@pytest.mark.parametrize(("current", "calls"), [(Mode.NORMAL, 3), (Mode.EMERGENCY, 1)])
def test_a_retry_on_a_budget_obeys(current: Mode, calls: int) -> None:
    """In EMERGENCY a call is made once, by `retry` and by `protect` alike; the error is its own."""
    mode, made = mode_at(current), 0

    def fails() -> None:
        nonlocal made
        made += 1
        raise ConnectionError

    clock = ManualClock()
    policies: list[Any] = [
        retry(on=ConnectionError, budget=retry_budget(mode=mode, clock=clock), clock=clock),
        protect("db", mode=mode, clock=clock),
    ]
    for policy in policies:
        made = 0
        with pytest.raises(ConnectionError):
            policy(fails)()
        assert made == calls


@pytest.mark.parametrize(
    ("current", "reason"),
    [
        (Mode.NORMAL, "the retry budget is spent"),
        (Mode.DEGRADED, "the retry budget is spent, of which the mode leaves 50%"),
        (Mode.EMERGENCY, "the mode allows no retries"),
    ],
)
def test_who_gives_up_names_the_mode(current: Mode, reason: str) -> None:
    """A budget that the mode has shut is not too small: whoever reads the note is told so."""
    budget = retry_budget(0, 1, 2, mode=mode_at(current), clock=ManualClock())
    tokens(budget)
    fails = retry(on=ZeroDivisionError, budget=budget, clock=ManualClock())(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError) as caught:
        fails()
    assert caught.value.__notes__[0].endswith(f"; {reason}")


@pytest.mark.parametrize(
    ("current", "started"), [(Mode.NORMAL, 1), (Mode.DEGRADED, 0), (Mode.EMERGENCY, 0)]
)
def test_hedges_are_for_good_days(current: Mode, started: int) -> None:
    """Beyond NORMAL none is started; it counts as refused, and takes no token of a budget."""
    budget = retry_budget(0, 1, 1, clock=ManualClock())
    found = hedged(mode_at(current), budget)
    assert (found.started, found.refused) == (started, 1 - started)
    assert budget.remaining == 1 - started
    assert hedged(mode_at(current)).started == started


@pytest.mark.parametrize(
    ("current", "age", "answered"),
    [
        (Mode.NORMAL, 10, True),
        (Mode.NORMAL, 10.1, False),
        (Mode.DEGRADED, 40, True),
        (Mode.DEGRADED, 40.1, False),
        (Mode.EMERGENCY, 1e9, True),
    ],
)
def test_older_answers_will_do(current: Mode, age: float, *, answered: bool) -> None:
    """Of ``max_age=10``: 10 s, 40 s, any age."""
    assert aged(age, 10, mode_at(current)).ok is answered


@each_mode
def test_switched_off_nothing_changes(current: Mode) -> None:
    """`reactions=None`: what was declared holds in every mode."""
    mode = mode_at(current, reactions=None)
    assert (mode.reactions, mode.reaction) == (None, None)
    assert tokens(budget_of(100, mode)) == 20
    assert hedged(mode).started == 1
    assert not aged(11, 10, mode).ok


def test_each_mode_can_be_told_otherwise() -> None:
    """What is not said stays as in the table."""
    own = Reactions(degraded=Reaction(retries=0.25, hedging=True, stale=2))
    mode = mode_at(Mode.DEGRADED, reactions=own)
    assert mode.reactions == own
    assert tokens(budget_of(100, mode)) == 5
    assert hedged(mode).started == 1
    assert [aged(age, 10, mode).ok for age in (20, 20.1)] == [True, False]
    mode.force(Mode.EMERGENCY, reason="a test")
    assert mode.reaction == TABLE[Mode.EMERGENCY]


def test_without_a_mode_of_their_own_they_obey_the_default_one(resilience: Resilience) -> None:
    """Whatever it is at that moment."""
    resilience.mode.force(Mode.EMERGENCY, reason="a test")
    assert tokens(budget_of(100, None)) == 0
    assert hedged(None).started == 0
    assert aged(1e6, 10, None).ok
    resilience.mode.force(Mode.NORMAL, reason="a test")
    assert tokens(budget_of(100, None)) == 20
    assert hedged(None).started == 1
    assert not aged(11, 10, None).ok


def test_they_make_no_default_mode() -> None:
    """A program that never asked for a mode has none, and nothing reacts."""
    old = hub.swap_mode(None)
    try:
        assert tokens(budget_of(100, None)) == 20
        assert hedged(None).started == 1
        assert not aged(11, 10, None).ok
        assert hub.made_mode is None
    finally:
        hub.swap_mode(old)


def test_policies_that_may_ask_load_no_mode() -> None:
    """What they ask through is small: a program without a mode does not import one."""
    code = (
        "import sys, resilient\n"
        "resilient.retry_budget().withdraw()\n"
        "assert not [name for name in sys.modules if name.startswith('resilient.system')]\n"
        "assert 'resilient.mode' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


class Calm:
    """A stand-in that reports are made to, and that asks for nothing."""

    name = "calm"

    def evaluate(self) -> None:
        """There is nothing to bring up to date."""


def test_a_mode_that_knows_no_reactions_changes_nothing() -> None:
    """What may be given to a breaker as its mode may be given to `protect`, and so to these."""
    assert tokens(budget_of(100, Calm())) == 20


class Counting(SystemOperationMode):
    """Counts how often it is asked what to do."""

    asked = 0

    @property
    def reaction(self) -> Reaction | None:
        """One more."""
        self.asked += 1
        return super().reaction


def test_success_asks_nobody() -> None:
    """Only a failed call, a late attempt and an answer that is too old ask the mode."""
    mode, clock = Counting(clock=ManualClock()), ManualClock()
    broken = False

    def ask() -> int:
        if broken:
            raise ConnectionError
        return 1

    async def ask_async() -> int:
        return 1

    budget = retry_budget(mode=mode, clock=clock)
    guarded = fallback(stale(max_age=5, mode=mode, clock=clock))(
        retry(on=ConnectionError, budget=budget, clock=clock)(ask)
    )
    quick = hedge(delay=1, idempotent=True, mode=mode)(ask_async)
    for _ in range(10):
        assert guarded() == run(quick(), clock) == 1
    assert mode.asked == 0
    broken = True
    assert guarded() == 1
    assert mode.asked == 2  # for two further attempts; the answer is young enough


@pytest.mark.parametrize(
    ("settings", "setting"),
    [
        ({"retries": -0.1}, "retries"),
        ({"retries": 1.1}, "retries"),
        ({"retries": math.nan}, "retries"),
        ({"retries": True}, "retries"),
        ({"hedging": 1}, "hedging"),
        ({"stale": 0.5}, "stale"),
        ({"stale": "1x"}, "stale"),
        ({"stale": 10**400}, "stale"),
        ({"drain": 2}, "drain"),
    ],
)
def test_bad_reactions_are_refused(settings: dict[str, Any], setting: str) -> None:
    """Law 12: the error names the setting."""
    make: Callable[..., Any] = Reaction
    with pytest.raises(ConfigError) as error:
        make(**settings)
    assert error.value.setting == setting


@pytest.mark.parametrize(
    ("make", "setting"),
    [
        (lambda: Reactions(degraded=3), "degraded"),  # type: ignore[arg-type]  # a wrong one
        (lambda: SystemOperationMode(reactions=3), "reactions"),  # type: ignore[arg-type]  # as above
        (lambda: retry_budget(mode=3), "mode"),  # type: ignore[arg-type]  # as above
        (lambda: stale(mode=3), "mode"),  # type: ignore[arg-type]  # as above
        (lambda: hedge(delay=1, idempotent=True, mode=3), "mode"),  # type: ignore[arg-type]  # as above
    ],
)
def test_bad_settings_are_refused(make: Callable[[], Any], setting: str) -> None:
    """A mode that is none, reactions that are none."""
    with pytest.raises(ConfigError) as error:
        make()
    assert error.value.setting == setting

"""The course of a recovery, as pure decisions: instants in, attempts and changes of stage out.

30 s, doubled each time, five attempts: "Graceful Degradation".
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilient.system.recoveries.plan import RecoveryPlan
from resilient.system.recoveries.rules import LONGEST, RecoveryRules, Sight
from resilient.system.recoveries.stage import RecoveryStage

IDLE, WAITING, ATTEMPTING, VERIFYING, SUCCEEDED, GAVE_UP = RecoveryStage
ILL, WELL = 0.0, 1.0


def plan_of(**rules: Any) -> RecoveryPlan:
    """A plan of the default rules, but for those given."""
    return RecoveryPlan(RecoveryRules(**rules))


def failing(plan: RecoveryPlan, until: float, step: float = 1.0) -> list[float]:
    """Instants of attempts on a component that stays ill; each fails at once."""
    made = []
    for tick in range(int(until / step) + 1):
        if plan.look(Sight(tick * step, ILL)):
            made.append(tick * step)
            plan.failed(tick * step, "refused")
    return made


def told(plan: RecoveryPlan) -> list[str]:
    """The stages that were entered so far."""
    return [move.new.value for move in plan.moves]


@pytest.mark.parametrize(
    ("rules", "instants"),
    [
        ({}, [30, 90, 210, 450, 930]),
        ({"attempts": 2}, [30, 90]),
        ({"factor": 1.0}, [30, 60, 90, 120, 150]),
        ({"longest": 100.0}, [30, 90, 190, 290, 390]),
        ({"backoff": 0.0}, [0, 0, 0, 0, 0]),
        ({"backoff": 10.0, "factor": 3.0, "attempts": 4}, [10, 40, 130, 400]),
    ],
)
def test_when_attempts_are_made(rules: dict[str, float], instants: list[float]) -> None:
    """Each wait is a multiple of the last one, from the end of the attempt; then it gives up."""
    plan = plan_of(**rules)
    made = []
    for tick in range(1100):
        while plan.look(Sight(float(tick), ILL)):
            made.append(tick)
            plan.failed(float(tick), "refused")
    assert made == instants
    assert (plan.stage, plan.attempt, plan.error) == (GAVE_UP, len(instants), "refused")


def test_a_wait_begins_when_the_attempt_has_ended() -> None:
    """An attempt that takes 20 s puts the next one off by 20 s."""
    plan = plan_of()
    plan.look(Sight(0.0, ILL))
    assert plan.look(Sight(30.0, ILL))
    plan.failed(50.0, "refused")
    assert plan.due() == 110.0
    assert not plan.look(Sight(109.9, ILL))
    assert plan.look(Sight(110.0, ILL))


@pytest.mark.parametrize(
    ("health", "begins"), [(0.0, True), (0.39, True), (0.4, False), (0.7, False), (None, False)]
)
def test_what_counts_as_failed(health: float | None, begins: bool) -> None:  # noqa: FBT001  (a table)
    """Below 0.4 it has failed; the unknown has not."""
    plan = plan_of()
    plan.look(Sight(0.0, health))
    assert plan.stage is (WAITING if begins else IDLE)


@pytest.mark.parametrize(
    ("sight", "stage"),
    [
        (Sight(10.0, 0.7), IDLE),
        (Sight(10.0, 0.69), WAITING),
        (Sight(10.0, None), IDLE),
        (Sight(10.0, None, blind=True), WAITING),
    ],
)
def test_it_ends_by_itself_while_it_waits(sight: Sight, stage: RecoveryStage) -> None:
    """At 0.7 the component is well again; half well is not, nor is one that fell silent."""
    plan = plan_of()
    plan.look(Sight(0.0, ILL))
    assert not plan.look(sight)
    assert plan.stage is stage
    assert plan.attempt == 0


def test_a_new_failure_begins_anew() -> None:
    """After a success that lasted, the first wait is 30 s again."""
    plan = plan_of()
    plan.look(Sight(0.0, ILL))
    assert plan.look(Sight(30.0, ILL))
    plan.returned(31.0, by_evidence=False)
    plan.verified(32.0)
    plan.look(Sight(33.0, WELL))
    assert plan.due() == 32.0 + 60.0
    plan.look(Sight(92.0, WELL))
    assert (plan.stage, plan.attempt) == (IDLE, 0)
    plan.look(Sight(100.0, ILL))
    assert plan.due() == 130.0
    assert told(plan) == [
        "waiting", "attempting", "verifying", "succeeded", "idle", "waiting",
    ]  # fmt: skip


def test_a_relapse_goes_on_where_it_stopped() -> None:
    """An action that helps for ten seconds each time is tried five times, and not for ever."""
    plan = plan_of()
    made, ill_from = [], 0.0
    for tick in range(3000):
        now = float(tick)
        ill = now >= ill_from
        if plan.look(Sight(now, ILL if ill else WELL)):
            made.append(tick)
            plan.returned(now, by_evidence=False)
            plan.verified(now)
            ill_from = now + 10
    assert made == [30, 100, 230, 480, 970]
    assert plan.stage is GAVE_UP
    assert plan.error == "it was well again, and failed again"


def test_a_success_that_nothing_confirms_is_believed_for_one_wait() -> None:
    """The verifier said yes and the component stays failed: the next attempt is at its time."""
    plan = plan_of(attempts=2)
    plan.look(Sight(0.0, ILL))
    assert plan.look(Sight(30.0, ILL))
    plan.returned(30.0, by_evidence=False)
    plan.verified(30.0)
    assert not plan.look(Sight(89.0, ILL))
    assert plan.look(Sight(90.0, ILL, said="db is still 0.00"))
    assert plan.error == "it was verified, but db is still 0.00"


@pytest.mark.parametrize(
    ("health", "at", "stage"),
    [
        (1.0, 31.0, SUCCEEDED),
        (0.5, 89.0, VERIFYING),
        (0.5, 90.0, SUCCEEDED),
        (None, 90.0, SUCCEEDED),
        (0.0, 89.0, VERIFYING),
        (0.0, 90.0, ATTEMPTING),
    ],
)
def test_where_nobody_verifies_what_is_known_must_show_it(
    health: float | None, at: float, stage: RecoveryStage
) -> None:
    """Its own evidence may lag, so it has until the next attempt would be due."""
    plan = plan_of()
    plan.look(Sight(0.0, ILL))
    assert plan.look(Sight(30.0, ILL))
    plan.returned(30.0, by_evidence=True)
    assert plan.look(Sight(at, health)) is (stage is ATTEMPTING)
    assert plan.stage is stage


def test_giving_up_ends_when_the_component_is_well() -> None:
    """Half well is not enough, and what follows is a new failure."""
    plan = plan_of(attempts=1)
    assert failing(plan, 100) == [30]
    plan.look(Sight(200.0, 0.69))
    assert plan.stage is GAVE_UP
    plan.look(Sight(201.0, 0.7))
    assert (plan.stage, plan.attempt, plan.error) == (IDLE, 0, "")
    plan.look(Sight(300.0, ILL))
    assert plan.due() == 330.0


@pytest.mark.parametrize("stage", [IDLE, WAITING, VERIFYING, SUCCEEDED, GAVE_UP])
def test_by_hand_it_begins_at_once(stage: RecoveryStage) -> None:
    """Whatever it waits for; one that gave up, or was done, counts from one again."""
    plan = plan_of(attempts=1 if stage is GAVE_UP else 5)
    if stage is not IDLE:
        plan.look(Sight(0.0, ILL))
    if stage in (VERIFYING, SUCCEEDED, GAVE_UP):
        assert plan.look(Sight(30.0, ILL))
        plan.returned(30.0, by_evidence=stage is VERIFYING)
        if stage is SUCCEEDED:
            plan.verified(30.0)
        if stage is GAVE_UP:
            plan.failed(30.0, "no")
    assert plan.stage is stage
    assert plan.order(40.0)
    assert plan.stage is ATTEMPTING
    assert plan.attempt == (2 if stage is VERIFYING else 1)


def test_by_hand_is_not_twice_at_once() -> None:
    """Not while an attempt runs, nor while somebody is asked whether it helped."""
    plan = plan_of()
    assert plan.order(0.0)
    assert not plan.order(1.0)
    plan.returned(2.0, by_evidence=False)
    assert not plan.order(3.0)
    plan.failed(4.0, "no")
    assert plan.order(5.0)


def test_what_it_depends_on_comes_first() -> None:
    """Nothing is tried until that is back, and then there is one wait in which it may be well."""
    plan = plan_of()
    for tick in range(200):
        assert not plan.look(Sight(float(tick), ILL, first=("db",)))
    assert plan.first == ("db",)
    assert not plan.look(Sight(200.0, ILL))
    assert plan.due() == 199.0 + 30.0
    assert plan.look(Sight(229.0, ILL))


@pytest.mark.parametrize("backoff", [0.0, 0.001])
def test_what_it_depends_on_comes_first_however_short_the_wait(backoff: float) -> None:
    """Nothing is tried meanwhile, and time alone is no reason to look again."""
    plan = plan_of(backoff=backoff)
    for tick in range(5):
        assert not plan.look(Sight(float(tick), ILL, first=("db",)))
        assert plan.due() == math.inf
    assert plan.attempt == 0
    assert plan.look(Sight(5.0, ILL))
    assert plan.first == ()


def chosen(share: float) -> Callable[[float, float], float]:
    """A random number that is `share`, if it may be."""
    return lambda low, high: min(max(low, share), high)


@pytest.mark.parametrize("attempt", [0, 1, 5, 900])
def test_jitter_stays_within_its_share(attempt: int) -> None:
    """And no wait exceeds the range of a float, or the longest one."""
    rules = RecoveryRules(jitter=0.25)
    planned = min(30.0 * 2.0**attempt, LONGEST)
    for share in (0.75, 1.0, 1.25):
        assert rules.wait(attempt, chosen(share)) == pytest.approx(planned * share)
    assert RecoveryRules(factor=10.0).wait(400, lambda _, high: high) == LONGEST
    assert RecoveryRules(backoff=0.0).wait(2000, lambda _, high: high) == 0.0


steps = st.lists(
    st.tuples(
        st.floats(0.0, 400.0),
        st.sampled_from([None, 0.0, 0.3, 0.5, 0.8, 1.0]),
        st.booleans(),
        st.sampled_from(["fail", "evidence", "verify", "refute", "hang", "hand"]),
    ),
    max_size=60,
)


@settings(max_examples=400)
@given(steps, st.integers(1, 4))
def test_whatever_happens(
    script: list[tuple[float, float | None, bool, str]], attempts: int
) -> None:
    """The laws of every course.

    Never two attempts at once; never more than so many for one failure, unless ordered by hand;
    none sooner than its wait after the last; every change begins where the last one ended.
    """
    plan = RecoveryPlan(RecoveryRules(attempts=attempts))
    now, ended, ordered = 0.0, -math.inf, False
    for pause, health, blind, then in script:
        now += pause
        before = plan.stage
        began = plan.look(Sight(now, health, blind=blind))
        if then == "hand":
            ordered = plan.order(now)
            assert ordered or began or before in (ATTEMPTING, VERIFYING)
        if began:
            assert before is not ATTEMPTING
            assert 1 <= plan.attempt <= attempts
            assert now - ended >= 30.0 * 2.0 ** (plan.attempt - 1) or plan.attempt == 1
        if plan.stage is ATTEMPTING and then != "hang":
            ended = now
            if then == "fail":
                plan.failed(now, "refused")
            else:
                plan.returned(now, by_evidence=then == "evidence")
        if plan.stage is VERIFYING and then in ("verify", "refute") and not ordered:
            if then == "verify":
                plan.verified(now)
            else:
                plan.failed(now, "no")
        assert plan.attempt <= attempts
        assert (plan.next_at is not None) >= (plan.stage is WAITING)
        assert plan.due() >= ended
    for one, two in itertools.pairwise(plan.moves):
        assert one.new is two.old
    assert all(move.old is not move.new for move in plan.moves)

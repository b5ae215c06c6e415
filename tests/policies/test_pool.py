"""Which target of a pool is asked, and which one is left alone: decisions on a written clock."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilient.policies.pool import Change, Limits, Pool, Target, Ticket, lighter, pairs


def make(
    size: int = 4, *, room: int = 2, threshold: int = 1, spread: bool = False, longest: float = 300
) -> Pool:
    """A pool of targets called 0, 1, 2 ... with a base time of 30 s."""
    limits = Limits(threshold=threshold, base=30, longest=longest, room=room, spread=spread)
    pool = Pool([Target(index, str(index), len) for index in range(size)], limits)
    pool.swift = True
    pool.align()
    return pool


def taken(pool: Pool, now: float = 0.0, *tried: int, number: float = 0.0) -> Ticket:
    """Begin a call; there is a target for it."""
    ticket = pool.take(now, tried, number)
    assert ticket is not None
    return ticket


def fail(pool: Pool, index: int, now: float, times: int = 1) -> Change | None:
    """Let calls to one target fail; what the last one changed."""
    change = None
    others = [each.index for each in pool.targets if each.index != index]
    for _ in range(times):
        change = pool.failed(taken(pool, now, *others), now)
    return change


# How long


def test_ejections_in_a_row_last_longer_up_to_the_longest() -> None:
    """Base time times ejections in a row, at most the longest: the table of Envoy's defaults."""
    pool, now, found = make(), 0.0, []
    for _ in range(12):
        change = fail(pool, 0, now)
        assert change is not None
        assert change.seconds is not None
        found.append(change.seconds)
        now += change.seconds
    assert found == [30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300, 300]


@pytest.mark.parametrize(
    ("stays", "seconds"),
    [(0, 120), (29, 120), (30, 90), (59, 90), (60, 60), (90, 30), (91, 30), (10_000, 30)],
)
def test_each_base_time_in_the_pool_takes_one_off(stays: float, seconds: float) -> None:
    """After three ejections in a row the fourth is 4 x 30 s, less 30 s for each 30 s of service."""
    pool, now = make(), 0.0
    for _ in range(3):
        fail(pool, 0, now)
        now += 1000
    assert pool.answered(taken(pool, now), now) == Change(pool.targets[0], None)
    assert fail(pool, 0, now + stays) == Change(pool.targets[0], seconds)


@pytest.mark.parametrize("threshold", [1, 2, 5])
def test_so_many_in_a_row_eject(threshold: int) -> None:
    """One less does not, and an answer in between begins the count again."""
    pool = make(threshold=threshold)
    assert fail(pool, 0, 0, threshold - 1) is None
    pool.answered(taken(pool), 0)
    assert fail(pool, 0, 0, threshold - 1) is None
    assert fail(pool, 0, 0) == Change(pool.targets[0], 30)
    assert pool.targets[0].failures == 2 * (threshold - 1) + 1


# Never too many


@pytest.mark.parametrize(("size", "room"), [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2), (9, 4)])
def test_never_more_than_there_is_room_for(size: int, room: int) -> None:
    """Whoever fails, by calls or by hand: most of the pool stays."""
    pool = make(size, room=room)
    for index in range(size):
        fail(pool, index, 0, 9)
        pool.eject(pool.targets[index], 0)
    assert [target.ejected for target in pool.targets] == [True] * room + [False] * (size - room)


def test_who_found_no_room_goes_when_there_is_some() -> None:
    """The failures in a row are not forgotten meanwhile."""
    pool = make(2, room=1, threshold=3)
    fail(pool, 0, 0, 3)
    assert fail(pool, 1, 0, 7) is None
    pool.admit(pool.targets[0], 5)
    assert fail(pool, 1, 5) == Change(pool.targets[1], 30)


# Whom to ask


@pytest.mark.parametrize(
    ("out", "tried", "now", "asked"),
    [
        ([], [], 0, 0),
        ([], [0], 0, 1),
        ([], [0, 2, 1], 0, 3),
        ([], [0, 1, 2, 3], 0, None),
        ([0], [], 29, 1),
        ([0], [], 30, 0),
        ([1], [0], 29, 2),
        ([1], [0], 30, 1),
        ([0, 1], [2], 29, 3),
        ([0, 1], [2, 3], 29, 0),
        ([1, 0], [2, 3], 29, 1),
        ([0, 1], [0, 2, 3], 29, 1),
    ],
)
def test_in_the_order_given(
    out: list[int], tried: list[int], now: float, asked: int | None
) -> None:
    """The first that is good or due (after 30 s); the ejected last, the one due soonest first."""
    pool = make()
    for seconds, index in enumerate(out):
        pool.eject(pool.targets[index], seconds / 10)
    ticket = pool.take(now, tried)
    assert (None if ticket is None else ticket.target.index) == asked


@pytest.mark.parametrize(
    ("loads", "streaks", "lighter_one"),
    [
        ((0, 0), (0, 0), 0),
        ((1, 0), (0, 0), 1),
        ((0, 1), (0, 0), 0),
        ((7, 6), (0, 9), 1),
        ((6, 7), (9, 0), 0),
        ((3, 3), (1, 0), 1),
        ((3, 3), (0, 1), 0),
        ((3, 3), (2, 2), 0),
    ],
)
def test_the_less_busy_of_two(
    loads: tuple[int, int], streaks: tuple[int, int], lighter_one: int
) -> None:
    """Fewer in flight wins; among equals fewer failures in a row, else the one drawn first."""
    pool = make(2, room=1)
    for target, load, streak in zip(pool.targets, loads, streaks, strict=True):
        target.started, target.ended, target.streak = 100 + load, 100, streak
    a, b = pool.targets
    assert lighter((a, b)).index == lighter_one


@pytest.mark.parametrize("size", [1, 2, 3, 7, 33])
def test_every_pair_is_drawn_alike(size: int) -> None:
    """Each ordered pair of different targets once; a lone target stands for both."""
    found = Counter((a.index, b.index) for a, b in pairs(make(size, room=0).targets))
    others = {(a, b) for a in range(size) for b in range(size) if a != b}
    assert found == Counter(others or {(0, 0)})


@pytest.mark.parametrize("size", [34, 100, 1000])
def test_large_pools_have_short_lists(size: int) -> None:
    """At most 32 partners each, nobody with itself, and everybody as often in either place."""
    drawn = pairs(make(size, room=0).targets)
    firsts, seconds = (Counter(pair[place].index for pair in drawn) for place in (0, 1))
    assert len(drawn) <= 32 * size
    assert all(a is not b for a, b in drawn)
    assert len({*firsts.values(), *seconds.values()}) == 1
    assert len(firsts) == len(seconds) == size


def test_two_choices_spread_calls_evenly() -> None:
    """Calls that stay: over 10 targets, no two differ by more than 3 after 1000 calls.

    The law is Mitzenmacher's: with two choices the difference is of the order of log log n.
    """
    pool = make(10, room=0, spread=True)
    number = 0.5
    for _ in range(1000):
        number = (number * 9301 + 0.2113) % 1
        taken(pool, number=number)
    loads = [target.started for target in pool.targets]
    assert sum(loads) == 1000
    assert max(loads) - min(loads) <= 3


def test_a_spread_pool_tries_who_is_due_first() -> None:
    """Drawn by chance, an ejected one might wait for ever for its trial."""
    pool = make(spread=True)
    pool.eject(pool.targets[3], 0)
    assert {taken(pool, 29, number=n / 12).target.index for n in range(12)} == {0, 1, 2}
    assert [taken(pool, 30).target.index for _ in range(2)] == [3, 0]


# Trials


def test_a_trial_is_one_call_at_a_time() -> None:
    """While it is out others pass over; one that hangs loses its place after the base time."""
    pool = make()
    pool.eject(pool.targets[0], 0)
    assert [taken(pool, now).target.index for now in (30, 30, 59, 60, 60)] == [0, 1, 1, 0, 1]


def test_a_trial_that_fails_is_another_ejection() -> None:
    """In a row, so it lasts longer; a success takes the target fully back."""
    pool = make()
    pool.eject(pool.targets[0], 0)
    assert pool.failed(taken(pool, 30), 31) == Change(pool.targets[0], 60)
    assert taken(pool, 90).target.index == 1
    assert pool.answered(taken(pool, 91), 92) == Change(pool.targets[0], None)
    assert [taken(pool, 92).target.index for _ in range(3)] == [0, 0, 0]


def test_a_trial_that_says_nothing_leaves_its_place() -> None:
    """Cancelled or turned away: the next call is the trial."""
    pool = make()
    pool.eject(pool.targets[0], 0)
    pool.abandoned(taken(pool, 30), 31)
    assert [taken(pool, 31).target.index for _ in range(2)] == [0, 1]


def test_a_trial_that_lost_its_place_decides_nothing_by_failing() -> None:
    """The later one does; but an answer is an answer, however late."""
    pool = make()
    pool.eject(pool.targets[0], 0)
    late, current = taken(pool, 30), taken(pool, 60)
    pool.abandoned(late, 61)
    assert taken(pool, 61).target.index == 1
    assert pool.failed(current, 62) == Change(pool.targets[0], 60)
    third, fourth = taken(pool, 122), taken(pool, 152)
    assert pool.failed(third, 153) is None
    fifth = taken(pool, 182)
    assert pool.answered(fourth, 183) == Change(pool.targets[0], None)
    assert pool.failed(fifth, 184) is None


def test_a_last_resort_may_return_but_is_no_trial() -> None:
    """Asked before its time because all others failed: a failure makes nothing worse."""
    pool = make(2, room=1)
    pool.eject(pool.targets[0], 0)
    assert pool.failed(taken(pool, 5, 1), 6) is None
    assert pool.targets[0].until == 30
    assert pool.answered(taken(pool, 7, 1), 8) == Change(pool.targets[0], None)


def test_what_was_asked_in_an_earlier_era_says_nothing() -> None:
    """Asked before the ejection, ended after it: the call is counted, and decides nothing."""
    pool = make(threshold=2)
    early = [taken(pool) for _ in range(5)]
    pool.failed(early[0], 1)
    assert pool.failed(early[1], 1) == Change(pool.targets[0], 30)
    assert pool.answered(early[2], 2) is None
    assert pool.failed(early[3], 2) is None
    pool.admit(pool.targets[0], 3)
    pool.failed(taken(pool, 3), 3)
    assert pool.answered(early[4], 4) is None
    target = pool.targets[0]
    assert (target.streak, target.ejected, target.failures) == (1, False, 4)
    assert target.started == target.ended == 6


# What the straight line looks at


@pytest.mark.parametrize(
    ("spread", "out", "front", "edge", "drawn"),
    [
        (False, [], 0, None, set()),
        (False, [1], 0, None, set()),
        (False, [0], 1, 30, set()),
        (False, [0, 1], 2, 30, set()),
        (True, [], 0, None, {0, 1, 2, 3}),
        (True, [2], 0, 30, {0, 1, 3}),
        (True, [0, 2], 1, 30, {1, 3}),
    ],
)
def test_the_front_is_good_until_somebody_is_due(
    *, spread: bool, out: list[int], front: int, edge: float | None, drawn: set[int]
) -> None:
    """The first that is good, until one that would go before it is to be tried."""
    pool = make(spread=spread)
    for seconds, index in enumerate(out):
        pool.eject(pool.targets[index], seconds)
    assert pool.front is pool.targets[front]
    assert pool.edge == edge
    assert {target.index for pair in pool.pairs for target in pair} == drawn


def test_the_edge_moves_with_the_trials() -> None:
    """One call crosses it: then it is where the next trial is due."""
    pool, edges = make(), []
    pool.eject(pool.targets[0], 0)
    ticket = taken(pool, 30)
    edges.append(pool.edge)
    pool.abandoned(ticket, 31)
    edges.append(pool.edge)
    pool.failed(taken(pool, 31), 32)
    edges.append(pool.edge)
    pool.answered(taken(pool, 92), 93)
    edges.append(pool.edge)
    assert edges == [60, 31, 92, None]


def test_without_a_straight_line_there_is_no_front() -> None:
    """Switched off, or on a build where an increment needs a lock."""
    pool = make()
    pool.swift = False
    pool.align()
    assert pool.front is None


# Plain data


def test_a_snapshot_tells_what_matters() -> None:
    """Restored on another clock: the same seconds left, the same next ejection."""
    pool = make(threshold=2)
    fail(pool, 0, 0, 2)
    pool.answered(taken(pool, 30), 30)
    fail(pool, 0, 40)
    fail(pool, 1, 40, 2)
    copy = make(threshold=2)
    copy.restore(pool.snapshot(50), 1050)
    assert copy.snapshot(1050) == pool.snapshot(50)
    assert [target.ejected for target in copy.targets] == [False, True, False, False]
    assert (copy.targets[1].until, copy.targets[0].back) == (1070, 1030)
    assert fail(copy, 0, 1050) == Change(copy.targets[0], 60)
    assert fail(pool, 0, 50) == Change(pool.targets[0], 60)


def test_a_snapshot_of_another_pool_is_refused() -> None:
    """Nothing is changed by it."""
    pool = make()
    pool.eject(pool.targets[0], 0)
    with pytest.raises(ValueError, match="3 targets for a pool of 4"):
        pool.restore(make(3).snapshot(0), 0)
    assert pool.out == 1


def test_a_renewed_pool_has_nothing_in_flight() -> None:
    """After a fork: what is known stays, a trial that is out is open to the next call."""
    pool = make()
    pool.eject(pool.targets[0], 0)
    out, busy = taken(pool, 30), taken(pool, 30)
    pool.renew(forget=False)
    assert [target.started - target.ended for target in pool.targets] == [0] * 4
    assert pool.targets[0].ejected
    assert pool.failed(out, 31) is None
    assert pool.answered(busy, 31) is None
    assert [target.ended for target in pool.targets] == [0] * 4
    assert [taken(pool, 31).target.index for _ in range(2)] == [0, 1]
    pool.renew(forget=True)
    assert pool.snapshot(31) == make().snapshot(0)


# Everything at once

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["take", "answered", "failed", "abandoned", "eject", "admit", "wait"]),
        st.integers(0, 9),
        st.floats(0, 1, exclude_max=True),
    ),
    max_size=120,
)


@given(size=st.integers(1, 6), spread=st.booleans(), threshold=st.integers(1, 3), steps=STEPS)
def test_a_pool_keeps_its_promises(
    *, size: int, spread: bool, threshold: int, steps: list[tuple[str, int, float]]
) -> None:
    """Whatever happens: most stay, the front is good, counts are exact, nobody is tried twice."""
    pool = make(size, room=size // 2, spread=spread, threshold=threshold)
    now, out = 0.0, list[Ticket]()
    for what, which, number in steps:
        target = pool.targets[which % size]
        ends = {"answered": pool.answered, "failed": pool.failed, "abandoned": pool.abandoned}
        if what == "take":
            tried = [index for index in range(size) if which >> index & 1]
            ticket = pool.take(now, tried, number)
            assert (ticket is None) == (len(tried) == size)
            if ticket is not None:
                assert ticket.target.index not in tried
                out.append(ticket)
        elif what in ends and out:
            ends[what](out.pop(which % len(out)), now)
        elif what == "eject":
            pool.eject(target, now)
        elif what == "admit":
            pool.admit(target, now)
        elif what == "wait":
            now += which * 10
        check(pool, out, now)


def check(pool: Pool, out: list[Ticket], now: float) -> None:
    """What holds at any moment."""
    assert pool.out <= len(pool.targets) // 2
    assert pool.front is not None
    assert not pool.front.ejected
    assert not any(target.ejected for pair in pool.pairs for target in pair)
    for target in pool.targets:
        flying = [ticket for ticket in out if ticket.target is target]
        assert target.started - target.ended == len(flying)
        assert not target.ejected or target.until <= now + pool.limits.longest
        trials = [each for each in flying if each.trial and each.trial == target.trial]
        assert len(trials) <= 1
        assert target.streak == 0 or not target.ejected
        assert target.back < math.inf

"""The fixed window: in each window of so many seconds at most so many calls start."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilient.policies.fixed_window import FixedWindow
from resilient.policies.token_bucket import Place

calm = settings(deadline=None, derandomize=True, database=None, max_examples=300)


@pytest.mark.parametrize(
    ("per", "rate", "arrivals", "waits"),
    [
        (10, 1, [0, 5, 10, 10], [0, 5, 10, 20]),  # each place that is waited for is taken
        (10, 2, [9, 9, 9, 9, 9, 30], [0, 0, 1, 1, 11, 0]),
        (10, 3, [0, 1, 2, 3, 25], [0, 0, 0, 7, 0]),
        (0.5, 1, [0, 0.25, 100.25], [0, 0.25, 0]),
        (86400, 1, [0, 1, 86400], [0, 86399, 86400]),
    ],
)
def test_waits(per: float, rate: int, arrivals: list[float], waits: list[float]) -> None:
    """By hand: the first window with a place left, from its beginning."""
    window = FixedWindow(per, rate, 0.0)
    found = []
    for now in arrivals:
        found.append(window.wait(now))
        assert max(window.reserve(now).start, now) - now == found[-1]
    assert found == waits


ACTIONS = st.one_of(
    st.tuples(st.just("time"), st.sampled_from([0.125, 0.5, 1.0, 1.75, 4.0])),
    st.tuples(st.just("quick"), st.sampled_from([0.0, 0.2, 0.5, 0.9])),
    st.tuples(st.just("patient"), st.sampled_from([0.0, 0.2, 0.5, 0.9])),
    st.tuples(st.just("give back"), st.floats(0, 0.999)),
)


@settings(calm, max_examples=500)
@given(st.sampled_from([1, 2, 3, 10]), st.lists(ACTIONS, max_size=60))
def test_the_law(rate: int, actions: list[tuple[str, float]]) -> None:
    """As a naive table of windows: the same waits, and never more than the rate in one of them."""
    window, now = FixedWindow(2.0, rate, 0.0), 0.0
    taken: Counter[int] = Counter()
    places: list[tuple[int, Place]] = []
    for kind, value in actions:
        held, current = min(rate - 1, int(value * rate)), int(now / 2)
        free = next(each for each in range(current, 1000) if taken[each] < rate - held)
        if kind == "time":
            now += value
        elif kind == "give back" and places:
            number, place = places.pop(int(value * len(places)))
            window.withdraw(place, now)
            taken[number] -= 1
        elif kind == "quick":
            mark = window.take(now, held)
            if mark is not None:
                assert free == current
                taken[free] += 1
                places.append((free, Place(now, mark, mark)))
        elif kind == "patient":
            assert window.wait(now, held) == max(0.0, free * 2.0 - now)
            places.append((free, window.reserve(now, held)))
            taken[free] += 1
        assert max(taken.values(), default=0) <= rate
        assert window.tokens(now) == rate - taken[int(now / 2)]


def test_a_place_of_a_window_that_is_over_is_lost() -> None:
    """It was that window's."""
    window = FixedWindow(1.0, 1, 0.0)
    mark = window.take(0.0)
    assert mark is not None
    window.refund(mark, 1.0)
    window.reserve(1.0)
    assert window.tokens(1.0) == 0


def test_nothing_adds_up() -> None:
    """After a hundred thousand windows, each of them looked at, the next begins when it begins."""
    start = 1e6  # twelve days after the clock began
    window = FixedWindow(0.1, 1, start)
    for number in range(100_000):
        window.wait(start + (number + 0.5) * 0.1)
    now = start + 99_999.5 * 0.1
    window.reserve(now)
    due = start + 100_000 * 0.1
    assert now + window.wait(now) == pytest.approx(due, rel=0, abs=math.ulp(due))


@calm
@given(st.floats(1e-6, 1e6), st.floats(0, 1e9), st.lists(st.floats(0, 1e6), max_size=20))
def test_the_wait_is_exact(per: float, start: float, steps: list[float]) -> None:
    """Whoever comes back exactly then is admitted."""
    window, now = FixedWindow(per, 1, start), start
    for step in steps:
        now += step
        window.reserve(now)
        wait = window.wait(now)
        assert 0 <= wait <= per * len(steps) + per
        now += wait
        assert window.wait(now) == 0


def test_a_snapshot_has_no_instants() -> None:
    """The window goes on where it was, with what is taken in those to come."""
    window = FixedWindow(10.0, 2, 100.0)
    for _ in range(5):
        window.reserve(103.0)
    saved = window.snapshot(104.0)
    assert saved == {"seconds": 4.0, "taken": [[0, 2], [1, 2], [2, 1]]}
    other = FixedWindow(10.0, 2, 0.0)
    other.restore(saved, 7.0)
    assert (other.wait(7.0), other.tokens(7.0), other.tokens(13.0)) == (16.0, 0, 0)
    assert other.tokens(23.0) == 1


@pytest.mark.parametrize(
    "data",
    [
        {"seconds": -1.0, "taken": []},
        {"seconds": 11.0, "taken": []},
        {"seconds": math.nan, "taken": []},
        {"seconds": 1.0, "taken": [[0, 3]]},
        {"seconds": 1.0, "taken": [[-1, 1]]},
        {"seconds": 1.0, "taken": [[0, 0.5]]},
    ],
)
def test_a_snapshot_of_another_is_refused(data: dict[str, Any]) -> None:
    """What no such window can have said."""
    with pytest.raises(ValueError):  # noqa: PT011  (each says something else)
        FixedWindow(10.0, 2, 0.0).restore(data, 0.0)


@pytest.mark.parametrize("forget", ["clear", "after_fork"])
def test_places_of_before_mean_nothing(forget: str) -> None:
    """After a new beginning, and in a child, nobody gives back what is not of now."""
    window = FixedWindow(1.0, 2, 0.0)
    places = [window.reserve(0.0) for _ in range(6)]
    if forget == "clear":
        window.clear(0.0, 0)
    else:
        window.after_fork(0.0)
    for place in places:
        window.withdraw(place, 0.0)
    assert [window.tokens(now) for now in (0.0, 1.0, 2.0)] == [0, 2, 2]
    for place in places:
        window.withdraw(place, 2.0)
    assert window.tokens(2.0) == 2


def test_nobody_takes_while_somebody_is_alone_with_it() -> None:
    """Twice is possible, because a finaliser may run in between."""
    window = FixedWindow(1.0, 3, 0.0)
    window.alone()
    window.alone()
    window.done()
    assert window.take(0.0) is None
    window.done()
    assert window.take(0.0) is not None


def test_a_queue_of_many_windows_is_not_searched_anew() -> None:
    """The first window with room is remembered for each reserve, and found again after a refund."""
    window = FixedWindow(1.0, 1, 0.0)
    places = [window.reserve(0.0) for _ in range(20_000)]
    assert places[-1].start == 19_999
    window.withdraw(places[500], 0.0)
    assert window.reserve(0.0).start == 500
    assert window.reserve(0.0).start == 20_000

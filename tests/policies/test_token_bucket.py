"""The token bucket: never more than burst + rate * t calls in a time t, whatever is given back."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilient.policies.token_bucket import Place, TokenBucket, until

calm = settings(deadline=None, derandomize=True, database=None, max_examples=300)


def most_at_once(starts: list[float], step: float) -> float:
    """The burst that a bucket would need for these starts: the law says it is at most its own.

    Calls i to j are in a time of ``starts[j] - starts[i]``, closed at both ends.
    """
    lowest, most = math.inf, 0.0
    for number, start in enumerate(sorted(starts)):
        lowest = min(lowest, number - start / step)
        most = max(most, number - start / step - lowest + 1)
    return most


def test_the_measure_of_the_law_measures() -> None:
    """Evenly spaced calls need a burst of 1, n at one instant n, two half a step apart 1.5."""
    assert most_at_once([0, 1, 2, 3], 1) == 1
    assert most_at_once([5, 5, 5], 1) == 3
    assert most_at_once([0, 0.5], 1) == 1.5


# Waits


# The virtual scheduling algorithm, ITU-T I.371 annex A, with increment T = step and limit
# tau = (burst - 1) * T, by hand: TAT begins at the first arrival; a call that arrives at t conforms
# if t >= TAT - tau, and then TAT = max(t, TAT) + T. The wait of others is TAT - tau - t, and they
# are made to wait, so that they too move TAT.
@pytest.mark.parametrize(
    ("step", "burst", "arrivals", "waits"),
    [
        (10, 1, [0, 10, 20], [0, 0, 0]),
        (10, 1, [0, 5, 20], [0, 5, 0]),
        (10, 1, [0, 0, 0, 0], [0, 10, 20, 30]),
        (10, 2, [0, 0, 0, 0], [0, 0, 10, 20]),
        (10, 2, [0, 5, 5, 25], [0, 0, 5, 0]),
        (10, 3, [0, 1, 2, 3, 4], [0, 0, 0, 7, 16]),
        (0.25, 4, [0, 0, 0, 0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 0.25, 0, 0, 0, 0.25]),
        (2, 1, [0, 1000, 1000], [0, 0, 2]),  # quiet for long: full, and no fuller
        (86400, 1, [0, 1, 86400], [0, 86399, 86400]),
    ],
)
def test_waits(step: float, burst: int, arrivals: list[float], waits: list[float]) -> None:
    """Each call waits as long as the algorithm says, and no longer."""
    bucket = TokenBucket(step, burst, 0.0)
    found = []
    for now in arrivals:
        found.append(bucket.wait(now))
        place = bucket.reserve(now)
        assert max(place.start, now) - now == found[-1]
    assert found == waits


@calm
@given(
    st.integers(1, 6),
    st.sampled_from([0.25, 1.0, 4.0]),
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 12), st.booleans())),
)
def test_as_a_naive_bucket(burst: int, step: float, arrivals: list[tuple[int, int, bool]]) -> None:
    """The same waits as those of exact arithmetic on what is in the bucket, when nobody leaves.

    Times are eighths of a second, so that floats are exact too.
    """
    bucket = TokenBucket(step, burst, 0.0)
    tokens, then = Fraction(burst), Fraction(0)
    for eighths, patience, quickly in arrivals:
        now = then + Fraction(eighths, 8)
        tokens = min(Fraction(burst), tokens + (now - then) / Fraction(step))
        then = now
        wait = max(Fraction(0), (1 - tokens) * Fraction(step))
        if quickly and bucket.take(float(now)) is not None:
            assert wait == 0
        else:
            assert bucket.wait(float(now)) == wait
            if wait > patience:
                continue
            bucket.reserve(float(now))
        tokens -= 1
        assert bucket.tokens(float(now)) == tokens


# What is left for the more critical


@pytest.mark.parametrize(
    ("burst", "held", "admitted", "wait"),
    [(10, 0, 10, 1), (10, 2, 8, 1), (10, 5, 5, 1), (1, 0, 1, 1), (2, 1, 1, 1), (3, 1, 2, 1)],
)
def test_some_is_left_for_others(burst: int, held: int, admitted: int, wait: float) -> None:
    """Calls that must leave `held` tokens get the others; those that need not get the rest."""
    bucket = TokenBucket(1.0, burst, 0.0)
    assert len(list(iter(lambda: bucket.take(0.0, held), None))) == admitted
    assert bucket.wait(0.0, held) == wait
    assert len(list(iter(lambda: bucket.take(0.0), None))) == held
    assert bucket.wait(0.0, held) == held + 1  # one, and those that are left


def test_who_leaves_some_waits_longer_and_overtakes_nobody() -> None:
    """The others' appointments are as if it had an ordinary one; its own is later."""
    bucket = TokenBucket(1.0, 4, 0.0)
    for _ in range(4):
        bucket.take(0.0)
    assert [bucket.reserve(0.0, held).start for held in (0, 2, 0, 0, 2)] == [1, 4, 3, 4, 7]


# Giving back


@pytest.mark.parametrize("burst", [1, 2, 5, 100])
def test_a_refund_at_once_gives_one_token_back(burst: int) -> None:
    """As often as one likes; a bucket that was empty has one, and one that was full is full."""
    bucket = TokenBucket(0.1, burst, 7.3)
    marks = [bucket.take(7.3) for _ in range(burst)]
    assert bucket.take(7.3) is None
    for mark in marks:
        assert mark is not None
        bucket.refund(mark, 7.3)
    assert bucket.tokens(7.3) == pytest.approx(burst)
    for _ in range(1000):
        mark = bucket.take(7.3)
        assert mark is not None
        bucket.refund(mark, 7.3)
    assert len(list(iter(lambda: bucket.take(7.3), None))) == burst


@pytest.mark.parametrize(
    ("burst", "takes", "late", "before", "after"),
    [
        (1, 1, 0.0, 0.0, 1.0),
        (1, 1, 0.4, 0.4, 1.0),  # it would be full: 0.4 came back by itself
        (1, 1, 1.0, 1.0, 1.0),
        (5, 1, 0.5, 4.5, 5.0),
        (5, 5, 3.0, 3.0, 3.0),  # the first of five: worth nothing once it may have been full
        (9, 1, 50.0, 9.0, 9.0),
    ],
)
def test_a_refund_never_overfills(
    burst: int, takes: int, late: float, before: float, after: float
) -> None:
    """What would have overflowed if the call had never been admitted is not given back."""
    bucket = TokenBucket(1.0, burst, 0.0)
    marks = [bucket.take(0.0) for _ in range(takes)]
    assert marks[0] is not None
    assert bucket.tokens(late) == before
    bucket.refund(marks[0], late)
    assert bucket.tokens(late) == pytest.approx(after)


def test_a_refund_is_not_a_token_for_later() -> None:
    """Two in hand, one used at 0, 0.5 and 1: without the first there would be half a one at 1."""
    bucket = TokenBucket(1.0, 2, 0.0)
    first = bucket.take(0.0)
    assert first is not None
    assert None not in (bucket.take(0.5), bucket.take(1.0))
    bucket.refund(first, 1.0)
    assert bucket.take(1.0) is None


def queue(bucket: TokenBucket, number: int, now: float = 0.0) -> list[Place]:
    """So many places in order."""
    return [bucket.reserve(now) for _ in range(number)]


@pytest.mark.parametrize("burst", [1, 3])
@pytest.mark.parametrize("leaver", [0, 1, 2, 3, 4])
def test_who_leaves_the_queue_leaves_one_place(burst: int, leaver: int) -> None:
    """The next who comes gets it, at the time it was for; everybody else keeps theirs."""
    bucket = TokenBucket(1.0, burst, 0.0)
    queue(bucket, burst)
    places = queue(bucket, 5)
    assert [place.start for place in places] == [1, 2, 3, 4, 5]
    bucket.withdraw(places[leaver], 0.5)
    assert bucket.reserve(0.5).start == places[leaver].start
    assert bucket.reserve(0.5).start == 6


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_when_all_leave_the_queue_is_gone(order: tuple[int, ...]) -> None:
    """In any order; and the next call waits for the very next token."""
    bucket = TokenBucket(1.0, 2, 0.0)
    queue(bucket, 2)
    places = queue(bucket, 4)
    for each in order:
        bucket.withdraw(places[each], 0.25)
    assert bucket.tokens(0.25) == 0.25
    assert bucket.reserve(0.25).start == 1
    assert bucket.tokens(10.0) == 2


@pytest.mark.parametrize(("burst", "found"), [(1, 0.5), (2, 1.5), (3, 1.5)])
def test_a_place_that_nobody_took_is_a_token_owed(burst: int, found: float) -> None:
    """It is put into the bucket after the last appointment, if there is room beside that."""
    bucket = TokenBucket(1.0, burst, 0.0)
    queue(bucket, burst)
    places = queue(bucket, 3)
    bucket.withdraw(places[1], 1.0)
    assert bucket.wait(2.5) == 1.5  # the appointment at 3 stands, so the next is at 4
    assert bucket.tokens(3.5) == found


def test_a_refund_while_others_wait_is_owed_too() -> None:
    """Nobody's appointment changes, and the token is there when they are over."""
    bucket = TokenBucket(1.0, 3, 0.0)
    *_, last = queue(bucket, 3)
    assert [place.start for place in queue(bucket, 2)] == [1, 2]
    bucket.refund(last.mark, 0.5)
    assert bucket.reserve(0.5).start == 3
    assert bucket.tokens(3.0) == 1


def test_what_is_owed_fits_beside_what_is_left_for_others() -> None:
    """Whoever leaves two of three finds three, so there is no room for a fourth that was owed."""
    bucket = TokenBucket(1.0, 3, 0.0)
    queue(bucket, 3)
    first, *_ = queue(bucket, 4)
    bucket.withdraw(first, 0.5)
    assert bucket.reserve(1.5, 2).start == 7
    assert bucket.tokens(7.0) == 2


@pytest.mark.parametrize("now", [1.0, 1.5, 90.0])
def test_a_place_may_be_given_up_at_its_time_or_later(now: float) -> None:
    """Like a call that was admitted and never began."""
    bucket = TokenBucket(1.0, 1, 0.0)
    queue(bucket, 1)
    (place,) = queue(bucket, 1)
    bucket.withdraw(place, now)
    assert bucket.tokens(now) == 1


# The law


class Started(NamedTuple):
    """A call that was admitted: when it starts, and what its refund needs."""

    start: float
    mark: float


ACTIONS = st.one_of(
    st.tuples(st.just("time"), st.sampled_from([0.1, 0.25, 0.5, 1.0, 1.7, 4.0])),
    st.tuples(st.just("quick"), st.sampled_from([0.0, 0.2, 0.5, 0.9])),
    st.tuples(st.just("patient"), st.sampled_from([0.0, 0.2, 0.5, 0.9])),
    st.tuples(st.just("leave"), st.floats(0, 0.999)),
    st.tuples(st.just("refund"), st.floats(0, 0.999)),
)


class Life:
    """A bucket, those who wait, and the calls that were not given back."""

    def __init__(self, burst: int, step: float) -> None:
        self.bucket, self.burst, self.step, self.now = (
            TokenBucket(step, burst, 0.0),
            burst,
            step,
            0.0,
        )
        self.waiting: list[Place] = []
        self.started: list[Started] = []

    def act(self, kind: str, value: float) -> None:
        """One action, and the law after it."""
        getattr(self, kind)(value)
        starts = [place.start for place in self.waiting] + [call.start for call in self.started]
        assert most_at_once(starts, self.step) <= self.burst + 1e-6
        assert self.bucket.tokens(self.now) <= self.burst

    def time(self, value: float) -> None:
        """Steps pass; who has waited starts."""
        self.now += value * self.step
        for place in [place for place in self.waiting if place.start <= self.now]:
            self.waiting.remove(place)
            self.started.append(Started(place.start, place.mark))

    def quick(self, value: float) -> None:
        """Take a token that is there."""
        mark = self.bucket.take(self.now, int(value * self.burst))
        if mark is not None:
            self.started.append(Started(self.now, mark))

    def patient(self, value: float) -> None:
        """Take a token of now or later."""
        wait = self.bucket.wait(self.now, int(value * self.burst))
        place = self.bucket.reserve(self.now, int(value * self.burst))
        assert until(place.start, self.now) == wait
        if wait:
            self.waiting.append(place)
        else:
            self.started.append(Started(self.now, place.mark))

    def leave(self, value: float) -> None:
        """Somebody stops waiting."""
        if self.waiting:
            self.bucket.withdraw(self.waiting.pop(int(value * len(self.waiting))), self.now)

    def refund(self, value: float) -> None:
        """Some call was rejected further in."""
        if self.started:
            self.bucket.refund(self.started.pop(int(value * len(self.started))).mark, self.now)


@settings(calm, max_examples=500)
@given(
    st.sampled_from([1, 2, 3, 5, 10]),
    st.sampled_from([1.0, 0.1, 1 / 3]),
    st.lists(ACTIONS, max_size=80),
)
def test_the_law(burst: int, step: float, actions: list[tuple[str, float]]) -> None:
    """In any time of length t at most burst + t / step calls start that are not given back."""
    life = Life(burst, step)
    for kind, value in actions:
        life.act(kind, value)
    life.time(1000)
    assert life.bucket.tokens(life.now) == burst  # nothing is lost for good


# Time


def test_nothing_adds_up() -> None:
    """After a million calls, and as many refunds, the next is due when it is due."""
    start, step, number = 1e6, 0.1, 1_000_000  # twelve days after the clock began
    bucket = TokenBucket(step, number, start)
    for _ in range(number):
        mark = bucket.take(start)
    assert mark is not None
    assert bucket.wait(start) == pytest.approx(step, abs=math.ulp(start))
    for _ in range(100_000):
        bucket.refund(mark, start)
        mark = bucket.take(start)
        assert mark is not None
    assert bucket.wait(start) == pytest.approx(step, abs=math.ulp(start))


def test_time_may_stand_still_or_leap() -> None:
    """A burst and no more at one instant, and after a hundred years."""
    for now in (0.0, 3e9, 3e9):
        bucket = TokenBucket(1e-6, 1000, 0.0)
        assert len(list(iter(lambda: bucket.take(now), None))) == 1000  # noqa: B023
        assert bucket.wait(now) == pytest.approx(1e-6, abs=math.ulp(now))


def test_an_instant_before_the_last_one_is_harmless() -> None:
    """Threads read the clock before they have their turn, so an older reading may come later."""
    bucket = TokenBucket(1.0, 1, 0.0)
    assert bucket.take(5.0) is not None
    assert bucket.take(4.0) is None
    assert bucket.wait(4.0) == 2


@calm
@given(st.floats(0, 1e9), st.floats(1e-9, 1e6))
def test_a_wait_is_never_short(now: float, wait: float) -> None:
    """Whoever comes back exactly then is admitted: rounding is upwards, and by a hair."""
    start = now + wait
    found = until(start, now)
    assert now + found >= start
    assert found == pytest.approx(start - now, abs=math.ulp(start))


# Around it


def test_a_snapshot_has_no_instants() -> None:
    """What is in it is in the other one, on another clock; debts to those who wait too."""
    bucket = TokenBucket(0.5, 4, 100.0)
    queue(bucket, 6, 100.0)
    saved = bucket.snapshot(100.25)
    assert saved == {"tokens": -1.5}
    other = TokenBucket(0.5, 4, 7.0)
    other.restore(saved, 7.0)
    assert (other.wait(7.0), bucket.wait(100.25)) == (1.25, 1.25)


@pytest.mark.parametrize("tokens", [4.5, math.inf, math.nan, -math.inf])
def test_a_snapshot_of_another_is_refused(tokens: float) -> None:
    """More than it holds, and what is no number."""
    with pytest.raises(ValueError, match="tokens"):
        TokenBucket(0.5, 4, 0.0).restore({"tokens": tokens}, 0.0)


def test_a_cleared_bucket_takes_nothing_back() -> None:
    """Places of before mean nothing now, waited for or used."""
    bucket = TokenBucket(1.0, 2, 0.0)
    places = queue(bucket, 4)
    bucket.clear(0.0, 0)
    for place in places:
        bucket.withdraw(place, 0.0)
        bucket.refund(place.mark, 0.0)
    assert bucket.tokens(0.0) == 0
    assert bucket.reserve(0.0).start == 1


def test_a_fork_forgets_who_waits() -> None:
    """Those are the parent's; what was used up is used up."""
    bucket = TokenBucket(1.0, 3, 0.0)
    queue(bucket, 10)
    bucket.alone()
    bucket.after_fork(0.0)
    assert bucket.tokens(0.0) == 0
    assert bucket.take(1.0) is not None


def test_nobody_takes_while_somebody_is_alone_with_it() -> None:
    """Twice is possible, because a finaliser may run in between."""
    bucket = TokenBucket(1.0, 3, 0.0)
    bucket.alone()
    bucket.alone()
    bucket.done()
    assert bucket.take(0.0) is None
    bucket.done()
    assert bucket.take(0.0) is not None

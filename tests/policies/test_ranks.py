"""The queue by rank, against a list that is searched from end to end."""

from __future__ import annotations

from typing import Literal, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilient import Criticality
from resilient.core.importance import rank
from resilient.policies.ranks import RankedQueue

LEVELS = list(Criticality)
Orders = Literal["fifo", "lifo"]


class Member(NamedTuple):
    """Who waits: a number of arrival, and how much the call matters."""

    number: int
    level: Criticality


class Naive:
    """The rules, written down as they are said, without a thought for speed."""

    def __init__(self, most: int, order: Orders) -> None:
        self.most = most
        self.lifo = order == "lifo"
        self.members: list[Member] = []

    def turns(self) -> list[Member]:
        """Everybody in the order in which they would be served, if nobody else came."""
        return sorted(
            self.members,
            key=lambda each: (rank(each.level), -each.number if self.lifo else each.number),
        )

    def full_for(self, level: Criticality) -> bool:
        """No place, and nobody who matters less."""
        less = [each for each in self.members if rank(each.level) > rank(level)]
        return len(self.members) >= self.most and not less

    def add(self, member: Member) -> Member | None:
        """Who would have been served last gives way in a full queue."""
        victim = self.turns()[-1] if len(self.members) >= self.most else None
        if victim is not None:
            self.members.remove(victim)
        self.members.append(member)
        return victim

    def next(self) -> Member | None:
        """Whoever is first in turn."""
        if not self.members:
            return None
        first = self.turns()[0]
        self.members.remove(first)
        return first


steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.sampled_from(LEVELS)),
        st.tuples(st.just("add"), st.sampled_from(LEVELS)),
        st.tuples(st.just("next"), st.none()),
        st.tuples(st.just("discard"), st.integers(0, 40)),
    ),
    max_size=60,
)


def taken(queue: RankedQueue[Member]) -> Member | None:
    """Who is next, `None` for nobody."""
    try:
        return queue.next()
    except IndexError:
        return None


@given(most=st.integers(0, 6), order=st.sampled_from(["fifo", "lifo"]), script=steps)
@settings(max_examples=300, deadline=None, derandomize=True, database=None)
def test_it_agrees_with_a_list_that_is_searched(
    most: int, order: Orders, script: list[tuple[str, Criticality | int | None]]
) -> None:
    """Arrivals of any level, turns, and departures from anywhere: the same member every time."""
    queue: RankedQueue[Member] = RankedQueue(most, order)
    model = Naive(most, order)
    known: list[Member] = []
    for what, which in script:
        if isinstance(which, Criticality):
            member = Member(len(known), which)
            known.append(member)
            assert queue.full_for(which) == model.full_for(which)
            if not model.full_for(which):
                assert queue.add(member, which) == model.add(member)
        elif what == "next":
            assert taken(queue) == model.next()
        elif isinstance(which, int) and which < len(known):
            queue.discard(known[which])  # who left long ago, or never came in, changes nothing
            model.members = [each for each in model.members if each != known[which]]
        assert len(queue) == len(model.members) <= most
        assert [queue.full_for(level) for level in LEVELS] == list(map(model.full_for, LEVELS))
    assert [taken(queue) for _ in range(len(queue) + 1)] == [*model.turns(), None]


# Letters are levels (c, h, m, l), in the order of arrival; then who is served, of so many places.
CASES: list[tuple[Orders, int, str, str]] = [
    ("fifo", 4, "lmhc", "chml"),
    ("lifo", 4, "lmhc", "chml"),
    ("fifo", 4, "hhll", "0123"),
    ("lifo", 4, "hhll", "1032"),
    ("fifo", 2, "llh", "20"),  # the low who came last gives way
    ("lifo", 2, "llh", "21"),  # the low who came first would have waited longest yet
    ("fifo", 2, "hhc", "20"),
    ("fifo", 2, "hhl", "01"),  # nobody matters less: the newcomer finds it full
    ("fifo", 1, "lmhc", "3"),
    ("fifo", 1, "chml", "0"),
]


@pytest.mark.parametrize(("order", "most", "came", "served"), CASES)
def test_who_is_served(order: Orders, most: int, came: str, served: str) -> None:
    """The rules of the queue in ten lines: letters are levels, figures the number of arrival."""
    levels = dict(zip("chml", LEVELS, strict=True))
    queue: RankedQueue[int] = RankedQueue(most, order)
    for number, letter in enumerate(came):
        if not queue.full_for(levels[letter]):
            queue.add(number, levels[letter])
    turns = [queue.next() for _ in range(len(queue))]
    said = turns if served.isdigit() else [came[number] for number in turns]
    assert "".join(map(str, said)) == served
    with pytest.raises(IndexError):
        queue.next()


def test_a_queue_that_never_was_full_knows_its_leader() -> None:
    """`leading` is the level whose turn it is, without taking anybody out."""
    queue: RankedQueue[str] = RankedQueue(9, "fifo")
    assert queue.leading is None
    for level in reversed(LEVELS):
        queue.add(level.name, level)
        assert queue.leading is level
    for level in LEVELS:
        assert queue.leading is level
        assert queue.next() == level.name
    assert queue.leading is None

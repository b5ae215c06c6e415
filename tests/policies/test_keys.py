"""One thing per key: bounded, expiring, and the ones in use stay."""

from __future__ import annotations

import random
import sys
import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilient.policies.keys import KeyedStore
from resilient.testing import ManualClock


class Thing:
    """What is kept; `uses` grows when it is used."""

    def __init__(self, key: object) -> None:
        self.key = key
        self.uses = 0


def store(most: int = 3, ttl: float = 10.0) -> tuple[Any, ManualClock]:
    """A store of things, and its clock."""
    clock = ManualClock()
    return KeyedStore(Thing, lambda thing: thing.uses, most=most, ttl=ttl, clock=clock), clock


@settings(deadline=None, derandomize=True, database=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=80), st.integers(1, 5))
def test_never_more_than_the_limit(script: list[tuple[int, bool]], most: int) -> None:
    """Whatever is asked for in whatever order; and what is asked for is there."""
    kept, clock = store(most=most)
    for key, use in script:
        thing = kept.get(key)
        assert thing.key == key
        assert kept.get(key) is thing
        thing.uses += use
        clock.advance(1)
        assert len(kept.values) <= most
        assert len(kept._line) <= most + 1


def test_what_is_used_stays() -> None:
    """When room is needed, the key that was not used since leaves."""
    kept, _ = store()
    first = kept.get("a")
    kept.get("b")
    kept.get("c")
    first.uses += 2  # the use that made it, and another
    kept.get("d")
    assert kept.get("a") is first
    assert "b" not in kept.values


def test_everybody_in_use_gives_way_to_a_new_key() -> None:
    """A store full of used keys still takes another one, and ends the search for room."""
    kept, _ = store()
    for key in "abc":
        kept.get(key).uses += 1
    for key in "defghi":
        kept.get(key).uses += 1
        assert len(kept.values) <= 3


def test_the_unused_expire() -> None:
    """Keys that nobody asked for leave by themselves as others come, even with room to spare."""
    kept, clock = store(most=100)
    for key in range(10):
        kept.get(key)
    clock.advance(10)
    for key in range(100, 110):
        kept.get(key)
    assert not {*range(10)} & kept.values.keys()


def test_the_used_do_not_expire() -> None:
    """Age alone is no reason to forget what is in use."""
    kept, clock = store(most=100)
    busy = kept.get("busy")
    for turn in range(20):
        clock.advance(6)
        busy.uses += 1
        kept.get(turn)
        assert kept.get("busy") is busy


def test_an_empty_store_of_one() -> None:
    """The smallest store works."""
    kept, _ = store(most=1)
    for key in "abcabc":
        assert kept.get(key).key == key
        assert len(kept.values) == 1


def test_a_storm_of_threads_leaves_nobody_out_of_line() -> None:
    """Whoever is kept can be found again when room is needed."""
    kept, clock = store(most=10)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def work(seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311  (a script, not a secret)
        for _ in range(1000):
            kept.get(chance.randrange(20)).uses += chance.random() < 0.5
            clock.advance(0.01)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert kept.values.keys() <= kept._line.keys()
    kept.get("one more")
    assert len(kept.values) <= 10


def test_a_key_that_cannot_be_hashed() -> None:
    """Is the caller's error."""
    kept, _ = store()
    with pytest.raises(TypeError):
        kept.get([])
    assert not kept.values

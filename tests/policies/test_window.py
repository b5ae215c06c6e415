"""Windows hold exactly the outcomes they promise, and no more memory for a million than for ten."""

from __future__ import annotations

import gc
import math
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilient import ConfigError, calls
from resilient.policies.window import CountWindow, TimeWindow

outcomes = st.lists(
    st.tuples(st.sampled_from([0.0, 0.25, 1.0, 3.5, 12.0]), st.booleans(), st.booleans()),
    max_size=60,
)


def told(window: Any, now: float) -> tuple[int, int, int]:
    """Calls, failures, slow calls."""
    counts = window.counts(now)
    return counts.calls, counts.failures, counts.slow


@settings(deadline=None, derandomize=True, database=None)
@given(outcomes, st.integers(1, 12))
def test_a_count_window_is_a_list_of_the_last(
    script: list[tuple[float, bool, bool]], size: int
) -> None:
    """Of any sequence it holds the last `size`."""
    window = CountWindow(size)
    for index, (_, failed, slow) in enumerate(script):
        window.add(0.0, failed=failed, slow=slow)
        last = script[: index + 1][-size:]
        expected = len(last), sum(each[1] for each in last), sum(each[2] for each in last)
        assert told(window, 0.0) == expected
    assert window.recorded == len(script)


@settings(deadline=None, derandomize=True, database=None)
@given(outcomes, st.sampled_from([1.0, 10.0, 30.0]), st.sampled_from([0.0, 0.5, 1234.5]))
def test_a_time_window_is_a_list_of_buckets(
    script: list[tuple[float, bool, bool]], seconds: float, start: float
) -> None:
    """Of any sequence it holds the current bucket and the nine before it."""
    window = TimeWindow(seconds, start)
    width = seconds / 10
    now = start
    seen: list[tuple[int, bool, bool]] = []
    for wait, failed, slow in script:
        now += wait
        window.add(now, failed=failed, slow=slow)
        seen.append((math.floor(now / width), failed, slow))
        held = [each for each in seen if each[0] > math.floor(now / width) - 10]
        expected = len(held), sum(each[1] for each in held), sum(each[2] for each in held)
        assert told(window, now) == expected
    assert window.recorded == len(script)


@pytest.mark.parametrize(
    ("at", "calls_left"),
    [(0.0, 2), (8.99, 2), (9.0, 2), (9.99, 2), (10.0, 1), (10.99, 1), (11.0, 0), (1e6, 0)],
)
def test_an_expired_bucket_leaves_whole(at: float, calls_left: int) -> None:
    """Outcomes at 0.0 and 1.9 of a 10 s window leave at 10 and at 11, when their buckets end."""
    window = TimeWindow(10.0, 0.0)
    window.add(0.0, failed=True, slow=False)
    window.add(1.9, failed=True, slow=True)
    assert told(window, at)[:2] == (calls_left, calls_left)


def test_time_that_stands_or_goes_back_loses_nothing() -> None:
    """An outcome that ended before the bucket began counts in the bucket."""
    window = TimeWindow(10.0, 100.0)
    window.add(105.0, failed=False, slow=False)
    window.add(101.0, failed=True, slow=False)
    assert told(window, 105.0) == (2, 1, 0)


def test_copies_are_independent() -> None:
    """The same counts under a new identity."""
    for window in (CountWindow(5), TimeWindow(10.0, 0.0)):
        window.add(0.0, failed=True, slow=False)
        window.add(2.0, failed=False, slow=False)
        twin = window.copy()
        assert told(twin, 2.0) == told(window, 2.0) == (2, 1, 0)
        twin.add(3.0, failed=True, slow=True)
        assert told(window, 3.0) == (2, 1, 0)
        assert told(twin, 3.0) == (3, 2, 1)


@pytest.mark.parametrize("kind", ["count", "time"])
def test_memory_is_bounded(kind: str) -> None:
    """A hundred thousand failures cost as much as a thousand."""

    def used(number: int) -> int:
        gc.collect()
        tracemalloc.start()
        window = CountWindow(100) if kind == "count" else TimeWindow(10.0, 0.0)
        for index in range(number):
            window.add(index / 100, failed=True, slow=index % 2 == 0)
        held = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        return held

    assert used(20_000) < used(1_000) + 2_000


@pytest.mark.parametrize("number", [0, -1, 1.5, True, "10", None])
def test_calls_takes_whole_numbers(number: Any) -> None:
    """Anything else is refused by name, when it is given."""
    with pytest.raises(ConfigError) as refused:
        calls(number)
    assert refused.value.setting == "calls"
    assert refused.value.value is number

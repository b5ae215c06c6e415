"""The law of a rate limit holds across changes of its settings."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from resilient.policies.fixed_window import FixedWindow
from resilient.policies.token_bucket import Place, TokenBucket

STEPS, BURSTS = (0.25, 0.5, 1.0, 3.0), (1, 2, 5, 9)
OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.sampled_from([0.0, 0.1, 0.5, 1.0, 4.0])),
        st.tuples(st.just("take"), st.integers(0, 2)),
        st.tuples(st.just("reserve"), st.integers(0, 2)),
        st.tuples(st.just("withdraw"), st.integers(0, 5)),
        st.tuples(st.just("change"), st.tuples(st.sampled_from(STEPS), st.sampled_from(BURSTS))),
    ),
    max_size=60,
)


def starts_of(bucket: TokenBucket | FixedWindow, operations: list[tuple[str, Any]]) -> list[float]:
    """When calls started; what is withdrawn before its time never does."""
    now = 0.0
    starts: list[float] = []
    places: list[Place] = []
    for kind, value in operations:
        if kind == "wait" and isinstance(value, float):
            now += value
        elif kind == "change" and isinstance(value, tuple):
            step, burst = value
            bucket.change(step, burst, now)
        elif kind == "take" and isinstance(value, int):
            if bucket.take(now, min(value, bucket.burst - 1)) is not None:
                starts.append(now)
        elif kind == "reserve" and isinstance(value, int):
            places.append(bucket.reserve(now, min(value, bucket.burst - 1)))
        elif isinstance(value, int) and value < len(places) and places[value].start > now:
            bucket.withdraw(places.pop(value), now)
    return sorted([*starts, *(place.start for place in places)])


@given(OPERATIONS)
def test_no_more_than_the_fastest_settings_admit(operations: list[tuple[str, Any]]) -> None:
    """In any time of length t at most the largest burst and t / the shortest step calls start."""
    starts = starts_of(TokenBucket(1.0, 5, 0.0), operations)
    for first, begin in enumerate(starts):
        for last in range(first, len(starts)):
            most = max(BURSTS) + (starts[last] - begin) / min(STEPS)
            assert last - first + 1 <= most + 1e-6


@given(OPERATIONS)
def test_tokens_are_kept_as_far_as_they_fit(operations: list[tuple[str, Any]]) -> None:
    """A change makes no token, and takes none that there is room for."""
    bucket = TokenBucket(1.0, 5, 0.0)
    starts_of(bucket, operations)
    for step, burst in ((0.5, 3), (2.0, 7), (1.0, 1)):
        before = bucket.tokens(1000.0)
        bucket.change(step, burst, 1000.0)
        assert abs(bucket.tokens(1000.0) - min(before, burst)) < 1e-6


@given(OPERATIONS)
def test_a_window_holds_no_more_than_its_rate(operations: list[tuple[str, Any]]) -> None:
    """After the last change, in each of its windows; what waited from before may come on top."""
    changes = [number for number, (kind, _) in enumerate(operations) if kind == "change"]
    bucket = FixedWindow(1.0, 5, 0.0)
    first = changes[-1] + 1 if changes else 0
    starts_of(bucket, operations[:first])
    now = sum(value for kind, value in operations[:first] if isinstance(value, float))
    taken = 0
    for _ in range(40):
        if bucket.take(now) is None:
            break
        taken += 1
    assert taken <= bucket.burst
    assert bucket.wait(now) > 0

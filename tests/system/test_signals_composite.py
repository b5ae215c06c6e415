"""Laws of composites: what is weighed, what stands in for what is missing, and when it clears."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilient import (
    ConfigError,
    SignalChanged,
    SignalLevel,
    SignalPart,
    SystemOperationMode,
    subscribe,
)
from resilient.system.signals.weighing import weigh
from resilient.testing import ManualClock

# The weights and scales of "Success and Failure States". A backlog that falls by one in each block
# time of 15 s is clear after pending * block time.
CONGESTION = {
    "pending": SignalPart(1000, 0.4, drain=1 / 15),
    "fee": SignalPart(100, 0.4),
    "block_time": SignalPart(15, 0.2),
}


@pytest.fixture
def clock() -> ManualClock:
    """A clock of this test's own."""
    return ManualClock(1000)


@pytest.fixture
def mode(clock: ManualClock) -> SystemOperationMode:
    """A mode on that clock."""
    return SystemOperationMode(clock=clock)


# Score = pending / 1000 * 0.4 + fee / 100 * 0.4 + block_time / 15 * 0.2, congested above 0.8.
CASES = [
    (0, 0, 0, 0.0, False, 0),
    (1000, 100, 0, 0.8, False, 15_000),
    (1000, 100, 15, 1.0, True, 15_000),
    (900, 90, 15, 0.92, True, 13_500),
    (500, 50, 15, 0.6, False, 7_500),
    (100, 20, 60, 0.92, True, 1_500),
    (5000, 0, 0, 2.0, True, 75_000),
]


@pytest.mark.parametrize(("pending", "fee", "block_time", "score", "congested", "clear"), CASES)
def test_the_score_of_the_source(  # noqa: PLR0913  (a table)
    mode: SystemOperationMode,
    pending: float,
    fee: float,
    block_time: float,
    score: float,
    congested: bool,  # noqa: FBT001
    clear: float,
) -> None:
    """Weights, scales, limit and clearing time of "Success and Failure States"."""
    signal = mode.composite("congestion", CONGESTION, strategy="batch")
    signal.set(pending=pending, fee=fee, block_time=block_time)
    mode.evaluate()
    said = signal.reading
    assert said.value == pytest.approx(score)
    assert (signal.congested, said.action) == (congested, "batch" if congested else "")
    assert signal.clears_in == pytest.approx(clear)
    assert said.limit == 0.8
    assert (said.level is SignalLevel.CLEAR) is not congested


@settings(deadline=None)
@given(st.floats(0, 3), st.floats(0, 3))
def test_more_is_never_healthier(one: float, two: float) -> None:
    """Health is 1 up to the limit, 0 from `full` on, and falls in between."""
    mode = SystemOperationMode(clock=ManualClock())
    signal = mode.composite("load", {"depth": SignalPart(1.0)})
    found = []
    for value in sorted((one, two)):
        signal.set(depth=value)
        mode.evaluate()
        health = signal.reading.health
        assert health is not None
        assert 0 <= health <= 1
        assert (health == 1) is (value <= 0.8) or math.isclose(value, 0.8)
        assert (health == 0) is (value >= 1)
        found.append(health)
    assert found[0] >= found[1]


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from("abcdef"), st.tuples(st.floats(0.1, 9), st.floats(0, 1e3))),
    st.floats(0.1, 10),
)
def test_only_the_ratio_of_weights_counts(
    given_parts: dict[str, tuple[float, float]], factor: float
) -> None:
    """The score is a mean: within its shares, and the same if all weights are multiplied."""
    parts = {name: SignalPart(100, weight) for name, (weight, _) in given_parts.items()}
    more = {name: SignalPart(100, weight * factor) for name, (weight, _) in given_parts.items()}
    values = {name: value for name, (_, value) in given_parts.items()}
    score, other = weigh(parts, values).score, weigh(more, values).score
    if not parts:
        assert score is None
        return
    shares = [value / 100 for value in values.values()]
    assert score is not None
    assert min(shares) - 1e-9 <= score <= max(shares) + 1e-9
    assert other == pytest.approx(score)


def test_the_others_stand_in_for_what_is_missing(
    mode: SystemOperationMode, clock: ManualClock
) -> None:
    """0.4 and 0.2 become 2/3 and 1/3, and the detail says what is missing."""
    signal = mode.composite("congestion", CONGESTION)
    signal.set(pending=900, fee=90, block_time=15)
    clock.advance(60)
    signal.set(pending=600, block_time=30)
    clock.advance(31)
    mode.evaluate()
    assert signal.reading.value == pytest.approx((0.4 * 0.6 + 0.2 * 2) / 0.6)
    assert signal.reading.detail.endswith("from pending, block_time (without fee); empty in 9000 s")
    clock.advance(60)
    mode.evaluate()
    assert (signal.reading.health, signal.reading.detail) == (None, "no part is known")
    assert not signal.congested


def test_parts_are_read_in_the_background(mode: SystemOperationMode, clock: ManualClock) -> None:
    """One that raises or is no figure is left out with a reason; without any it is BLIND."""
    state: dict[str, Any] = {"pending": 900, "fee": 90}

    def fee() -> Any:
        if state["fee"] is None:
            raise OSError("no node")
        return state["fee"]

    parts = {
        "pending": SignalPart(1000, 0.5, read=lambda: state["pending"]),
        "fee": SignalPart(100, 0.5, read=fee),
    }
    signal = mode.composite("congestion", parts)

    def tick(times: int = 1) -> None:
        for _ in range(times):
            clock.advance(1)
            mode.evaluate()
            assert mode.flush(5)

    tick(2)
    assert signal.reading.value == pytest.approx(0.9)
    state["fee"] = None
    tick(4)
    assert signal.reading.value == pytest.approx(0.9)
    assert "(without fee)" in signal.reading.detail
    assert any("DROPPED: reading fee of congestion raised OSError" in one for one in mode.reasons)
    assert not any(one.startswith("BLIND") for one in mode.reasons)
    state["pending"] = "many"
    tick(4)
    assert any(one.startswith("BLIND: congestion") for one in mode.reasons)
    state.update(pending=100, fee=10)
    tick(2)
    assert signal.reading.value == pytest.approx(0.1)
    assert mode.reasons == ()


def test_events_name_the_strategy(mode: SystemOperationMode, clock: ManualClock) -> None:
    """Congested at once; clear after it has been so for `hold` seconds, told once each."""
    seen: list[SignalChanged] = []
    told = subscribe(SignalChanged, seen.append)
    signal = mode.composite("load", {"depth": SignalPart(1.0)}, strategy="shed", hold=30)
    for second in range(120):
        clock.advance(1)
        signal.set(depth=0.82 if 10 <= second < 20 or (second % 2 and second < 40) else 0.78)
        mode.evaluate()
    assert mode.flush(5)
    told.cancel()
    assert [(one.old.name, one.new.name, one.action) for one in seen] == [
        ("CLEAR", "LOW", "shed"),
        ("LOW", "CLEAR", ""),
    ]


@pytest.mark.parametrize(
    ("parts", "more", "setting"),
    [
        ({}, {}, "parts"),
        ({"a": 5}, {}, "parts"),
        ({"a": SignalPart(0)}, {}, "scale"),
        ({"a": SignalPart(1, 0)}, {}, "weight"),
        ({"a": SignalPart(1, drain=0)}, {}, "drain"),
        ({"a": SignalPart(1, read=5)}, {}, "read"),  # type: ignore[arg-type]  # what is refused
        ({"a": SignalPart(1)}, {"limit": 0}, "limit"),
        ({"a": SignalPart(1)}, {"full": 0.8}, "full"),
        ({"a": SignalPart(1)}, {"every": 0}, "every"),
        ({"a": SignalPart(1)}, {"hold": -1}, "hold"),
        ({"a": SignalPart(1)}, {"weight": -1}, "weight"),
    ],
)
def test_bad_settings_are_named(
    mode: SystemOperationMode, parts: dict[str, Any], more: dict[str, Any], setting: str
) -> None:
    """At once, by `ConfigError`, and nothing is looked after then."""
    with pytest.raises(ConfigError) as caught:
        mode.composite("load", parts, **more)
    assert caught.value.setting == setting
    assert mode.signals == ()


def test_setting_what_is_no_part(mode: SystemOperationMode) -> None:
    """A part that is read, or that there is not, cannot be set; nothing else is set then."""
    parts = {"a": SignalPart(1.0), "b": SignalPart(1.0, read=lambda: 0.1), "self": SignalPart(1.0)}
    signal = mode.composite("load", parts)
    for values in ({"a": 0.5, "b": 0.5}, {"a": 0.5, "c": 0.5}):
        with pytest.raises(TypeError, match="has no part"):
            signal.set(**values)
    with pytest.raises(ValueError, match="no finite number"):
        signal.set(a=math.nan)
    also = {"self": 0.3}  # a name like any other
    signal.set(**also)
    mode.evaluate()
    assert "without a" in signal.reading.detail

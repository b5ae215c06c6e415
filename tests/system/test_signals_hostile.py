"""Laws of signals under interruption and bad figures: nobody waits, and nobody else is blinded."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from resilient import ConfigError, SignalPart, SystemOperationMode
from resilient.system.signals.trend import Trend
from resilient.testing import ManualClock
from tests.system.interrupting import ended, interrupted


@pytest.fixture
def clock() -> ManualClock:
    """A clock of this test's own."""
    return ManualClock(1000)


@pytest.fixture
def mode(clock: ManualClock) -> SystemOperationMode:
    """A mode on that clock."""
    return SystemOperationMode(clock=clock)


def test_a_mark_that_interrupts_a_mark_counts(
    mode: SystemOperationMode, clock: ManualClock
) -> None:
    """A signal handler or a finaliser may mark in the middle of a mark, at any line of it."""
    orders = mode.rate("orders", window=60, baseline=120)
    restarts = mode.threshold("worker", "> 5 per hour")

    def both() -> None:
        orders.mark()
        restarts.mark()

    both()
    clock.advance(3600)  # so that the next one has something to forget
    times = interrupted(both, both, where="signals")
    assert times > 10
    mode.evaluate()
    assert (orders.reading.value, restarts.reading.value) == (times + 1, times + 1)


def test_who_sets_may_be_interrupted_by_who_evaluates(mode: SystemOperationMode) -> None:
    """On the same thread or on another one, which has the mode's own lock: nobody waits."""
    busy = mode.composite("congestion", {"fee": SignalPart(100)})
    pool = mode.saturation("pool")
    orders = mode.rate("orders", window=60, baseline=120)

    def tell() -> None:
        busy.set(fee=10)
        pool.set(0.5)
        orders.mark()

    def evaluate() -> None:
        tell()
        mode.evaluate()
        assert ended(mode.evaluate)

    assert interrupted(tell, evaluate, where="signals") > 10
    mode.evaluate()
    assert (busy.reading.value, pool.reading.value) == (0.1, 0.5)


def test_a_part_that_is_set_meanwhile_is_kept(mode: SystemOperationMode) -> None:
    """Whoever sets another part between any two steps of the machine has set it."""
    for step in range(1, 120):
        busy = mode.composite("congestion", {"a": SignalPart(1), "b": SignalPart(1)})
        steps = iter(range(1, 1000))

        def once(busy: Any = busy, step: int = step, steps: Any = steps) -> None:
            if next(steps) == step:
                busy.set(b=0.5)

        if interrupted(partial(busy.set, a=0.5), once, where="signals", fine=True) < step:
            break  # there are no so many steps
        mode.evaluate()
        assert busy.reading.detail == "0.5, limit 0.8, from a, b", step


@pytest.mark.parametrize("n", ["1", None, 0.5, float("nan"), [1]])
def test_what_is_no_whole_number_is_not_marked(mode: SystemOperationMode, n: Any) -> None:
    """It is refused where it is said, and nothing of it stays behind."""
    for signal in (mode.rate("orders", baseline=120), mode.threshold("worker", "> 5 per hour")):
        with pytest.raises(TypeError):
            signal.mark(n)
        mode.evaluate()
        assert signal.reading.value == 0


@pytest.mark.parametrize("n", [-1, 2**53 + 1, 10**400], ids=["-1", "2**53", "10**400"])
def test_too_many_or_less_than_none_are_not_marked(mode: SystemOperationMode, n: int) -> None:
    """A count never falls below what has happened, and never beyond what a float can hold."""
    for signal in (mode.rate("orders", baseline=120), mode.threshold("worker", "> 5 per hour")):
        signal.mark(3)
        with pytest.raises(ValueError, match="allowed are 0 to 2"):
            signal.mark(n)
        mode.evaluate()
        assert signal.reading.value == 3


def test_an_empty_batch_is_nothing(mode: SystemOperationMode, clock: ManualClock) -> None:
    """``mark(len(batch))`` with an empty batch counts nothing, and is no sign of life."""
    heartbeat = mode.threshold("worker", "silent for 30 s")
    restarts = mode.threshold("worker", "> 5 per hour")
    clock.advance(30)
    heartbeat.mark(0)
    restarts.mark(0)
    mode.evaluate()
    assert (heartbeat.crossed, restarts.reading.value) == (True, 0)


def test_a_number_without_end_is_no_figure(mode: SystemOperationMode) -> None:
    """A whole number beyond all floats is refused like an infinity."""
    huge = 10**400
    with pytest.raises(ValueError, match="no finite number"):
        mode.threshold("disk", "> 90%").set(huge)
    with pytest.raises(ValueError, match="no finite number"):
        mode.saturation("pool").set(huge)
    with pytest.raises(ValueError, match="no finite number"):
        mode.composite("congestion", {"fee": SignalPart(1)}).set(fee=huge)
    with pytest.raises(ConfigError) as caught:
        mode.threshold("lag", above=huge)
    assert caught.value.setting == "above"


def test_what_cannot_be_judged_blinds_nobody_else(mode: SystemOperationMode) -> None:
    """Figures that add up to no number: the signal says nothing and why; all else goes on."""
    parts = {"one": SignalPart(1e-5), "two": SignalPart(1e-5)}
    busy = mode.composite("congestion", parts)
    disk = mode.threshold("disk", "> 90%")
    busy.set(one=1e308, two=-1e308)
    disk.set(0.95)
    mode.evaluate()
    assert disk.crossed
    assert busy.reading.health is None
    assert [text for text in mode.reasons if text.startswith("DROPPED: judging composite of con")]
    busy.set(one=0, two=0)
    mode.evaluate()
    assert busy.reading.health == 1
    assert not [text for text in mode.reasons if text.startswith("DROPPED")]


def test_a_horizon_below_the_grain_of_time() -> None:
    """At a million seconds a float cannot tell apart what is a billionth of a second old."""
    trend = Trend(1e-12)
    for second in range(10):
        trend.add(1e6 + second, 0.5)
    assert (len(trend), trend.line().level) == (1, 0.5)


@pytest.mark.parametrize(
    ("words", "setting", "allowed"),
    [
        ({"silent": 30, "per": "hour"}, "per", "nothing beside silent="),
        ({"silent": 30, "lasting": 5}, "lasting", "nothing beside silent="),
        ({"above": 3, "per": "hour", "lasting": 5}, "lasting", "nothing beside per="),
    ],
)
def test_what_does_not_go_together_is_named(
    mode: SystemOperationMode, words: dict[str, Any], setting: str, allowed: str
) -> None:
    """The error names the keyword that is too many, and its value."""
    with pytest.raises(ConfigError) as caught:
        mode.threshold("worker", **words)
    error = caught.value
    assert (error.setting, error.value, error.allowed) == (setting, words[setting], allowed)

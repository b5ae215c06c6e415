"""A freeze shuts features for a limited time, shows among the reasons, and ends by itself."""

from __future__ import annotations

import gc
import math
import weakref
from typing import Any

import pytest

from resilient import (
    ConfigError,
    FeatureUnavailableError,
    FreezeChanged,
    Mode,
    SystemOperationMode,
    feature,
)
from resilient.testing import ManualClock
from tests.laws.harness import history
from tests.system.interrupting import interrupted

FROZEN = "FROZEN: "


@pytest.fixture
def clock() -> ManualClock:
    """A clock of this test's own."""
    return ManualClock(1000)


@pytest.fixture
def mode(clock: ManualClock) -> SystemOperationMode:
    """A mode on that clock."""
    return SystemOperationMode(clock=clock)


def reasons(mode: SystemOperationMode) -> list[str]:
    """Those of a freeze, by `reasons` and `explain` alike."""
    found = [text for text in mode.reasons if text.startswith(FROZEN)]
    assert [text for text in mode.explain().reasons if text.startswith(FROZEN)] == found
    return found


@pytest.mark.parametrize(
    ("named", "shut"),
    [(None, ["cart", "pay", "search"]), (["pay"], ["pay"]), ("cart", ["cart"]), (["other"], [])],
)
def test_all_features_or_those_named(
    mode: SystemOperationMode, clock: ManualClock, named: Any, shut: list[str]
) -> None:
    """Whatever the mode is and however far down they serve; the rest goes on."""
    gates = [
        feature(name, mode=mode, down_to=down_to, clock=clock)
        for name, down_to in zip(("cart", "pay", "search"), Mode, strict=True)
    ]
    mode.freeze("restoring", ttl=60, features=named)
    assert [gate.name for gate in gates if not gate.enabled] == shut
    for gate in gates:
        if gate.name in shut:
            with pytest.raises(FeatureUnavailableError, match="frozen: restoring") as refusal:
                gate.call(lambda: 1)
            assert (refusal.value.retry_after, refusal.value.mode) == (60, "NORMAL")
        else:
            assert gate.call(lambda: 1) == 1


def test_it_ends_by_itself_after_five_minutes(
    mode: SystemOperationMode, clock: ManualClock
) -> None:
    """The default of 300 s is that of "Success and Failure States"; the reason goes with it."""
    gate = feature("search", mode=mode, clock=clock)
    assert (mode.frozen, reasons(mode)) == (None, [])
    began = clock.time()
    mode.freeze("restoring")
    clock.advance(299)
    held = mode.frozen
    assert held is not None
    assert (held.reason, held.features, held.at, held.ends_in) == ("restoring", None, began, 1)
    assert reasons(mode) == ["FROZEN: every feature: restoring; it ends by itself in 1 s"]
    assert not gate.enabled
    clock.advance(1)
    assert (mode.frozen, reasons(mode), gate.enabled) == (None, [], True)
    assert not mode.thaw()
    assert mode.current is Mode.NORMAL


def test_what_was_done_by_hand_is_published(mode: SystemOperationMode, clock: ManualClock) -> None:
    """Each beginning and each end, whether it came by itself or not, once; a replacement is one."""
    with history() as seen:
        mode.freeze("one", ttl=60)
        clock.advance(60)
        assert not mode.thaw()
        mode.freeze("two", ttl=60, features=["pay"])
        clock.advance(15)
        mode.freeze("three", ttl=60)
        clock.advance(5)
        mode.thaw()
        mode.freeze("four", ttl=5)
        clock.advance(100)
        mode.evaluate()
        mode.evaluate()
    found = [
        (event.frozen, event.reason, event.features, event.seconds, event.severity.value)
        for event in seen
        if isinstance(event, FreezeChanged)
    ]
    assert found == [
        (True, "one", None, 60, "warning"),
        (False, "one", None, 60, "info"),
        (True, "two", ("pay",), 60, "warning"),
        (True, "three", None, 60, "warning"),
        (False, "three", None, 5, "info"),
        (True, "four", None, 5, "warning"),
        (False, "four", None, 5, "info"),
    ]


def test_thaw_ends_it_at_once(mode: SystemOperationMode, clock: ManualClock) -> None:
    """And says whether there was one."""
    gate = feature("search", mode=mode, clock=clock)
    assert not mode.thaw()
    mode.freeze("restoring", features=["search"])
    assert reasons(mode) == ["FROZEN: search: restoring; it ends by itself in 300 s"]
    assert mode.thaw()
    assert (mode.frozen, reasons(mode), gate.enabled) == (None, [], True)


def test_a_name_that_no_feature_has_is_told(mode: SystemOperationMode, clock: ManualClock) -> None:
    """It may be misspelt, so the reason tells; its feature may yet be made, so it holds."""
    gate = feature("search", mode=mode, clock=clock)
    elsewhere = feature("export", mode=SystemOperationMode(clock=clock), clock=clock)
    mode.freeze("restoring", features=["serch", "search", "export"])
    assert mode.frozen is not None
    assert mode.frozen.unknown == ("serch", "export")
    (reason,) = reasons(mode)
    assert reason.endswith("it ends by itself in 300 s; no feature was called serch or export")
    late = feature("serch", mode=mode, clock=clock)
    assert [one.enabled for one in (gate, elsewhere, late)] == [False, True, False]
    mode.freeze("restoring")
    assert mode.frozen.unknown == ()


@pytest.mark.parametrize("thaw", [False, True])
def test_what_is_frozen_is_what_is_told(clock: ManualClock, *, thaw: bool) -> None:
    """Whoever freezes or thaws at any line of a freeze: what holds is what the reasons say."""
    for line in range(1, 100):
        mode = SystemOperationMode(clock=clock)
        lines = iter(range(1, 1000))

        def again(mode: Any = mode, line: int = line, lines: Any = lines) -> None:
            if next(lines) == line:
                mode.freeze("meanwhile", ttl=20)

        def change(mode: Any = mode) -> None:
            mode.freeze("first", ttl=10)
            if thaw:
                mode.thaw()

        if interrupted(change, again, where="degradation") < line:
            break  # there are not so many lines
        assert reasons(mode) == ([] if mode.frozen is None else [str(mode.frozen)]), line
        clock.advance(20)
        assert (mode.frozen, reasons(mode)) == (None, [])


def test_a_later_freeze_takes_its_place(mode: SystemOperationMode, clock: ManualClock) -> None:
    """One at a time: its reason, its features, and its end."""
    gates = [feature(name, mode=mode, clock=clock) for name in ("cart", "pay")]
    mode.freeze("first", ttl=10)
    mode.freeze("second", ttl=100, features=["pay"])
    clock.advance(50)
    assert [gate.enabled for gate in gates] == [True, False]
    assert reasons(mode) == ["FROZEN: pay: second; it ends by itself in 50 s"]
    mode.freeze("third", ttl=1)
    clock.advance(1)
    assert (mode.frozen, reasons(mode)) == (None, [])


def test_it_moves_no_score_and_no_mode(mode: SystemOperationMode, clock: ManualClock) -> None:
    """What is shut by hand is no evidence that anything is ill."""
    mode.freeze("restoring")
    clock.advance(100)
    assert (mode.current, mode.score, mode.history) == (Mode.NORMAL, 100, ())


@pytest.mark.parametrize(
    ("given", "setting"),
    [
        ({"reason": ""}, "reason"),
        ({"ttl": 0}, "ttl"),
        ({"ttl": math.inf}, "ttl"),
        ({"ttl": None}, "ttl"),
        ({"features": []}, "features"),
        ({"features": [""]}, "features"),
        ({"features": [3]}, "features"),
    ],
)
def test_bad_settings_are_refused(
    mode: SystemOperationMode, given: dict[str, Any], setting: str
) -> None:
    """There is no freeze without an end, none of nothing, and none without a reason."""
    with pytest.raises(ConfigError) as error:
        mode.freeze(**{"reason": "restoring", **given})
    assert error.value.setting == setting
    assert mode.frozen is None


def test_a_freeze_keeps_no_mode_alive(clock: ManualClock) -> None:
    """A mode that is dropped while frozen is collected."""
    mode = SystemOperationMode(clock=clock)
    mode.freeze("restoring")
    ref = weakref.ref(mode)
    del mode
    gc.collect()
    assert ref() is None

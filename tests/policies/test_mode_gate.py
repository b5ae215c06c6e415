"""While the system is not well, the least critical calls are refused first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import resilient
from resilient import (
    ConfigError,
    Criticality,
    FeatureUnavailableError,
    Mode,
    SystemOperationMode,
    criticality,
    mode_gate,
    pipeline,
)
from resilient.events import CallRejected
from resilient.testing import ManualClock
from tests.laws.harness import history

LEVELS = list(Criticality)
# How many of CRITICAL, HIGH, MEDIUM, LOW pass, with the settings and in the mode given.
CASES: list[tuple[dict[str, Any], Mode, int]] = [
    ({}, Mode.NORMAL, 4),
    ({}, Mode.DEGRADED, 3),
    ({}, Mode.EMERGENCY, 2),
    ({"degraded": None}, Mode.DEGRADED, 4),
    ({"degraded": "medium", "emergency": "high"}, Mode.DEGRADED, 2),
    ({"degraded": "medium", "emergency": "high"}, Mode.EMERGENCY, 1),
    ({"emergency": Criticality.CRITICAL}, Mode.EMERGENCY, 0),
]


def gate_in(current: Mode, **settings: Any) -> tuple[Any, SystemOperationMode, ManualClock]:
    """A gate that has had its probe, obeying a mode that stands at `current`."""
    clock = ManualClock(1000)
    mode = SystemOperationMode(clock=clock)
    gate = mode_gate("search", mode=mode, clock=clock, **settings)
    mode.force(Mode.EMERGENCY, reason="a test")
    with criticality("low"):
        gate.call(lambda: None)  # the probe
    mode.force(current, reason="a test")
    return gate, mode, clock


def passes(gate: Any, level: Criticality) -> bool:
    """Whether a call of that level is made, by the decorator, the flow and the block alike."""

    def ask() -> str:
        return "asked"

    surfaces: list[Callable[[], Any]] = [
        gate(ask),
        lambda: gate.call(ask),
        pipeline(resilient.fallback("shed", on=LookupError), gate)(ask),
    ]
    answers: list[bool] = []
    with criticality(level):
        for surface in surfaces:
            try:
                answers.append(surface() == "asked")
            except FeatureUnavailableError:
                answers.append(False)
    assert len(set(answers)) == 1
    return answers[0]


@pytest.mark.parametrize(("settings", "current", "passing"), CASES)
def test_who_passes_in_which_mode(settings: dict[str, Any], current: Mode, passing: int) -> None:
    """A level is refused in a mode, and with it everything that matters less."""
    gate, mode, _ = gate_in(current, **settings)
    with mode:
        assert [level for level in LEVELS if passes(gate, level)] == LEVELS[:passing]


def test_while_the_library_is_inactive_everybody_passes() -> None:
    """`set_active(False)`: a function, a call and a block, and nothing is counted."""
    gate, _, _ = gate_in(Mode.EMERGENCY)
    resilient.set_active(False)
    try:
        for level in LEVELS:
            assert passes(gate, level)
            with criticality(level), gate:
                pass
            with criticality(level), gate.permit():
                pass
    finally:
        resilient.set_active(True)
    assert gate.rejected == 0


def test_the_refusal_says_why() -> None:
    """The error names the mode; an event is published; the refusal is counted."""
    gate, mode, _ = gate_in(Mode.DEGRADED)
    with mode, history() as seen, pytest.raises(FeatureUnavailableError) as refusal:
        criticality("low")(gate(lambda: None))()
    assert (refusal.value.name, refusal.value.mode) == ("search", "DEGRADED")
    assert str(refusal.value) == "search: calls of criticality LOW are shed in DEGRADED"
    assert [type(event) for event in seen if isinstance(event, CallRejected)] == [CallRejected]
    assert gate.rejected == 1


def test_one_call_in_ten_seconds_passes_to_see_how_it_is() -> None:
    """What is shed altogether would never be seen to be well again."""
    gate, mode, clock = gate_in(Mode.EMERGENCY)
    with mode:
        passed = []
        for _ in range(31):
            with criticality("low"):
                passed.append(resilient.outcome(gate(lambda: True)).ok)
            clock.advance(1)
    assert [at for at, each in enumerate(passed) if each] == [10, 20, 30]


def test_the_default_mode_is_found_when_it_is_needed(resilience: Any) -> None:
    """A gate made at import obeys whatever the default mode is when the call is made."""
    gate = mode_gate("search")
    guarded = criticality("low")(gate(lambda: "asked"))
    assert guarded() == "asked"
    resilience.mode.force(Mode.DEGRADED, reason="a test")
    assert guarded() == "asked"  # the probe
    with pytest.raises(FeatureUnavailableError):
        guarded()
    kept = gate.snapshot()
    gate.reset()
    assert guarded() == "asked"
    gate.restore(kept)
    assert gate.rejected == 1
    bad: Any
    for bad in ({}, {"rejected": "x"}, {"rejected": -1}, None):
        with pytest.raises(ConfigError):
            gate.restore(bad)
    assert gate.rejected == 1


@pytest.mark.parametrize(
    ("settings", "setting"),
    [
        ({"name": ""}, "name"),
        ({"mode": 3}, "mode"),
        ({"degraded": "urgent"}, "degraded"),
        ({"emergency": 3}, "emergency"),
        ({"probe_every": 0}, "probe_every"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], setting: str) -> None:
    """Law 12: the error names the setting."""
    make: Callable[..., Any] = mode_gate
    with pytest.raises(ConfigError) as error:
        make(**{"name": "search", **settings})
    assert error.value.setting == setting


def test_what_it_says_of_itself() -> None:
    """One line."""
    assert mode_gate("search").describe() == (
        "mode gate('search'): sheds LOW and below in DEGRADED, MEDIUM and below in EMERGENCY"
    )
    assert (
        mode_gate("x", degraded=None, emergency=None).describe() == "mode gate('x'): sheds nothing"
    )

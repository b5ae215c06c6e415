"""Laws of what may be set."""

from __future__ import annotations

import pickle
from dataclasses import fields
from datetime import timedelta
from typing import Any

import pytest

from resilient.core.defaults import SECTIONS
from resilient.errors import ConfigError
from resilient.mode import Mode, SystemOperationMode, SystemState
from resilient.system.settings import DEFAULTS, Settings
from resilient.testing import ManualClock

BAD: list[dict[str, Any]] = [
    {"thresholds": (95, 85, 85, 50, 25)},
    {"thresholds": (85, 95, 70, 50, 25)},
    {"thresholds": (95, 85, 70, 50)},
    {"thresholds": (101, 85, 70, 50, 25)},
    {"thresholds": (95, 85, 70, 50, 0)},
    {"thresholds": (95, 85, 70, 50, "x")},
    {"tau": 0},
    {"tau": -1.0},
    {"tau": float("nan")},
    {"confirm_worse": -1},
    {"flap_half_life": 0},
    {"flap_limit": -1},
    {"minimum_calls": 0},
    {"return_normal": 84},
    {"return_normal": 101},
    {"return_degraded": 49},
    {"return_degraded": 95},
    {"interval": 0},
]


@pytest.mark.parametrize("bad", BAD, ids=str)
def test_bad_settings_are_refused_when_given(bad: dict[str, Any]) -> None:
    """The constructor names the setting, its value, and what is allowed."""
    with pytest.raises(ConfigError) as refused:
        SystemOperationMode(**bad)
    assert refused.value.setting in bad
    assert refused.value.allowed


def test_durations_may_be_timedeltas() -> None:
    """Seconds and timedeltas mean the same."""
    assert SystemOperationMode(tau=timedelta(seconds=5))._settings.tau == 5.0


def test_defaults_are_consistent() -> None:
    """The defaults pass their own checks."""
    assert Settings() == SystemOperationMode()._settings


@pytest.mark.parametrize("name", ["degraded", "DEGRADED", Mode.DEGRADED])
def test_a_mode_may_be_named(name: str | Mode) -> None:
    """A member and its name, in either case, are the same mode."""
    assert Mode.of(name) is Mode.DEGRADED


def test_an_unknown_mode_is_refused() -> None:
    """The error lists what there is."""
    with pytest.raises(ConfigError, match="NORMAL, DEGRADED, EMERGENCY"):
        Mode.of("panic")


def test_states_stand_for_modes_two_by_two() -> None:
    """Six states, best first, and three modes."""
    assert [state.mode.name for state in SystemState] == [
        *["NORMAL"] * 2,
        *["DEGRADED"] * 2,
        *["EMERGENCY"] * 2,
    ]
    assert pickle.loads(pickle.dumps(Mode.NORMAL)) is Mode.NORMAL


def test_the_table_of_settings_has_the_same_defaults() -> None:
    """What `resilient config` shows is what a mode does that was given nothing."""
    table = {name: setting.default for name, setting in SECTIONS["mode"].items()}
    interval = table.pop("interval")
    assert table == {field.name: getattr(DEFAULTS, field.name) for field in fields(DEFAULTS)}
    assert SystemOperationMode(clock=ManualClock()).interval == interval

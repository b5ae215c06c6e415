"""Bad configuration is refused when it is given, by an error that says all there is to say."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

import resilient
from resilient import CircuitState, ConfigError, breaker, calls, deadline, fallback, point, retry
from resilient.testing import ManualClock
from tests.names import shown

NO_NUMBERS: list[Any] = ["5", [], object()]
NO_COUNTS: list[Any] = [0, -1, 1.5, True, math.inf, *NO_NUMBERS]
NO_SHARES: list[Any] = [0, -0.1, 1.01, True, math.nan, math.inf, *NO_NUMBERS]
NO_SECONDS: list[Any] = [0, -1, math.nan, math.inf, True, timedelta(0), timedelta(-1), *NO_NUMBERS]

REFUSED: dict[str, list[Any]] = {
    "failure_threshold": NO_COUNTS,
    "failure_rate": NO_SHARES,
    "window": NO_SECONDS,
    "minimum_calls": NO_COUNTS,
    "slow_call_duration": NO_SECONDS,
    "slow_call_rate": NO_SHARES,
    "reset_timeout": [None, *NO_SECONDS],
    "reset_backoff": [0, -1, 0.99, math.nan, math.inf, 10**400, True, None, *NO_NUMBERS],
    "max_reset_timeout": [59, *NO_SECONDS],
    "reset_jitter": [-0.1, 1.01, math.nan, True, None, *NO_NUMBERS],
    "half_open_calls": [None, *NO_COUNTS],
    "half_open_success_rate": [None, *NO_SHARES],
    "half_open_timeout": NO_SECONDS,
    "on": [
        None,
        5,
        "OSError",
        BaseException,
        KeyboardInterrupt,
        (OSError, SystemExit),
        (OSError, 5),
    ],
    "ignore": [
        None,
        5,
        "OSError",
        BaseException,
        KeyboardInterrupt,
        (OSError, SystemExit),
        [OSError],
    ],
    "failure_result": [5, "x"],
    "retry_after": [5, "x"],
    "key": [5, "host"],
    "max_keys": [None, *NO_COUNTS],
    "key_ttl": [None, *NO_SECONDS],
    "listeners": [[object()], [print]],
    "storage": [object(), "redis"],
    "weight": [0, -1, math.nan, math.inf, 10**400, True, *NO_NUMBERS],
    "criticality": ["urgent", 5, object()],
}


@pytest.mark.parametrize(
    ("setting", "value"),
    [(setting, value) for setting, values in REFUSED.items() for value in values],
    ids=lambda each: each if isinstance(each, str) else shown(each),
)
def test_a_bad_setting_of_a_breaker(setting: str, value: Any) -> None:
    """The error names the setting, the value, and what is allowed."""
    with pytest.raises(ConfigError) as caught:
        breaker("b", **{setting: value})
    error = caught.value
    assert error.setting == setting
    inside = value if isinstance(value, tuple | list) else [value]
    assert any(error.value is each or error.value == each for each in [value, *inside])
    assert error.allowed
    assert error.origin == "code"
    assert setting in str(error)
    assert isinstance(error, ValueError)


@pytest.mark.parametrize("name", ["", None, 5, b"b"])
def test_a_breaker_has_a_name(name: Any) -> None:
    """One that can be read."""
    with pytest.raises(ConfigError) as caught:
        breaker(name)
    assert caught.value.setting == "name"


def test_settings_that_contradict_each_other() -> None:
    """A given minimum beyond the window; a cap below what it caps."""
    with pytest.raises(ConfigError) as caught:
        breaker("b", window=calls(10), minimum_calls=11)
    assert (caught.value.setting, caught.value.value) == ("minimum_calls", 11)
    with pytest.raises(ConfigError) as caught:
        breaker("b", reset_timeout=30, max_reset_timeout=29)
    assert caught.value.setting == "max_reset_timeout"


GOOD: list[dict[str, Any]] = [
    {"failure_threshold": None},
    {"failure_threshold": None, "failure_rate": None, "slow_call_duration": None},
    {"failure_rate": 1},
    {"failure_rate": 1e-9},
    {"window": timedelta(minutes=1), "reset_timeout": timedelta(seconds=1)},
    {"window": calls(1)},
    {"window": calls(10)},  # the default minimum is clipped to 10
    {"window": calls(10), "minimum_calls": 10},
    {"slow_call_rate": None},
    {"reset_timeout": 1e4},  # the default cap gives way
    {"max_reset_timeout": 60},
    {"reset_jitter": 0},
    {"reset_jitter": 1},
    {"on": (), "ignore": ()},
    {"on": lambda error: True},
    {"criticality": "high", "weight": 0.5},
]


@pytest.mark.parametrize("settings", GOOD, ids=shown)
def test_what_is_allowed(settings: dict[str, Any]) -> None:
    """The edges of the allowed are allowed."""
    gate = breaker("b", clock=ManualClock(), **settings)
    assert gate.call(abs, -1) == 1
    assert gate.state is CircuitState.CLOSED


def test_a_clipped_minimum_takes_effect() -> None:
    """Ten failures in a window of ten are enough to know."""
    gate = breaker("b", failure_threshold=None, failure_rate=1.0, window=calls(10))
    for _ in range(10):
        with pytest.raises(ZeroDivisionError):
            gate.call(lambda: 1 / 0)
    assert gate.state is CircuitState.OPEN


def test_positional_settings_are_refused() -> None:
    """Only the name comes first."""
    with pytest.raises(TypeError):
        breaker("b", 5)  # type: ignore[call-arg]  # that is the point


OTHERS: list[tuple[str, Callable[[], object]]] = [
    ("on", lambda: retry(on=BaseException)),  # type: ignore[arg-type]  # refused
    ("on", lambda: retry(on=None)),  # type: ignore[arg-type]  # refused
    ("attempts", lambda: retry(on=OSError, attempts=0)),
    ("wait", lambda: retry(on=OSError, wait=-1)),
    ("max_delay", lambda: retry(on=OSError, max_delay=-1)),
    ("retry_after", lambda: retry(on=OSError, retry_after=5)),  # type: ignore[arg-type]  # refused
    ("timeout", lambda: resilient.timeout(0)),
    ("timeout", lambda: resilient.timeout(math.inf)),
    ("deadline", lambda: deadline(-1)),
    ("alternatives", fallback),
    ("on", lambda: fallback(1, on=KeyboardInterrupt)),  # type: ignore[arg-type]  # refused
    ("name", lambda: point("")),
    ("policies", resilient.pipeline),
    ("calls", lambda: calls(0)),
    ("max_age", lambda: resilient.stale(max_age=-1)),
    ("max_keys", lambda: resilient.stale(max_keys=0)),
]


@pytest.mark.parametrize(("setting", "build"), OTHERS)
def test_a_bad_setting_of_any_policy(setting: str, build: Callable[[], object]) -> None:
    """The same kind of error from every factory."""
    with pytest.raises(ConfigError) as caught:
        build()
    assert caught.value.setting == setting
    assert caught.value.allowed

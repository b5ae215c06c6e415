"""The recommended pipeline: every policy, in an order that does no harm."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import resilient
from resilient import (
    CallTimeoutError,
    CircuitOpenError,
    ConfigError,
    Mode,
    criticality,
    importance,
    protect,
    retry_budget,
)
from resilient.testing import ManualClock
from resilient.testing.loop import run
from tests.policies.scripted import our_notes

CASES: list[dict[str, Any]] = [
    {},
    {"criticality": "low", "fallback": 0},
    {"fallback": (resilient.stale(), 0), "rate": 100, "limit": 5},
    {"deadline": 0.5, "attempts": 1},
    {"deadline": 10, "attempt_timeout": 9, "on": OSError},
    {"key": lambda order: order, "throttled": True},
]


@pytest.mark.parametrize("settings", CASES)
def test_its_defaults_and_choices_do_no_harm(settings: dict[str, Any]) -> None:
    """`lint()` has no finding, whatever is chosen."""
    assert protect("db", **settings).lint() == ()


def test_the_order() -> None:
    """Outermost first, as documented; what was not asked for is not there."""
    full = protect("db", criticality="low", fallback=0, rate=9, attempts=2, throttled=True)
    assert [type(layer).__name__.strip("_") for layer in full.layers()] == [
        "Marked",
        "ModeGate",
        "Fallback",
        "Deadline",
        "RateLimit",
        "AdaptiveLimit",
        "Retry",
        "Throttle",
        "CircuitBreaker",
        "AttemptTimeout",
    ]
    least = protect("db", limit=3, attempts=1)
    assert [type(layer).__name__.strip("_") for layer in least.layers()] == [
        "ModeGate",
        "Deadline",
        "Bulkhead",
        "CircuitBreaker",
        "AttemptTimeout",
    ]


def test_no_fallback_is_no_answer() -> None:
    """`None` is no alternative; an answer of `None` is asked for by name."""

    def fails() -> None:
        raise LookupError

    for none in (None, ()):
        with pytest.raises(LookupError):
            protect("db", fallback=none).call(fails)
    assert protect("db", fallback=resilient.value(None)).call(fails) is None


def test_a_def_is_protected_but_not_interrupted() -> None:
    """A ``def`` runs as long as it runs, and learns what is left of the deadline."""
    clock = ManualClock()
    seen: list[float | None] = []

    @protect("db", deadline=2, clock=clock)
    def ask() -> str:
        seen.append(resilient.remaining())
        clock.advance(5)
        return "late"

    assert ask() == "late"
    assert seen == [2.0]
    assert protect("db", clock=clock).call(lambda: 1) == 1


def test_an_async_def_is_interrupted_and_asked_again() -> None:
    """A hung attempt ends at 0.45 of the deadline, so that another one fits into it."""
    clock = ManualClock()
    began: list[float] = []

    @protect("db", deadline=2, clock=clock)
    async def ask() -> str:
        began.append(clock.monotonic())
        await asyncio.sleep(100 if len(began) == 1 else 0.1)
        return "answer"

    assert run(ask(), clock) == "answer"
    assert began[0] == 0
    assert 0.9 <= began[1] <= 1.0


def test_no_answer_within_the_deadline() -> None:
    """The deadline ends it all, attempts and waits; a wait that does not fit is not begun."""
    clock = ManualClock()

    @protect("db", deadline=2, clock=clock)
    async def ask() -> None:
        await asyncio.sleep(100)

    with pytest.raises(CallTimeoutError):
        run(ask(), clock)
    assert 1.8 <= clock.monotonic() < 2.001


@pytest.mark.parametrize("error", [ConnectionError, TimeoutError])
def test_passing_failures_are_retried_on_a_budget(error: type[Exception]) -> None:
    """Three attempts, as long as the budget lasts; then one."""
    clock = ManualClock()
    budget = retry_budget(0, min_per_second=0.3, window=10, clock=clock)
    calls: list[None] = []

    @protect("db", budget=budget, clock=clock)
    def ask() -> None:
        calls.append(None)
        raise error

    with pytest.raises(error):
        ask()
    assert len(calls) == 3
    with pytest.raises(error) as last:
        ask()
    assert len(calls) == 5
    assert "budget" in our_notes(last.value)[0]


def test_other_failures_are_not_retried() -> None:
    """An error of the call itself is raised at once."""
    calls: list[None] = []

    @protect("db")
    def ask() -> None:
        calls.append(None)
        raise LookupError

    with pytest.raises(LookupError):
        ask()
    assert len(calls) == 1


def test_a_dependency_that_fails_is_left_alone() -> None:
    """After ten failures in a row nobody asks; the fallback answers, and says so."""
    clock = ManualClock()
    calls: list[None] = []

    @protect("db", attempts=1, fallback="default", clock=clock)
    def ask() -> str:
        calls.append(None)
        raise ConnectionError

    outcomes = [resilient.outcome(ask) for _ in range(14)]
    assert {outcome.value for outcome in outcomes} == {"default"}
    assert len(calls) == 10
    assert isinstance(outcomes[-1].reasons[0], CircuitOpenError)


def test_what_is_ignored_opens_nothing() -> None:
    """An error that says nothing about the dependency touches no counter."""
    clock = ManualClock()
    calls: list[None] = []

    @protect("db", ignore=LookupError, clock=clock)
    def ask() -> None:
        calls.append(None)
        raise LookupError

    for _ in range(50):
        with pytest.raises(LookupError):
            ask()
    assert len(calls) == 50


def test_a_dependency_that_hangs_opens_the_breaker() -> None:
    """Two attempts of a call end by their own limit, and count: five callers in a row open it."""
    clock = ManualClock()
    calls: list[None] = []

    @protect("db", clock=clock)
    async def ask() -> None:
        calls.append(None)
        await asyncio.sleep(100)

    async def scene() -> object:
        return [await resilient.outcome(ask) for _ in range(6)][-1]

    last: Any = run(scene(), clock)
    assert isinstance(last.error, CircuitOpenError)
    assert 10 <= len(calls) <= 15  # a third one may begin, and is cut off by the deadline


def test_calls_bear_its_criticality_unless_marked() -> None:
    """`criticality` is the default of its calls; what is marked further out stays."""
    ask = protect("db", criticality="low")(importance)
    assert ask().name == "LOW"
    assert criticality("critical")(ask)().name == "CRITICAL"
    assert protect("db")(importance)().name == "HIGH"


def test_it_reports_to_the_mode_and_obeys_it(resilience: Any) -> None:
    """The breaker bears evidence; in an emergency what matters less is shed."""
    ask = protect("db", criticality="critical", attempts=1)(lambda: "answer")
    assert ask() == "answer"
    assert "db" in {each.name for each in resilience.mode.explain().contributions}
    resilience.mode.force(Mode.EMERGENCY, reason="a test")
    assert ask() == "answer"
    low = criticality("low")(ask)
    assert low() == "answer"  # the probe
    with pytest.raises(resilient.FeatureUnavailableError):
        low()


@pytest.mark.parametrize(
    ("settings", "setting"),
    [
        ({"name": ""}, "name"),
        ({"criticality": "urgent"}, "criticality"),
        ({"deadline": 0}, "deadline"),
        ({"rate": 0}, "rate"),
        ({"limit": 0}, "limit"),
        ({"limit": "adaptive"}, "limit"),
        ({"attempts": 0}, "attempts"),
        ({"attempt_timeout": 3}, "attempt_timeout"),
        ({"attempt_timeout": 2}, "attempt_timeout"),
        ({"on": KeyboardInterrupt}, "on"),
        ({"ignore": 3}, "ignore"),
        ({"clock": 3}, "clock"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], setting: str) -> None:
    """Law 12: the error names the setting as the caller gave it."""
    make: Callable[..., Any] = protect
    with pytest.raises(ConfigError) as error:
        make(**{"name": "db", **settings})
    assert error.value.setting == setting

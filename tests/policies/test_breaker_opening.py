"""When a breaker opens, for how long, and what it counts: each setting with numbers."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

import resilient
from resilient import CircuitOpenError, CircuitState, breaker, calls
from resilient.testing import ManualClock
from tests.laws.harness import AnsweredError, BrokenError, HarmlessError, history

CLOSED, OPEN = CircuitState.CLOSED, CircuitState.OPEN


def make(**settings: Any) -> tuple[Any, ManualClock]:
    """A breaker that ignores `HarmlessError`, and its clock."""
    clock = ManualClock()
    return breaker("b", clock=clock, ignore=HarmlessError, **settings), clock


def play(gate: Any, clock: ManualClock, script: str) -> str:
    """Run calls, and tell the state after each: C or O.

    ``.`` succeeds, ``F`` fails, ``i`` is ignored, ``s`` is slow, ``S`` slow and failing, ``-`` is
    a second.
    """
    states = ""
    for each in script:
        if each == "-":
            clock.advance(1)
            continue

        def fn(each: str = each) -> None:
            if each in "sS":
                clock.advance(3)
            if each in "FS":
                raise BrokenError
            if each == "i":
                raise HarmlessError

        try:
            gate.call(fn)
        except (BrokenError, HarmlessError):
            pass
        except CircuitOpenError:
            states += "r"
            continue
        states += gate.state.value[0].upper()
    return states


RATE: dict[str, Any] = {"failure_threshold": None, "failure_rate": 0.5}
LAST_4: dict[str, Any] = {**RATE, "window": calls(4)}
TIMED: dict[str, Any] = {**RATE, "minimum_calls": 2, "window": 10}
SLOW: dict[str, Any] = {
    **RATE,
    "failure_rate": None,
    "slow_call_duration": 2.9,
    "slow_call_rate": 0.5,
}
SLOW["window"] = calls(4)

CASES: list[tuple[dict[str, Any], str, str]] = [
    # failures in a row
    ({}, "FFFFF", "CCCCO"),
    ({}, "FFFF.FFFFF", "CCCCCCCCCO"),
    ({"failure_threshold": 1}, ".F", "CO"),
    ({"failure_threshold": 2}, "FiF", "CCO"),
    ({"failure_threshold": 2}, "F.F.F.FF", "CCCCCCCO"),
    ({"failure_threshold": 3}, "F-F-F", "CCO"),
    ({"failure_threshold": 3, "window": 10}, "F-----------F-----------F", "CCO"),
    # a rate of the last calls: exactly at the threshold
    (LAST_4, "FF..", "CCCO"),
    (LAST_4, "F...", "CCCC"),
    (LAST_4, "...FFF", "CCCCO" + "r"),
    (LAST_4, "F....FF", "CCCCCCO"),
    ({"failure_threshold": None, "failure_rate": 1.0, "window": calls(3)}, "FF.FFF", "CCCCCO"),
    ({**RATE, "failure_rate": 0.01, "window": calls(100)}, "." * 19 + "F", "C" * 19 + "O"),
    # below minimum_calls a rate is unknown; reaching it with a success trips
    ({"failure_threshold": None, "failure_rate": 0.5, "minimum_calls": 4}, "FFF.", "CCCO"),
    ({"failure_threshold": None, "failure_rate": 0.5, "minimum_calls": 4}, "FFFi.", "CCCCO"),
    ({"failure_threshold": None, "failure_rate": 0.6, "minimum_calls": 4}, "FF..F", "CCCCO"),
    ({"failure_threshold": None, "failure_rate": 0.5}, "F" * 19 + ".", "C" * 19 + "O"),
    ({"failure_threshold": None, "failure_rate": 0.5, "window": calls(5)}, "FFFFF", "CCCCO"),
    # a rate over time: 10 buckets of a second; an expired one leaves whole
    (TIMED, "F" + "-" * 9 + "F", "CO"),
    (TIMED, "F" + "-" * 10 + "F", "CC"),
    # a success trips, because old successes leave
    (
        TIMED,
        "...--F-------" + "-.",
        "CCCCO",
    ),
    (
        TIMED,
        "...--F-------" + ".",
        "CCCCC",
    ),
    # slow calls: longer than, failures included
    ({**SLOW, "slow_call_duration": 3}, "ssss", "CCCC"),
    ({**SLOW, "slow_call_duration": 3}, "SSSS", "CCCC"),
    (SLOW, "..ss", "CCCO"),
    (SLOW, "..SS", "CCCO"),
    ({**SLOW, "slow_call_rate": 1, "window": calls(2)}, "s.ss", "CCCO"),
    ({**SLOW, "slow_call_rate": None}, "ssss", "CCCC"),
    # criteria are alternatives
    ({"failure_threshold": 2, "failure_rate": 0.9, "window": calls(4)}, "...FF", "CCCCO"),
    ({"failure_threshold": 9, "failure_rate": 0.5, "window": calls(4)}, "..F.F", "CCCCO"),
    # nothing opens a breaker that only counts
    ({"failure_threshold": None}, "F" * 50 + "s" * 50, "C" * 100),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "script", "states"), CASES)
def test_when_it_opens(settings: dict[str, Any], script: str, states: str) -> None:
    """State after each call; an open circuit refuses the rest."""
    gate, clock = make(**settings)
    assert play(gate, clock, script) == states


@pytest.mark.parametrize(
    ("catch", "counted"),
    [
        ({"on": BrokenError}, {"broken"}),
        ({"on": ConnectionError}, {"broken"}),
        ({"on": (BrokenError, AnsweredError)}, {"broken", "answered"}),
        ({"on": ()}, set()),
        ({"on": lambda error: isinstance(error, AnsweredError)}, {"answered"}),
        ({"on": Exception}, {"broken", "answered", "harmless", "time-out"}),
        ({"on": Exception, "ignore": BrokenError}, {"answered", "harmless", "time-out"}),
        ({"on": BrokenError, "ignore": BrokenError}, set()),
        ({"on": TimeoutError}, {"time-out"}),
        ({"on": OSError}, {"broken", "time-out"}),
        ({"ignore": lambda error: isinstance(error, OSError)}, {"answered", "harmless"}),
    ],
)  # fmt: skip
def test_what_counts(catch: dict[str, Any], counted: set[str]) -> None:
    """Classes, subclasses, tuples and predicates; `ignore` wins; the rest are answers."""
    errors: dict[str, Callable[[], Exception]] = {
        "broken": BrokenError,
        "answered": AnsweredError,
        "harmless": HarmlessError,
        "time-out": lambda: resilient.CallTimeoutError("t", 1.0),
    }
    for name, error in errors.items():
        gate = breaker("b", failure_threshold=1, clock=ManualClock(), **catch)

        @gate
        def fn() -> None:
            raise error()  # noqa: B023  (called at once)

        with pytest.raises(type(error())):
            fn()
        assert (gate.state is OPEN) is (name in counted), name
        metrics = gate.metrics
        assert metrics.failures + metrics.successes + metrics.ignored == 1


def test_a_result_may_be_a_failure() -> None:
    """`failure_result` judges what was returned, and the caller still gets it."""
    gate = breaker("b", failure_threshold=2, failure_result=lambda code: code >= 500)
    fn = gate(lambda code: code)
    assert [fn(200), fn(500), fn(200), fn(503)] == [200, 500, 200, 503]
    assert gate.state is CLOSED
    assert fn(500) == 500
    assert gate.state is OPEN
    assert gate.metrics.last_error is None


@pytest.mark.parametrize(
    ("settings", "times"),
    [
        ({"reset_timeout": 10}, [10, 10, 10]),
        ({"reset_timeout": 10, "reset_backoff": 2}, [10, 20, 40, 80, 160, 320, 600, 600]),
        ({"reset_timeout": 10, "reset_backoff": 3, "max_reset_timeout": 50}, [10, 30, 50, 50]),
        ({"reset_timeout": 900}, [900, 900]),
        ({"reset_timeout": 900, "reset_backoff": 2}, [900, 900]),
        ({"reset_timeout": 1, "reset_backoff": 1e300}, [1, 600, 600, 600]),
        ({}, [60, 60]),
    ],
)
def test_how_long_it_stays_open(settings: dict[str, Any], times: list[float]) -> None:
    """Each opening since it was last closed grows the time; closing starts afresh."""
    for _ in range(2):
        gate, clock = make(failure_threshold=1, **settings)
        for turn in range(2):
            for seconds in times:
                play(gate, clock, "F")
                with pytest.raises(CircuitOpenError) as refusal:
                    gate.call(abs, 1)
                assert refusal.value.retry_after == pytest.approx(seconds)
                clock.advance(seconds * 0.999)
                assert play(gate, clock, ".") == "r"
                clock.advance(seconds * 0.001 + 1e-6)
            assert play(gate, clock, ".") == "C", turn


def test_jitter_stays_within_its_share() -> None:
    """The open time is somewhere within +-`reset_jitter`, and not always the same."""
    gate, clock = make(failure_threshold=1, reset_timeout=10, reset_jitter=0.2)
    times: set[float] = set()
    for _ in range(300):
        play(gate, clock, "F")
        with pytest.raises(CircuitOpenError) as refusal:
            gate.call(abs, 1)
        times.add(refusal.value.retry_after or 0.0)
        gate.reset()
    assert 8 <= min(times) < 8.5
    assert 11.5 < max(times) <= 12


@pytest.mark.parametrize(
    ("drawn", "jitter", "seconds"),
    [(0.0, 0.5, 5.0), (0.5, 0.5, 10.0), (1.0, 0.5, 15.0), (0.0, 1.0, 0.0), (0.25, 0.0, 10.0)],
)
def test_jitter_is_this_much(drawn: float, jitter: float, seconds: float) -> None:
    """As a function of the number drawn."""
    gate, _ = make(reset_timeout=10, reset_jitter=jitter)
    rules = msgspec.structs.replace(gate.rules, random=lambda: drawn)
    assert rules.open_time(0) == pytest.approx(seconds)


def test_the_failure_may_say_how_long() -> None:
    """`retry_after` of the failure that opened the circuit replaces the open time, once."""
    answers = iter([5.0, None, 0.0, -3.0])
    gate, clock = make(
        failure_threshold=1, reset_timeout=60, retry_after=lambda error: next(answers)
    )
    for expected in (5.0, 60.0):
        play(gate, clock, "F")
        with pytest.raises(CircuitOpenError) as refusal:
            gate.call(abs, 1)
        assert refusal.value.retry_after == expected
        clock.advance(expected)
    for _ in range(2):
        play(gate, clock, "F")
        assert gate.state is OPEN  # for no time at all: the next call is a trial
    assert play(gate, clock, ".") == "C"


def test_a_rejection_says_all_it_knows() -> None:
    """Name, seconds left, reason, and what opened the circuit; a new object each time."""
    gate, clock = make(failure_threshold=1, reset_timeout=60)
    play(gate, clock, "F")
    clock.advance(20)
    refusals = []
    for _ in range(2):
        with pytest.raises(CircuitOpenError) as caught:
            gate.call(abs, 1)
        refusals.append(caught.value)
    assert refusals[0] is not refusals[1]
    assert refusals[0].name == "b"
    assert refusals[0].retry_after == 40
    assert refusals[0].reason
    assert isinstance(refusals[0].last_error, BrokenError)
    assert refusals[0].__cause__ is refusals[0].__context__ is None


def test_metrics_tell_the_window_and_the_life() -> None:
    """Counts over the window; rejections, ignored calls and transitions since creation."""
    gate, clock = make(
        failure_threshold=None, failure_rate=0.75, minimum_calls=4, slow_call_duration=2, window=10
    )
    metrics = gate.metrics
    assert (metrics.calls, metrics.failure_rate, metrics.slow_rate) == (0, None, None)
    assert (metrics.last_error, metrics.opened_at) == (None, None)
    play(gate, clock, "F.i")
    assert gate.metrics.failure_rate is None  # not 0.5: two calls say nothing
    play(gate, clock, "Fs")
    metrics = gate.metrics
    assert (metrics.calls, metrics.successes, metrics.failures, metrics.slow) == (4, 2, 2, 1)
    assert (metrics.failure_rate, metrics.slow_rate) == (0.5, 0.25)
    assert (metrics.ignored, metrics.rejected, metrics.transitions) == (1, 0, 0)
    assert isinstance(metrics.last_error, BrokenError)
    play(gate, clock, "FFFF.")
    metrics = gate.metrics
    assert (metrics.transitions, metrics.rejected, metrics.opened_at) == (1, 1, 3.0)
    assert metrics.calls == 8  # opening does not clear the window
    clock.advance(60)
    assert play(gate, clock, ".") == "C"
    metrics = gate.metrics
    assert (metrics.calls, metrics.transitions, metrics.rejected, metrics.ignored) == (0, 3, 1, 1)
    with pytest.raises((AttributeError, TypeError)):
        metrics.calls = 1


def test_each_transition_is_told_once_with_its_reason() -> None:
    """Opened with error and time, half-opened, closed; numbered; with the seconds to stay away."""
    gate, clock = make(failure_threshold=2, reset_timeout=30)
    with history() as events:
        play(gate, clock, "FF")
        clock.advance(30)
        play(gate, clock, ".")
    changes = [each for each in events if isinstance(each, resilient.CircuitChanged)]
    kinds = [resilient.CircuitOpened, resilient.CircuitHalfOpened, resilient.CircuitClosed]
    assert [type(each) for each in changes] == kinds
    assert [each.sequence for each in changes] == [1, 2, 3]
    assert all(each.reason and each.name == "b" and each.key is None for each in changes)
    opened = changes[0]
    assert isinstance(opened, resilient.CircuitOpened)
    assert opened.retry_after == 30
    assert "BrokenError" in (opened.error or "")
    pairs = itertools.pairwise(changes)
    assert all(earlier.new is later.old for earlier, later in pairs)


def test_calls_and_rejections_are_told() -> None:
    """Failures with their length; rejections with what the caller was told, each one."""
    gate, clock = make(failure_threshold=1, reset_timeout=30)
    with history() as events:
        play(gate, clock, "S..")
    (failed,) = [each for each in events if isinstance(each, resilient.CallFailed)]
    assert (failed.name, failed.seconds) == ("b", 3.0)
    rejected = [each for each in events if isinstance(each, resilient.CallRejected)]
    assert [each.retry_after for each in rejected] == [30.0, 30.0]

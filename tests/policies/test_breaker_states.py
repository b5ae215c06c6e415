"""The hand on the switch, the emergency switch, and what survives a restart."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import pytest

import resilient
from resilient import CircuitOpenError, CircuitState, ConfigError, breaker, calls
from resilient.testing import ManualClock
from tests.laws.harness import BrokenError, history

SWITCHES = {
    "open": CircuitState.OPEN,
    "close": CircuitState.CLOSED,
    "half_open": CircuitState.HALF_OPEN,
    "force_open": CircuitState.FORCED_OPEN,
    "disable": CircuitState.DISABLED,
    "metrics_only": CircuitState.METRICS_ONLY,
    "reset": CircuitState.CLOSED,
}


def make(**settings: Any) -> tuple[Any, ManualClock]:
    """A breaker that opens at the second failure in a row."""
    clock = ManualClock(500)
    settings = {"failure_threshold": 2, "reset_timeout": 10, **settings}
    return breaker("b", clock=clock, **settings), clock


def fail(gate: Any, times: int = 1) -> None:
    """Fail through it."""
    for _ in range(times):
        with pytest.raises(BrokenError), gate:
            raise BrokenError


@pytest.mark.parametrize("first", SWITCHES)
@pytest.mark.parametrize("second", SWITCHES)
def test_from_any_state_to_any_other(first: str, second: str) -> None:
    """One transition each, published; none where it already stands."""
    gate, _ = make()
    with history() as events:
        getattr(gate, first)()
        getattr(gate, second)()
    assert gate.state is SWITCHES[second]
    expected = []
    state = CircuitState.CLOSED
    for each in (first, second):
        if SWITCHES[each] is not state:
            expected.append((state, SWITCHES[each]))
            state = SWITCHES[each]
    assert [(each.old, each.new) for each in events] == expected
    assert gate.metrics.transitions == len(expected)


def test_forced_open_stays() -> None:
    """Time opens nothing; nobody knows until when, so `retry_after` is unknown."""
    gate, clock = make()
    gate.force_open()
    clock.advance(1e9)
    with pytest.raises(CircuitOpenError) as refusal:
        gate.call(abs, 1)
    assert refusal.value.retry_after is None
    gate.close()
    assert gate.call(abs, 1) == 1


def test_disabled_lets_pass_uncounted() -> None:
    """Everything passes, nothing counts."""
    gate, _ = make()
    gate.disable()
    fail(gate, 10)
    gate.call(abs, 1)
    assert gate.metrics.calls == gate.metrics.failures == 0
    gate.close()
    fail(gate)
    assert gate.state is CircuitState.CLOSED


def test_metrics_only_is_a_shadow() -> None:
    """It counts what would have opened it, and never opens."""
    gate, _ = make(failure_rate=0.5, window=calls(4), minimum_calls=2)
    gate.metrics_only()
    fail(gate, 3)
    gate.call(abs, 1)
    assert gate.state is CircuitState.METRICS_ONLY
    assert (gate.metrics.calls, gate.metrics.failure_rate) == (4, 0.75)
    gate.close()
    assert gate.metrics.calls == 0  # the window is cleared on closing


def test_open_by_hand_ends_like_any_opening() -> None:
    """With the open time of its settings, counted as an opening."""
    gate, clock = make(reset_backoff=3)
    gate.open()
    with pytest.raises(CircuitOpenError) as refusal:
        gate.call(abs, 1)
    assert (refusal.value.retry_after, refusal.value.last_error) == (10, None)
    clock.advance(10)
    fail(gate)
    with pytest.raises(CircuitOpenError) as refusal:
        gate.call(abs, 1)
    assert refusal.value.retry_after == 30


def test_reset_forgets() -> None:
    """The window, the streak and the openings; also of a closed breaker."""
    gate, clock = make(reset_backoff=3)
    fail(gate)
    gate.reset()
    assert gate.metrics.calls == 0
    fail(gate)
    assert gate.state is CircuitState.CLOSED
    fail(gate)
    assert gate.state is CircuitState.OPEN
    gate.reset()
    fail(gate, 2)
    with pytest.raises(CircuitOpenError) as refusal:
        gate.call(abs, 1)
    assert refusal.value.retry_after == 10
    clock.advance(0)


@pytest.mark.parametrize("switch", SWITCHES)
@pytest.mark.parametrize("ends", ["success", "failure"])
def test_an_answer_from_before_the_switch_counts_nowhere(switch: str, ends: str) -> None:
    """Law of eras: what was asked before the last transition changes nothing, not even a count."""
    gate, _ = make(failure_threshold=1)
    gate.half_open() if SWITCHES[switch] is CircuitState.CLOSED else None
    permit = gate.permit()
    permit.__enter__()
    getattr(gate, switch)()
    error = BrokenError() if ends == "failure" else None
    permit.__exit__(None if error is None else BrokenError, error, None)
    assert gate.state is SWITCHES[switch]
    metrics = gate.metrics
    assert (metrics.calls, metrics.failures, metrics.last_error) == (0, 0, None)


def test_an_answer_from_two_eras_ago() -> None:
    """Closed again in between: still another era."""
    gate, _ = make(failure_threshold=1)
    permit = gate.permit()
    permit.__enter__()
    gate.open()
    gate.close()
    permit.__exit__(BrokenError, BrokenError(), None)
    assert gate.state is CircuitState.CLOSED
    assert gate.metrics.calls == 0


def test_a_success_from_before_a_reset_ends_no_streak() -> None:
    """Also on the straight line, whose window is another one by then."""
    gate, _ = make()

    @gate
    def late() -> None:
        gate.reset()
        fail(gate)

    late()
    assert gate.metrics.calls == 1
    fail(gate)
    assert gate.state is CircuitState.OPEN


# Snapshots


def seen(gate: Any) -> tuple[Any, ...]:
    """What a caller meets."""
    try:
        gate.call(abs, 1)
    except CircuitOpenError as refusal:
        return gate.state, refusal.retry_after
    return (gate.state,)


@pytest.mark.parametrize("switch", SWITCHES)
def test_a_snapshot_is_plain_and_comes_back(switch: str) -> None:
    """Through JSON, onto another clock: the same state, and the same seconds left."""
    gate, clock = make()
    getattr(gate, switch)()
    clock.advance(4)
    data = json.loads(json.dumps(gate.snapshot()))
    other, _ = make()
    other.clock.advance(1e6)
    other.restore(data)
    if switch == "half_open":
        assert other.state is CircuitState.OPEN
        assert seen(other) == (CircuitState.CLOSED,)  # tried at once
    else:
        assert seen(other) == seen(gate)


def test_restoring_counts_openings_on_and_empties_the_window() -> None:
    """The backoff goes on where it was."""
    gate, clock = make(reset_backoff=2)
    gate.open()
    clock.advance(10)
    fail(gate)
    other, later = make(reset_backoff=2)
    fail(other)
    other.restore(gate.snapshot())
    assert other.metrics.calls == 0
    later.advance(20)
    fail(other)
    assert seen(other) == (CircuitState.OPEN, 40)


def test_restoring_tells() -> None:
    """The state that was taken over is published like any other, unless it is the same."""
    gate, _ = make()
    gate.open()
    other, _ = make()
    with history() as events:
        other.restore(gate.snapshot())
    assert [(each.old, each.new) for each in events] == [(CircuitState.CLOSED, CircuitState.OPEN)]
    quiet, _ = make()
    with history() as events:
        quiet.restore(make()[0].snapshot())
    assert not events


NONSENSE: list[Any] = [
    None,
    5,
    "open",
    [],
    {},
    {"state": "open"},
    {"state": "ajar", "seconds_left": 1, "openings": 1},
    {"state": None, "seconds_left": 1, "openings": 1},
    {"state": "open", "seconds_left": "soon", "openings": 1},
    {"state": "open", "seconds_left": math.nan, "openings": 1},
    {"state": "open", "seconds_left": math.inf, "openings": 1},
    {"state": "open", "seconds_left": None, "openings": 1},
    {"state": "open", "seconds_left": -1, "openings": 1},
    {"state": "open", "seconds_left": 1, "openings": -1},
    {"state": "open", "seconds_left": 1, "openings": math.inf},
    {"state": "open", "seconds_left": 1, "openings": "x"},
    {"keys": []},
]


@pytest.mark.parametrize("data", NONSENSE, ids=repr)
def test_nonsense_is_not_restored(data: Any) -> None:
    """Refused by `ConfigError`, and nothing has changed."""
    gate, _ = make()
    fail(gate)
    before = gate.metrics
    with pytest.raises(ConfigError) as refused:
        gate.restore(data)
    assert refused.value.setting == "snapshot"
    assert gate.metrics.calls == before.calls
    assert gate.state is CircuitState.CLOSED


def test_a_keyed_snapshot_comes_back() -> None:
    """Each key's circuit."""
    gate, clock = make(key=lambda key: key)
    gate.for_key("down").open()
    gate.for_key("up").call(abs, 1)
    clock.advance(1)
    other, _ = make(key=lambda key: key)
    other.restore(json.loads(json.dumps(gate.snapshot())))
    assert seen(other.for_key("down")) == (CircuitState.OPEN, 9)
    assert other.for_key("up").state is CircuitState.CLOSED


@pytest.mark.parametrize(
    "data",
    [
        {"keys": 5},
        {"keys": [1]},
        {"keys": [[["unhashable"], {"state": "open", "seconds_left": 1, "openings": 1}]]},
        {"keys": [["a", {"state": "open", "seconds_left": 1, "openings": 1}], ["b", {}]]},
        {"state": "open", "seconds_left": 1, "openings": 1},
    ],
    ids=repr,
)
def test_keyed_nonsense_is_not_restored(data: Any) -> None:
    """All or nothing: a snapshot that is half right changes no key."""
    gate, _ = make(key=lambda key: key)
    gate.for_key("a").call(abs, 1)
    with pytest.raises(ConfigError):
        gate.restore(data)
    assert gate.for_key("a").state is CircuitState.CLOSED
    assert gate.metrics.calls == 1


def test_the_hand_on_a_keyed_breaker_is_restored() -> None:
    """Forced open for every key, also for those that nobody has asked for yet."""
    gate, _ = make(key=lambda key: key)
    gate.force_open()
    other, _ = make(key=lambda key: key)
    other.restore(json.loads(json.dumps(gate.snapshot())))
    assert other.for_key("new").state is CircuitState.FORCED_OPEN
    other.restore(make(key=lambda key: key)[0].snapshot())
    assert other.for_key("newer").state is CircuitState.CLOSED


# The emergency switch


@pytest.fixture
def _inactive() -> Iterator[None]:
    """The library switched off, and on again afterwards."""
    resilient.set_active(False)
    yield
    resilient.set_active(True)


def raiser(error: Exception) -> None:
    """Raise it."""
    raise error


@pytest.mark.usefixtures("_inactive")
@pytest.mark.parametrize("state", ["closed", "open", "half-open", "forced open"])
@pytest.mark.parametrize("keyed", [False, True])
def test_switched_off_everything_passes(state: str, keyed: bool) -> None:  # noqa: FBT001  (a table)
    """No circuit refuses, none counts, none changes; also one that is made meanwhile."""
    resilient.set_active(True)
    settings = {"key": lambda *_: "k"} if keyed else {}
    gate, _ = make(failure_threshold=1, **settings)
    circuit = gate.for_key("k") if keyed else gate
    {"open": circuit.open, "half-open": circuit.half_open, "forced open": circuit.force_open}.get(
        state, lambda: None
    )()
    before = circuit.state
    resilient.set_active(False)
    for each in (circuit, make(failure_threshold=1)[0]):
        fn = each(raiser)
        for _ in range(3):
            with pytest.raises(BrokenError):
                fn(BrokenError())
            fail(each)
        assert each.metrics.calls == each.metrics.rejected == 0
    assert circuit.state is before


def test_switched_on_again() -> None:
    """Everything is where it was."""
    gate, clock = make()
    gate.open()
    resilient.set_active(False)
    try:
        assert gate.call(abs, -1) == 1
    finally:
        resilient.set_active(True)
    with pytest.raises(CircuitOpenError):
        gate.call(abs, 1)
    clock.advance(10)
    assert gate.call(abs, -1) == 1
    assert gate.state is CircuitState.CLOSED

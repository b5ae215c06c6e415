"""pybreaker's users keep their `except` clauses, their listeners and their storages."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import pybreaker
import pytest

import resilient
from resilient import CircuitState, breaker
from resilient.core.hub import hub
from resilient.testing import ManualClock
from tests.laws.harness import BrokenError, HarmlessError

GUARD = 20.0


def fail(gate: Any, error: type[Exception] = BrokenError) -> None:
    """One call that fails."""

    def fn() -> None:
        raise error

    with pytest.raises(error):
        gate.call(fn)


def delivered() -> None:
    """Wait until everybody has been told everything."""
    assert hub.dispatcher.flush(GUARD)


class Told(pybreaker.CircuitBreakerListener):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.words: list[tuple[Any, ...]] = []

    def state_change(self, cb: Any, old_state: Any, new_state: Any) -> None:
        """Write it down."""
        self.words.append(("state", cb, old_state.name, new_state.name))

    def failure(self, cb: Any, exc: BaseException) -> None:
        """Write it down."""
        self.words.append(("failure", cb, type(exc)))


class ToldEverything(Told):
    """Also what happens on each call."""

    def before_call(self, cb: Any, func: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Write it down."""
        self.words.append(("before", cb, func, args))

    def success(self, cb: Any) -> None:
        """Write it down."""
        self.words.append(("success", cb))


def test_the_error_is_theirs_too() -> None:
    """`except pybreaker.CircuitBreakerError` catches our rejection; another's is not ours."""
    gate = breaker("b", failure_threshold=1, clock=ManualClock())
    fail(gate)
    with pytest.raises(pybreaker.CircuitBreakerError) as refusal:
        gate.call(abs, 1)
    assert isinstance(refusal.value, resilient.CircuitOpenError)
    assert not isinstance(pybreaker.CircuitBreakerError(), resilient.CircuitOpenError)


def test_listeners_are_told_of_states_and_failures() -> None:
    """In order, with our breaker and pybreaker's names; ignored errors are no failures."""
    clock = ManualClock()
    listener = Told()
    gate = breaker(
        "b",
        failure_threshold=2,
        reset_timeout=10,
        ignore=HarmlessError,
        listeners=[listener],
        clock=clock,
    )
    fail(gate)
    fail(gate, HarmlessError)
    fail(gate)
    clock.advance(10)
    gate.call(abs, 1)
    gate.force_open()
    gate.disable()
    delivered()
    states = [(word[2], word[3]) for word in listener.words if word[0] == "state"]
    assert states == [
        (pybreaker.STATE_CLOSED, pybreaker.STATE_OPEN),
        (pybreaker.STATE_OPEN, pybreaker.STATE_HALF_OPEN),
        (pybreaker.STATE_HALF_OPEN, pybreaker.STATE_CLOSED),
        (pybreaker.STATE_CLOSED, pybreaker.STATE_OPEN),
        (pybreaker.STATE_OPEN, pybreaker.STATE_CLOSED),
    ]
    failures = [word for word in listener.words if word[0] == "failure"]
    assert failures == [("failure", gate, BrokenError)] * 2
    assert all(word[1] is gate for word in listener.words)


@pytest.mark.parametrize("surface", ["decorator", "call", "pipeline"])
def test_listeners_of_each_call(surface: str) -> None:
    """One that overrides `before_call` or `success` is told of each call, by every surface."""
    listener = ToldEverything()
    gate = breaker("b", listeners=[listener], clock=ManualClock())
    runs: dict[str, Callable[[int], int]] = {
        "decorator": gate(abs),
        "call": partial(cast("Any", gate).call, abs),
        "pipeline": resilient.pipeline(resilient.point("p"), gate)(abs),
    }
    run = runs[surface]
    assert run(-1) == 1
    delivered()
    assert listener.words == [("before", gate, abs, (-1,)), ("success", gate)]


def test_listeners_are_told_after_the_fact_and_elsewhere() -> None:
    """Not on the caller's thread, and the transition is committed."""
    seen: list[tuple[object, CircuitState]] = []

    class Asks(pybreaker.CircuitBreakerListener):
        def state_change(self, cb: Any, old_state: Any, new_state: Any) -> None:
            seen.append((threading.current_thread(), cb.state))

    gate = breaker("b", failure_threshold=1, listeners=[Asks()], clock=ManualClock())
    fail(gate)
    delivered()
    ((thread, state),) = seen
    assert thread is not threading.current_thread()
    assert state is CircuitState.OPEN


def storage(state: str = pybreaker.STATE_CLOSED) -> pybreaker.CircuitMemoryStorage:
    """A storage that another process might share."""
    return pybreaker.CircuitMemoryStorage(state)


def test_a_storage_that_is_opened_elsewhere_is_followed() -> None:
    """In the background, within a second or so, and closed again likewise."""
    clock = ManualClock()
    shared = storage()
    gate = breaker("b", storage=shared, reset_timeout=1000, clock=clock)
    gate.call(abs, 1)
    delivered()
    shared.state = pybreaker.STATE_OPEN
    clock.advance(2)
    gate.call(abs, 1)  # this call begins the look, and does not wait for it
    delivered()
    assert gate.state is CircuitState.OPEN
    shared.state = pybreaker.STATE_CLOSED
    clock.advance(2)
    with pytest.raises(resilient.CircuitOpenError):
        gate.call(abs, 1)
    delivered()
    assert gate.call(abs, -1) == 1
    assert gate.state is CircuitState.CLOSED


def test_a_storage_is_told() -> None:
    """What happens here is written there."""
    clock = ManualClock()
    shared = storage()
    gate = breaker("b", failure_threshold=1, reset_timeout=10, storage=shared, clock=clock)
    fail(gate)
    delivered()
    assert shared.state == pybreaker.STATE_OPEN
    assert shared.opened_at is not None
    clock.advance(10)
    gate.call(abs, 1)
    delivered()
    assert shared.state == pybreaker.STATE_CLOSED


def test_two_breakers_on_one_storage() -> None:
    """One opens, the other follows."""
    clock = ManualClock()
    shared = storage()
    first, second = (
        breaker("b", failure_threshold=1, reset_timeout=1000, storage=shared, clock=clock)
        for _ in range(2)
    )
    second.call(abs, 1)
    fail(first)
    delivered()
    clock.advance(2)
    second.call(abs, 1)
    delivered()
    with pytest.raises(resilient.CircuitOpenError):
        second.call(abs, 1)


@pytest.mark.parametrize("harm", ["raises", "hangs"])
def test_a_storage_that_is_down_fails_no_call(harm: str) -> None:
    """Neither reading nor writing it is on a call's path."""
    go_on = threading.Event()
    asked = threading.Event()

    class Down(pybreaker.CircuitMemoryStorage):
        def _harm(self) -> None:
            asked.set()
            if harm == "hangs":
                go_on.wait(GUARD)
            raise OSError("down")

        @property
        def state(self) -> str:
            self._harm()
            return pybreaker.STATE_OPEN

        @state.setter
        def state(self, state: str) -> None:
            self._harm()

    clock = ManualClock()
    gate = breaker(
        "b",
        failure_threshold=1,
        reset_timeout=10,
        storage=Down(pybreaker.STATE_CLOSED),
        clock=clock,
    )
    for _ in range(3):
        fail(gate)
        assert gate.state is CircuitState.OPEN
        clock.advance(10)
        assert gate.call(abs, -1) == 1
        assert gate.state is CircuitState.CLOSED
    assert asked.wait(GUARD)
    go_on.set()
    delivered()

"""pybreaker's users keep their `except` clauses, their listeners and their storages."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
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
        self.words.append(("before", cb, func, args, kwargs))

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
    assert listener.words == [("before", gate, abs, (-1,), {}), ("success", gate)]


def told(gate: Any, listener: ToldEverything) -> list[tuple[object, ...]]:
    """What a listener hears of a good call, one that opens the circuit, and one that is refused."""

    def ask(order: int, *, down: bool) -> int:
        if down:
            raise BrokenError
        return order

    for down in (False, True, True):
        with suppress(BrokenError, pybreaker.CircuitBreakerError):
            gate.call(ask, 7, down=down)
    delivered()
    return [
        (word[0], *word[3:]) if word[0] == "before" else (word[0], *word[2:])
        for word in listener.words
    ]


def test_listeners_hear_what_pybreaker_tells_them() -> None:
    """Calls that were admitted, with their keywords; the failure before the change of state."""
    ours, theirs = ToldEverything(), ToldEverything()
    gate = breaker("b", failure_threshold=1, listeners=[ours], clock=ManualClock())
    other = pybreaker.CircuitBreaker(fail_max=1, listeners=[theirs])
    words = told(gate, ours)
    assert words == [
        ("before", (7,), {"down": False}),
        ("success",),
        ("before", (7,), {"down": True}),
        ("failure", BrokenError),
        ("state", pybreaker.STATE_CLOSED, pybreaker.STATE_OPEN),
    ]
    assert words == told(other, theirs)


def test_listeners_hear_it_of_a_key_too() -> None:
    """What `for_key` gives tells them the same."""
    listener = ToldEverything()
    gate = breaker(
        "b", failure_threshold=1, key=lambda *_, **__: 1, listeners=[listener], clock=ManualClock()
    )
    words = told(gate.for_key("k"), listener)
    assert [word[0] for word in words] == ["before", "success", "before", "failure", "state"]


async def test_listeners_hear_it_of_coroutines_too() -> None:
    """A coroutine that is refused was not begun."""
    listener = ToldEverything()
    gate = breaker("b", failure_threshold=1, listeners=[listener], clock=ManualClock())

    @gate
    async def ask(*, order: int) -> None:
        raise BrokenError

    for _ in range(2):
        with suppress(BrokenError, resilient.CircuitOpenError):
            await ask(order=7)
    delivered()
    assert [word[0] for word in listener.words] == ["before", "failure", "state"]
    assert listener.words[0][3:] == ((), {"order": 7})


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


@pytest.mark.parametrize("switch", ["force_open", "disable", "metrics_only"])
def test_a_hand_on_the_switch_outweighs_other_processes(switch: str) -> None:
    """Whatever they write into the storage, the state stays until it is changed here."""
    clock = ManualClock()
    shared = storage()
    gate = breaker("b", storage=shared, reset_timeout=10, clock=clock)
    gate.call(abs, 1)
    getattr(gate, switch)()
    state = gate.state
    for written in (pybreaker.STATE_HALF_OPEN, pybreaker.STATE_CLOSED, pybreaker.STATE_OPEN) * 2:
        delivered()
        shared.state = written
        clock.advance(20)
        with suppress(resilient.CircuitOpenError):
            gate.call(abs, 1)
        delivered()
        assert gate.state is state
    gate.close()
    assert gate.state is CircuitState.CLOSED


def test_a_breaker_that_is_forced_open_survives_anothers_trial() -> None:
    """Two processes on one storage: the other one tries again, and only that one closes."""
    clock = ManualClock()
    shared = storage()
    first, second = (breaker("b", reset_timeout=10, storage=shared, clock=clock) for _ in range(2))
    second.call(abs, 1)
    delivered()
    first.force_open()
    delivered()
    for _ in range(6):
        clock.advance(20)
        for gate in (second, first):
            with suppress(resilient.CircuitOpenError):
                gate.call(abs, 1)
            delivered()
    assert second.state is CircuitState.CLOSED
    assert first.state is CircuitState.FORCED_OPEN


def test_a_storage_keeps_the_latest_state() -> None:
    """Threads that hand their transitions on in another order leave no older state behind."""
    shared = storage()
    gate = breaker("b", failure_threshold=1, storage=shared, clock=ManualClock())
    circuit = gate.find()
    with gate.lock:
        opened = circuit.move(CircuitState.OPEN, "first", 0)
        closed = circuit.move(CircuitState.CLOSED, "then", 0)
    gate.tell(circuit, closed)
    gate.tell(circuit, opened)
    delivered()
    assert shared.state == pybreaker.STATE_CLOSED
    assert gate.state is CircuitState.CLOSED


def test_a_storage_has_no_room_for_keys() -> None:
    """It holds one state: a breaker with keys is refused one when it is made."""
    with pytest.raises(resilient.ConfigError, match=r"^storage="):
        breaker("b", key=lambda key: key, storage=storage(), clock=ManualClock())


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

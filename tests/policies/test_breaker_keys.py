"""A circuit for each key, under one name: bounded, expiring, and each on its own."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from contextvars import ContextVar
from functools import partial
from typing import Any

import pytest

from resilient import CircuitOpenError, CircuitState, breaker, fallback, retry
from resilient.testing import ManualClock
from tests.laws.harness import BrokenError, history

CLOSED, OPEN = CircuitState.CLOSED, CircuitState.OPEN


def make(**settings: Any) -> tuple[Any, ManualClock]:
    """A breaker with a key of its own for each first argument."""
    clock = ManualClock()
    settings = {"failure_threshold": 1, "reset_timeout": 10, "key": lambda key: key, **settings}
    return breaker("hosts", clock=clock, **settings), clock


def ask(key: object) -> object:
    """A dependency that is down for keys that say so."""
    if "down" in str(key):
        raise BrokenError(key)
    return key


def test_one_key_down_is_one_key_refused() -> None:
    """The others go on; the rejection and the event bear name and key."""
    gate, _ = make()
    guarded = gate(ask)
    with history() as events, pytest.raises(BrokenError):
        guarded("down")
    with pytest.raises(CircuitOpenError) as refusal:
        guarded("down")
    assert refusal.value.name == "hosts"
    assert guarded("up") == "up"
    (opened,) = [each for each in events if hasattr(each, "key")]
    assert (opened.name, opened.key, opened.sequence) == ("hosts", "down", 1)
    assert gate.state is OPEN  # the worst of them
    assert gate.for_key("up").state is CLOSED


def test_every_surface_finds_the_same_circuit() -> None:
    """Decorator, method, coroutine, `call`, block and permit."""
    gate, _ = make(failure_threshold=None, key=lambda *args: args[-1])

    class Client:
        @gate
        def ask(self, key: str) -> str:
            return key

        @gate
        async def ask_async(self, key: str) -> str:
            return key

    gate(ask)("k")
    Client().ask("k")
    asyncio.run(Client().ask_async("k"))
    gate.call(ask, "k")
    with gate.for_key("k"):
        pass
    with gate.for_key("k").permit():
        pass

    async def blocks() -> None:
        async with gate.for_key("k"):
            pass
        async with gate.for_key("k").permit():
            pass

    asyncio.run(blocks())
    gate.for_key("k")(lambda: 1)()
    gate.for_key("k").call(lambda: 1)
    assert gate.for_key("k").metrics.successes == gate.metrics.successes == 10


def test_bounded() -> None:
    """A flood of keys costs bounded memory, and keys in use keep their circuits."""
    gate, _ = make(max_keys=10)
    guarded = gate(ask)
    with pytest.raises(BrokenError):
        guarded("down")
    for number in range(200):
        guarded(number)
        with pytest.raises(CircuitOpenError):
            guarded("down")
    assert len(gate.circuits()) <= 10


def test_expiring() -> None:
    """What nobody asked for is forgotten as others come, after twice `key_ttl` at the latest."""
    gate, clock = make(key_ttl=60)
    guarded = gate(ask)
    with pytest.raises(BrokenError):
        guarded("down")
    for key in "abcd":
        clock.advance(30)
        guarded(key)
    assert gate.state is CLOSED
    with pytest.raises(BrokenError):
        guarded("down")


def test_the_block_of_a_keyed_breaker_names_the_cure() -> None:
    """`with breaker:` cannot know the key."""
    gate, _ = make()
    with pytest.raises(TypeError, match="for_key"), gate:
        pytest.fail("entered")
    plain = breaker("plain")
    with pytest.raises(TypeError, match="key"):
        plain.for_key("a")


tenant: ContextVar[str] = ContextVar("tenant")


@pytest.mark.parametrize("around", ["nothing", "retry", "fallback", "call"])
def test_a_key_that_is_no_argument(around: str) -> None:
    """A key from the context, for functions that take nothing."""
    gate, _ = make(key=tenant.get)

    def fn() -> str:
        return str(ask(tenant.get()))

    runs: dict[str, Any] = {
        "nothing": gate(fn),
        "retry": retry(on=BrokenError, attempts=1)(gate(fn)),
        "fallback": fallback(0, on=ZeroDivisionError)(gate(fn)),
        "call": partial(gate.call, fn),
    }
    guarded = runs[around]
    tenant.set("up")
    assert guarded() == "up"
    tenant.set("down")
    with pytest.raises(BrokenError):
        guarded()
    with pytest.raises(CircuitOpenError):
        guarded()
    tenant.set("up")
    assert guarded() == "up"


def test_the_hand_on_all_keys() -> None:
    """Force them open, also those to come; a reset lets go of all."""
    gate, _ = make()
    gate.for_key("a")
    gate.force_open()
    assert gate.for_key("a").state is gate.for_key("b").state is CircuitState.FORCED_OPEN
    gate.reset()
    assert gate.for_key("a").state is gate.for_key("b").state is gate.for_key("c").state is CLOSED
    gate.disable()
    gate.close()
    assert gate.for_key("d").state is CLOSED


def test_the_hand_on_one_key() -> None:
    """Only that one."""
    gate, _ = make()
    gate.for_key("a").force_open()
    with pytest.raises(CircuitOpenError):
        gate(ask)("a")
    assert gate(ask)("b") == "b"


def test_metrics_of_all_keys() -> None:
    """Sums; and the last failure of any of them, whether it opened a circuit or not."""
    gate, clock = make(failure_threshold=2)
    guarded = gate(ask)
    guarded("up")
    with pytest.raises(BrokenError):
        guarded("down 1")
    clock.advance(1)
    with pytest.raises(BrokenError):
        guarded("down 2")
    metrics = gate.metrics
    assert (metrics.calls, metrics.failures, metrics.transitions) == (3, 2, 0)
    assert str(metrics.last_error) == "down 2"


def test_the_last_error_does_not_depend_on_the_wall_clock() -> None:
    """The wall clock is set back between two openings; the later one is still the later one."""

    class Moody(ManualClock):
        wall = 5000.0

        def time(self) -> float:
            return self.wall

    clock = Moody()
    gate = breaker("hosts", failure_threshold=1, key=lambda key: key, clock=clock)
    for key in ("down 1", "down 2"):
        with pytest.raises(BrokenError):
            gate(ask)(key)
        clock.advance(1)
        clock.wall -= 1000
    assert str(gate.metrics.last_error) == "down 2"


def test_health_is_the_mean() -> None:
    """One open key of four is no dead component."""
    gate, _ = make()
    for key in ("a", "b", "c", "down"):
        with suppress(BrokenError):
            gate(ask)(key)
    assert gate.health().standing == 0.75
    assert gate.health().calls == 4


def test_a_key_that_is_kept_follows_its_breaker() -> None:
    """What `for_key` gave, or decorated, belongs to the breaker after its circuit was forgotten."""
    gate, clock = make(key_ttl=100)
    kept = gate.for_key("a")
    guarded = kept(ask)
    assert guarded(1) == 1
    clock.advance(200)
    for other in ("b", "c"):
        gate.call(ask, other)
    gate.force_open()
    with pytest.raises(CircuitOpenError):
        guarded(1)
    with pytest.raises(CircuitOpenError), kept:
        pytest.fail("entered")
    assert kept.state is CircuitState.FORCED_OPEN
    gate.close()
    with pytest.raises(BrokenError):
        guarded("down")
    assert kept.state is gate.for_key("a").state is gate.state is OPEN
    assert gate.metrics.last_error is not None
    assert repr(kept.metrics.last_error) == repr(gate.metrics.last_error)


def test_a_key_that_is_kept_and_forgotten_has_one_circuit() -> None:
    """What fails through the kept gate is refused through the breaker."""
    gate, clock = make(key_ttl=100)
    guarded = gate.for_key("a")(ask)
    with pytest.raises(BrokenError):
        guarded("down")
    clock.advance(10)
    assert guarded(1) == 1
    assert gate.for_key("a").state is CLOSED
    for other in ("b", "c", "d", "e"):
        clock.advance(200)
        gate.call(ask, other)
    with pytest.raises(BrokenError):
        guarded("down")
    with pytest.raises(CircuitOpenError):
        gate.call(ask, "a")

"""A dependency that has come back gets its calls back bit by bit."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import resilient
from resilient import (
    CircuitState,
    ConfigError,
    SystemOperationMode,
    ThrottledError,
    breaker,
    slow_start,
)
from resilient.core.hub import hub
from resilient.events import ComponentFailed, ComponentRecovered
from resilient.policies.ramp import Ramp
from resilient.testing import ManualClock
from resilient.testing.loop import run
from tests.laws.harness import in_threads

# The share after so many seconds, by Envoy's formula with an aggression of 1:
# max(min_weight_percent, time since the start / window).
SHARES = [
    (60, 0.1, 0, 0.1),
    (60, 0.1, 3, 0.1),
    (60, 0.1, 6, 0.1),
    (60, 0.1, 12, 0.2),
    (60, 0.1, 30, 0.5),
    (60, 0.1, 59, 59 / 60),
    (60, 0.1, 60, 1.0),
    (60, 0.1, 600, 1.0),
    (30, 0.5, 10, 0.5),
    (30, 0.5, 20, 2 / 3),
    (30, 1.0, 0, 1.0),
]


def admitted(gate: Any) -> bool:
    """Whether the next call is made."""
    try:
        return bool(gate.call(lambda: True))
    except ThrottledError:
        return False


def made(**settings: Any) -> tuple[Any, ManualClock]:
    """One with a clock of its own."""
    clock = ManualClock(1000)
    return slow_start("db", clock=clock, **settings), clock


def failed(name: str = "db") -> None:
    """A mode says so."""
    hub.bus.publish(ComponentFailed(name=name, mode="system", health=0.0, signal="probe"))


def recovered(name: str = "db") -> None:
    """A mode says so."""
    hub.bus.publish(ComponentRecovered(name=name, mode="system", health=1.0, seconds=9.0))


@pytest.mark.parametrize(("over", "first", "elapsed", "share"), SHARES)
def test_the_share_grows_in_a_straight_line(
    over: float, first: float, elapsed: float, share: float
) -> None:
    """From `first`, which it never falls below, to all, as the gate says too."""
    gate, clock = made(over=over, first=first)
    assert gate.share == 1
    gate.start()
    clock.advance(elapsed)
    assert gate.share == Ramp(over, first).share(elapsed) == pytest.approx(share)


@given(
    over=st.floats(0.1, 1000),
    first=st.floats(0.001, 1),
    gaps=st.lists(st.floats(0, 30), min_size=1, max_size=200),
)
def test_admitted_calls_are_the_sum_of_the_shares(
    over: float, first: float, gaps: list[float]
) -> None:
    """Whenever calls come: after each of them, within one call of what the ramp allows so far."""
    gate, clock = made(over=over, first=first)
    gate.start()
    elapsed = allowed = 0.0
    passed = 0
    for gap in gaps:
        clock.advance(gap)
        elapsed = clock.monotonic() - 1000
        allowed += gate.ramp.share(elapsed)
        passed += admitted(gate)
        assert abs(passed - allowed) <= 1 + 1e-6


@given(over=st.floats(1, 100), first=st.floats(0.01, 1), rate=st.floats(0.5, 20))
def test_a_steady_load_gets_the_integral_of_the_ramp(
    over: float, first: float, rate: float
) -> None:
    """At a constant rate: first² x over / 2 + over / 2 seconds' worth of calls, within one."""
    gate, clock = made(over=over, first=first)
    gate.start()
    number = max(1, int(over * rate))
    step, passed = over / number, 0
    clock.advance(step / 2)
    for _ in range(number):
        passed += admitted(gate)
        clock.advance(step)
    integral = first * first * over + (1 - first * first) * over / 2
    # In the one step in which the straight part begins, its middle is not its mean.
    assert abs(passed - integral / step) <= 1 + 1 / 8


def test_of_ten_calls_at_a_tenth_one_is_made_and_the_first() -> None:
    """By counting and not by chance."""
    gate, _ = made()
    gate.start()
    assert [admitted(gate) for _ in range(30)] == [True, *[False] * 9] * 3
    assert gate.rejected == 27


@pytest.mark.parametrize(("elapsed", "wait"), [(0, 5.4), (6, 5.4), (30, 15.0), (54, 5.4)])
def test_who_is_refused_is_told_when_to_come_back(elapsed: float, wait: float) -> None:
    """After over x share x (1 - share) seconds; the error names share, times and component."""
    gate, clock = made()
    gate.start()
    admitted(gate)
    clock.advance(elapsed)
    error = next(error for error in iter(lambda: refusal(gate), 0) if error is not None)
    assert error.retry_after == pytest.approx(wait)
    share = max(0.1, elapsed / 60)
    assert error.reason == f"back for {elapsed} s of 60 s: {share:.0%} of calls are made"


def refusal(gate: Any) -> ThrottledError | None:
    """What the next call is refused with."""
    try:
        gate.call(len, "words")
    except ThrottledError as error:
        return error
    return None


def test_those_sent_away_come_back_evenly() -> None:
    """Calls of each second from the tenth of the ramp on come back at half their rate, to its end.

    Told the end, all would come back in one second.
    """
    ramp = Ramp(60.0, 0.1)
    back = [0.0] * 61
    for tick in range(600, 6000):
        elapsed = tick / 100
        back[int(elapsed + ramp.wait(elapsed))] += (1 - ramp.share(elapsed)) / 100
    assert all(0.45 < each < 0.55 for each in back[13:59])
    assert max(back) < 1


def test_a_breaker_that_closes_begins_it() -> None:
    """Before, while it is open and half open, the gate is out of the way; it ends by itself."""
    clock = ManualClock(1000)
    gate = slow_start("db", over=10, first=0.5, clock=clock)
    circuit = breaker("db", failure_threshold=1, reset_timeout=5, clock=clock)
    guarded = gate(circuit(lambda number: 1 / number))
    assert [guarded(1) for _ in range(20)] == [1.0] * 20
    with pytest.raises(ZeroDivisionError):
        guarded(0)
    for _ in range(3):
        with pytest.raises(resilient.CircuitOpenError):
            guarded(1)
    clock.advance(5)
    assert guarded(1) == 1
    assert circuit.state is CircuitState.CLOSED
    assert gate.share == 0.5
    assert [admitted(gate) for _ in range(6)] == [True, False] * 3
    clock.advance(10)
    assert [admitted(gate) for _ in range(6)] == [True] * 6


def test_a_relapse_begins_it_anew_at_the_next_recovery() -> None:
    """While the breaker is open it alone refuses: the calls that try it must get through."""
    clock = ManualClock(1000)
    gate = slow_start("db", over=10, first=0.1, clock=clock)
    circuit = breaker("db", clock=clock)
    circuit.open()
    circuit.close()
    clock.advance(5)
    assert gate.share == 0.5
    circuit.open()
    assert gate.share == 1
    circuit.half_open()
    assert gate.share == 1
    circuit.close()
    assert gate.share == 0.1


def test_one_of_two_breakers_does_not_let_the_crowd_through() -> None:
    """The ramp goes on while another breaker of that name is closed: nobody else holds back."""
    clock = ManualClock(1000)
    gate = slow_start("db", over=10, first=0.1, clock=clock)
    circuits = [breaker("db", clock=clock), breaker("db", clock=clock)]
    for circuit in circuits:
        circuit.open()
    for circuit in circuits:
        circuit.close()
    clock.advance(5)
    assert gate.share == 0.5
    circuits[0].open()
    assert gate.share == 0.5  # the other one is closed
    circuits[0].close()
    assert gate.share == 0.1  # a relapse, and a recovery
    clock.advance(5)
    for circuit in circuits:
        circuit.open()
    assert gate.share == 1  # now they refuse by themselves
    circuits[1].close()
    assert gate.share == 0.1


def test_what_a_mode_finds_counts_too() -> None:
    """One recovery is one ramp: it goes on while the component ails, and begins anew after it."""
    gate, clock = made(over=10)
    recovered()
    assert gate.share == 0.1
    clock.advance(5)
    recovered()  # the same recovery, heard from another mode
    assert gate.share == 0.5
    failed()
    assert gate.share == 0.5  # never more than before, where nobody else refuses
    recovered()
    assert gate.share == 0.1
    clock.advance(10)
    recovered()
    assert gate.share == 1
    failed("other")
    recovered("other")
    assert gate.share == 1


@pytest.mark.parametrize(
    ("steps", "share"),
    [
        (["open", "close"], 0.1),
        (["open", "half_open", "close"], 0.1),
        (["force_open", "close"], 0.1),
        (["disable", "close"], 1),
        (["metrics_only", "close"], 1),
        (["open"], 1),
        (["open", "half_open"], 1),
        (["open", "close", "disable"], 0.1),
    ],
)
def test_which_transitions_are_a_recovery(steps: list[str], share: float) -> None:
    """Those after which calls flow that did not flow before."""
    clock = ManualClock(1000)
    gate, circuit = slow_start("db", clock=clock), breaker("db", clock=clock)
    for step in steps:
        getattr(circuit, step)()
    assert gate.share == share


def test_a_circuit_of_a_key_is_not_the_component() -> None:
    """One of many that is back brings no load worth a ramp."""
    clock = ManualClock(1000)
    gate = slow_start("db", clock=clock)
    keyed = breaker("db", key=lambda key: key, clock=clock)
    keyed.for_key("a").open()
    keyed.for_key("a").close()
    assert gate.share == 1


def test_a_real_mode_says_when_a_component_is_back() -> None:
    """By any evidence, here a figure that the application declares; nothing else is wired."""
    clock = ManualClock(1000)
    mode = SystemOperationMode(clock=clock)
    gate, health = slow_start("db", clock=clock), mode.metric("db")
    for value, share in ((1.0, 1), (0.0, 1), (0.69, 1), (0.7, 0.1)):
        clock.advance(1)
        health.set(value)
        mode.evaluate()
        assert gate.share == share


def test_threads_and_loops_share_one_ramp() -> None:
    """Of 8 threads x 100 calls, and then 100 tasks, as many pass as the share says, exactly."""
    gate, clock = made(first=0.25)
    gate.start()
    passed: list[int] = []

    def work(_: int) -> None:
        passed.append(sum(admitted(gate) for _ in range(100)))

    in_threads(work, traced=True)
    assert sum(passed) == 200

    async def ask() -> bool:
        async def answer() -> bool:
            await asyncio.sleep(0)
            return True

        try:
            return bool(await gate.call(answer))
        except ThrottledError:
            return False

    async def scene() -> list[bool]:
        return await asyncio.gather(*(ask() for _ in range(100)))

    assert sum(run(scene(), clock)) == 25
    assert gate.rejected == 675


def test_it_is_held_by_nobody() -> None:
    """A gate that is dropped is collected, and its taps go with it."""
    gate, _ = made()
    ref, taps = weakref.ref(gate), len(hub.bus._taps)
    del gate
    gc.collect()
    assert ref() is None
    assert len(hub.bus._taps) <= taps - 3
    recovered()


def test_while_the_library_is_inactive_everybody_passes() -> None:
    """`set_active(False)`: a call and a block, and nothing is counted."""
    gate, _ = made()
    gate.start()
    resilient.set_active(False)
    try:
        for _ in range(5):
            assert admitted(gate)
            with gate:
                pass
    finally:
        resilient.set_active(True)
    assert gate.rejected == 0


def test_what_was_known_can_be_taken_over() -> None:
    """Where the ramp stands, to the next call that is made; bad data is refused."""
    gate, clock = made(over=10)
    gate.start()
    clock.advance(5)
    asked = [admitted(gate) for _ in range(3)]
    saved = gate.snapshot()
    gate.reset()
    assert (gate.share, gate.rejected) == (1, 0)
    clock.advance(100)
    gate.restore(saved)
    assert (gate.share, gate.rejected) == (0.5, asked.count(False))
    assert admitted(gate) is not asked[-1]
    gate.start()
    for _ in range(40):  # ten tenths are a little less than one
        admitted(gate)
        gate.restore(gate.snapshot())
    assert gate.rejected == asked.count(False) + 36 + 1
    bad: Any
    for bad in (
        {},
        {**saved, "due": 2},
        {**saved, "elapsed": -1},
        {**saved, "rejected": "x"},
        None,
    ):
        with pytest.raises(ConfigError):
            gate.restore(bad)


@pytest.mark.parametrize(
    ("settings", "setting"),
    [
        ({"name": ""}, "name"),
        ({"over": 0}, "over"),
        ({"first": 0}, "first"),
        ({"first": 1.1}, "first"),
        ({"first": "10 %"}, "first"),
        ({"clock": 3}, "clock"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], setting: str) -> None:
    """Law 12: the error names the setting."""
    make: Callable[..., Any] = slow_start
    with pytest.raises(ConfigError) as error:
        make(**{"name": "db", **settings})
    assert error.value.setting == setting


def test_what_it_says_of_itself() -> None:
    """One line."""
    gate, _ = made()
    assert gate.describe() == "slow start('db'): from 10% to all in 60 s after a recovery"

"""Defects seen in circuit breakers elsewhere, each shown to be absent here."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

import resilient
from resilient import CircuitOpenError, CircuitState, breaker
from resilient.testing import ManualClock
from tests.laws.harness import BrokenError, HarmlessError, pause

CLOSED, OPEN, HALF_OPEN = CircuitState.CLOSED, CircuitState.OPEN, CircuitState.HALF_OPEN


def make(**settings: Any) -> tuple[Any, ManualClock]:
    """A breaker that opens at the first failure."""
    clock = ManualClock()
    settings = {"failure_threshold": 1, "reset_timeout": 10, "ignore": HarmlessError, **settings}
    return breaker("b", clock=clock, **settings), clock


def trial(**settings: Any) -> tuple[Any, ManualClock]:
    """A breaker whose next call is a trial."""
    gate, clock = make(**settings)
    gate.open()
    clock.advance(10)
    return gate, clock


def failing(gate: Any, error: type[BaseException] = BrokenError) -> None:
    """One call that raises."""

    def fn() -> None:
        raise error

    with pytest.raises(error):
        gate(fn)()


async def probe() -> str:
    """Suspends once."""
    await pause()
    return "answer"


def test_half_open_herd() -> None:
    """A hundred callers while the probe is under way: one runs, ninety-nine are refused."""
    gate, _ = trial()
    guarded = gate(probe)
    herd = [guarded() for _ in range(100)]
    herd[0].send(None)
    for each in herd[1:]:
        with pytest.raises(CircuitOpenError):
            each.send(None)
    with pytest.raises(StopIteration):
        herd[0].send(None)
    assert gate.state is CLOSED


@pytest.mark.parametrize("ending", ["cancelled", "ignored", "closed", "Ctrl-C"])
def test_half_open_for_ever_after_a_probe_that_says_nothing(ending: str) -> None:
    """The next caller gets its place."""
    gate, _ = trial()
    running = gate(probe)()
    running.send(None)
    if ending == "closed":
        running.close()
    else:
        errors = {
            "cancelled": asyncio.CancelledError,
            "ignored": HarmlessError,
            "Ctrl-C": KeyboardInterrupt,
        }
        with pytest.raises(errors[ending]):
            running.throw(errors[ending]())
    assert gate.state is HALF_OPEN
    assert gate.call(abs, -1) == 1
    assert gate.state is CLOSED


def test_half_open_for_ever_after_a_probe_that_hangs() -> None:
    """A thread that never comes back keeps its place for `half_open_timeout`, no longer."""
    gate, clock = trial(half_open_timeout=5)
    entered, go_on = threading.Event(), threading.Event()

    @gate
    def hang() -> None:
        entered.set()
        go_on.wait()

    thread = threading.Thread(target=hang)
    thread.start()
    entered.wait()
    with pytest.raises(CircuitOpenError) as refusal:
        gate.call(abs, -1)
    assert refusal.value.retry_after == 5
    clock.advance(5)
    assert gate.call(abs, -1) == 1
    assert gate.state is CLOSED
    go_on.set()
    thread.join()
    assert gate.metrics.calls == 0  # the late answer belongs to an earlier era


def test_a_late_success_does_not_close_an_open_circuit() -> None:
    """It began before the circuit opened: it changes nothing, not even a count."""
    gate, _ = make()
    late = gate(probe)()
    late.send(None)
    failing(gate)
    with pytest.raises(StopIteration):
        late.send(None)
    assert gate.state is OPEN
    assert gate.metrics.successes == 0


def test_a_late_failure_does_not_reopen_a_half_open_circuit() -> None:
    """Nor does it take the probe's place, or count against it."""
    gate, clock = make()
    late = gate(probe)()
    late.send(None)
    failing(gate)
    clock.advance(10)
    first = gate(probe)()
    first.send(None)
    with pytest.raises(BrokenError):
        late.throw(BrokenError())
    assert gate.state is HALF_OPEN
    with pytest.raises(StopIteration):
        first.send(None)
    assert gate.state is CLOSED


def test_a_late_failure_does_not_open_a_circuit_that_has_recovered() -> None:
    """The dependency was down then, and is well now."""
    gate, clock = make()
    late = gate(probe)()
    late.send(None)
    failing(gate)
    clock.advance(10)
    gate.call(abs, -1)
    with pytest.raises(BrokenError):
        late.throw(BrokenError())
    assert gate.state is CLOSED
    assert gate.metrics.calls == 0


def test_cancellation_is_neither_failure_nor_success() -> None:
    """It opens nothing, and it does not end a streak."""
    gate, _ = make(failure_threshold=2)
    for _ in range(5):
        running = gate(probe)()
        running.send(None)
        with pytest.raises(asyncio.CancelledError):
            running.throw(asyncio.CancelledError())
    assert gate.state is CLOSED
    failing(gate)
    failing(gate, asyncio.CancelledError)
    failing(gate)
    assert gate.state is OPEN


def test_no_shared_exception_object() -> None:
    """A thousand rejections, a thousand objects, and tracebacks that do not grow."""
    gate, _ = make()
    failing(gate)
    seen = []
    depths = set()
    for _ in range(1000):
        with pytest.raises(CircuitOpenError) as refusal:
            gate.call(abs, -1)
        seen.append(refusal.value)
        depths.add(len(refusal.traceback))
    assert len({id(each) for each in seen}) == 1000
    assert len(depths) == 1
    assert all(each.__context__ is None for each in seen)


def test_wall_clock_steps_change_nothing() -> None:
    """The wall clock is set a year ahead and back; the reset timeout is as long as ever."""

    class Moody(ManualClock):
        step = 0.0

        def time(self) -> float:
            return super().time() + self.step

    clock = Moody(1e6)
    gate = breaker("b", failure_threshold=1, reset_timeout=10, clock=clock)
    failing(gate)
    for step in (3e7, -3e7):
        clock.step = step
        clock.advance(4)
        with pytest.raises(CircuitOpenError):
            gate.call(abs, -1)
    clock.advance(2)
    assert gate.call(abs, -1) == 1


def test_ignored_exceptions_do_not_end_a_streak() -> None:
    """Failure, ignored, failure is two failures in a row: as decorator and as block."""
    for block in (False, True):
        gate, _ = make(failure_threshold=2)
        for error in (BrokenError, HarmlessError, BrokenError):
            if block:
                with pytest.raises(error), gate:
                    raise error
            else:
                failing(gate, error)
        assert gate.state is OPEN
        assert gate.metrics.ignored == 1


def test_generators_are_not_decorated_silently() -> None:
    """A generator function's call returns before its body has begun."""
    gate, _ = make()
    with pytest.raises(TypeError, match="generator"):

        @gate
        def rows() -> Any:
            yield 1


SCRIPTS = [
    "FFF",
    "F.F",
    "FiFi",
    "Fc.F",
    "aFaF",
    "FrF",
]


@pytest.mark.parametrize("script", SCRIPTS)
def test_decorator_and_block_agree(script: str) -> None:
    """One breaker by decorator, `call`, block and permit: the same state and the same numbers."""
    errors: dict[str, BaseException | None] = {
        ".": None,
        "F": BrokenError(),
        "i": HarmlessError(),
        "c": asyncio.CancelledError(),
        "a": ArithmeticError(),
        "r": resilient.Rejected("x", 1.0, "no"),
    }
    seen = []
    for surface in ("decorator", "call", "block", "permit"):
        gate, _ = make(failure_threshold=2, on=BrokenError)
        for each in script:
            error = errors[each]

            def fn() -> None:
                if error is not None:  # noqa: B023  (called at once)
                    raise error  # noqa: B023

            try:
                if surface == "decorator":
                    gate(fn)()
                elif surface == "call":
                    gate.call(fn)
                else:
                    with gate if surface == "block" else gate.permit():
                        fn()
            except BaseException as raised:  # noqa: BLE001  (as the script says)
                assert raised is error or isinstance(raised, CircuitOpenError)  # noqa: PT017  (or it returns)
        metrics = gate.metrics
        seen.append(
            (gate.state, metrics.calls, metrics.failures, metrics.ignored, metrics.rejected)
        )
    assert len(set(seen)) == 1


def test_no_registry_by_name() -> None:
    """Two functions of one qualified name under two breakers do not share a circuit."""

    def define(gate: Any) -> Any:
        @gate
        def ask(*, down: bool) -> str:
            if down:
                raise BrokenError
            return "answer"

        return ask

    first, second = (define(make()[0]) for _ in range(2))
    assert first.__qualname__ == second.__qualname__
    with pytest.raises(BrokenError):
        first(down=True)
    with pytest.raises(CircuitOpenError):
        first(down=False)
    assert second(down=False) == "answer"


def test_no_lock_is_held_while_user_code_runs() -> None:
    """Two calls through one breaker are inside at the same time."""
    gate, _ = make()
    both = threading.Barrier(2, timeout=20)
    threads = [threading.Thread(target=gate(both.wait)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not both.broken
    assert gate.metrics.successes == 2

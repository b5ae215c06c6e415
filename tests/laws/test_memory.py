"""Memory is bounded: keys, windows, stacks, queues, and everything that is remembered."""

from __future__ import annotations

import asyncio
import gc
import threading
import tracemalloc
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from resilient import CircuitOpenError, Rejected, breaker, calls, fallback, retry, stale
from resilient.core.hub import hub
from resilient.testing import ManualClock
from tests.laws.gates import KINDS
from tests.laws.harness import BrokenError


def held(run: Callable[[], object]) -> int:
    """Bytes that are allocated by `run` and still there afterwards."""
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        run()
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


CLOCK = ManualClock()
BREAKERS: dict[str, Callable[[], Any]] = {
    "time window": lambda: breaker("b", failure_threshold=None, clock=CLOCK),
    "count window": lambda: breaker("b", failure_threshold=None, window=calls(50), clock=CLOCK),
    "opens and closes": lambda: breaker("b", failure_threshold=2, reset_timeout=1, clock=CLOCK),
    "keys": lambda: breaker(
        "b", failure_threshold=2, key=lambda number: number, max_keys=20, clock=CLOCK
    ),
}


@pytest.mark.parametrize("kind", BREAKERS)
def test_a_breaker_does_not_grow(kind: str) -> None:
    """After thousands of calls of every ending it is as large as after a few hundred."""
    kept = []

    def use(times: int) -> None:
        gate = BREAKERS[kind]()
        kept.append(gate)

        @gate
        def fn(number: int) -> None:
            CLOCK.advance(0.1)
            if number % 3:
                raise BrokenError(str(number))

        for number in range(times):
            try:
                fn(number)
            except (BrokenError, CircuitOpenError):
                CLOCK.advance(0.2)

    use(500)
    assert held(lambda: use(5_000)) < held(lambda: use(500)) + 4_000


@pytest.mark.parametrize("kind", KINDS)
def test_no_gate_grows(kind: str) -> None:
    """Refusals, good calls and failures, marked and not: many leave no more than a few."""
    kept = []

    def use(times: int) -> None:
        gate = KINDS[kind].refusing()
        kept.append(gate)

        @gate
        def fn(number: int) -> None:
            if number % 3:
                raise BrokenError(str(number))

        for number in range(times):
            gate.clock.advance(0.1)
            if hasattr(gate, "in_flight") and number % 8 == 4:
                with suppress(Rejected), gate.permit(), gate.permit():
                    pass
            with suppress(BrokenError, Rejected):
                fn(number)

    use(100)
    assert held(lambda: use(1_500)) < held(lambda: use(100)) + 4_000


def test_policies_and_functions_die() -> None:
    """The library knows them weakly: what the application forgets is gone."""
    gate = breaker("mortal", key=lambda x: x, clock=ManualClock())
    again = retry(on=BrokenError)
    guarded = again(gate(lambda x: x))
    guarded(1)
    others = [made.open() for made in KINDS.values()]
    chains = [each(lambda: 1) for each in others]
    assert [chain() for chain in chains] == [1] * len(chains)
    with gate.for_key(1):
        pass
    gone = [weakref.ref(each) for each in (gate, again, guarded, *others, *chains)]
    del gate, again, guarded, others, chains
    gc.collect()
    assert [ref() for ref in gone] == [None] * len(gone)
    assert not [each for each in hub.policies() if getattr(each, "name", None) in {"mortal", "law"}]


def test_stacks_of_blocks_are_empty_when_they_are_left() -> None:
    """A thousand tasks and a hundred threads later."""
    gate: Any = breaker("b", failure_threshold=None, clock=ManualClock())

    async def block() -> None:
        async with gate:
            await asyncio.sleep(0)
        with gate:
            pass

    async def tasks() -> None:
        await asyncio.gather(*(block() for _ in range(1000)))

    def in_thread() -> None:
        with gate, gate:
            pass

    asyncio.run(tasks())
    for _ in range(100):
        thread = threading.Thread(target=in_thread)
        thread.start()
        thread.join()
    assert not gate._held._stacks
    assert gate.metrics.calls == 2200


def test_memories_of_good_answers_are_bounded() -> None:
    """`stale` keeps `max_keys` answers."""

    class Answer:
        """Can be looked for."""

    fn = fallback(stale(max_keys=10, clock=ManualClock()))(lambda number: Answer())
    for number in range(500):
        fn(number)
    gc.collect()
    assert sum(isinstance(each, Answer) for each in gc.get_objects()) <= 10


def test_notes_on_an_error_that_is_raised_again_and_again() -> None:
    """One object, raised by a thousand calls, has one note of ours and no growing chain."""
    error = BrokenError("always the same object")

    def fn() -> None:
        raise error

    guarded = retry(on=BrokenError, attempts=2, wait=0, clock=ManualClock())(
        breaker("b", failure_threshold=None, clock=ManualClock())(fn)
    )
    for _ in range(1000):
        error.__traceback__ = None
        with pytest.raises(BrokenError):
            guarded()
    assert len(error.__notes__) == 1
    assert error.__cause__ is error.__context__ is None

"""A thousand callers meet an open circuit whose time is over: as many run as there are places."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import Any

import pytest

import resilient
from resilient import CircuitHalfOpened, CircuitOpenError, CircuitState
from tests.laws.harness import half_open, history, in_threads, make

PLACES = 4
CALLERS = 1000
ROUNDS = 5
BATCH = 50


def expired() -> Any:
    """A breaker whose next call is a trial."""
    gate, clock = make(half_open_calls=PLACES, half_open_success_rate=1.0)
    half_open(gate, clock)
    return gate


def half_openings(events: list[Any]) -> int:
    """How often a circuit was published as half open."""
    return sum(isinstance(event, CircuitHalfOpened) for event in events)


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_a_thousand_threads(round_: int) -> None:
    """All at once through a barrier, batch after batch, while the trial calls are under way."""
    gate = expired()
    admitted: list[int] = []
    refused: list[float | None] = []
    done = threading.Event()
    barrier = threading.Barrier(BATCH)

    @gate
    def probe(_token: object) -> None:
        admitted.append(threading.get_ident())
        done.wait()

    def caller() -> None:
        barrier.wait()
        try:
            probe(None)
        except CircuitOpenError as refusal:
            refused.append(refusal.retry_after)

    with history() as events:
        waiting: list[threading.Thread] = []
        for _ in range(CALLERS // BATCH):
            batch = [threading.Thread(target=caller) for _ in range(BATCH)]
            for thread in batch:
                thread.start()
            waiting += batch
            while len(admitted) + len(refused) < len(waiting):
                threading.Event().wait(0.001)  # until each has been told, however slow the machine
        assert (len(admitted), len(refused)) == (PLACES, CALLERS - PLACES)
        assert half_openings(events) == 1
        assert gate.state is CircuitState.HALF_OPEN
        done.set()
        for thread in waiting:
            thread.join()
    assert gate.state is CircuitState.CLOSED
    assert gate.metrics.rejected == CALLERS - PLACES


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_threads_that_take_turns_at_every_line(round_: int) -> None:
    """However the decisions of several threads interleave: as many run as there are places."""
    gate = expired()
    admitted: list[int] = []
    everybody = threading.Barrier(8)

    def caller(index: int) -> None:
        with suppress(CircuitOpenError), gate.permit():
            admitted.append(index)
            everybody.wait()
            return
        everybody.wait()

    with history() as events:
        in_threads(caller, traced=True)
    assert len(admitted) == PLACES
    assert half_openings(events) == 1
    assert gate.metrics.rejected == 8 - PLACES
    assert gate.state is CircuitState.CLOSED
    assert gate.metrics.transitions == 3  # opened by hand, half-opened, closed


@pytest.mark.parametrize("surface", ["decorator", "block", "call"])
def test_a_thousand_tasks(surface: str) -> None:
    """The same on one event loop."""

    async def probe(_token: object) -> str:
        await asyncio.sleep(0)
        return "answer"

    async def in_block(token: object) -> str:
        async with gate:
            return await probe(token)

    async def herd() -> list[Any]:
        run = {"decorator": gate(probe), "block": in_block}.get(surface)
        tasks = [gate.call(probe, 0) if run is None else run(0) for _ in range(CALLERS)]
        return await asyncio.gather(*tasks, return_exceptions=True)

    for _ in range(ROUNDS):
        gate = expired()
        with history() as events:
            answers = asyncio.run(herd())
        assert answers.count("answer") == PLACES
        assert sum(isinstance(each, CircuitOpenError) for each in answers) == CALLERS - PLACES
        assert half_openings(events) == 1
        assert gate.state is CircuitState.CLOSED


def test_threads_and_tasks_together() -> None:  # noqa: C901  (one scene, several parts)
    """Callers of both kinds share the places of one circuit."""
    gate = expired()
    entered: list[str] = []
    done = threading.Event()
    everybody = threading.Barrier(20)

    async def probe(_token: object) -> None:
        entered.append("task")
        while not done.is_set():  # noqa: ASYNC110  (another thread sets it)
            await asyncio.sleep(0.001)

    def hold(_token: object) -> None:
        entered.append("thread")
        done.wait()

    refused: list[Exception] = []

    def in_thread() -> None:
        everybody.wait()
        try:
            gate(hold)(0)
        except CircuitOpenError as refusal:
            refused.append(refusal)

    def in_loop() -> None:
        async def tasks() -> list[Any]:
            return await asyncio.gather(
                *(gate(probe)(0) for _ in range(20)), return_exceptions=True
            )

        everybody.wait()
        refused.extend(each for each in asyncio.run(tasks()) if each is not None)

    threads = [threading.Thread(target=in_thread) for _ in range(10)]
    threads += [threading.Thread(target=in_loop) for _ in range(10)]
    with history() as events:
        for thread in threads:
            thread.start()
        while gate.metrics.rejected < 210 - PLACES:
            threading.Event().wait(0.001)
        done.set()
        for thread in threads:
            thread.join()
    assert len(entered) == PLACES
    assert len(refused) == 210 - PLACES
    assert all(isinstance(each, resilient.CircuitOpenError) for each in refused)
    assert half_openings(events) == 1

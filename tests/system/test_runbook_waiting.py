"""Runs on threads and loops: who waits, what hangs, and what is left when all is over."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from resilient import (
    RunbookFinished,
    RunContext,
    RunOutcome,
    StepState,
    SystemOperationMode,
    runbook,
    step,
)
from resilient.core.hub import hub
from resilient.system.runbooks.running import Running
from resilient.testing import JumpingEventLoop, ManualClock


@pytest.fixture
def clock() -> ManualClock:
    """A clock of this test's own."""
    return ManualClock(1000)


@pytest.fixture
def mode(clock: ManualClock) -> Iterator[SystemOperationMode]:
    """A mode on that clock."""
    made = SystemOperationMode("shop", clock=clock)
    yield made
    made.close()


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What a function hangs on until the end of the test."""
    made = threading.Event()
    yield made
    made.set()
    hub.dispatcher.flush(5)


def jumping(clock: ManualClock) -> asyncio.Runner:
    """A runner of loops that jump."""
    return asyncio.Runner(loop_factory=lambda: JumpingEventLoop(clock))


def until(mode: SystemOperationMode, true: Any) -> None:
    """Look until something is true, which takes real time: other threads are at it."""
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        mode.evaluate()
        time.sleep(0.001)


def test_async_steps_run_on_their_own_loop(mode: SystemOperationMode, clock: ManualClock) -> None:
    """Where the book was attached; waits, limits and ticks all take their virtual time."""
    seen: list[Any] = []

    async def sleeps(context: RunContext) -> float:
        seen.append(asyncio.get_running_loop())
        await asyncio.sleep(20)
        return context.since

    async def hangs() -> None:
        try:
            await asyncio.sleep(10_000)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    async def main() -> RunOutcome:
        loop = asyncio.get_running_loop()
        book = runbook(
            "b",
            step("sleeps", sleeps),
            step("hangs", hangs, timeout=30, attempts=2, backoff=10, on_failure="skip"),
            step("sync", lambda: seen.append(threading.current_thread())),
        )
        mode.runbook(book, on="emergency")
        async with mode:
            mode.force("emergency", reason="a drill")
            run = mode.runs[0]
            outcome = await run
            assert seen[0] is loop
            assert seen[1:3] == ["cancelled"] * 2
            assert seen[3] is not threading.current_thread()
            took = [(one.state.value, round(one.seconds)) for one in run.steps]
            assert took == [("done", 20), ("failed", 70), ("done", 0)]
            assert run.steps[1].error == "CallTimeoutError: hangs: no answer within 30 s"
            return outcome

    with jumping(clock) as runner:
        assert runner.run(main()) is RunOutcome.DONE
    assert 90 <= clock.monotonic() - 1000 < 100


def test_an_async_step_is_cancelled_on_leaving(
    mode: SystemOperationMode, clock: ManualClock
) -> None:
    """At once, and what was done before is taken back by an async undo."""
    seen: list[str] = []

    async def note(word: str) -> None:
        await asyncio.sleep(1)
        seen.append(word)

    async def hangs() -> None:
        try:
            await asyncio.sleep(10_000)
        finally:
            seen.append("cancelled")

    async def main() -> None:
        async def do() -> None:
            await note("a")

        async def undo() -> None:
            await note("undo")

        book = runbook("b", step("a", do, undo=undo), step("h", hangs), step("c", do))
        mode.runbook(book, on="emergency")
        async with mode:
            mode.force("emergency", reason="a drill", ttl=40)
            await asyncio.sleep(10)
            assert seen == ["a"]
            mode.force("normal", reason="a drill")
            assert await mode.runs[0] is RunOutcome.CANCELLED
            assert seen == ["a", "cancelled", "undo"]
            states = [one.state.value for one in mode.runs[0].steps]
            assert states == ["undone", "cancelled", "pending"]

    with jumping(clock) as runner:
        runner.run(main())


def test_a_sync_step_that_hangs(
    mode: SystemOperationMode, clock: ManualClock, gate: threading.Event
) -> None:
    """It fails at its limit, and its late end counts for nothing; it never runs twice at once."""
    begun: list[int] = []

    def hang() -> None:
        begun.append(1)
        gate.wait(20)

    run = mode.run(runbook("b", step("h", hang, timeout=5, attempts=2, backoff=1)))
    until(mode, lambda: begun)
    clock.advance(5)
    mode.evaluate()
    assert (run.steps[0].state, run.steps[0].attempts) == (StepState.RUNNING, 1)
    clock.advance(1)
    mode.evaluate()
    assert (run.steps[0].attempts, len(begun)) == (2, 1)
    clock.advance(5)
    mode.evaluate()
    assert (run.outcome, len(begun)) == (RunOutcome.FAILED, 1)
    assert "in line all the time" in str(run.error)


def test_a_second_try_waits_for_the_first_to_end(
    mode: SystemOperationMode, clock: ManualClock, gate: threading.Event
) -> None:
    """Once the function has ended after all, it is begun again within its time."""
    begun: list[int] = []

    def hang() -> None:
        begun.append(1)
        if len(begun) == 1:
            gate.wait(20)

    run = mode.run(runbook("b", step("h", hang, timeout=5, attempts=2, backoff=1)))
    until(mode, lambda: begun)
    for by in (5, 1):
        clock.advance(by)
        mode.evaluate()
    gate.set()
    until(mode, lambda: run.finished)
    assert (run.outcome, len(begun)) == (RunOutcome.DONE, 2)


def test_a_sync_step_is_left_to_end(mode: SystemOperationMode, gate: threading.Event) -> None:
    """A run that is cancelled does not wait for it, and does not hear of it."""
    began, undone = threading.Event(), list[str]()

    def hang() -> str:
        began.set()
        gate.wait(20)
        return "late"

    book = runbook(
        "b",
        step("a", lambda: None, undo=lambda: undone.append("a")),
        step("h", hang, undo=lambda: undone.append("h")),
    )
    run = mode.run(book)
    until(mode, began.is_set)
    run.cancel()
    until(mode, lambda: run.finished)
    gate.set()
    assert mode.flush(5)
    assert [one.state.value for one in run.steps] == ["undone", "cancelled"]
    assert undone == ["a"]


def test_what_was_cancelled_in_line_never_begins(
    mode: SystemOperationMode, gate: threading.Event
) -> None:
    """A step that waits for a thread when its run is cancelled is not done afterwards."""
    done: list[str] = []
    with hub.dispatcher.changed:  # no thread takes anything up meanwhile
        run = mode.run(runbook("b", step("a", lambda: done.append("a"))))
        run.cancel()
        assert run.outcome is RunOutcome.CANCELLED
    assert mode.flush(5)
    assert done == []


def test_a_step_may_use_the_mode(mode: SystemOperationMode) -> None:
    """It runs under no lock: it may read the mode, force it, and run another book."""

    def use(context: RunContext) -> str:
        system: SystemOperationMode = context.system
        system.force("degraded", reason="by a step")
        assert system.explain().mode is system.current
        system.run(runbook("other", step("b", lambda: None)))
        return system.current.name

    run = mode.run(runbook("b", step("a", use)))
    assert run.wait(5) is RunOutcome.DONE, str(run)
    assert mode.runs[1].wait(5) is RunOutcome.DONE


def test_waiting_on_other_loops_and_threads(gate: threading.Event) -> None:
    """On the machine's clock: the mode ticks by itself, and everybody hears of the end."""
    heard: dict[str, RunOutcome] = {}
    with SystemOperationMode() as mode:
        book = runbook("b", step("a", lambda: gate.wait(20)), step("b", lambda: None))
        run = mode.run(book)

        async def awaits(name: str) -> None:
            heard[name] = await run

        def loop(name: str) -> None:
            asyncio.run(awaits(name))

        def waits(name: str) -> None:
            heard[name] = run.wait(20)

        names = {f"{fn.__name__} {n}": fn for fn in (loop, waits) for n in range(3)}
        threads = [threading.Thread(target=fn, args=(name,)) for name, fn in names.items()]
        for thread in threads:
            thread.start()
        with pytest.raises(TimeoutError, match="doing a, step 1 of 2"):
            run.wait(0.05)
        gate.set()
        for thread in threads:
            thread.join(20)
    assert heard == dict.fromkeys(names, RunOutcome.DONE)


def test_wait_does_not_block_a_loop(mode: SystemOperationMode) -> None:
    """It says what to write instead."""
    run = mode.run(runbook("b", step("a", lambda: None)))

    async def main() -> None:
        with pytest.raises(RuntimeError, match="await run"):
            run.wait(1)

    asyncio.run(main())
    assert run.wait(5) is RunOutcome.DONE


def test_wait_for_waits_on_its_clock(mode: SystemOperationMode, clock: ManualClock) -> None:
    """Waiting moves a clock that jumps, so that what is due comes; a limit is kept."""
    run = mode.run(runbook("b", step("a", _fails, attempts=3, backoff=100)))
    with pytest.raises(TimeoutError, match="b-1 was not over in time: doing a, step 1 of 1"):
        run.wait(150)
    assert run.wait(60) is RunOutcome.FAILED
    assert 200 <= clock.monotonic() - 1000 < 211
    assert run.wait(0) is RunOutcome.FAILED


def _fails() -> None:
    raise ConnectionError


@pytest.mark.parametrize("kind", ["waits", "sync", "async"])
def test_close_ends_a_run(kind: str, clock: ManualClock, gate: threading.Event) -> None:
    """At once and without undoing, and says so; who waits is released."""
    told: list[RunbookFinished] = []
    remove = hub.bus.tap(RunbookFinished, told.append)
    mode = SystemOperationMode(clock=clock)
    began, undone = threading.Event(), list[str]()

    def hang() -> None:
        began.set()
        gate.wait(20)

    async def hang_async() -> None:
        began.set()
        await asyncio.sleep(3600)

    def fails() -> None:
        began.set()
        raise ConnectionError

    fn = {"waits": fails, "sync": hang, "async": hang_async}[kind]
    book = runbook(
        "b",
        step("a", lambda: None, undo=lambda: undone.append("a")),
        step("h", fn, attempts=2, backoff=1000),
    )
    run = mode.run(book)
    until(mode, began.is_set)
    if kind == "waits":
        mode.flush(5)
    mode.close(0.1)
    assert (run.outcome, run.error) == (RunOutcome.CANCELLED, "the mode was closed")
    assert [one.state.value for one in run.steps] == ["done", "cancelled"]
    assert (undone, [event.error for event in told]) == ([], ["the mode was closed"])
    assert run.wait(0) is RunOutcome.CANCELLED
    mode.evaluate()
    assert not [job for job in mode._ledger.jobs.values() if job.kind == "run"]
    remove()


def test_nobody_waits_for_who_closes(mode: SystemOperationMode) -> None:
    """A signal handler may read the mode while the thread below it closes a run."""
    mode.run(runbook("b", step("a", lambda: None)))
    (job,) = [one for one in mode._ledger.jobs.values() if isinstance(one, Running)]
    with job._lock:
        reader = threading.Thread(target=mode.evaluate, daemon=True)
        reader.start()
        reader.join(10)
        assert not reader.is_alive()
    assert job.run.wait(5) is RunOutcome.DONE


def test_nothing_keeps_a_mode_alive(gate: threading.Event) -> None:
    """Neither a book, a condition nor a run under way; its handle then says that it is over."""
    mode = SystemOperationMode()
    mode.runbook(runbook("b", step("a", lambda: None)), on=lambda: False)
    mode.runbook(runbook("e", step("a", lambda: None)), on="emergency")
    run = mode.run(runbook("h", step("a", _fails, attempts=2, backoff=1000)))
    assert mode.flush(5)
    gone = weakref.ref(mode)
    del mode
    for _ in range(100):
        gc.collect()
        if gone() is None:
            break
        time.sleep(0.05)
    assert gone() is None
    assert run.wait(5) is RunOutcome.CANCELLED
    assert run.error == "the mode is gone"


def test_after_a_fork_nothing_runs_in_the_child(
    mode: SystemOperationMode, gate: threading.Event
) -> None:
    """The run is the parent's; the child may have one of its own, of the same book."""
    began = threading.Event()

    def hang() -> None:
        began.set()
        gate.wait(20)

    book = runbook("b", step("h", hang))
    mode.runbook(book)
    run = mode.run("b")
    until(mode, began.is_set)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        said = b"it raised"
        try:
            gate.set()
            over = run.outcome is RunOutcome.CANCELLED
            said = f"{over} {mode.run('b').wait(5).value} {run.error}".encode()
        finally:
            os.write(writer, said)
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        assert pipe.read() == b"True done it runs in the parent process"
    os.waitpid(child, 0)
    assert not run.finished
    gate.set()
    until(mode, lambda: run.finished)
    assert run.outcome is RunOutcome.DONE


def test_many_hands_at_once(mode: SystemOperationMode) -> None:
    """Ten threads that ask, read and cancel: never two runs of a book at a time."""
    inside, most, count = 0, 0, threading.Lock()

    def work() -> None:
        nonlocal inside, most
        with count:
            inside += 1
            most = max(most, inside)
        time.sleep(0.0001)
        with count:
            inside -= 1

    mode.runbook(runbook("b", step("a", work), step("b", work)))

    def ask(number: int) -> None:
        for turn in range(10):
            run = mode.run("b")
            str(run)
            if (number + turn) % 5 == 0:
                run.cancel()
            until(mode, lambda run=run: run.finished)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert most == 1
    assert all(run.finished for run in mode.runs)

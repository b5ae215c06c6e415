"""Laws of a mode that ticks, is closed, and is started again, with something to look after."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from resilient.core.hub import hub
from resilient.mode import Mode, SystemOperationMode
from resilient.testing import ManualClock

PATIENCE = 20.0
"""Real seconds after which a test gives up; none takes a tenth of it."""


@pytest.fixture
def clock() -> ManualClock:
    """A clock of this test's own."""
    return ManualClock()


@pytest.fixture
def mode(clock: ManualClock) -> Iterator[SystemOperationMode]:
    """A mode of this test's own."""
    made = SystemOperationMode(clock=clock)
    yield made
    made.close()


def look(mode: SystemOperationMode, clock: ManualClock, seconds: float) -> None:
    """Let time pass second by second, and everything happen that is due."""
    for _ in range(int(seconds)):
        clock.advance(1)
        mode.evaluate()
        assert mode.flush()


class Asked:
    """A probe that counts."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> float:
        """Answer."""
        self.times += 1
        return 1.0


def test_a_closed_mode_asks_nobody_however_often_it_is_read(
    mode: SystemOperationMode, clock: ManualClock
) -> None:
    """What a probe, a score function or a signal would ask may be closed as well by then."""
    probe, score, signal = Asked(), Asked(), Asked()
    mode.probe("redis", probe, interval=2, jitter=0)
    mode.metric("disk", score=score)
    mode.threshold("queue", read=signal, above=10, every=2)
    look(mode, clock, 5)
    before = (probe.times, score.times, signal.times)
    assert min(before) > 1
    mode.probes["redis"].hasten()
    mode._nudge()  # still in line when it is closed
    mode.close()
    look(mode, clock, 300)
    assert (probe.times, score.times, signal.times) == before


def test_the_silence_of_who_is_not_asked_is_no_illness(
    mode: SystemOperationMode, clock: ManualClock
) -> None:
    """What was known grows old, and then nothing is known; nobody is BLIND."""
    mode.probe("redis", Asked(), interval=2, jitter=0)
    mode.metric("delivery", expect_every=5).set(1.0)
    look(mode, clock, 3)
    mode.close()
    look(mode, clock, 300)
    assert mode.current is Mode.NORMAL
    assert mode.reasons == ("NO_EVIDENCE: nothing is known, which is no illness",)


def test_a_mode_that_is_started_again_asks_again(
    mode: SystemOperationMode, clock: ManualClock
) -> None:
    """At once, as the last answer is old."""
    asked = threading.Semaphore(0)
    mode.probe("redis", asked.release, interval=2, jitter=0)
    mode.evaluate()
    assert asked.acquire(timeout=PATIENCE)
    mode.close()
    clock.advance(60)
    with mode:
        assert asked.acquire(timeout=PATIENCE)


async def test_a_closed_mode_asks_again_inside_async_with(
    mode: SystemOperationMode, clock: ManualClock
) -> None:
    """And no more after it."""
    asked = asyncio.Event()
    times = Asked()

    async def ping() -> None:
        times()
        asked.set()

    mode.probe("redis", ping, interval=2, jitter=0)
    mode.close()
    clock.advance(60)
    async with mode:
        await asyncio.wait_for(asked.wait(), PATIENCE)
    known = times.times
    clock.advance(60)
    mode.evaluate()
    assert await asyncio.to_thread(mode.flush)
    assert times.times == known


def test_a_loop_that_is_stuck_does_not_keep_the_mode_from_noticing() -> None:
    """A thread ticks in its place, on the machine's clock; it ends with the block."""
    asked, told = threading.Semaphore(0), threading.Event()

    async def main() -> None:
        async with SystemOperationMode(interval=0.01) as mode:
            mode.on_change(lambda _: told.set(), to=Mode.EMERGENCY)
            mode.probe("redis", fails, interval=0.02, criticality="critical")
            for _ in range(5):  # this blocks the loop
                assert asked.acquire(timeout=PATIENCE)
            assert told.wait(PATIENCE)
        assert mode._ticker is None

    def fails() -> None:
        asked.release()
        raise OSError

    asyncio.run(main())


def test_without_a_job_async_with_needs_no_thread() -> None:
    """Nothing is asked, so nothing is missed but what the next look finds."""

    async def main() -> None:
        async with SystemOperationMode(interval=0.01) as mode:
            await asyncio.sleep(0.05)
            assert mode._ticker is None

    asyncio.run(main())


async def test_what_another_thread_gives_runs_on_the_loop_of_async_with(
    mode: SystemOperationMode,
) -> None:
    """Also if it comes after the block was entered: probes, and listeners."""
    homes: set[object] = set()
    heard, answered = asyncio.Event(), asyncio.Event()

    async def ping() -> None:
        homes.add(asyncio.get_running_loop())
        answered.set()

    async def hear(_: object) -> None:
        homes.add(asyncio.get_running_loop())
        heard.set()

    async with mode:
        await asyncio.to_thread(mode.probe, "redis", ping, jitter=0)
        await asyncio.to_thread(mode.on_change, hear)
        mode.trip("drill")
        await asyncio.wait_for(asyncio.gather(heard.wait(), answered.wait()), PATIENCE)
    assert homes == {asyncio.get_running_loop()}


def test_the_first_of_two_loops_to_leave_does_not_stop_the_thread() -> None:
    """The other one goes on with it; the last one out ends it."""
    entered, leave = threading.Event(), threading.Event()
    mode = SystemOperationMode()

    async def longer() -> None:
        async with mode:
            entered.set()
            await asyncio.to_thread(leave.wait, PATIENCE)

    async def shorter() -> None:
        async with mode:
            mode.start()
        assert mode._ticker is not None
        assert not mode._resting

    other = threading.Thread(target=lambda: asyncio.run(longer()))
    other.start()
    assert entered.wait(PATIENCE)
    asyncio.run(shorter())
    leave.set()
    other.join(PATIENCE)
    assert mode._ticker is None
    assert mode._resting


def test_a_loop_that_enters_while_the_last_one_leaves_is_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the one that leaves was about to end goes on for the other."""
    entered, leave, asked = threading.Event(), threading.Event(), threading.Semaphore(0)
    mode = SystemOperationMode(interval=0.01)
    stop = mode.stop

    async def enters() -> None:
        async with mode:
            mode.probe("redis", asked.release, interval=0.02)
            entered.set()
            await asyncio.to_thread(leave.wait, PATIENCE)

    other = threading.Thread(target=lambda: asyncio.run(enters()))

    def slow() -> None:
        stop()
        other.start()
        assert entered.wait(PATIENCE)

    async def leaves() -> None:
        async with mode:
            monkeypatch.setattr(mode, "stop", slow)
        monkeypatch.undo()

    asyncio.run(leaves())
    for _ in range(3):
        assert asked.acquire(timeout=PATIENCE)
    leave.set()
    other.join(PATIENCE)
    assert mode._ticker is None


class Interrupting:
    """The lock of a mode; a signal comes as soon as it is taken, before anything else is done."""

    def __init__(self, lock: Any, handler: Any) -> None:
        self.lock, self.handlers = lock, [handler]

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:  # noqa: FBT001, FBT002  (as of a lock)
        """Take it, and be interrupted, once."""
        taken: bool = self.lock.acquire(blocking, timeout)
        if self.handlers:
            self.handlers.pop()()
        return taken

    def release(self) -> None:
        """Give it back."""
        self.lock.release()

    def __enter__(self) -> bool:
        """Take it."""
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        """Give it back."""
        self.release()


@pytest.mark.parametrize("way", ["score", "evaluate"])
def test_a_signal_handler_never_waits_for_its_own_thread(
    mode: SystemOperationMode, way: str
) -> None:
    """Even if the signal comes between taking the lock and noting who has taken it."""
    lock: Any = Interrupting(mode._lock, lambda: mode.trip("draining", local=True))
    mode._lock = lock

    def reads() -> None:
        getattr(mode, way)() if way == "evaluate" else mode.score

    thread = threading.Thread(target=reads, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert mode.current is Mode.EMERGENCY


def test_a_mode_is_readable_where_no_thread_is_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process that ends, or has too many; later it ticks after all."""
    made = SystemOperationMode()
    started = threading.Thread.start

    def refused(thread: threading.Thread) -> None:
        if thread.name == "resilient-mode":
            message = "can't start new thread"
            raise RuntimeError(message)
        started(thread)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refused)
        made.probe("redis", Asked())
        assert made.current is Mode.NORMAL
        assert made._ticker is None
        with pytest.raises(RuntimeError):
            made.start()
    made.evaluate()
    assert made._ticker is not None
    made.close()
    assert hub.dispatcher.flush(PATIENCE)

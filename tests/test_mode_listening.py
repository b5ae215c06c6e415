"""Laws of telling: listeners, streams, waiting, ticking."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Iterator

import pytest

from resilient.core.hub import hub, subscribe
from resilient.errors import ConfigError
from resilient.events import Severity
from resilient.mode import Mode, ModeChange, SystemOperationMode
from tests.hands import HandClock


@pytest.fixture
def clock() -> HandClock:
    """A clock of this test's own."""
    return HandClock()


@pytest.fixture
def mode(clock: HandClock) -> Iterator[SystemOperationMode]:
    """A mode of this test's own."""
    made = SystemOperationMode(clock=clock)
    yield made
    made.close(0.2)


def drill(mode: SystemOperationMode, *wanted: Mode) -> None:
    """Enter these modes one after the other."""
    for one in wanted:
        mode.force(one, reason="drill")


def test_a_listener_is_told_in_order_with_all_that_is_known(mode: SystemOperationMode) -> None:
    """Old, new, score, state, reasons, sequence, time."""
    heard: list[ModeChange] = []
    mode.on_change(heard.append)
    drill(mode, Mode.EMERGENCY, Mode.DEGRADED, Mode.NORMAL)
    assert mode.flush()
    assert [(one.old.name, one.new.name, one.sequence) for one in heard] == [
        ("NORMAL", "EMERGENCY", 1),
        ("EMERGENCY", "DEGRADED", 2),
        ("DEGRADED", "NORMAL", 3),
    ]
    assert heard[0].at == 2e9 + 100
    assert heard[0].reasons[0] == "OVERRIDE: EMERGENCY forced: drill"
    assert [one.severity for one in heard] == [Severity.ERROR, Severity.INFO, Severity.INFO]
    assert mode.history == tuple(heard)


def test_a_listener_may_want_one_mode_only(mode: SystemOperationMode) -> None:
    """As a decorator with and without arguments; the function stays what it was."""
    pages: list[Mode] = []

    @mode.on_change(to="emergency")
    def page(change: ModeChange) -> None:
        pages.append(change.new)

    drill(mode, Mode.DEGRADED, Mode.EMERGENCY, Mode.NORMAL)
    assert mode.flush()
    assert pages == [Mode.EMERGENCY]
    assert mode.off_change(page)
    assert not mode.off_change(page)
    drill(mode, Mode.EMERGENCY)
    assert mode.flush()
    assert pages == [Mode.EMERGENCY]
    with pytest.raises(ConfigError):
        mode.on_change(page, to="panic")
    with pytest.raises(TypeError):
        mode.on_change(42)  # type: ignore[call-overload]  # wrong on purpose


def test_changes_are_published_on_the_bus(mode: SystemOperationMode) -> None:
    """Whoever subscribes to ModeChange hears of every mode."""
    heard: list[ModeChange] = []
    subscription = subscribe(ModeChange, heard.append)
    try:
        drill(mode, Mode.DEGRADED)
        assert mode.flush()
    finally:
        subscription.cancel()
    assert [(one.name, one.new) for one in heard] == [("system", Mode.DEGRADED)]


def test_a_listener_that_raises_or_hangs_harms_nobody(
    mode: SystemOperationMode, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the transition nor another listener waits, and errors are counted and logged."""
    release, heard = threading.Event(), threading.Event()
    mode.on_change(lambda _: 1 / 0)
    mode.on_change(lambda _: release.wait(10))
    mode.on_change(lambda _: heard.set())
    try:
        drill(mode, Mode.DEGRADED)
        assert mode.current is Mode.DEGRADED
        assert heard.wait(5)
    finally:
        release.set()
    assert mode.flush()
    assert [one.errors for one in mode.listeners] == [1, 0, 0]
    assert "raised" in caplog.text


def test_an_async_listener_without_a_loop_runs_on_one_of_ours(mode: SystemOperationMode) -> None:
    """Registered in plain code, it is awaited all the same."""
    heard: list[Mode] = []

    @mode.on_change
    async def tell(change: ModeChange) -> None:
        await asyncio.sleep(0)
        heard.append(change.new)

    drill(mode, Mode.DEGRADED)
    assert mode.flush()
    assert heard == [Mode.DEGRADED]


def test_an_async_listener_runs_on_the_loop_it_was_registered_on(
    mode: SystemOperationMode,
) -> None:
    """That of its registration, else that of `async with mode`."""

    async def main() -> None:
        here = asyncio.get_running_loop()
        done = asyncio.Event()
        loops: list[object] = []

        @mode.on_change
        async def tell(_: ModeChange) -> None:
            loops.append(asyncio.get_running_loop())
            done.set()

        drill(mode, Mode.DEGRADED)
        await asyncio.wait_for(done.wait(), 5)
        assert loops == [here]

    asyncio.run(main())


def test_async_with_adopts_listeners_without_a_loop(mode: SystemOperationMode) -> None:
    """One registered at import runs on the loop of `async with mode`."""
    loops: list[object] = []

    @mode.on_change
    async def tell(_: ModeChange) -> None:
        loops.append(asyncio.get_running_loop())

    async def main() -> asyncio.AbstractEventLoop:
        async with mode:
            drill(mode, Mode.DEGRADED)
            assert await asyncio.to_thread(mode.flush)
        return asyncio.get_running_loop()

    for _ in range(2):  # one mode serves loop after loop
        drill(mode, Mode.NORMAL)
        mode.flush()
        loops.clear()
        assert asyncio.run(main()) in loops


async def test_changes_stream_from_when_they_were_asked_for(mode: SystemOperationMode) -> None:
    """None is lost between asking and reading, and closing ends the loop."""
    drill(mode, Mode.DEGRADED)
    stream = mode.changes()
    drill(mode, Mode.EMERGENCY, Mode.NORMAL)
    heard = []
    async for change in stream:
        heard.append(change.new)
        if len(heard) == 2:
            drill(mode, Mode.DEGRADED)
        if len(heard) == 3:
            await stream.aclose()
    assert heard == [Mode.EMERGENCY, Mode.NORMAL, Mode.DEGRADED]


async def test_a_stream_that_is_waiting_is_woken(mode: SystemOperationMode) -> None:
    """By a change made in another thread."""
    stream = mode.changes()
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    await asyncio.to_thread(drill, mode, Mode.EMERGENCY)
    change = await asyncio.wait_for(waiting, 5)
    assert change.new is Mode.EMERGENCY
    await stream.aclose()


def test_a_stream_that_nobody_holds_is_dropped(mode: SystemOperationMode) -> None:
    """Breaking out of `async for` leaves nothing behind."""
    stream = mode.changes()
    gone = weakref.ref(stream)
    assert len(mode.listeners) == 1
    del stream
    gc.collect()
    assert gone() is None
    assert mode.listeners == ()


def test_a_stream_keeps_a_bounded_backlog(mode: SystemOperationMode) -> None:
    """A reader who never comes costs a thousand changes, and the rest is counted."""
    stream = mode.changes()
    for _ in range(501):
        drill(mode, Mode.DEGRADED, Mode.NORMAL)
        mode.flush()
    assert stream.dropped == 2


async def test_waiting_for_a_mode(mode: SystemOperationMode, clock: HandClock) -> None:
    """It evaluates by itself, on the mode's own clock, and gives up in time."""
    mode.force("emergency", reason="drill", ttl=5)
    await mode.wait_for("normal", timeout=200)
    assert mode.current is Mode.NORMAL
    before = clock.at
    with pytest.raises(TimeoutError, match="the mode is NORMAL, and was not DEGRADED"):
        await mode.wait_for(Mode.DEGRADED, timeout=7)
    assert clock.at == pytest.approx(before + 7)
    with pytest.raises(RuntimeError, match="wait_for"):
        mode.wait(Mode.NORMAL)


def test_waiting_in_a_thread(mode: SystemOperationMode, clock: HandClock) -> None:
    """The blocking twin does the same."""
    mode.force("emergency", reason="drill", ttl=5)
    mode.wait(Mode.NORMAL, timeout=200)
    with pytest.raises(TimeoutError):
        mode.wait(Mode.EMERGENCY, timeout=1)


def threads() -> list[str]:
    """The threads that tick."""
    return [one.name for one in threading.enumerate() if one.name == "resilient-mode"]


def test_nothing_runs_unless_started() -> None:
    """No thread by itself; `start` makes one, `stop` joins it, both may be repeated."""
    made = SystemOperationMode(interval=0.01)
    _ = made.current
    assert threads() == []
    made.start()
    made.start()
    assert threads() == ["resilient-mode"]
    made.stop()
    made.stop()
    assert threads() == []
    with made:
        assert threads() == ["resilient-mode"]
    assert threads() == []


def test_a_started_mode_notices_by_itself() -> None:
    """A listener hears of a recovery though nobody reads."""
    made = SystemOperationMode(
        interval=0.01, tau=0.001, confirm_worse=0, confirm_degraded=0, confirm_normal=0.02, dwell=0
    )
    back = threading.Event()
    made.on_change(lambda _: back.set(), to=Mode.NORMAL)
    with made:
        made.force("degraded", reason="drill", ttl=0.02)
        assert back.wait(5)


def test_a_started_mode_that_nobody_holds_ends_its_thread() -> None:
    """The thread does not keep the mode alive."""
    made = SystemOperationMode(interval=0.01)
    made.start()
    del made
    gc.collect()
    until = time.monotonic() + 5
    while threads() and time.monotonic() < until:
        threading.Event().wait(0.01)
    assert threads() == []


async def test_a_task_ticks_inside_async_with(mode: SystemOperationMode, clock: HandClock) -> None:
    """It sleeps on the mode's clock, ends with the block, and may be nested."""
    async with mode, mode:
        assert len(mode._tasks[asyncio.get_running_loop()]) == 2
        mode.force("emergency", reason="drill", ttl=5)
        while mode._current is not Mode.NORMAL:  # noqa: ASYNC110  (only ticks change it)
            await asyncio.sleep(0)
    assert mode._tasks == {}
    at = clock.at
    await asyncio.sleep(0)
    assert clock.at == at
    assert [change.new.name for change in mode.history] == ["EMERGENCY", "DEGRADED", "NORMAL"]


async def test_aclose_ends_thread_and_task(mode: SystemOperationMode) -> None:
    """And leaves the mode readable."""
    mode.start()
    await mode.aclose()
    assert threads() == []
    assert mode.current is Mode.NORMAL
    assert hub.dispatcher.flush(5) in {True, False}

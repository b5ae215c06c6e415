"""Laws of errands: away from every caller, one at a time, not for ever, and told once."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import pytest

from resilient.core.hub import hub
from resilient.errors import CallTimeoutError
from resilient.system.errand import Errand, Report
from resilient.system.timeline import Timeline
from resilient.testing import ManualClock

PATIENCE = 10.0
"""Real seconds after which a test gives up; none takes a hundredth of it."""


class Desk:
    """Gives errands, and holds what was reported."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.time = Timeline(self.clock)
        self.reports: queue.Queue[Report] = queue.Queue()

    def errand(self, fn: Callable[..., Any], timeout: float | None = 1.0) -> Errand:
        """An errand that reports here."""
        return Errand("redis", fn, timeout, self.time, self.reports.put)

    def next(self) -> Report:
        """The next report, waiting for it."""
        return self.reports.get(timeout=PATIENCE)


@pytest.fixture
def desk() -> Desk:
    """A desk on a clock that stands still."""
    return Desk()


@contextmanager
def nobody_delivers() -> Iterator[None]:
    """The workers of the dispatcher wait for the lock that is held here."""
    with hub.dispatcher.changed:
        yield


def error_of(report: Report) -> str:
    """The error of a report, as text."""
    return repr(report.error)


class Held:
    """A function that returns when it is let go."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.let_go = threading.Event()
        self.calls = 0

    def __call__(self) -> str:
        """Wait."""
        self.calls += 1
        self.entered.release()
        assert self.let_go.wait(PATIENCE)
        return "late"


def test_it_runs_elsewhere_and_tells_what_came_of_it(desk: Desk) -> None:
    """Arguments arrive; the report has value, beginning and duration on the injected clock."""

    def fetch(key: str) -> tuple[str, int]:
        desk.clock.advance(0.25)
        return key, threading.get_ident()

    desk.clock.advance(5)
    assert desk.errand(fetch).start("a")
    report = desk.next()
    assert (report.began, report.seconds, report.error) == (5.0, 0.25, None)
    assert report.value[0] == "a"
    assert report.value[1] != threading.get_ident()


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SystemExit(3)])
def test_whatever_it_raises_is_reported(desk: Desk, error: BaseException) -> None:
    """Also what would end a program: the thread is nobody's main one, and goes on."""

    def fail() -> None:
        raise error

    errand = desk.errand(fail)
    assert errand.start()
    assert desk.next().error is error
    assert hub.dispatcher.flush(PATIENCE)
    assert errand.start()
    assert desk.next().error is error


def test_a_def_that_returns_a_coroutine_is_refused(desk: Desk) -> None:
    """Created is not done."""

    async def ping() -> None: ...

    assert desk.errand(lambda: ping()).start()  # noqa: PLW0108  (a def on purpose)
    assert isinstance(desk.next().error, TypeError)


def test_no_second_run_before_the_first_has_ended(desk: Desk) -> None:
    """`start` says so, and calls nothing."""
    held = Held()
    errand = desk.errand(held)
    assert errand.start()
    assert held.entered.acquire(timeout=PATIENCE)
    assert not errand.start()
    held.let_go.set()
    assert desk.next().value == "late"
    assert hub.dispatcher.flush(PATIENCE)
    assert held.calls == 1
    assert errand.start()
    assert desk.next().value == "late"


def test_a_sync_run_that_hangs_is_given_up_once_and_its_late_answer_is_ignored(desk: Desk) -> None:
    """It keeps its thread, so nothing else begins until it has ended; then all is as before."""
    held = Held()
    errand = desk.errand(held, 2.0)
    assert errand.start()
    assert held.entered.acquire(timeout=PATIENCE)
    assert (errand.expires, errand.overdue_since) == (2.0, None)
    assert not errand.expire(1.999)
    assert errand.expire(2.0)
    assert not errand.expire(3.0)
    report = desk.next()
    assert isinstance(report.error, CallTimeoutError)
    assert (report.began, report.seconds, report.error.seconds) == (0.0, 2.0, 2.0)
    assert (errand.expires, errand.overdue_since, errand.running) == (None, 0.0, True)
    assert not errand.start()
    held.let_go.set()
    assert hub.dispatcher.flush(PATIENCE)
    assert desk.reports.empty()
    assert (errand.running, errand.overdue_since) == (False, None)
    assert errand.start()
    assert desk.next().value == "late"


def test_a_sync_run_that_took_too_long_is_late_even_if_nobody_looked(desk: Desk) -> None:
    """What came after the limit is no answer."""
    assert desk.errand(lambda: desk.clock.advance(1.001), 1.0).start()
    report = desk.next()
    assert isinstance(report.error, CallTimeoutError)
    assert report.value is None
    assert desk.errand(lambda: desk.clock.advance(1.0), 1.0).start()
    assert desk.next().error is None


def test_without_a_limit_it_may_take_for_ever(desk: Desk) -> None:
    """Nothing expires."""
    held = Held()
    errand = desk.errand(held, None)
    assert errand.start()
    assert held.entered.acquire(timeout=PATIENCE)
    assert not errand.expire(1e9)
    assert errand.expires is None
    held.let_go.set()
    assert desk.next().value == "late"


def test_a_run_that_was_cancelled_in_line_never_begins(desk: Desk) -> None:
    """And another one may."""
    calls: list[int] = []
    errand = desk.errand(lambda: calls.append(1))
    with nobody_delivers():
        assert errand.start()
        errand.cancel()
    assert hub.dispatcher.flush(PATIENCE)
    assert calls == []
    assert desk.reports.empty()
    assert errand.start()
    assert desk.next().error is None
    assert calls == [1]


def test_nothing_is_heard_of_a_run_that_was_cancelled_at_work(desk: Desk) -> None:
    """A sync one ends in its own time."""
    held = Held()
    errand = desk.errand(held)
    assert errand.start()
    assert held.entered.acquire(timeout=PATIENCE)
    errand.cancel()
    held.let_go.set()
    assert hub.dispatcher.flush(PATIENCE)
    assert desk.reports.empty()


def test_one_that_is_retired_begins_nothing(desk: Desk) -> None:
    """Not even what is asked of it later."""
    calls: list[int] = []
    errand = desk.errand(lambda: calls.append(1))
    errand.retire()
    errand.start()
    assert hub.dispatcher.flush(PATIENCE)
    assert calls == []


async def test_an_async_one_runs_on_the_loop_on_which_it_was_given(desk: Desk) -> None:
    """Asked from that loop, or from any other thread."""
    homes: list[object] = []

    async def ping() -> None:
        homes.append(asyncio.get_running_loop())

    errand = desk.errand(ping)
    assert errand.start()
    assert (await asyncio.to_thread(desk.next)).error is None
    assert await asyncio.to_thread(errand.start)
    assert (await asyncio.to_thread(desk.next)).error is None
    assert homes == [asyncio.get_running_loop()] * 2


async def test_it_has_a_context_of_its_own(desk: Desk) -> None:
    """What the caller set who happened to look at the mode (a deadline, say) is not seen."""
    whose: ContextVar[str] = ContextVar("whose", default="nobody's")
    whose.set("the caller's")

    async def ping() -> str:
        return whose.get()

    assert desk.errand(ping).start()
    assert (await asyncio.to_thread(desk.next)).value == "nobody's"


async def test_its_first_step_is_never_taken_by_who_starts_it(desk: Desk) -> None:
    """Not on a loop with eager tasks either: whoever starts it may hold a lock."""
    loop = asyncio.get_running_loop()
    eager = getattr(asyncio, "eager_task_factory", None)  # from Python 3.12
    calls: list[int] = []

    async def ping() -> None:
        calls.append(1)

    before = loop.get_task_factory()
    loop.set_task_factory(eager)
    try:
        assert desk.errand(ping).start()
        assert calls == []
    finally:
        loop.set_task_factory(before)
    assert (await asyncio.to_thread(desk.next)).error is None


def test_an_async_one_runs_without_any_loop_and_is_cancelled_at_its_limit(desk: Desk) -> None:
    """On a loop of the library's own."""
    ends: queue.Queue[str] = queue.Queue()

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ends.put("cancelled")
            raise

    errand = desk.errand(hang, 0.02)
    for _ in range(2):
        assert errand.start()
        assert isinstance(desk.next().error, CallTimeoutError)
        assert ends.get(timeout=PATIENCE) == "cancelled"
        assert hub.dispatcher.flush(PATIENCE)
    errand.retire()


@pytest.mark.parametrize("give_up", ["expire", "cancel"])
async def test_an_async_run_that_is_given_up_is_cancelled(desk: Desk, give_up: str) -> None:
    """Also if its loop lives on another clock, where its time has not passed; it may run again."""
    begun, ended = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    errand = desk.errand(hang, 3600)
    assert errand.start()
    await asyncio.wait_for(begun.wait(), PATIENCE)
    if give_up == "expire":
        assert errand.expire(3600)
        assert isinstance(desk.next().error, CallTimeoutError)
    else:
        errand.cancel()
    await asyncio.wait_for(ended.wait(), PATIENCE)
    await asyncio.sleep(0)
    assert desk.reports.empty()
    assert not errand.running
    assert errand.start()
    errand.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.parametrize("by", ["us", "somebody else"])
async def test_an_async_run_that_is_cancelled_before_its_first_step_may_run_again(
    desk: Desk, by: str
) -> None:
    """A task that never took a step is no run that hangs."""
    calls: list[int] = []

    async def ping() -> None:
        calls.append(1)

    errand = desk.errand(ping)
    assert errand.start()
    if by == "us":
        errand.cancel()
    else:
        (task,) = asyncio.all_tasks() - {asyncio.current_task()}
        task.cancel()
    for _ in range(3):
        await asyncio.sleep(0)
    assert calls == []
    assert errand.start()
    assert (await asyncio.to_thread(desk.next)).error is None


def test_an_async_run_whose_loop_was_closed_does_not_block_the_next(desk: Desk) -> None:
    """The next one runs on a loop of the library's own."""

    async def give() -> Errand:
        async def ping() -> str:
            if not desk.clock.monotonic():
                await asyncio.Event().wait()
            return "back"

        errand = desk.errand(ping, None)
        assert errand.start()
        await asyncio.sleep(0)
        return errand

    errand = asyncio.run(give())
    desk.clock.advance(1)
    assert errand.start()
    assert desk.next().value == "back"
    errand.retire()
    assert hub.dispatcher.flush(PATIENCE)


def test_one_that_raises_cancelled_error_by_itself_has_failed(desk: Desk) -> None:
    """Nobody cancelled it."""

    async def odd() -> None:
        raise asyncio.CancelledError

    errand = desk.errand(odd)
    assert errand.start()
    assert error_of(desk.next()) == "CancelledError()"
    errand.retire()
    assert hub.dispatcher.flush(PATIENCE)


def test_the_closed_loop_it_was_given_on_does_not_make_it_run_twice() -> None:
    """It then runs on a loop of the library's own, and still one run at a time."""
    desk = Desk()
    begun, go_on = threading.Semaphore(0), threading.Event()

    async def slow() -> str:
        begun.release()
        await asyncio.to_thread(go_on.wait, PATIENCE)
        return "late"

    async def give() -> Errand:
        return desk.errand(slow, timeout=None)

    errand = asyncio.run(give())
    assert errand.start()
    assert begun.acquire(timeout=PATIENCE)
    assert not errand.start()
    go_on.set()
    assert desk.next().value == "late"
    errand.retire()

"""So many at a time, and no slot is ever lost."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import resilient
from resilient import BulkheadFullError, ConfigError, bulkhead, criticality, deadline, pipeline
from resilient.core.hub import hub
from resilient.core.outcome import Outcome
from resilient.core.waiting import Waiting
from resilient.events import CallRejected
from resilient.testing import ManualClock
from resilient.testing.loop import run
from tests.laws.harness import NeverError, history, in_threads, pause


class Hold:
    """A function that holds its slot until it is told to end; it counts who is inside."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.inside = 0
        self.most = 0
        self.order: list[object] = []

    async def __call__(self, token: object) -> object:
        """Hold the slot."""
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.order.append(token)
        try:
            await self.gate.wait()
        finally:
            self.inside -= 1
        return token


async def settle() -> None:
    """Give everybody his turn."""
    for _ in range(10):
        await asyncio.sleep(0)


# What is admitted


def test_no_more_than_the_limit_at_a_time() -> None:
    """The call beyond the limit is refused at once, with a new error that names the bulkhead."""
    gate = bulkhead("db", limit=2)
    with gate, gate:
        assert gate.in_flight == 2
        with pytest.raises(BulkheadFullError) as refusal, gate:
            pass
    assert (refusal.value.name, refusal.value.retry_after) == ("db", None)
    assert str(refusal.value) == "db: every slot is taken"
    assert (gate.in_flight, gate.queued, gate.rejected) == (0, 0, 1)


@pytest.mark.parametrize("wrapped", [False, True])
async def test_a_full_bulkhead_refuses_calls_and_says_so(*, wrapped: bool) -> None:
    """The decorator and the flow agree with the block."""
    gate = bulkhead("db", limit=1)
    hold = Hold()
    guarded: Any = resilient.retry(on=NeverError)(gate(hold)) if wrapped else gate(hold)
    first = asyncio.create_task(guarded(1))
    await settle()
    with history() as seen, pytest.raises(BulkheadFullError):
        await guarded(2)
    assert [type(event) for event in seen] == [CallRejected]
    hold.gate.set()
    assert await first == 1
    assert gate.in_flight == 0


@pytest.mark.parametrize(
    ("order", "expected"),
    [("fifo", ["a", "b", "c", "d"]), ("lifo", ["a", "d", "c", "b"])],
)
async def test_the_order_of_the_queue(order: Any, expected: list[str]) -> None:
    """FIFO: who came first; LIFO: who came last."""
    gate = bulkhead("db", limit=1, queue=3, order=order)
    seen: list[str] = []
    proceed = asyncio.Event()

    @gate
    async def work(token: str) -> None:
        seen.append(token)
        await proceed.wait()

    tasks = []
    for token in "abcd":
        tasks.append(asyncio.create_task(work(token)))
        await settle()
    assert (gate.in_flight, gate.queued) == (1, 3)
    with pytest.raises(BulkheadFullError, match="every place in the queue"):
        await work("e")
    proceed.set()
    await asyncio.gather(*tasks)
    assert seen == expected
    assert (gate.in_flight, gate.queued) == (0, 0)


async def test_nobody_overtakes_those_who_wait() -> None:
    """A newcomer who finds a slot free for an instant stands behind the queue."""
    gate = bulkhead("db", limit=1, queue=5)
    hold = Hold()
    work = gate(hold)
    tasks = [asyncio.create_task(work(n)) for n in range(3)]
    await settle()
    hold.gate.set()
    tasks.append(asyncio.create_task(work(3)))
    await asyncio.gather(*tasks)
    assert hold.order == [0, 1, 2, 3]


@pytest.mark.parametrize("order", ["fifo", "lifo"])
async def test_the_more_critical_go_first(order: Any) -> None:
    """Of those who wait the most critical is next, whenever it came."""
    gate = bulkhead("db", limit=1, queue=4, order=order)
    hold = Hold()
    work = gate(hold)
    tasks = [asyncio.create_task(work("first"))]
    await settle()
    for level in ("low", "medium", "critical", "high"):
        tasks.append(asyncio.create_task(criticality(level)(work)(level)))
        await settle()
    hold.gate.set()
    await asyncio.gather(*tasks)
    assert hold.order == ["first", "critical", "high", "medium", "low"]


async def test_the_least_critical_gives_way_in_a_full_queue() -> None:
    """A newcomer takes the place of somebody less critical, never of an equal."""
    gate = bulkhead("db", limit=1, queue=2)
    hold = Hold()
    work = gate(hold)
    levels = ["high", "low", "low", "medium", "high", "medium", "critical", "critical"]
    tasks = []
    for number, level in enumerate(levels):
        tasks.append(asyncio.create_task(criticality(level)(work)((number, level))))
        await settle()
    hold.gate.set()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    admitted = [end for end in ends if not isinstance(end, Exception)]
    # One runs; the two places go to low 1 and low 2, then to medium 3 and high 4; medium 5 finds
    # nobody less critical than itself; the two critical take the places of medium 3 and high 4.
    assert admitted == [(0, "high"), (6, "critical"), (7, "critical")]
    assert str(ends[1]).startswith("db: a more critical call took its place")
    assert gate.rejected == 5
    assert (gate.in_flight, gate.queued) == (0, 0)


# How long one waits


@pytest.mark.parametrize(
    ("max_wait", "outer", "waited"),
    [(2, None, 2), (2, 0.5, 0.5), (None, 0.5, 0.5), (0.25, 0.5, 0.25)],
)
def test_how_long_a_call_waits(max_wait: Any, outer: float | None, waited: float) -> None:
    """The shorter of `max_wait` and what is left of the deadline."""
    clock = ManualClock(100)
    gate = bulkhead("db", limit=1, queue=1, max_wait=max_wait, clock=clock)

    @gate
    def work() -> None:
        """Never runs."""

    with gate, contextlib.ExitStack() as inside:
        if outer is not None:
            inside.enter_context(deadline(outer, clock=clock))
        with pytest.raises(BulkheadFullError, match=f"within {waited:g} s"):
            work()
    assert clock.monotonic() == 100 + waited
    assert (gate.in_flight, gate.queued, gate.rejected) == (0, 0, 1)


async def test_a_task_waits_as_long_on_the_time_of_its_loop() -> None:
    """The same in a task, which is woken at the right time."""
    clock = ManualClock()

    async def scene() -> tuple[float, object]:
        gate = bulkhead("db", limit=1, queue=1, max_wait=3, clock=clock)
        async with gate:
            return clock.monotonic(), await resilient.outcome(gate(Hold()), 1)

    began, outcome = await asyncio.to_thread(lambda: run(scene(), clock))
    assert isinstance(outcome, Outcome)
    assert isinstance(outcome.error, BulkheadFullError)
    assert clock.monotonic() - began == 3


def test_who_waits_in_the_fixture_s_world_is_woken(resilience: Any) -> None:
    """A policy on the system's clock, which follows the fixture's: time jumps, hand-overs wake."""
    gate = bulkhead("db", limit=1, queue=1, max_wait=5)
    began: list[float] = []

    @gate
    async def work() -> None:
        began.append(resilience.clock.monotonic())
        await asyncio.sleep(0.01)

    async def scene() -> None:
        await asyncio.gather(work(), work())

    resilience.run(scene())
    assert began == pytest.approx([0, 0.01])


def test_no_time_to_wait() -> None:
    """Where no time is left, nobody joins the queue."""
    clock = ManualClock()
    gate = bulkhead("db", limit=1, queue=1, clock=clock)
    with gate, deadline(1, clock=clock):
        clock.advance(2)
        with pytest.raises(BulkheadFullError, match="no time to wait"):
            gate.call(lambda: None)


async def test_a_def_on_a_loop_does_not_wait() -> None:
    """Law 1: waiting there would stop every task; the block and the decorator are refused."""
    gate = bulkhead("db", limit=1, queue=5)
    with gate:
        with pytest.raises(BulkheadFullError, match="runs an event loop"):
            gate.call(lambda: None)
        with pytest.raises(BulkheadFullError, match="runs an event loop"), gate:
            pass
    assert (gate.in_flight, gate.queued) == (0, 0)


# No slot is lost


async def test_a_waiter_cancelled_as_it_is_handed_a_slot_loses_none() -> None:
    """Handed over and cancelled in the same turn of the loop: the slot goes to the next."""
    gate = bulkhead("db", limit=1, queue=2)
    hold = Hold()
    work = gate(hold)
    release = asyncio.Event()

    async def holder() -> None:
        async with gate:
            await release.wait()

    tasks: list[asyncio.Task[Any]] = [asyncio.create_task(holder())]
    await settle()
    tasks += [asyncio.create_task(work("cancelled")), asyncio.create_task(work("next"))]
    await settle()
    release.set()
    await asyncio.sleep(0)  # the holder leaves: the slot is handed over
    assert gate.queued == 1
    tasks[1].cancel()
    hold.gate.set()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(ends[1], asyncio.CancelledError)
    assert hold.order == ["next"]
    assert (gate.in_flight, gate.queued) == (0, 0)


@pytest.mark.parametrize("handed", [False, True])
def test_time_is_over_as_a_slot_is_handed_over(*, handed: bool) -> None:
    """Whoever looks after the time was over either has the slot or left none behind."""
    gate = bulkhead("db", limit=1, queue=1, max_wait=1)
    holder: Any = gate.admit()
    place: Any = gate.admit()
    assert isinstance(place, Waiting)
    woken: list[None] = []
    place.notify(lambda: woken.append(None))
    if handed:
        gate.settle(holder, None)
    end = place.finish()
    assert bool(woken) is handed
    assert isinstance(end, BulkheadFullError) is not handed
    gate.settle(end if handed else holder, None)
    assert (gate.in_flight, gate.queued) == (0, 0)


def test_a_waiter_interrupted_on_a_thread_loses_no_slot(monkeypatch: Any) -> None:
    """Ctrl-C while waiting: the place in the queue is given up, and what was handed over too."""
    gate = bulkhead("db", limit=1, queue=1)
    holder: Any = gate.admit()

    def interrupted(self: threading.Event, timeout: float | None = None) -> bool:
        gate.settle(holder, None)  # the slot is handed over
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Event, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        gate.call(lambda: None)
    assert (gate.in_flight, gate.queued) == (0, 0)


def test_a_task_of_a_closed_loop_holds_up_nobody() -> None:
    """A waiter whose loop was closed is passed over; the slot goes on."""
    gate = bulkhead("db", limit=1, queue=2)
    holder: Any = gate.admit()
    loop = asyncio.new_event_loop()
    guarded: Any = gate(Hold())
    task: Any = loop.create_task(guarded(1))
    task._log_destroy_pending = False  # it is dropped on purpose
    loop.run_until_complete(asyncio.sleep(0))
    assert gate.queued == 1
    loop.close()
    done: list[object] = []
    waiter = threading.Thread(target=lambda: done.append(gate.call(lambda: "next")))
    waiter.start()
    while gate.queued < 2:
        pass
    gate.settle(holder, None)
    waiter.join()
    assert done == ["next"]
    assert (gate.in_flight, gate.queued) == (0, 0)
    del task
    gc.collect()
    assert gate.in_flight == 0


def test_a_dropped_waiter_gives_its_slot_back() -> None:
    """A task that was handed a slot, and then never ran again, holds none."""
    gate = bulkhead("db", limit=1, queue=1)

    async def never() -> None:
        """Is not reached."""

    async def inner() -> None:
        await pause()

    coroutine = gate(inner)()
    coroutine.send(None)
    assert gate.in_flight == 1
    coroutine.close()
    assert gate.in_flight == 0


@pytest.mark.parametrize("seed", range(3))
async def test_threads_and_tasks_share_one_bulkhead(seed: int) -> None:
    """10 threads and 10 tasks never exceed 2, whatever is cancelled or times out in flight."""
    gate = bulkhead("db", limit=2, queue=20, max_wait=0.02)
    inside, most, lock = [0], [0], threading.Lock()

    @contextlib.contextmanager
    def counted() -> Iterator[None]:
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        try:
            yield
        finally:
            with lock:
                inside[0] -= 1

    @gate
    def work(draw: random.Random) -> None:
        with counted():
            threading.Event().wait(draw.random() * 0.002)

    @gate
    async def work_async(draw: random.Random) -> None:
        with counted():
            await asyncio.sleep(draw.random() * 0.002)

    async def task(number: int) -> None:
        draw = random.Random(100 * seed + number)  # noqa: S311  (a test's dice)
        for _ in range(20):
            with contextlib.suppress(BulkheadFullError, TimeoutError):
                async with asyncio.timeout(draw.random() * 0.004):
                    await work_async(draw)

    def thread(number: int) -> None:
        draw = random.Random(1000 * seed + number)  # noqa: S311  (a test's dice)
        for _ in range(20):
            with contextlib.suppress(BulkheadFullError):
                work(draw)

    threads = asyncio.create_task(asyncio.to_thread(in_threads, thread, 10))
    await asyncio.gather(*(task(number) for number in range(10)))
    await threads
    assert 1 <= most[0] <= 2
    assert (inside[0], gate.in_flight, gate.queued, gate.waiting) == (0, 0, 0, False)


class Books:
    """A bulkhead, the permits that are out, and the places in its queue."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)  # noqa: S311  (a test's dice)
        self.gate = bulkhead("db", limit=5, queue=7)
        self.running: list[Any] = []
        self.places: list[Any] = []

    def admit(self) -> None:
        """A call comes."""
        got: Any = self.gate.admit()
        if isinstance(got, Waiting):
            got.notify(_nothing)
            self.places.append(got)
        elif not isinstance(got, BulkheadFullError):
            self.running.append(got)

    def settle(self) -> None:
        """A call ends."""
        if self.running:
            permit = self.running.pop(self.draw.randrange(len(self.running)))
            self.gate.settle(permit, None)

    def leave(self) -> None:
        """A call that waits goes away, or looks whether it has a slot."""
        if not self.places:
            return
        place = self.places.pop(self.draw.randrange(len(self.places)))
        if self.draw.random() < 0.5:
            place.cancel()
        elif not isinstance(got := place.finish(), BulkheadFullError):
            self.running.append(got)


def test_a_million_steps_leave_no_permit_out() -> None:
    """Random admissions, queueing, hand-overs, ends and departures: the books balance."""
    books = Books(7)
    steps = [books.admit] * 8 + [books.settle] * 7 + [books.leave] * 5
    for level in ("critical", "high", "medium", "low") * 250:
        with criticality(level):
            for _ in range(1000):
                books.draw.choice(steps)()
                assert len(books.running) <= books.gate.in_flight <= 5
    for place in books.places:
        place.cancel()
    for permit in books.running:
        books.gate.settle(permit, None)
    assert (books.gate.in_flight, books.gate.queued, books.gate.waiting) == (0, 0, False)


def _nothing() -> None:
    """Nobody is woken: the test looks by itself."""


def test_exact_under_threads_that_take_turns_at_every_line() -> None:
    """Never more than the limit inside, nothing left out, with threads let in at each line."""
    gate = bulkhead("db", limit=3, queue=8)
    inside: list[None] = []
    over: list[int] = []

    @gate
    def work() -> None:
        inside.append(None)
        over.append(len(inside))
        inside.pop()

    def many(_: int) -> None:
        for _ in range(60):
            work()

    in_threads(many, traced=True)
    assert len(over) == 480
    assert max(over) <= 3
    assert (gate.in_flight, gate.queued, gate.rejected) == (0, 0, 0)


# Around it


def test_beside_a_breaker_on_one_line() -> None:
    """The breaker counts, the slot comes back, whichever is outside, however the call ends."""

    def fails() -> None:
        raise ConnectionError

    for outer in (True, False):
        clock = ManualClock()
        circuit = resilient.breaker("db", failure_threshold=3, clock=clock)
        gate = bulkhead("db", limit=1, clock=clock)
        policies = (gate, circuit) if outer else (circuit, gate)
        ok, bad = pipeline(*policies)(lambda: 1), pipeline(*policies)(fails)
        assert ok() == 1
        for _ in range(3):
            with pytest.raises(ConnectionError):
                bad()
        with pytest.raises(resilient.CircuitOpenError):
            ok()
        with gate, pytest.raises(BulkheadFullError if outer else resilient.CircuitOpenError):
            ok()
        assert gate.in_flight == 0
        assert (circuit.metrics.calls, circuit.metrics.failures) == (4, 3)


def test_switched_off_everything_passes_and_returning_loses_nothing() -> None:
    """The emergency switch admits those who wait too, and what was out is not counted twice."""
    gate = bulkhead("db", limit=1, queue=1)
    holder: Any = gate.admit()
    place: Any = gate.admit()
    place.notify(_nothing)
    try:
        resilient.set_active(False)
        passed = place.finish()
        assert not isinstance(passed, BulkheadFullError)
        with gate, gate, gate:
            assert gate.call(lambda: 1) == 1
        gate.settle(holder, None)
    finally:
        resilient.set_active(True)
    gate.settle(passed, None)
    assert gate.in_flight == 0
    with gate:
        assert isinstance(gate.admit(), Waiting)
    assert gate.in_flight == 0


def test_a_child_has_every_slot() -> None:
    """Law 15: after a fork nothing is out, nobody waits, and what the parent held is its own."""
    gate = bulkhead("db", limit=1, queue=1)
    holder: Any = gate.admit()
    place: Any = gate.admit()
    place.notify(_nothing)
    gate.after_fork()
    assert (gate.in_flight, gate.queued) == (0, 0)
    gate.settle(holder, None)
    assert gate.in_flight == 0
    with gate:
        assert gate.in_flight == 1


def test_what_it_says_of_itself() -> None:
    """One line, with the numbers."""
    assert bulkhead("db", limit=3).describe() == "bulkhead('db'): 3 at a time"
    assert (
        bulkhead("db", limit=3, queue=9, max_wait=0.5, order="lifo").describe()
        == "bulkhead('db'): 3 at a time, 9 more wait for at most 0.5 s, lifo"
    )


@pytest.mark.parametrize(
    ("settings", "setting"),
    [
        ({"name": ""}, "name"),
        ({"limit": 0}, "limit"),
        ({"limit": 1.5}, "limit"),
        ({"limit": True}, "limit"),
        ({"queue": -1}, "queue"),
        ({"queue": 1, "max_wait": -1}, "max_wait"),
        ({"max_wait": 1}, "max_wait"),
        ({"order": "random"}, "order"),
        ({"clock": 3}, "clock"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], setting: str) -> None:
    """Law 12: the error names the setting and what is allowed."""
    make: Callable[..., Any] = bulkhead
    with pytest.raises(ConfigError) as error:
        make(**{"name": "db", "limit": 2, **settings})
    assert error.value.setting == setting


def test_the_hub_knows_it() -> None:
    """Forks and the emergency switch reach it."""
    gate = bulkhead("db", limit=1)
    assert gate in hub.policies()

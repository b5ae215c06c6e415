"""Listeners run elsewhere, in order, and whatever one does harms nobody else."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import resilient
from resilient import Event
from resilient.core.dispatch import Dispatcher
from resilient.core.hub import hub

WAIT = 10.0
"""Seconds until a test that hangs is given up."""


@pytest.fixture
def dispatcher() -> Iterator[Dispatcher]:
    """A dispatcher of the test's own, closed at the end."""
    made = Dispatcher()
    yield made
    assert made.close(WAIT)


def workers() -> list[threading.Thread]:
    """The dispatchers' threads."""
    return [thread for thread in threading.enumerate() if thread.name == "resilient-dispatcher"]


def test_nothing_runs_before_it_is_needed() -> None:
    """Making a dispatcher and a listener starts no thread."""
    before = workers()
    made = Dispatcher()
    made.listener(print)
    assert workers() == before
    assert made.close(0.0)


def test_each_listener_gets_everything_in_order(dispatcher: Dispatcher) -> None:
    """Five listeners of both kinds, 200 items: each sees all of them, oldest first."""
    seen: list[list[int]] = [[] for _ in range(5)]

    def listening(number: int) -> Any:
        def receive(item: int) -> None:
            seen[number].append(item)

        async def receive_later(item: int) -> None:
            await asyncio.sleep(0)
            seen[number].append(item)

        return receive_later if number % 2 else receive

    listeners = [dispatcher.listener(listening(number)) for number in range(5)]
    for item in range(200):
        for listener in listeners:
            listener.offer(item)
    assert dispatcher.flush(WAIT)
    assert seen == [list(range(200))] * 5
    assert [(listener.dropped, listener.errors) for listener in listeners] == [(0, 0)] * 5
    for listener in listeners:
        listener.cancel()


def test_offers_of_many_threads_are_all_delivered(dispatcher: Dispatcher) -> None:
    """Each thread's own items arrive in its order; none is lost, none twice."""
    seen: list[tuple[int, int]] = []
    listener = dispatcher.listener(seen.append, limit=10_000)

    def offer(thread: int) -> None:
        for number in range(200):
            listener.offer((thread, number))

    threads = [threading.Thread(target=offer, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert dispatcher.flush(WAIT)
    assert len(seen) == len(set(seen)) == 1600
    for thread_number in range(8):
        assert [n for t, n in seen if t == thread_number] == list(range(200))


def test_it_never_runs_on_the_callers_thread(dispatcher: Dispatcher) -> None:
    """Nor does an offer wait for the receiver."""
    threads: list[int] = []
    release = threading.Event()

    def receive(item: object) -> None:
        release.wait(WAIT)
        threads.append(threading.get_ident())

    listener = dispatcher.listener(receive)
    listener.offer(1)
    assert threads == []
    release.set()
    assert dispatcher.flush(WAIT)
    assert threads != [threading.get_ident()]


@pytest.mark.parametrize("limit", [1, 3, 10])
def test_a_full_queue_drops_the_newest_and_counts_them(dispatcher: Dispatcher, limit: int) -> None:
    """While the receiver is busy, `limit` items wait; each further one is dropped and counted."""
    busy, release = threading.Event(), threading.Event()
    seen: list[int] = []

    def receive(item: int) -> None:
        busy.set()
        release.wait(WAIT)
        seen.append(item)

    listener = dispatcher.listener(receive, limit=limit)
    listener.offer(0)
    assert busy.wait(WAIT)
    for item in range(1, 21):
        listener.offer(item)
    assert listener.dropped == 20 - limit
    release.set()
    assert dispatcher.flush(WAIT)
    assert seen == list(range(limit + 1))
    listener.offer(99)
    assert dispatcher.flush(WAIT)
    assert seen[-1] == 99


@pytest.mark.parametrize("asynchronous", [False, True])
def test_what_a_listener_raises_is_logged_and_counted(
    dispatcher: Dispatcher,
    caplog: pytest.LogCaptureFixture,
    asynchronous: bool,  # noqa: FBT001
) -> None:
    """It gets the next item all the same, and others notice nothing."""
    seen: list[int] = []

    def receive(item: int) -> None:
        seen.append(item)
        if item % 2:
            raise LookupError(item)

    async def receive_later(item: int) -> None:
        receive(item)

    others: list[int] = []
    listener = dispatcher.listener(receive_later if asynchronous else receive)
    other = dispatcher.listener(others.append)
    with caplog.at_level(logging.WARNING, "resilient"):
        for item in range(6):
            listener.offer(item)
            other.offer(item)
        assert dispatcher.flush(WAIT)
    assert seen == others == list(range(6))
    assert (listener.errors, other.errors) == (3, 0)
    listener.cancel()
    records = [record for record in caplog.records if record.name == "resilient"]
    assert len(records) == 3
    assert all(record.exc_info for record in records)


@pytest.mark.parametrize("hanging", [1, 3])
def test_one_that_hangs_delays_nobody_else(dispatcher: Dispatcher, hanging: int) -> None:
    """Others get everything while some hang; those go on where they were when they are released."""
    release = threading.Event()
    stuck: list[int] = []

    def hang(item: int) -> None:
        release.wait(WAIT)
        stuck.append(item)

    done = threading.Event()
    seen: list[int] = []

    def receive(item: int) -> None:
        seen.append(item)
        if item == 9:
            done.set()

    hung = [dispatcher.listener(hang) for _ in range(hanging)]
    lively = dispatcher.listener(receive)
    for item in range(10):
        for listener in hung:
            listener.offer(item)
        lively.offer(item)
    assert done.wait(WAIT)
    assert seen == list(range(10))
    assert stuck == []
    release.set()
    assert dispatcher.flush(WAIT)
    assert sorted(stuck) == sorted(list(range(10)) * hanging)


def test_a_flush_gives_up_when_told() -> None:
    """It says whether everything was delivered; so does `close`, which leaves a stuck thread be."""
    release = threading.Event()
    dispatcher = Dispatcher()
    listener = dispatcher.listener(lambda item: release.wait(WAIT))
    listener.offer(1)
    assert not dispatcher.flush(0.01)
    assert not dispatcher.close(0.01)
    release.set()
    assert dispatcher.flush(WAIT)
    assert dispatcher.close(WAIT)


def test_a_listener_may_flush_without_a_deadlock(dispatcher: Dispatcher) -> None:
    """On the dispatcher's own thread nothing waits for itself."""
    answers: list[bool] = []
    listener = dispatcher.listener(lambda item: answers.append(dispatcher.flush(WAIT)))
    listener.offer(1)
    assert dispatcher.flush(WAIT)
    assert answers == [False]


def test_a_listener_may_cause_items_itself(dispatcher: Dispatcher) -> None:
    """Offering to itself or to another from inside is an offer like any other."""
    seen: list[int] = []

    def receive(item: int) -> None:
        seen.append(item)
        if item < 200:
            listener.offer(item + 1)

    listener = dispatcher.listener(receive)
    listener.offer(0)
    assert dispatcher.flush(WAIT)
    assert seen == list(range(201))


def test_close_delivers_and_joins() -> None:
    """What is queued arrives, no thread is left, and it starts again on need, however often."""
    before = set(workers())
    dispatcher = Dispatcher()
    seen: list[int] = []
    listener = dispatcher.listener(seen.append)
    for round_ in range(200):
        listener.offer(round_)
        assert dispatcher.close(WAIT)
        assert seen == list(range(round_ + 1))
        assert not set(workers()) - before


def test_what_is_offered_while_it_closes_is_delivered(
    dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does anything that comes after it get lost."""
    seen: list[object] = []
    listener = dispatcher.listener(seen.append)
    listener.offer("before")
    join = threading.Thread.join

    def offering(thread: threading.Thread, timeout: float | None = None) -> None:
        listener.offer("meanwhile")
        join(thread, timeout)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "join", offering)
        assert dispatcher.close(WAIT)
    listener.offer("after")
    assert dispatcher.flush(WAIT)
    assert seen == ["before", "meanwhile", "after"]


def test_without_a_thread_items_wait_for_the_next_offer(
    dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no thread can be started nobody is told, nobody is harmed, and nothing is lost."""
    seen: list[int] = []
    listener = dispatcher.listener(seen.append)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        listener.offer(1)
        listener.offer(2)
    assert seen == []
    listener.offer(3)
    assert dispatcher.flush(WAIT)
    assert seen == [1, 2, 3]


def no_thread(_: threading.Thread) -> None:
    """What `Thread.start` does when the system has none left."""
    raise RuntimeError("can't start new thread")


def test_a_watcher_that_cannot_be_started_stops_no_worker(
    dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker that took a listener serves it, although nobody can watch over the rest."""
    go_on, begun = threading.Event(), threading.Event()
    seen: list[str] = []

    def first(item: str) -> None:
        seen.append(item)
        begun.set()
        go_on.wait(WAIT)

    one, two = dispatcher.listener(first), dispatcher.listener(seen.append)
    with dispatcher.changed:
        one.offer("one")
        two.offer("two")  # in line already when the worker takes the first
        monkeypatch.setattr(threading.Thread, "start", no_thread)
    assert begun.wait(WAIT)
    monkeypatch.undo()
    go_on.set()
    assert dispatcher.flush(WAIT)
    assert seen == ["one", "two"]


def test_cancel_ends_the_listening(dispatcher: Dispatcher) -> None:
    """What is queued is dropped, what comes later too, and what runs is finished."""
    busy, release = threading.Event(), threading.Event()
    seen: list[int] = []

    def receive(item: int) -> None:
        busy.set()
        release.wait(WAIT)
        seen.append(item)

    listener = dispatcher.listener(receive)
    listener.offer(0)
    assert busy.wait(WAIT)
    listener.offer(1)
    listener.cancel()
    listener.offer(2)
    release.set()
    assert dispatcher.flush(WAIT)
    assert seen == [0]


# Async listeners


async def test_an_async_listener_runs_where_it_was_registered(dispatcher: Dispatcher) -> None:
    """On the loop that ran then, in order, one at a time."""
    home = asyncio.get_running_loop()
    seen: list[tuple[int, bool]] = []
    inside = 0
    done = asyncio.Event()

    async def receive(item: int) -> None:
        nonlocal inside
        inside += 1
        assert inside == 1
        await asyncio.sleep(0)
        seen.append((item, asyncio.get_running_loop() is home))
        inside -= 1
        if item == 19:
            done.set()

    listener = dispatcher.listener(receive)
    for item in range(20):
        listener.offer(item)
    await asyncio.wait_for(done.wait(), WAIT)
    assert seen == [(item, True) for item in range(20)]
    assert listener.errors == 0


def test_without_a_loop_it_has_one_of_its_own(dispatcher: Dispatcher) -> None:
    """The same for all of its items, so that what it opens stays open."""
    loops: list[Any] = []

    async def receive(item: int) -> None:
        loops.append(asyncio.get_running_loop())

    listener = dispatcher.listener(receive)
    for item in range(10):
        listener.offer(item)
        assert dispatcher.flush(WAIT)
    assert len(set(map(id, loops))) == 1
    listener.cancel()
    assert dispatcher.close(WAIT)
    assert loops[0].is_closed()


def test_when_its_loop_has_gone_it_goes_on_elsewhere(dispatcher: Dispatcher) -> None:
    """A closed loop loses no later item, and blocks neither a flush nor a close."""
    seen: list[int] = []

    async def register() -> Any:
        first = asyncio.Event()

        async def receive(item: int) -> None:
            seen.append(item)
            first.set()

        listener = dispatcher.listener(receive)
        listener.offer(0)
        await first.wait()
        return listener

    listener = asyncio.run(register())
    for item in range(1, 4):
        listener.offer(item)
        assert dispatcher.flush(WAIT)
    assert seen == [0, 1, 2, 3]
    listener.cancel()


def test_a_loop_that_closes_over_an_item_does_not_stop_the_rest(dispatcher: Dispatcher) -> None:
    """The item that was under way is lost with its loop; the ones after it are not."""
    for _ in range(20):
        seen: list[int] = []
        listener = asyncio.run(_register_and_leave(dispatcher, seen))
        listener.offer(1)
        listener.offer(2)
        assert dispatcher.flush(WAIT)
        assert seen == [1, 2]
        listener.cancel()


async def _register_and_leave(dispatcher: Dispatcher, seen: list[int]) -> Any:
    begun = asyncio.Event()

    async def receive(item: int) -> None:
        if item == 0:
            begun.set()
            await asyncio.Event().wait()
        seen.append(item)

    listener = dispatcher.listener(receive)
    listener.offer(0)
    await begun.wait()
    return listener


# The public face


@pytest.mark.parametrize(
    ("event_type", "fn"),
    [
        (5, print),
        ("CircuitOpened", print),
        (OSError, print),
        (None, print),
        (resilient.CircuitOpened, None),
        (resilient.CircuitOpened, "print"),
    ],
)
def test_subscribe_takes_a_type_of_event_and_a_function(event_type: Any, fn: Any) -> None:
    """`TypeError` when it is called, not when something happens."""
    with pytest.raises(TypeError):
        resilient.subscribe(event_type, fn)


def test_a_call_keeps_its_own_error_where_no_thread_can_be_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Law 4: what the library cannot do for its listeners is no business of a call."""
    assert resilient.shutdown(WAIT)
    seen: list[Any] = []
    subscription = resilient.subscribe(resilient.CircuitOpened, seen.append)
    gate = resilient.breaker("dispatched", failure_threshold=1)

    @gate
    def down() -> None:
        raise ConnectionError("down")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(ConnectionError, match="down"):
            down()
        assert resilient.shutdown(0.0) is True
    gate.close()
    gate.open()
    assert resilient.shutdown(WAIT)
    subscription.cancel()
    assert [type(event) for event in seen] == [resilient.CircuitOpened] * 2


def test_subscribe_delivers_a_type_with_its_subclasses() -> None:
    """Until it is cancelled; `shutdown` waits for the delivery and says so."""
    seen: list[Any] = []
    changes = resilient.subscribe(resilient.CircuitChanged, seen.append)
    opened = resilient.subscribe(resilient.CircuitOpened, seen.append)
    gate = resilient.breaker("dispatched")
    gate.open()
    gate.close()
    assert resilient.shutdown(WAIT)
    assert [type(event) for event in seen].count(resilient.CircuitOpened) == 2
    assert [type(event) for event in seen].count(resilient.CircuitClosed) == 1
    changes.cancel()
    opened.cancel()
    gate.open()
    assert resilient.shutdown(WAIT)
    assert len(seen) == 3
    assert not workers()


def test_an_application_publishes_events_of_its_own() -> None:
    """Whoever subscribed to its type, or to a base of it, hears it; anything else is refused."""

    class Deployed(Event, frozen=True, kw_only=True):
        version: str

    heard: list[Event] = []
    subscriptions = [resilient.subscribe(kind, heard.append) for kind in (Deployed, Event)]
    event = Deployed(name="shop", version="1.2")
    resilient.publish(event)
    assert hub.dispatcher.flush(10)
    assert heard == [event, event]
    with pytest.raises(TypeError, match="subclass of Event"):
        resilient.publish("deployed")  # type: ignore[arg-type]  # that is the point
    for subscription in subscriptions:
        subscription.cancel()


def test_a_signal_within_a_notification_does_no_harm() -> None:
    """A handler may offer while this very thread is waking the others: both items arrive."""
    dispatcher = Dispatcher()
    heard: list[str] = []
    listener = dispatcher.listener(heard.append)
    real = dispatcher.changed.notify_all
    nested: list[str] = []

    def interrupted() -> None:
        if not nested:
            nested.append("once")
            listener.offer("told by a handler")
        real()

    dispatcher.changed.notify_all = interrupted  # type: ignore[method-assign]  # where a signal comes
    listener.offer("first")
    assert dispatcher.flush(10)
    listener.offer("second")
    assert dispatcher.flush(10)
    assert sorted(heard) == ["first", "second", "told by a handler"]
    assert dispatcher.close(10)

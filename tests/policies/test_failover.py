"""One dependency at several addresses: who is asked, what is raised, and what it costs nobody."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import inspect
import threading
import weakref
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import resilient
from resilient import (
    BulkheadFullError,
    ConfigError,
    Failover,
    FailoverTarget,
    Rejected,
    TargetEjected,
    TargetReturned,
    deadline,
    failover,
    fallback,
    pipeline,
    retry,
)
from resilient.core.hub import hub
from resilient.policies import failover_layer
from resilient.testing import ManualClock, Resilience
from tests.laws.harness import Halt, finish, history, in_threads, pause

Endings = list[BaseException | None]


class PoolTimeoutError(Exception):
    """No connection was free."""


class Server:
    """Answers with its name, unless the next of its `endings` is an error (the last one stays)."""

    def __init__(self, name: str, *endings: BaseException | None) -> None:
        self.name = name
        self.endings: Endings = list(endings)
        self.asked = 0

    def _end(self) -> str:
        self.asked += 1
        ending = None
        if self.endings:
            ending = self.endings.pop(0) if len(self.endings) > 1 else self.endings[0]
        if ending is not None:
            raise ending
        return self.name

    def get(self, key: int = 0) -> str:
        """Get it."""
        del key
        return self._end()

    async def fetch(self, key: int = 0) -> str:
        """Get it, with one await."""
        del key
        await pause()
        return self._end()


def down(*, like: type[Exception] = ConnectionError) -> Callable[[str], Server]:
    """A server that always fails."""
    return lambda name: Server(name, like(name))


class Way:
    """Sync or async: how to make a failover, and how to call it."""

    def __init__(self, *, is_async: bool) -> None:
        self.is_async = is_async

    def make(self, servers: Sequence[Server], **settings: Any) -> Any:
        """A failover over `servers`, labelled with their names."""
        settings = {"name": "db", "labels": [server.name for server in servers], **settings}
        settings.setdefault("clock", ManualClock())
        methods: list[Any] = [s.fetch if self.is_async else s.get for s in servers]
        return failover(*methods, **settings)

    def call(self, fn: Any, *args: Any) -> Any:
        """Call it to its end."""
        return finish(fn(*args)) if self.is_async else fn(*args)

    def error(self, fn: Any) -> BaseException:
        """What it raises."""
        try:
            answer = self.call(fn)
        except BaseException as error:  # noqa: BLE001  (looked at by the caller)
            return error
        raise AssertionError(answer)


@pytest.fixture(params=[False, True], ids=["def", "async def"])
def way(request: pytest.FixtureRequest) -> Way:
    """Everything holds for functions and for coroutine functions."""
    return Way(is_async=request.param)


def abc(*up: str) -> list[Server]:
    """Servers a, b, c; those in `up` answer, the others are down."""
    return [Server(name) if name in up else Server(name, ConnectionError(name)) for name in "abc"]


def asked(servers: Sequence[Server]) -> list[int]:
    """How often each was asked."""
    return [server.asked for server in servers]


def ejected(fetch: Any) -> list[float | None]:
    """For how long each is ejected."""
    return [target.ejected_for for target in fetch.targets()]


def in_flight(fetch: Any) -> list[int]:
    """Calls under way to each."""
    return [target.in_flight for target in fetch.targets()]


# Who is asked


@pytest.mark.parametrize(
    ("up", "answer", "counts"),
    [("abc", "a", [1, 0, 0]), ("bc", "b", [1, 1, 0]), ("c", "c", [1, 1, 1])],
)
def test_the_next_is_asked_when_one_fails(
    way: Way, up: str, answer: str, counts: list[int]
) -> None:
    """The primary first, then the replicas in the order given, each once, until one answers."""
    servers = abc(*up)
    assert way.call(way.make(servers)) == answer
    assert asked(servers) == counts


def test_arguments_reach_every_target(way: Way) -> None:
    """By place and by keyword, on both paths."""
    seen: list[object] = []

    def note(*args: object, **kwargs: object) -> None:
        seen.append((args, kwargs))
        if len(seen) % 2:
            raise ConnectionError

    async def note_async(*args: object, **kwargs: object) -> None:
        note(*args, **kwargs)

    one: Any = note_async if way.is_async else note
    fetch: Any = failover(one, one)
    for args, kwargs in [((1, 2), {"x": 3}), ((), {}), ((4,), {})]:
        way.call(functools.partial(fetch, *args, **kwargs))
        assert seen[-2:] == [(args, kwargs)] * 2


def test_the_last_error_is_raised_as_it_was(way: Way) -> None:
    """With the earlier ones as its causes and one note of ours that names who was asked."""
    servers = abc()
    error = way.error(way.make(servers))
    first, second, third = (server.endings[0] for server in servers)
    assert error is third
    assert error.__cause__ is second
    assert second is not None
    assert second.__cause__ is first
    assert error.__notes__ == ["resilient: db got no answer from a, b, c; no target left"]


@pytest.mark.parametrize(
    ("attempts", "counts", "why"),
    [
        (1, [1, 0, 0], "db got no answer from a; no attempts left"),
        (2, [1, 1, 0], "db got no answer from a, b; no attempts left"),
        (3, [1, 1, 1], "db got no answer from a, b, c; no target left"),
        (9, [1, 1, 1], "db got no answer from a, b, c; no target left"),
    ],
)
def test_attempts_limit_how_many_may_fail(
    way: Way, attempts: int, counts: list[int], why: str
) -> None:
    """Not more than there are targets."""
    servers = abc()
    error = way.error(way.make(servers, attempts=attempts))
    assert asked(servers) == counts
    assert error.__notes__ == ["resilient: " + why]


@pytest.mark.parametrize(
    "on", [ConnectionError, (ConnectionError, OSError), lambda error: error.args == ("a",)]
)
def test_an_error_outside_of_on_is_an_answer(way: Way, on: Any) -> None:
    """Raised at once, without a note, and it ends a streak of failures."""
    odd = LookupError("no such key")
    servers = [Server("a", ConnectionError("a"), ConnectionError("a"), odd), Server("b")]
    fetch = way.make(servers, on=on, failure_threshold=3)
    way.call(fetch)
    way.call(fetch)
    assert way.error(fetch) is odd
    assert not hasattr(odd, "__notes__")
    assert fetch.targets()[0].consecutive_failures == 0
    assert asked(servers) == [3, 2]


@pytest.mark.parametrize("error", [BulkheadFullError("pool", None, "full"), PoolTimeoutError()])
def test_a_target_without_room_is_passed_over(way: Way, error: Exception) -> None:
    """Nothing is held against it, whatever `on` says, and it uses up no attempt."""
    servers = [Server("a", error), Server("b", error), Server("c")]
    fetch = way.make(
        servers, on=LookupError, busy=PoolTimeoutError, attempts=1, failure_threshold=1
    )
    for _ in range(3):
        assert way.call(fetch) == "c"
    assert [target.failures for target in fetch.targets()] == [0, 0, 0]
    assert ejected(fetch) == [None, None, None]


def test_if_nobody_has_room_the_rejection_is_raised(way: Way) -> None:
    """The last one, as it was."""
    last = Rejected("b", 3.0, "full")
    servers = [Server("a", Rejected("a", 1.0, "full")), Server("b", last)]
    assert way.error(way.make(servers)) is last


def test_a_deadline_that_is_over_ends_the_search(way: Way) -> None:
    """A target that would be asked after it is not asked."""
    clock = ManualClock()

    class Slow(Server):
        def _end(self) -> str:
            clock.advance(2)
            return super()._end()

    servers = [Slow("a", ConnectionError()), Slow("b", ConnectionError()), Slow("c")]
    fetch = way.make(servers)
    with deadline(3, clock=clock):
        error = way.error(fetch)
    assert asked(servers) == [1, 1, 0]
    assert error.__notes__ == ["resilient: db got no answer from a, b; no time left"]


@pytest.mark.parametrize("kind", [asyncio.CancelledError, KeyboardInterrupt, SystemExit, Halt])
@pytest.mark.parametrize("spread", [False, True])
@pytest.mark.parametrize("place", [0, 1])
def test_what_is_no_exception_passes_untouched(
    way: Way, kind: type[BaseException], place: int, *, spread: bool
) -> None:
    """Nobody else is asked, nothing is counted as a failure, and nothing stays in flight."""
    stop = kind()
    servers = abc("c")
    servers[place].endings = [stop]
    fetch = way.make(servers, spread=spread, draw=lambda: 0.0)
    assert way.error(fetch) is stop
    assert [target.failures for target in fetch.targets()] == [1] * place + [0] * (3 - place)
    assert in_flight(fetch) == [0, 0, 0]
    assert servers[2].asked == 0


# Ejection


def test_a_target_that_fails_again_and_again_is_left_alone(way: Way) -> None:
    """Five in a row by default, for 30 s; then one call tries it, and an answer takes it back."""
    clock = ManualClock()
    servers = abc("b", "c")
    fetch = way.make(servers, clock=clock)
    with history() as seen:
        for _ in range(8):
            assert way.call(fetch) == "b"
        assert asked(servers) == [5, 8, 0]
        clock.advance(29.9)
        way.call(fetch)
        assert ejected(fetch) == [pytest.approx(0.1), None, None]
        clock.advance(0.1)
        assert way.call(fetch) == "b"
        assert ejected(fetch) == [60, None, None]
        clock.advance(60)
        assert ejected(fetch) == [0, None, None]
        servers[0].endings = []
        assert way.call(fetch) == way.call(fetch) == "a"
    assert asked(servers) == [8, 10, 0]
    told = [(type(event), event.name, event.target) for event in seen]
    assert told == [
        (TargetEjected, "db", "a"),
        (TargetEjected, "db", "a"),
        (TargetReturned, "db", "a"),
    ]
    assert [(event.seconds, event.error) for event in seen[:2]] == [
        (30, "ConnectionError('a')"),
        (60, "ConnectionError('a')"),
    ]
    assert [event.severity.value for event in seen] == ["warning", "warning", "info"]


@pytest.mark.parametrize("spread", [False, True])
def test_an_answer_ends_the_failures_in_a_row(way: Way, *, spread: bool) -> None:
    """Two failures, an answer, two failures: no three in a row."""
    a, error = Server("a"), ConnectionError()
    a.endings = [error, error, None, error, error, None, None]
    fetch = way.make([a], spread=spread, failure_threshold=3)
    streaks = []
    for _ in range(7):
        with contextlib.suppress(ConnectionError):
            way.call(fetch)
        streaks.append(fetch.targets()[0].consecutive_failures)
    assert streaks == [1, 2, 0, 1, 2, 0, 0]


@pytest.mark.parametrize("ending", [None, ConnectionError()])
def test_a_call_from_before_an_ejection_decides_nothing(ending: Exception | None) -> None:
    """Begun before it, ended after the return of the target: neither good nor bad counts."""
    servers = abc("b", "c")
    fetch = Way(is_async=True).make(servers, failure_threshold=2)
    early = fetch()
    early.send(None)
    finish(fetch())
    finish(fetch())
    assert ejected(fetch) == [30, None, None]
    fetch.admit(0)
    finish(fetch())
    servers[0].endings = [ending]
    finish(early)
    assert fetch.targets()[0].consecutive_failures == 1
    assert ejected(fetch) == [None, None, None]


def test_an_ejected_target_is_asked_if_all_others_fail(way: Way) -> None:
    """An answer beats a principle; and it takes the target back."""
    servers = abc()
    fetch = way.make(servers, failure_threshold=1)
    way.error(fetch)
    assert ejected(fetch) == [30, None, None]
    servers[0].endings = []
    assert way.call(fetch) == "a"
    assert asked(servers) == [2, 2, 2]
    assert ejected(fetch) == [None, None, None]


def test_unless_the_attempts_are_used_up(way: Way) -> None:
    """Then the ejected one is left alone even so."""
    servers = abc()
    fetch = way.make(servers, failure_threshold=1, attempts=2)
    way.error(fetch)
    way.error(fetch)
    assert asked(servers) == [1, 2, 1]


@pytest.mark.parametrize(
    ("size", "share", "out"),
    [
        (1, 0.5, 0), (2, 0.5, 1), (3, 0.5, 1), (4, 0.5, 2), (5, 0.5, 2), (10, 0.5, 5),
        (10, 0.1, 1), (10, 0.19, 1), (10, 0.2, 2), (2, 0.49, 0), (10, 0, 0),
    ],
)  # fmt: skip
def test_most_of_a_pool_is_never_ejected(way: Way, size: int, share: float, out: int) -> None:
    """The share is rounded down to whole targets, so a lone one is never ejected."""
    servers = [Server(str(n), ConnectionError()) for n in range(size)]
    fetch = way.make(servers, max_ejected=share, failure_threshold=1)
    for _ in range(3):
        way.error(fetch)
    assert sum(each is not None for each in ejected(fetch)) == out
    assert [fetch.eject(n) for n in range(size)].count(True) == out


def test_by_hand(way: Way) -> None:
    """Ejected as if it had failed too often; admitted at once; told whether it changed anything."""
    servers = abc("a", "b", "c")
    fetch = way.make(servers)
    with history() as seen:
        assert [fetch.eject(0), fetch.eject(0), fetch.eject(1)] == [True, True, False]
        assert way.call(fetch) == "b"
        assert [fetch.admit(0), fetch.admit(0)] == [True, False]
        assert way.call(fetch) == "a"
    assert [(type(event), event.target) for event in seen] == [
        (TargetEjected, "a"),
        (TargetReturned, "a"),
    ]
    assert (seen[0].seconds, seen[0].error) == (30, None)
    with pytest.raises(IndexError):
        fetch.eject(3)


def test_only_one_call_tries_a_target_again() -> None:
    """No herd: while the trial is under way, all others go elsewhere."""
    clock = ManualClock()
    servers = abc("a", "b", "c")
    fetch = Way(is_async=True).make(servers, clock=clock)
    fetch.eject(0)
    clock.advance(30)
    calls = [fetch() for _ in range(10)]
    for call in calls:
        call.send(None)
    assert in_flight(fetch) == [1, 9, 0]
    assert [finish(call) for call in calls] == ["a"] + ["b"] * 9
    assert finish(fetch()) == "a"


def test_a_trial_that_is_cancelled_leaves_its_place() -> None:
    """The next call is the trial."""
    clock = ManualClock()
    fetch = Way(is_async=True).make(abc("a", "b", "c"), clock=clock)
    fetch.eject(0)
    clock.advance(30)
    call = fetch()
    call.send(None)
    with pytest.raises(asyncio.CancelledError):
        call.throw(asyncio.CancelledError())
    assert in_flight(fetch) == [0, 0, 0]
    assert ejected(fetch) == [0, None, None]
    assert finish(fetch()) == "a"


# Spread


def test_spread_calls_go_where_less_is_under_way() -> None:
    """Whatever is drawn: of two targets the idle one, so a hedge goes elsewhere by itself."""
    draws = iter([0.0, 0.0, 0.99, 0.99] * 5)
    servers = abc("a", "b")[:2]
    fetch = Way(is_async=True).make(servers, spread=True, draw=lambda: next(draws))
    calls = []
    for _ in range(10):
        calls.append(fetch())
        calls[-1].send(None)
        loads = in_flight(fetch)
        assert abs(loads[0] - loads[1]) <= 1
    assert sorted(finish(call) for call in calls) == ["a"] * 5 + ["b"] * 5
    assert in_flight(fetch) == [0, 0]


def test_a_retry_of_a_spread_call_goes_elsewhere(way: Way) -> None:
    """Nothing is under way, so the failures in a row decide, whatever is drawn."""
    servers = [Server("a", ConnectionError()), Server("b")]
    fetch = way.make(servers, spread=True, attempts=1, draw=lambda: 0.0)
    again: Any = retry(on=ConnectionError, attempts=2, wait=0, clock=ManualClock())(fetch)
    assert [way.call(again) for _ in range(3)] == ["b", "b", "b"]
    assert asked(servers) == [1, 3]


def test_a_spread_call_fails_over_too(way: Way) -> None:
    """To each of the others, once."""
    servers = abc("c")
    assert way.call(way.make(servers, spread=True, draw=lambda: 0.0)) == "c"
    assert asked(servers)[2] == 1
    assert max(asked(servers)) == 1


# Everything at once


@given(
    up=st.lists(st.booleans(), min_size=1, max_size=6),
    attempts=st.integers(1, 7),
    spread=st.booleans(),
    calls=st.integers(1, 12),
    seed=st.integers(0, 10**6),
)
def test_whoever_can_answer_does(
    up: list[bool], attempts: int, calls: int, seed: int, *, spread: bool
) -> None:
    """If any target is up and attempts allow, there is an answer; nobody is asked twice for one."""
    servers = [Server(str(n)) if ok else Server(str(n), OSError()) for n, ok in enumerate(up)]
    numbers = (seed * (n + 1) * 0.6180339887 % 1 for n in range(10**6))
    clock = ManualClock()
    fetch = Way(is_async=False).make(
        servers, attempts=attempts, spread=spread, draw=numbers.__next__,
        failure_threshold=2, clock=clock,
    )  # fmt: skip
    for _ in range(calls):
        before = asked(servers)
        outcome = resilient.outcome(fetch)
        times = [now - then for now, then in zip(asked(servers), before, strict=True)]
        assert max(times) == 1
        assert sum(times) == outcome.attempts <= attempts
        assert outcome.ok or not any(up) or sum(times) == attempts
        assert sum(each is not None for each in ejected(fetch)) <= len(up) // 2
        clock.advance(seed % 40)


ERRORS = [
    None,
    ConnectionError("down"),
    Rejected("inside", 1.0, "full"),
    LookupError("odd"),
    Halt(),
]


def story(way: Way, script: list[tuple[int, int, int]], *, spread: bool, straight: bool) -> object:
    """Live through a script; all that anybody can see of it."""
    clock, seen = ManualClock(), list[object]()
    servers = [Server(name) for name in "abcd"]
    numbers = (n * 0.6180339887 % 1 for n in range(10**6))
    fetch = way.make(
        servers, spread=spread, draw=numbers.__next__, failure_threshold=2, clock=clock,
        on=ConnectionError, eject_for=10, attempts=3,
    )  # fmt: skip
    layer = next(each for each in hub.policies() if getattr(each, "targets", None) == fetch.targets)
    layer.pool.swift = straight
    layer.pool.align()
    with history() as events:
        for place, error, wait in script:
            servers[place].endings = [ERRORS[error]]
            try:
                seen.append(way.call(fetch))
            except BaseException as raised:  # noqa: BLE001  (part of the story)
                notes = list(getattr(raised, "__notes__", []))
                raised.__dict__.pop("__notes__", None)
                seen.append((type(raised), notes))
            seen.append(fetch.targets())
            clock.advance(wait)
    told = [(type(event), event.target) for event in events]
    return seen, told, asked(servers)


@given(
    script=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 12))),
    spread=st.booleans(),
    is_async=st.booleans(),
)
def test_the_straight_line_changes_nothing(
    script: list[tuple[int, int, int]], *, spread: bool, is_async: bool
) -> None:
    """With it and without it: the same answers, errors, notes, counts, ejections and events."""
    way = Way(is_async=is_async)
    straight = story(way, script, spread=spread, straight=True)
    assert straight == story(way, script, spread=spread, straight=False)


# What it is to others


def test_what_is_made_is_a_plain_function(way: Way) -> None:
    """With the name given, the signature and the words of the primary; async if its targets are."""
    fetch = way.make(abc("a"))
    assert inspect.isfunction(fetch)
    assert inspect.iscoroutinefunction(fetch) is way.is_async
    assert (fetch.__name__, fetch.__qualname__) == ("db", "db")
    assert str(inspect.signature(fetch)) == "(key: 'int' = 0) -> 'str'"
    assert (fetch.__doc__ or "").startswith("Get it")
    assert resilient.describe(fetch) == "failover 'db': a, then b, then c\n   +- db"
    spread = way.make(abc("a"), spread=True)
    assert resilient.describe(spread).startswith("failover 'db': spread over a, b, c")


def test_labels_of_targets() -> None:
    """Names of functions; those alike are numbered, unless labels are given."""
    a, b = Server("a"), Server("b")
    fetch = failover(a.get, functools.partial(b.get, 1), len, a.get)
    assert [target.label for target in fetch.targets()] == [
        "Server.get #1",
        "Server.get #2",
        "len",
        "Server.get #3",
    ]
    assert fetch.__name__ == "Server.get"  # type: ignore[attr-defined]  # a function has one


def test_every_policy_may_decorate_it(way: Way) -> None:
    """One pipeline, whose function is called by the failover's name; it can be asked as before."""
    servers = abc()
    fetch = way.make(servers, failure_threshold=9)
    guarded: Any = pipeline(
        fallback("cached"), retry(on=ConnectionError, attempts=2, wait=0, clock=ManualClock())
    )(fetch)
    with history() as seen:
        assert way.call(guarded) == "cached"
    assert [event.name for event in seen] == ["db", "db", "db"]
    assert asked(servers) == [2, 2, 2]
    assert [target.failures for target in guarded.targets()] == [2, 2, 2]
    last = servers[2].endings[0]
    assert last is not None
    assert last.__notes__ == ["resilient: db was tried 2 times (waits in s: 0); no attempts left"]
    assert resilient.describe(guarded).splitlines()[2:] == [
        "      +- failover 'db': a, then b, then c",
        "         +- db",
    ]


def test_an_outcome_tells_who_answered(way: Way) -> None:
    """`call` is the primary; of a replica its label, with the errors passed over."""
    servers = abc("b")
    fetch = way.make(servers)
    outcome = way.call(functools.partial(resilient.outcome, fetch))
    assert (outcome.value, outcome.source, outcome.attempts) == ("b", "b", 2)
    assert outcome.reasons == (servers[0].endings[0],)
    servers[0].endings = []
    assert way.call(functools.partial(resilient.outcome, fetch)).source == "call"


def test_it_binds_as_a_method(way: Way) -> None:
    """In the body of a class, and decorated once more on an object: each target gets the object."""
    seen: list[tuple[str, object, int]] = []

    def first(client: object, key: int) -> None:
        seen.append(("first", client, key))
        raise ConnectionError

    def second(client: object, key: int) -> None:
        seen.append(("second", client, key))

    async def first_async(client: object, key: int) -> None:
        first(client, key)

    async def second_async(client: object, key: int) -> None:
        second(client, key)

    targets: Any = [first_async, second_async] if way.is_async else [first, second]

    class Client:
        fetch: Any = failover(*targets)

    client = Client()
    again: Any = retry(on=ConnectionError)(client.fetch)
    way.call(client.fetch, 1)
    way.call(again, 2)
    way.call(functools.partial(resilient.outcome, again), 3)
    expected = [(name, client, key) for key in (1, 2, 3) for name in ("first", "second")]
    assert seen == expected


def test_a_failover_of_failovers(way: Way) -> None:
    """Regions of replicas: each is a target like any other."""
    near, far = abc(), abc("b")
    fetch: Any = failover(way.make(near, name="near"), way.make(far, name="far"))
    assert way.call(fetch) == "b"
    assert [target.label for target in fetch.targets()] == ["near", "far"]
    assert (asked(near), asked(far)) == ([1, 1, 1], [1, 1, 0])


def test_faults_strike_every_target(way: Way, resilience: Resilience) -> None:
    """A fault at its name is the whole dependency; so often, so many targets."""
    servers = abc("a", "b", "c")
    fetch = way.make(servers, clock=None)
    resilience.faults.at("db").fail(ConnectionError, times=2)
    assert way.call(fetch) == "c"
    assert way.call(fetch) == "a"
    resilience.faults.at("db").fail(ConnectionError)
    assert isinstance(way.error(fetch), ConnectionError)
    assert asked(servers) == [1, 0, 1]


# Switches


def test_switched_off_only_the_primary_is_called(way: Way) -> None:
    """Untouched: no search, no count, no note; even if it was ejected before."""
    servers = abc("b", "c")
    fetch = way.make(servers, failure_threshold=1)
    fetch.eject(0)
    resilient.set_active(False)
    try:
        error = way.error(fetch)
        other = way.make(abc("b", "c"))
        assert isinstance(way.error(other), ConnectionError)
    finally:
        resilient.set_active(True)
    assert error is servers[0].endings[0]
    assert not hasattr(error, "__notes__")
    assert asked(servers) == [1, 0, 0]
    assert [target.calls for target in fetch.targets()] == [0, 0, 0]
    assert way.call(fetch) == way.call(other) == "b"


def test_a_test_begins_and_ends_with_what_was_known(way: Way) -> None:
    """The fixture's isolation: fresh inside, as before outside."""
    fetch = way.make(abc("b", "c"), failure_threshold=1)
    way.call(fetch)
    before = fetch.targets()
    with resilient.testing.isolated():
        assert ejected(fetch) == [None, None, None]
        way.call(fetch)
        way.call(fetch)
    assert fetch.targets() == before


def test_a_forked_child_has_nothing_in_flight() -> None:
    """Its own lock, no calls of the parent, no trial of the parent; what is known stays."""
    clock = ManualClock()
    fetch = Way(is_async=True).make(abc("a", "b", "c"), clock=clock)
    fetch.eject(0)
    clock.advance(30)
    calls = [fetch(), fetch()]
    for call in calls:
        call.send(None)
    layer = next(each for each in hub.policies() if getattr(each, "targets", None) == fetch.targets)
    with layer._lock:
        layer.after_fork()
        held = layer._lock
        done = threading.Thread(target=fetch.targets)
        done.start()
        done.join(10)
        assert not done.is_alive()
    assert held is layer._lock
    assert in_flight(fetch) == [0, 0, 0]
    assert ejected(fetch) == [0, None, None]
    for call in calls:
        finish(call)
    assert in_flight(fetch) == [0, 0, 0]
    assert finish(fetch()) == "a"
    assert ejected(fetch) == [None, None, None]


# Threads, tasks, and what is left behind


@pytest.mark.parametrize("spread", [False, True])
@pytest.mark.parametrize("straight", [False, True])
def test_counts_are_exact_for_threads(
    monkeypatch: pytest.MonkeyPatch, *, spread: bool, straight: bool
) -> None:
    """Every call and every failure is counted, on either path, and nothing stays in flight."""
    monkeypatch.setattr(failover_layer, "FREE_THREADED", not straight)

    def flaky(index: int) -> str:
        if index % 3 == 0:
            raise ConnectionError
        return "flaky"

    def good(index: int) -> str:
        return f"good {index}"

    fetch = failover(flaky, good, spread=spread, failure_threshold=10**6)

    def work(_: int) -> None:
        for index in range(300):
            fetch(index)

    in_threads(work)
    first, second = fetch.targets()
    assert first.in_flight == second.in_flight == 0
    assert second.failures == 0
    if spread:
        assert first.calls + second.calls == 8 * 300 + first.failures
        assert min(first.calls, second.calls) > 0
    else:
        assert (first.calls, first.failures, second.calls) == (2400, 800, 800)


def test_threads_that_take_turns_at_every_line_eject_once() -> None:
    """Many failures at the same time are one ejection, and one trial follows it."""
    clock = ManualClock()
    servers = abc("b", "c")
    fetch = Way(is_async=False).make(servers, clock=clock, failure_threshold=3)
    with history() as seen:
        in_threads(lambda _: [fetch() for _ in range(5)].clear(), traced=True)
    assert [event.seconds for event in seen] == [30]
    assert 3 <= servers[0].asked <= 3 + 8
    before = servers[0].asked
    clock.advance(30)
    in_threads(lambda _: [fetch()].clear(), traced=True)
    assert servers[0].asked == before + 1
    assert in_flight(fetch) == [0, 0, 0]


def test_no_lock_is_held_while_a_target_or_a_predicate_runs(way: Way) -> None:
    """Another thread can ask and eject meanwhile."""
    fetch: Any = None

    def elsewhere(*_: object) -> bool:
        done = threading.Thread(target=lambda: (fetch.targets(), fetch.eject(0), fetch.admit(0)))
        done.start()
        done.join(10)
        assert not done.is_alive()
        return True

    class Watching(Server):
        def _end(self) -> str:
            elsewhere()
            return super()._end()

    servers = [Watching("a", ConnectionError()), Watching("b")]
    fetch = way.make(servers, on=elsewhere, draw=lambda: 0.0 * elsewhere(), spread=True)
    assert way.call(fetch) == "b"


@pytest.mark.parametrize("which", ["on", "busy"])
def test_a_predicate_that_raises_leaves_nothing_in_flight(way: Way, which: str) -> None:
    """What it raises is raised."""

    def broken(_: Exception) -> bool:
        raise ZeroDivisionError

    fetch = way.make(abc("b"), **{which: broken})
    assert isinstance(way.error(fetch), ZeroDivisionError)
    assert in_flight(fetch) == [0, 0, 0]


@pytest.mark.parametrize("spread", [False, True])
@pytest.mark.parametrize("out", [False, True])
@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("how", ["cancel", "close", "drop"])
def test_cancelled_at_any_await(steps: int, how: str, *, spread: bool, out: bool) -> None:
    """On the straight line or in the flow, at the first target or the third: nothing stays."""
    servers = abc("c")
    fetch = Way(is_async=True).make(servers, spread=spread, draw=lambda: 0.5)
    if out:
        fetch.eject(1)
    call = fetch()
    try:
        for _ in range(steps):
            call.send(None)
            assert sum(in_flight(fetch)) == 1
        if how == "cancel":
            with pytest.raises(asyncio.CancelledError):
                call.throw(asyncio.CancelledError())
    except StopIteration:
        assert spread or out  # answered sooner
    if how == "close":
        call.close()
    del call
    assert in_flight(fetch) == [0, 0, 0]


async def test_tasks_of_a_real_loop_may_be_cancelled() -> None:
    """A storm of calls, half of them cancelled: the gauge is back at zero, the rest answered."""

    async def slow(key: int) -> int:
        await asyncio.sleep(0.001 * (key % 3))
        if key % 5 == 0:
            raise ConnectionError
        return key

    async def steady(key: int) -> int:
        await asyncio.sleep(0)
        return key

    fetch: Failover[[int], Coroutine[Any, Any, int]] = failover(slow, steady, spread=True)
    tasks = [asyncio.ensure_future(fetch(key)) for key in range(200)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert results[1::2] == list(range(1, 200, 2))
    assert in_flight(fetch) == [0, 0]


@pytest.fixture
def without_collector() -> Iterator[None]:
    """What goes, goes because nobody holds it."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("without_collector")
@pytest.mark.parametrize("size", [1, 2])
def test_a_failure_holds_nothing(way: Way, size: int) -> None:
    """When the error is dropped, so are the arguments that its frames have held."""

    class Argument:
        pass

    def fail(argument: object) -> None:
        raise ConnectionError(str(argument))

    async def fail_async(argument: object) -> None:
        fail(argument)

    one: Any = fail_async if way.is_async else fail
    fetch: Any = failover(*[one] * size, failure_threshold=1)
    argument = Argument()
    gone = weakref.ref(argument)
    for _ in range(3):
        with pytest.raises(ConnectionError):
            way.call(fetch, argument)
    del argument
    assert gone() is None


def test_a_failover_that_nobody_holds_goes() -> None:
    """The hub holds it weakly."""
    fetch: Any = failover(Server("a").get, Server("b").get)
    gone = weakref.ref(fetch)
    del fetch
    gc.collect()
    assert gone() is None


# What is refused


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("name", ""), ("name", 3),
        ("labels", "ab"), ("labels", ["a"]), ("labels", ["a", "a"]), ("labels", ["a", ""]),
        ("labels", ["a", 1]),
        ("on", BaseException), ("on", 3), ("busy", KeyboardInterrupt), ("busy", "x"),
        ("attempts", 0), ("attempts", 1.5), ("failure_threshold", 0), ("failure_threshold", True),
        ("eject_for", 0), ("eject_for", -1), ("eject_for", "1"),
        ("max_eject_for", 29), ("max_eject_for", float("inf")),
        ("max_ejected", 0.51), ("max_ejected", 1), ("max_ejected", -0.1), ("max_ejected", "1"),
        ("draw", 0.5), ("clock", 7),
    ],
)  # fmt: skip
def test_bad_settings_are_refused_at_once(way: Way, setting: str, value: object) -> None:
    """By an error that names the setting."""
    with pytest.raises(ConfigError) as caught:
        way.make([Server("a"), Server("b")], **{setting: value})
    assert (caught.value.setting, caught.value.value) == (setting, value)


def generator() -> Iterator[int]:
    """No function to be protected."""
    yield 1


@pytest.mark.parametrize(
    ("targets", "words"),
    [
        ((Server("a").get, Server("b").fetch), "Server.get is a def and Server.fetch is async"),
        ((Server("a").fetch, Server("b").get), "Server.fetch is async and Server.get is a def"),
        ((Server("a").get, generator), "generator function"),
        ((3,), "not 3"),
        ((Server("a").get, Server), "only functions and methods"),
        ((), "primary"),
    ],
)
def test_what_cannot_be_a_target_is_refused(targets: Any, words: str) -> None:
    """When it is made, in words that name it."""
    with pytest.raises(TypeError, match=words):
        failover(*targets)


def test_a_def_that_returns_a_coroutine_is_refused() -> None:
    """Created is not succeeded, at the first target or the second."""
    server = Server("a")
    lazy: Callable[[], Any] = lambda: server.fetch()  # noqa: E731, PLW0108  (a def, they say)
    for targets in ([lazy], [down()("b").get, lazy]):
        fetch: Any = failover(*targets)
        with pytest.raises(TypeError, match="returned a coroutine"):
            fetch()
        assert set(in_flight(fetch)) == {0}


def test_a_record_is_frozen() -> None:
    """What was told does not change."""
    (target,) = failover(Server("a").get).targets()
    assert target == FailoverTarget(
        label="Server.get", in_flight=0, consecutive_failures=0, ejected_for=None, calls=0,
        failures=0,
    )  # fmt: skip
    with pytest.raises(AttributeError):
        target.calls = 1  # type: ignore[misc]  # what is tested

"""A limit that finds itself: what it learns from, whom it sheds, and that it loses no place."""

from __future__ import annotations

import asyncio
import importlib.util
import random
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from types import FrameType
from typing import Any

import pytest

import resilient
from resilient import CallRejected, ConfigError, ThrottledError, adaptive_limit, aimd
from resilient.core.importance import current
from resilient.core.outcome import Outcome
from resilient.core.ports import Criticality
from resilient.errors import CallTimeoutError, DeadlineExceededError, Rejected
from resilient.events import LimitChanged
from resilient.policies import adaptive_limit as module
from resilient.policies import rules
from resilient.policies.adaptive_limit import AdaptiveLimit
from resilient.policies.limit_rounds import Permit
from resilient.testing import ManualClock
from tests.laws.harness import (
    ASYNC_SURFACES,
    ENDINGS,
    SURFACES,
    Ending,
    finish,
    history,
    in_threads,
    naming,
    pause,
)
from tests.policies.overload import Phase, World

ALGORITHMS = ["gradient", "aimd", "vegas"]
LEVELS = [level.name for level in Criticality]


def make(**given: Any) -> tuple[AdaptiveLimit, ManualClock]:
    """A limit with a clock of its own."""
    clock = ManualClock(1000)
    return adaptive_limit("law", **{"algorithm": "aimd", "clock": clock, **given}), clock


def enter(gate: AdaptiveLimit) -> Permit:
    """Take a place that must be free."""
    permit = gate.at_once()
    assert permit is not None
    return permit


def fill(gate: AdaptiveLimit, level: str | None = None) -> list[Permit]:
    """Take every place that calls of a level may have."""
    token = current.set(None if level is None else Criticality[level])
    try:
        permits = []
        while not isinstance(permit := gate.admit(), Rejected):
            permits.append(permit)
        return permits
    finally:
        current.reset(token)


def window(gate: AdaptiveLimit, clock: ManualClock, level: str | None = None) -> None:
    """One window of good answers of 0.2 s, with the limit in use."""
    for _ in range(5):
        permits = fill(gate, level)
        clock.advance(0.2)
        for permit in permits:
            gate.succeeded(permit)


# How calls end


def expectation(ending: Ending) -> tuple[int, int]:
    """Samples and drops that a call gives."""
    return int(ending.name == "success"), int(ending.name == "time-out")


def ending_in(
    ending: Ending, gate: AdaptiveLimit, clock: ManualClock
) -> Callable[[object], object]:
    """A function that takes 0.01 s, is the only call in flight, and ends like that."""

    def work(_token: object) -> object:
        assert gate.in_flight == 1
        clock.advance(0.01)
        if ending.error is not None:
            raise ending.error()
        return _token

    return work


@pytest.mark.parametrize("surface", SURFACES)
def test_every_ending_gives_its_place_back(surface: str) -> None:
    """Only a good answer is a sample, only a time-out a drop; the rest says nothing."""
    for ending in ENDINGS:
        gate, clock = make()
        with naming(surface, ending.name):
            with suppress(BaseException):
                SURFACES[surface](gate, ending_in(ending, gate, clock))("token")
            assert (gate.in_flight, gate.admitted) == (0, 1)
            assert (gate._rounds.count, gate.drops) == expectation(ending)


def suspended(work: Callable[[object], object]) -> Callable[[object], Coroutine[Any, Any, object]]:
    """`work` as a coroutine function that suspends first."""

    async def run(token: object) -> object:
        await pause()
        return work(token)

    return run


@pytest.mark.parametrize("surface", ASYNC_SURFACES)
def test_every_ending_of_a_task_gives_its_place_back(surface: str) -> None:
    """The same for coroutines, those that are cancelled at an await included."""
    for ending in ENDINGS:
        gate, clock = make()
        work = suspended(ending_in(ending, gate, clock))
        with naming(surface, ending.name):
            with suppress(BaseException):
                finish(ASYNC_SURFACES[surface](gate, work)("token"))
            assert (gate.in_flight, gate.admitted) == (0, 1)
            assert (gate._rounds.count, gate.drops) == expectation(ending)


ERRORS: list[tuple[dict[str, Any], Exception, int]] = [
    ({}, CallTimeoutError("f", 1.0), 1),
    ({}, TimeoutError(), 1),  # of a client's own
    ({}, DeadlineExceededError("f", None, "no time"), 0),  # never ran
    ({}, ThrottledError("further in", None, "no"), 0),
    ({}, ConnectionError(), 0),
    ({"on": ConnectionError}, ConnectionError(), 1),
    ({"on": ConnectionError}, TimeoutError(), 0),
    ({"on": ConnectionError}, CallTimeoutError("f", 1.0), 1),  # whatever `on` names
    ({"on": Exception}, Rejected("further in", 1.0, "no"), 0),
    ({"on": lambda error: "503" in str(error)}, ConnectionError("503"), 1),
    ({"on": lambda error: "503" in str(error)}, ConnectionError("404"), 0),
    ({"ignore": TimeoutError}, CallTimeoutError("f", 1.0), 0),
    ({"on": OSError, "ignore": ConnectionError}, ConnectionError(), 0),
]


@pytest.mark.parametrize(("given", "error", "drops"), ERRORS)
def test_what_a_drop_is(given: dict[str, Any], error: Exception, drops: int) -> None:
    """A time-out of ours, or what `on` names and `ignore` does not; a rejection never."""
    gate, clock = make(**given)
    permit = enter(gate)
    clock.advance(1)
    gate.settle(permit, Outcome(error=error))
    assert (gate.drops, gate.in_flight, gate._rounds.count) == (drops, 0, 0)
    assert gate.limit == 20 - 2 * drops


def test_an_error_that_comes_quickly_is_no_fast_answer() -> None:
    """A dependency that refuses everything at once does not look like one that has become fast."""
    gate, clock = make()
    for _ in range(100):
        permits = fill(gate)
        clock.advance(0.1)
        for permit in permits:
            gate.settle(permit, Outcome(error=ConnectionError("refused")))
    assert gate.limit == 20


def test_a_judge_that_raises_costs_no_place() -> None:
    """`on` is the user's code: what it raises is raised, and the place is free again."""

    def broken(error: Exception) -> bool:
        raise LookupError

    gate, _ = make(on=broken)
    with pytest.raises(LookupError):
        gate.settle(enter(gate), Outcome(error=ValueError()))
    assert gate.in_flight == 0


# Growing, and not


@pytest.mark.parametrize("level", [None, *LEVELS])
def test_grows_when_a_level_fills_its_share(level: str | None) -> None:
    """Calls of one level that use all they may use have found the limit too small."""
    gate, clock = make(max=30)
    for _ in range(10):
        window(gate, clock, level)
    assert gate.limit == 30


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_does_not_grow_for_an_application_that_asks_little(algorithm: str) -> None:
    """With fewer than half of the places taken, more places would change nothing."""
    gate, clock = make(algorithm=algorithm)
    for _ in range(2000):
        permits = [enter(gate) for _ in range(8)]  # 8 of 18, as far as HIGH calls are concerned
        clock.advance(0.05)
        for permit in permits:
            gate.succeeded(permit)
    assert (gate.limit, gate.in_flight) == (20, 0)


def test_a_burst_is_over_when_it_is_over() -> None:
    """What was in use in one window does not make the limit grow in the next."""
    gate, clock = make()
    window(gate, clock)
    for permit in fill(gate):
        gate.succeeded(permit)
    grown = 0
    for _ in range(100):
        before = gate.limit
        permits = [enter(gate) for _ in range(3)]
        clock.advance(0.2)
        for permit in permits:
            gate.succeeded(permit)
        grown += gate.limit - before
    assert grown <= 1  # the window in which the burst was


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_an_instant_dependency(algorithm: str) -> None:
    """Answers that take no time at all do no harm: the limit grows as far as it may."""
    gate, clock = make(algorithm=algorithm, max=50)
    for _ in range(400):
        for permit in fill(gate):
            gate.succeeded(permit)
        clock.advance(0.1)
    assert gate._rounds.algorithm.settled == 50


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_pause(algorithm: str) -> None:
    """After a day without calls the next ones count like any others."""
    gate, clock = make(algorithm=algorithm)
    window(gate, clock)
    before = gate.limit
    clock.advance(86_400)
    window(gate, clock)
    assert before < gate.limit <= before + 24  # of Vegas at most 6 for each of three windows
    assert gate.in_flight == 0


def test_one_call_is_always_admitted() -> None:
    """A limit of 1 that nobody has used for an hour admits a call of any level."""
    gate, clock = make(initial=1, max=1)
    clock.advance(3600)
    for level in LEVELS:
        assert [len(fill(gate, level)), gate.in_flight] == [1, 1]
        gate.settle(gate._rounds.untimed, None)


def test_a_busy_limit_measures_one_call_in_eight() -> None:
    """After 30 answers in a window the clock is read for every eighth call; none is uncounted."""
    gate, _ = make(max=20)
    timed = 0
    for _ in range(30 + 800):
        permit = gate.at_once()
        assert permit is not None
        timed += permit[2]
        gate.succeeded(permit)
    assert (timed, gate._rounds.count) == (30 + 100, 30 + 100)
    assert (gate.in_flight, gate.admitted) == (0, 830)


def test_a_call_that_is_not_measured_can_drop() -> None:
    """What is known of its beginning is when its window opened, which is early enough."""
    gate, clock = make(max=20)
    while (permit := enter(gate))[2]:
        gate.succeeded(permit)
    clock.advance(5)
    gate.settle(permit, Outcome(error=TimeoutError()))
    assert (gate.limit, gate.drops, gate.in_flight) == (18, 1, 0)


# Who is shed

BOUNDS = [
    (1, 1, 1, 1, 1),
    (2, 2, 2, 2, 1),
    (3, 3, 3, 3, 2),
    (4, 4, 4, 3, 2),
    (10, 10, 9, 8, 5),
    (20, 20, 18, 15, 10),
    (200, 200, 180, 150, 100),
]


@pytest.mark.parametrize(("limit", "critical", "high", "medium", "low"), BOUNDS)
def test_the_least_critical_is_shed_first(
    limit: int, critical: int, high: int, medium: int, low: int
) -> None:
    """A call is admitted while fewer are in flight than its level's share of the limit."""
    gate, _ = make(initial=limit)
    assert [gate.bound(level) for level in Criticality] == [critical, high, medium, low]
    taken = 0
    for level, bound in [("LOW", low), ("MEDIUM", medium), (None, high), ("CRITICAL", critical)]:
        taken += len(fill(gate, level))
        assert taken == gate.in_flight == bound
    refusal = gate.admit()
    assert isinstance(refusal, ThrottledError)
    assert (refusal.name, refusal.retry_after) == ("law", None)
    assert "HIGH" in refusal.reason
    assert gate.rejected == 5
    assert gate.admit() is not refusal


def test_shares_of_its_own() -> None:
    """What is named is replaced, what is not keeps its default."""
    gate, _ = make(partitions={"high": 1, Criticality.LOW: 0.1})
    assert [gate.bound(level) for level in LEVELS] == [20, 20, 15, 2]
    gate, _ = make(partitions={"low": 1e-12})
    assert gate.bound("low") == 1
    gate, _ = make(initial=100, partitions={"medium": 0.29, "low": 0.07})
    assert [gate.bound(level) for level in LEVELS] == [100, 90, 29, 7]


def test_what_unmarked_calls_may_use_is_what_the_server_can_do() -> None:
    """The limit is found for what its calls may use: nothing is lost to a share below 1.

    Server: 10 workers of 50 ms, 200 answers a second at most, asked for 400 by HIGH calls.
    """
    for seed in (1, 2):
        gate, clock = make()
        report = World(gate, clock, seed).run(Phase(30, 10, 0.05, 400))
        assert report.good > 0.95 * 200


# What it finds

# An overloaded server: workers, seconds of service, requests a second. Then what each algorithm may
# settle at: at least as many as there are workers, or a little less where that keeps them busy.
SERVERS: list[tuple[int, float, float, dict[str, tuple[int, int]]]] = [
    (1, 0.02, 100, {"gradient": (2, 9), "vegas": (2, 9), "aimd": (15, 110)}),
    (3, 0.05, 120, {"gradient": (3, 16), "vegas": (4, 12), "aimd": (20, 130)}),
    (10, 0.05, 400, {"gradient": (14, 30), "vegas": (10, 22), "aimd": (70, 200)}),
]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("seed", [1, 2])
def test_settles_near_what_the_server_can_do(algorithm: str, seed: int) -> None:
    """Its workers stay busy and their queue short; AIMD sees no queue, and stops at time-outs."""
    for workers, service, load, limits in SERVERS:
        gate, clock = make(algorithm=algorithm)
        report = World(gate, clock, seed).run(Phase(40, workers, service, load))
        low, high = limits[algorithm]
        with naming(workers, report):
            assert low <= report.limit <= high
            assert report.good > 0.9 * workers / service


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_brownout_a_hang_and_after(algorithm: str, seed: int) -> None:
    """8 of 10 workers gone: the limit falls, and what is left is used. All back: it grows back.

    Nothing answers: the limit falls to 1. Within 5 s of good answers, half of all that the server
    can do is used, within 10 s nearly all.
    """
    gate, clock = make(algorithm=algorithm)
    world = World(gate, clock, seed, patience=0.5)
    whole = world.run(Phase(20, 10, 0.05, 400))
    brownout = world.run(Phase(20, 2, 0.05, 400))
    with naming(whole, brownout):
        assert brownout.limit < whole.limit / 1.7
        assert brownout.good > 0.85 * 40
    again = world.run(Phase(20, 10, 0.05, 400))
    world.run(Phase(5, 10, 0.05, 400, hangs=True))
    assert gate.limit == 1
    first, then = world.run(Phase(5, 10, 0.05, 400)), world.run(Phase(10, 10, 0.05, 400))
    with naming(again, first, then):
        assert again.good > 0.85 * 200
        assert first.good > 0.5 * 200
        assert then.good > 0.85 * 200


def test_one_short_hang_halves_at_most() -> None:
    """0.6 s without answers time out a whole round trip at once: half of the limit stays."""
    for seed in (1, 2, 3):
        gate, clock = make()
        world = World(gate, clock, seed, patience=0.5)
        world.run(Phase(20, 10, 0.05, 190))
        before = gate.limit
        world.run(Phase(0.6, 10, 0.05, 190, hangs=True))
        assert gate.drops > 7
        assert before // 2 <= gate.limit < before


# No place is lost


def test_a_million_steps() -> None:
    """Whatever happens in whatever order, nothing is in flight when nothing is."""
    gate, clock = make(algorithm="gradient")
    chance = random.Random(1)  # noqa: S311  (a test)
    endings: list[Callable[[Permit], None]] = [
        gate.succeeded,
        lambda permit: gate.settle(permit, Outcome(1)),
        lambda permit: gate.settle(permit, None),
        lambda permit: gate.settle(permit, Outcome(error=TimeoutError())),
        lambda permit: gate.settle(permit, Outcome(error=ValueError())),
    ]
    held: list[Any] = []
    for _ in range(1_000_000):
        roll = chance.random()
        if roll < 0.5:
            permit = gate.at_once()
            if permit is not None:
                held.append(permit)
                assert gate.in_flight == len(held) <= gate.limit
        elif held:
            at = int((roll - 0.5) * 2 * len(held))
            held[at], held[-1] = held[-1], held[at]
            chance.choices(endings, (30, 5, 5, 1, 5))[0](held.pop())
        if roll < 0.01:
            clock.advance(roll)
    assert gate.in_flight == len(held)
    for permit in held:
        gate.settle(permit, None)
    assert gate.in_flight == 0


def crowd(gate: Any, rounds: int, *, traced: bool) -> int:
    """10 threads and 10 tasks at once; the most that were ever inside."""
    inside: list[None] = []
    most = [0]

    def come_in() -> None:
        inside.append(None)
        most[0] = max(most[0], len(inside))

    async def ask() -> None:
        for _ in range(rounds):
            with suppress(ThrottledError):
                await guarded_async()

    @gate
    async def guarded_async() -> None:
        come_in()
        await asyncio.sleep(0)
        inside.pop()

    @gate
    def guarded() -> None:
        come_in()
        inside.pop()

    async def tasks() -> None:
        await asyncio.gather(*(ask() for _ in range(10)))

    def work(index: int) -> None:
        if index == 10:
            asyncio.run(tasks())
            return
        for _ in range(rounds):
            with suppress(ThrottledError):
                guarded()

    in_threads(work, 11, traced=traced)
    return most[0]


@pytest.mark.parametrize("traced", [False, True])
def test_threads_and_tasks(traced: bool) -> None:  # noqa: FBT001  (a parameter)
    """Never more inside than the limit, and no place lost, whoever comes between two lines."""
    gate = adaptive_limit("law", algorithm="aimd", initial=4, max=4)
    assert 2 <= crowd(gate, 20 if traced else 500, traced=traced) <= 4
    assert gate.in_flight == 0
    assert gate.admitted + gate.rejected == 20 * (20 if traced else 500)


def two_at_once(gate: AdaptiveLimit, line: int) -> list[Permit]:
    """The permits of a call, and of one that comes before the nth line of its admission."""
    permits = []
    lines = iter(range(1, 1000))

    def trace(frame: FrameType, event: str, _: object) -> Any:
        if frame.f_code.co_name == "at_once" and event == "line" and next(lines) == line:
            permits.append(gate.at_once())
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        permits.append(gate.at_once())
    finally:
        sys.settrace(before)
    return [permit for permit in permits if permit is not None]


@pytest.mark.parametrize("limit", [1, 3])
def test_the_last_place_goes_to_one(limit: int) -> None:
    """Whoever asks for it while it is being given away does not get it as well."""
    for line in range(1, 20):
        gate = adaptive_limit("law", algorithm="aimd", initial=limit, max=limit)
        for _ in range(limit - 1):
            enter(gate)
        assert len(two_at_once(gate, line)) == 1
        assert gate.in_flight == limit


def test_an_interpreter_without_a_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a free-threaded build every step takes the gate's own lock, and comes out the same."""
    monkeypatch.setattr(rules, "FREE_THREADED", True)
    spec = importlib.util.spec_from_file_location("free_threaded", module.__file__)
    assert spec is not None
    assert spec.loader is not None
    free = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "free_threaded", free)
    spec.loader.exec_module(free)
    monkeypatch.setattr("resilient.policies.adaptive.AdaptiveLimit", free.AdaptiveLimit)
    gate: Any = adaptive_limit("law", algorithm="aimd", initial=4, max=4)
    taken = []

    class Lock:
        def __enter__(self) -> None:
            taken.append("in")

        def __exit__(self, *_: object) -> None:
            taken.append("out")

    gate._lock, lock = Lock(), gate._lock
    gate.succeeded(gate.at_once())
    assert taken == ["in", "out"] * 2
    gate.settle(gate.at_once(), None)
    assert taken == ["in", "out"] * 4
    gate._lock = lock
    assert 2 <= crowd(gate, 200, traced=False) <= 4
    assert gate.in_flight == 0


def test_a_fork() -> None:
    """Nothing is in flight in the child, and what the parent had begun counts for nothing there."""
    gate, _ = make(initial=2, max=2)
    parents = fill(gate)
    lock = gate._lock
    gate.after_fork()  # what the child does first
    assert gate._lock is not lock  # a thread of the parent may hold it for ever
    assert gate.in_flight == 0
    gate.succeeded(parents[0])
    gate.settle(parents[1], Outcome(error=TimeoutError()))
    assert (gate.in_flight, gate.drops) == (0, 0)
    own = fill(gate)
    assert len(own) == gate.in_flight == 2
    for permit in own:
        gate.succeeded(permit)
    assert gate.in_flight == 0


# State


def test_reset_and_restore() -> None:
    """A reset begins again, a snapshot is plain data; what is in flight stays so and ends once."""
    gate, clock = make(algorithm="vegas")
    window(gate, clock)
    window(gate, clock)
    assert gate.limit > 20
    saved = gate.snapshot()
    assert saved == {"limit": gate.limit, "base": pytest.approx(0.2)}
    learned = gate.limit
    held = enter(gate)
    gate.reset()
    assert (gate.limit, gate.in_flight, gate.admitted) == (20, 1, 0)
    assert gate.snapshot() == {"limit": 20, "base": 0.0}
    gate.succeeded(held)
    assert (gate.in_flight, gate._rounds.count) == (0, 0)  # an answer to an earlier era
    gate.restore(saved)
    assert (gate.limit, gate.snapshot()) == (learned, saved)
    assert gate.bound("critical") == learned
    other, _ = make(max=21)
    other.restore(saved)
    assert other.limit == 21


def test_a_snapshot_during_a_probe() -> None:
    """What is saved is the limit that comes back after it."""
    gate, clock = make(algorithm="gradient", initial=40, max=40)
    for _ in range(20):
        if not gate._rounds.algorithm.settling:
            window(gate, clock)
    assert gate.limit == 10
    assert gate.snapshot()["limit"] == 40


@pytest.mark.parametrize(
    "data",
    [{}, {"limit": 0, "base": 0}, {"limit": "20", "base": 0}, {"limit": 20, "base": -1}, None],
)
def test_a_snapshot_of_something_else(data: Any) -> None:
    """It is refused, and nothing changes."""
    gate, _ = make()
    with pytest.raises(ConfigError, match="snapshot"):
        gate.restore(data)
    assert gate.limit == 20


def test_the_emergency_switch() -> None:
    """Everything passes, nothing counts, and places that were taken before come back."""
    gate, _ = make(initial=1, max=1)
    guarded = gate(lambda: gate.in_flight)
    held = enter(gate)
    try:
        resilient.set_active(False)
        assert guarded() == 1
        with gate, gate.permit():
            assert gate.in_flight == 1
        gate.succeeded(held)
    finally:
        resilient.set_active(True)
    assert (gate.in_flight, gate.admitted, gate.rejected) == (0, 1, 0)


def test_events() -> None:
    """Somebody who wants to know is told of whole steps of the limit, and of rejections."""
    gate, clock = make(initial=2, max=4)
    with history() as seen:
        window(gate, clock)
        permits = fill(gate)
        gate.settle(permits[0], Outcome(error=TimeoutError()))
    changes = [(each.old, each.new) for each in seen if isinstance(each, LimitChanged)]
    assert changes == [(2, 3), (3, 2)]
    refused = [each for each in seen if isinstance(each, CallRejected)]
    assert {each.name for each in refused} == {"law"}
    assert len(refused) == gate.rejected


def test_describes_itself() -> None:
    """One line says what it is and where it stands."""
    assert make()[0].describe() == "adaptive_limit('law'): 20 now, 1 to 200, AIMD"


REFUSED: list[dict[str, Any]] = [
    {"name": ""},
    {"algorithm": "reno"},
    {"algorithm": None},
    {"algorithm": aimd},
    {"initial": 0},
    {"initial": 2.0},
    {"initial": 201},
    {"initial": 4, "min": 5},
    {"min": 0},
    {"min": True},
    {"max": 0},
    {"max": 4, "min": 5, "initial": 5},
    {"partitions": [("high", 1)]},
    {"partitions": {"high": 0}},
    {"partitions": {"high": 1.1}},
    {"partitions": {"high": True}},
    {"partitions": {"middling": 0.5}},
    {"partitions": {"low": 0.8}},
    {"partitions": {"critical": 0.5}},
    {"on": "timeouts"},
    {"on": KeyboardInterrupt},
    {"ignore": BaseException},
    {"clock": 5},
]


@pytest.mark.parametrize("given", REFUSED)
def test_what_is_refused(given: dict[str, Any]) -> None:
    """A setting that makes no sense is refused when it is given."""
    with pytest.raises(ConfigError) as caught:
        adaptive_limit(**{"name": "law", **given})
    assert caught.value.setting in given


def test_settings_of_an_algorithm_are_shared_and_its_state_is_not() -> None:
    """`aimd()` may serve any number of limits."""
    halving = aimd(backoff=0.5)
    first, _ = make(algorithm=halving)
    second, _ = make(algorithm=halving)
    first.settle(enter(first), Outcome(error=TimeoutError()))
    assert (first.limit, second.limit) == (10, 20)

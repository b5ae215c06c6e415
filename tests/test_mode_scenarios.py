"""Eight things that happen to a system, from beginning to end, with real policies on jumping time.

Calls go through real breakers and fallbacks, the mode ticks in a task of the loop, and an hour
passes at once. Where arithmetic gives an instant it is asserted to a hundredth of a second: all
follow from ``smoothed = to + (from - to) * exp(-t / 2.5)`` and the defaults of
``docs/explanation/mode.md``.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from typing import Any, NamedTuple

import pytest

import resilient
from resilient import CircuitBreaker, Mode, ModeChange, SystemOperationMode, breaker, fallback
from resilient.mode import SystemState
from resilient.testing import ManualClock
from resilient.testing.loop import run

DETECTED = 2.65  # the score falls from 1 to 0
BACK_TO_DEGRADED = 40.419  # 2.5 ln(1 / 0.38) + 38: it rises from 0 to 1
BACK_TO_NORMAL = 88.419  # and 48 more

Down = Callable[[float], bool]


class Served(NamedTuple):
    """How many calls were answered, and the seconds that the slowest took."""

    answered: int
    slowest: float


class World(NamedTuple):
    """A mode, and the clock that everything in it follows."""

    clock: ManualClock
    mode: SystemOperationMode

    def live(self, main: Coroutine[Any, Any, None]) -> None:
        """Run `main` to its end while the mode ticks."""

        async def ticking() -> None:
            async with self.mode:
                await main

        run(ticking(), self.clock)

    async def steps(self, until: float, every: float = 0.1) -> AsyncIterator[float]:
        """The multiples of `every` seconds up to `until`, each when it has come."""
        first = round(self.clock.monotonic() / every)
        for step in range(first, round(until / every)):
            at = step * every
            await asyncio.sleep(max(0.0, at - self.clock.monotonic()))
            yield at

    async def load(self, guard: CircuitBreaker, down: Down, until: float) -> Served:
        """Call ten times a second what fails while it is down."""

        @guard
        async def depend(at: float) -> int:
            if down(at):
                raise ConnectionError
            return 1

        answered, slowest = 0, 0.0
        async for at in self.steps(until):
            with suppress(ConnectionError, resilient.CircuitOpenError):
                answered += await depend(at)
            slowest = max(slowest, self.clock.monotonic() - at)
        return Served(answered, slowest)

    def changes(self) -> list[tuple[float, Mode]]:
        """Into which mode it went, and when."""
        return [(round(change.at, 2), change.new) for change in self.mode.history]


@pytest.fixture
def world() -> World:
    """A world of this test's own, in which all is well."""
    clock = ManualClock()
    return World(clock, SystemOperationMode(clock=clock))


def about(*expected: tuple[float, Mode]) -> list[tuple[Any, Mode]]:
    """The same to a hundredth of a second."""
    return [(pytest.approx(at, abs=0.011), mode) for at, mode in expected]


# Outages ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("criticality", "detected"), [("critical", 0.0), ("medium", DETECTED)], ids=["trip", "score"]
)
def test_a_hard_outage(world: World, criticality: str, detected: float) -> None:
    """The whole system for a minute: EMERGENCY, and back step by step when the breaker closes.

    Down from 100 on, at ten calls a second: the fifth failure, at 100.4, opens the breaker. That is
    EMERGENCY at once where it is CRITICAL; else the score has to fall, 2.65 s later. Trials at
    110.4, 120.4 ... fail, the one at 160.4 is answered: DEGRADED 40.4 s after it, NORMAL 88.4 s.
    """
    guard = breaker(
        "db", criticality=criticality, reset_timeout=10, mode=world.mode, clock=world.clock
    )
    world.live(_silent(world.load(guard, lambda at: 99.95 < at < 159.95, until=300)))
    assert world.changes() == about(
        (100.4 + detected, Mode.EMERGENCY),
        (160.4 + BACK_TO_DEGRADED, Mode.DEGRADED),
        (160.4 + BACK_TO_NORMAL, Mode.NORMAL),
    )
    told = world.mode.statistics()
    assert told.incidents == 1
    assert told.mean_time_to_recover == pytest.approx(60.0 - detected + BACK_TO_NORMAL, abs=0.011)


def test_a_brownout(world: World) -> None:
    """What falls to 70 is DEGRADED after 3.89 s and stays that; NORMAL 50.7 s after it is over.

    2.65 * 0.22 / 0.15, and 2.5 ln(0.3 / 0.1) + 48.
    """
    figure = world.mode.metric("share of good answers")

    async def main() -> None:
        async for at in world.steps(1000, every=1.0):
            figure.set(0.7 if 100 <= at < 700 else 1.0)

    world.live(main())
    assert world.changes() == about((103.887, Mode.DEGRADED), (750.747, Mode.NORMAL))


def test_a_brownout_seen_by_a_breaker(world: World) -> None:
    """A dependency that loses 16 of 100 calls: DEGRADED once its window of 30 s has seen enough.

    84 % of good calls are health (0.84 - 0.5) / 0.49 = 0.694. So it is never an EMERGENCY, it takes
    at most a window longer than a figure that falls at once, both ways, and nothing in between.
    """
    guard = breaker(
        "db", failure_threshold=None, failure_rate=0.5, mode=world.mode, clock=world.clock
    )
    lost = frozenset(range(0, 100, 6))  # of each hundred calls, spread evenly

    def down(at: float) -> bool:
        return 100 <= at < 700 and round(at * 10) % 100 in lost - {96}

    world.live(_silent(world.load(guard, down, until=1000)))
    (worse, better) = world.changes()
    assert (worse[1], better[1]) == (Mode.DEGRADED, Mode.NORMAL)
    assert 103.9 < worse[0] < 134
    assert 748 < better[0] < 781
    assert guard.state.name == "CLOSED"


@pytest.mark.parametrize(
    ("criticality", "expected"),
    [
        ("critical", [80.4, 120.4 + BACK_TO_DEGRADED, 200.4, 240.4 + 2.419 + 2 * 38, 320.4]),
        (
            "medium",
            [80.4 + DETECTED, 120.4 + BACK_TO_DEGRADED, 203.05, 240.4 + 2.419 + 2 * 38, 323.05],
        ),
    ],
)
def test_a_dependency_that_flaps_for_an_hour(
    world: World, criticality: str, expected: list[float]
) -> None:
    """Ill for 40 s of every 120 s, thirty times: five changes, where 15 are promised at most.

    Each relapse so soon after an improvement adds to what multiplies the times to improve. After
    the second that is 38 s times 2.9: longer than it is ever well, so EMERGENCY is what it stays.
    """
    guard = breaker(
        "db", criticality=criticality, reset_timeout=10, mode=world.mode, clock=world.clock
    )
    world.live(_silent(world.load(guard, lambda at: at % 120 > 79.95, until=3600)))
    modes = [Mode.EMERGENCY, Mode.DEGRADED, Mode.EMERGENCY, Mode.DEGRADED, Mode.EMERGENCY]
    assert world.changes() == about(*zip(expected, modes, strict=True))


# What is not known, and what does not matter ------------------------------------------------


def test_a_monitor_that_falls_silent(world: World) -> None:
    """Knowledge that was promised and does not come: BLIND, DEGRADED after two minutes of it.

    It reports every 10 s and last at 100. Silent for twice that it is BLIND from 120 on; at 240 it
    is DEGRADED, though its last word was that all is well. It speaks again at 400: NORMAL at 448.
    """
    heartbeat = world.mode.metric("replication", expect_every=10)
    reasons: list[str] = []

    async def main() -> None:
        async for at in world.steps(600, every=10.0):
            if at <= 100 or at >= 400:
                heartbeat.set(1.0)
            elif at == 300:
                reasons.extend(world.mode.reasons)

    world.live(main())
    assert world.changes() == about((240.0, Mode.DEGRADED), (448.0, Mode.NORMAL))
    assert "BLIND: replication fell silent, 100% of the weight, so nothing improves" in reasons


def test_a_probe_whose_question_is_never_answered(world: World) -> None:
    """A hang is an answer: three in a row, and a CRITICAL component is FAILED, an EMERGENCY.

    Asked every 10 s with a second to answer. It hangs from the question at 100 on, which is given
    up at 101; those at 110 and 120 likewise. Unhealthy at 101 is health 0.3, which caps the score
    at 20 by the gate: EMERGENCY by the score at 103.65, before the third hang could trip it.
    """
    mode = world.mode

    @mode.probe("redis", interval=10, timeout=1, failed_after=3, jitter=0, criticality="critical")
    async def ping() -> None:
        if 99 < world.clock.monotonic() < 199:
            await asyncio.get_running_loop().create_future()

    mode.component("everything else", weight=800)
    rest = mode.metric("everything else", expect_every=60)

    async def main() -> None:
        async for _ in world.steps(400, every=10.0):
            rest.set(1.0)

    world.live(main())
    made = world.changes()
    assert [new for _, new in made] == [Mode.EMERGENCY, Mode.DEGRADED, Mode.NORMAL]
    assert made[0][0] == pytest.approx(101 + 2.65, abs=0.011)
    assert mode.probes["redis"].done >= 39


def test_an_optional_dependency_is_down(world: World) -> None:
    """An hour without recommendations is no degradation of the system: it stays NORMAL.

    A LOW component weighs 1 beside 8 and 4: the score is 100 * 12 / 13 = 92.3, and no gate fires.
    Its callers get the fallback's answer.
    """
    mode, clock = world.mode, world.clock
    guards = {
        name: breaker(name, criticality=rank, reset_timeout=30, mode=mode, clock=clock)
        for name, rank in (("orders", "critical"), ("search", "high"), ("recommendations", "low"))
    }
    answers: set[str] = set()

    @fallback(resilient.value("bestsellers"))
    @guards["recommendations"]
    async def recommend() -> str:
        raise ConnectionError

    async def optional() -> None:
        async for _ in world.steps(3600, every=1.0):
            answers.add(await recommend())

    async def main() -> None:
        await asyncio.gather(
            optional(),
            world.load(guards["orders"], lambda _: False, until=3600),
            world.load(guards["search"], lambda _: False, until=3600),
        )

    world.live(main())
    assert world.changes() == []
    assert answers == {"bestsellers"}
    told = mode.explain()
    assert told.score == pytest.approx(100 * 12 / 13, abs=0.01)
    assert told.state is SystemState.OPERATIONAL_SUCCESS
    assert told.gates == ()


# Cascades -----------------------------------------------------------------------------------


def test_a_cascade_of_three(world: World) -> None:
    """Redis goes, sessions and checkout with it: trigger and chain are named, search is served.

    The breakers open at 100.4, 105.4 and 108.4, within 30 s, and each declares the one before.
    """
    mode, clock = world.mode, world.clock
    began = {"redis": 100.0, "sessions": 105.0, "checkout": 108.0, "search": 1e9}
    guards = {name: breaker(name, reset_timeout=600, mode=mode, clock=clock) for name in began}
    mode.component("redis", criticality="high")
    mode.component("sessions", depends_on=["redis"])
    mode.component("checkout", depends_on=["sessions"])
    named: list[tuple[float, str]] = []

    async def watch() -> None:
        async for at in world.steps(140, every=1.0):
            told = mode.explain()
            if told.cascade is not None:
                named.append((at, str(told.cascade)))

    async def main() -> None:
        served = await asyncio.gather(
            *(
                world.load(guard, lambda at, name=name: at > began[name] - 0.05, until=140)  # type: ignore[misc]  # a default binds it
                for name, guard in guards.items()
            ),
            watch(),
        )
        assert served[3] == (1400, pytest.approx(0.0, abs=1e-6))

    world.live(main())
    assert named[0] == (106.0, "redis -> sessions")
    assert named[-1] == (139.0, "redis -> sessions -> checkout")
    told = mode.explain()
    assert told.cascade is not None
    assert told.cascade.trigger == "redis"
    assert told.mean == pytest.approx(2 / 10)  # of 4, 2, 2 and 2 one 2 is left
    assert world.changes()[-1][1] is Mode.EMERGENCY
    assert "CASCADE: redis -> sessions -> checkout" in mode.reasons


# Hands and ears -----------------------------------------------------------------------------


def test_an_override_with_a_time_to_live(world: World) -> None:
    """Forced for 300 s it is DEGRADED at once, and NORMAL 48 s after the override has ended."""
    figure = world.mode.metric("figure")

    async def main() -> None:
        async for at in world.steps(500, every=1.0):
            figure.set(1.0)
            if at == 10:
                world.mode.force("degraded", reason="migration", ttl=300, owner="ops")

    world.live(main())
    assert world.changes() == about((10.0, Mode.DEGRADED), (358.0, Mode.NORMAL))
    assert world.mode.statistics().incidents == 0


def test_an_override_that_hides_an_outage(world: World) -> None:
    """NORMAL by force while a CRITICAL breaker opens: EMERGENCY 2.65 s after the force is over."""
    mode, clock = world.mode, world.clock
    guard = breaker("db", criticality="critical", reset_timeout=600, mode=mode, clock=clock)

    async def main() -> None:
        mode.force("normal", reason="we know", ttl=60)
        await world.load(guard, lambda at: at > 9.95, until=100)

    world.live(main())
    assert world.changes() == about((62.65, Mode.EMERGENCY))


def test_a_listener_that_hangs(world: World) -> None:
    """One that never returns, on a thread or on the loop: the others are told, calls go on.

    Every call of the outage takes no time at all on the clock, and all of them end while both
    listeners still hang.
    """
    mode, clock = world.mode, world.clock
    guard = breaker("db", criticality="critical", reset_timeout=10, mode=mode, clock=clock)
    release, told = threading.Event(), threading.Event()
    heard: list[Mode] = []

    @mode.on_change
    def hang(_: ModeChange) -> None:
        release.wait(30)

    @mode.on_change(to=Mode.NORMAL)
    def tell(_: ModeChange) -> None:
        told.set()

    async def main() -> None:
        over, back = asyncio.Event(), asyncio.Event()

        @mode.on_change
        async def hang_here(_: ModeChange) -> None:
            await over.wait()

        @mode.on_change
        async def tell_here(change: ModeChange) -> None:
            heard.append(change.new)
            if change.new is Mode.NORMAL:
                back.set()

        served = await world.load(guard, lambda at: 9.95 < at < 19.95, until=200)
        assert served.slowest < 0.001
        assert await asyncio.to_thread(told.wait, 10)
        await back.wait()
        assert heard == [Mode.EMERGENCY, Mode.DEGRADED, Mode.NORMAL]
        release.set()  # nothing shall be left of this test
        over.set()
        assert await asyncio.to_thread(mode.flush, 10)

    try:
        world.live(main())
    finally:
        release.set()
    assert world.changes() == about(
        (10.4, Mode.EMERGENCY),
        (20.4 + BACK_TO_DEGRADED, Mode.DEGRADED),
        (20.4 + BACK_TO_NORMAL, Mode.NORMAL),
    )


async def _silent(work: Coroutine[Any, Any, object]) -> None:
    await work

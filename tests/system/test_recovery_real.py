"""A real server is killed: the mode notices, an action brings it back, the probe says that it is.

Only the time of the mode is the test's; the server, its death and its sockets are real.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
import redis
import redis.asyncio
from redis.asyncio.retry import Retry as RetryAsync
from redis.backoff import NoBackoff
from redis.retry import Retry

from resilient.mode import Mode, SystemOperationMode
from resilient.system.probes.probe import ProbeStatus
from resilient.system.recoveries.stage import RecoveryStage
from resilient.testing import ManualClock
from tests.servers import ValkeyServer

NORMAL, DEGRADED, EMERGENCY = Mode
PATIENCE = 10.0
"""Real seconds that a client gives a server that is well; a machine may be busy."""

HANG = 0.2
"""Real seconds that a client gives a server that is known to hang."""


@pytest.fixture
def clock() -> ManualClock:
    """The time of the mode."""
    return ManualClock()


@pytest.fixture
def mode(clock: ManualClock) -> Iterator[SystemOperationMode]:
    """A mode for which the server is critical."""
    made = SystemOperationMode(clock=clock)
    made.component("redis", criticality="critical")
    yield made
    made.close()


def client_of(valkey: ValkeyServer, patience: float) -> redis.Redis:
    """A client that does not retry."""
    return redis.Redis(
        valkey.host,
        valkey.port,
        socket_timeout=patience,
        socket_connect_timeout=patience,
        retry=Retry(NoBackoff(), 0),
    )


@pytest.fixture
def client(valkey: ValkeyServer) -> Iterator[redis.Redis]:
    """A patient client."""
    with client_of(valkey, PATIENCE) as made:
        yield made


def pass_time(mode: SystemOperationMode, clock: ManualClock, *, by: float) -> None:
    """Let `by` seconds of the mode pass, with everything done that is due."""
    for _ in range(round(by)):
        clock.advance(1)
        mode.evaluate()
        assert mode.flush(20)


def until(mode: SystemOperationMode, clock: ManualClock, wanted: Mode, *, within: float) -> float:
    """Let time pass until the mode is `wanted`; the seconds that it took."""
    began = clock.monotonic()
    while mode.current is not wanted:
        assert clock.monotonic() - began < within
        pass_time(mode, clock, by=1)
    return clock.monotonic() - began


@pytest.mark.parametrize("how", ["killed", "hung"])
def test_a_dead_server_is_restarted_and_the_mode_is_normal_again(
    valkey: ValkeyServer,
    client: redis.Redis,
    mode: SystemOperationMode,
    clock: ManualClock,
    how: str,
) -> None:
    """SIGKILL, or SIGSTOP: EMERGENCY within 3 questions; one attempt; NORMAL within 90 s of it."""
    restarts: list[float] = []
    hangs = False

    @mode.probe("redis", interval=10, failed_after=3, jitter=0.0)
    def ping() -> None:
        if hangs:
            with client_of(valkey, HANG) as hasty:
                hasty.ping()
        client.ping()

    @mode.recovery("redis", backoff=30)
    def restart() -> None:
        nonlocal hangs
        if valkey.running:
            valkey.kill()
        client.close()  # what was connected to the old one
        valkey.start()
        hangs = False
        restarts.append(clock.monotonic())

    pass_time(mode, clock, by=15)
    assert (mode.current, mode.probes["redis"].status) == (NORMAL, ProbeStatus.HEALTHY)

    if how == "killed":
        valkey.kill()
    else:
        valkey.pause()
        hangs = True
    killed_at = clock.monotonic()
    assert until(mode, clock, EMERGENCY, within=30) <= 30
    pass_time(mode, clock, by=killed_at + 40 - clock.monotonic())
    assert restarts == [pytest.approx(killed_at + 30 + 5)]  # 30 s after the first bad answer
    assert mode.recoveries["redis"].stage is RecoveryStage.SUCCEEDED
    assert mode.probes["redis"].status is ProbeStatus.HEALTHY
    assert client.ping()
    assert until(mode, clock, NORMAL, within=90) <= 90
    pass_time(mode, clock, by=60)
    assert mode.recoveries["redis"].stage is RecoveryStage.IDLE
    assert len(restarts) == 1


def test_it_gives_up_and_a_hand_repairs_it(
    valkey: ValkeyServer, client: redis.Redis, mode: SystemOperationMode, clock: ManualClock
) -> None:
    """An action that cannot help is tried five times; then the reason stays until somebody acts."""
    mended = False
    tried: list[float] = []

    @mode.probe("redis", interval=10, jitter=0.0)
    def ping() -> None:
        client.ping()

    @mode.recovery("redis", backoff=30)
    def restart() -> None:
        tried.append(clock.monotonic())
        if mended:
            valkey.start()

    pass_time(mode, clock, by=15)
    valkey.kill()
    pass_time(mode, clock, by=1000)
    assert [at - tried[0] for at in tried] == [0, 60, 180, 420, 900]
    assert mode.recoveries["redis"].stage is RecoveryStage.GAVE_UP
    (reason,) = (line for line in mode.explain().reasons if line.startswith("GAVE_UP"))
    assert reason.startswith(
        "GAVE_UP: recovery of redis gave up after 5 attempts: the probe says failed: "
    )

    mended = True
    assert mode.recover("redis")
    mode.evaluate()
    assert mode.flush(20)
    assert mode.recoveries["redis"].stage is RecoveryStage.SUCCEEDED
    assert until(mode, clock, NORMAL, within=90) <= 90
    assert not [line for line in mode.explain().reasons if line.startswith("GAVE_UP")]


def test_the_checklist_waits_for_what_a_restart_has_lost(
    valkey: ValkeyServer, client: redis.Redis, mode: SystemOperationMode, clock: ManualClock
) -> None:
    """The server is back, but empty: NORMAL comes only when it was filled again."""
    mode.probe("redis", client.ping, interval=10, jitter=0.0)
    mode.recovery("redis", valkey.start, backoff=30)
    mode.require("cache is warm", lambda: int(client.dbsize()) >= 100, to="normal", interval=5)
    for key in range(100):
        client.set(f"key:{key}", key)
    pass_time(mode, clock, by=15)
    valkey.kill()
    assert until(mode, clock, EMERGENCY, within=30) <= 30
    assert until(mode, clock, DEGRADED, within=90) <= 90
    pass_time(mode, clock, by=120)
    assert mode.current is DEGRADED
    assert mode.explain().unmet == ("cache is warm (answered False)",)
    for key in range(100):
        client.set(f"key:{key}", key)
    assert until(mode, clock, NORMAL, within=10) <= 10


async def test_the_same_with_asyncio(valkey: ValkeyServer) -> None:
    """Probe and action are coroutines on the application's own loop."""
    clock = ManualClock()
    mode = SystemOperationMode(clock=clock)
    mode.component("redis", criticality="critical")
    restarts: list[float] = []

    async def second() -> None:
        """One second of the mode, with everything done that is due."""
        clock.advance(1)
        for _ in range(5):  # an attempt, its verification, and what follows from that
            mode.evaluate()
            while others := asyncio.all_tasks() - {asyncio.current_task()}:
                await asyncio.wait(others)
            assert await asyncio.to_thread(mode.flush)

    async with redis.asyncio.Redis(
        host=valkey.host,
        port=valkey.port,
        socket_timeout=PATIENCE,
        socket_connect_timeout=PATIENCE,
        retry=RetryAsync(NoBackoff(), 0),
    ) as client:

        @mode.probe("redis", interval=10, failed_after=3, jitter=0.0)
        async def ping() -> None:
            await client.ping()

        @mode.recovery("redis", backoff=30)
        async def restart() -> None:
            await asyncio.to_thread(valkey.start)
            restarts.append(clock.monotonic())

        seen = []
        for tick in range(150):
            if tick == 15:
                await asyncio.to_thread(valkey.kill)
            await second()
            seen.append(mode.current)
        await mode.aclose()
    assert [one for one, before in zip(seen, [None, *seen], strict=False) if one is not before] == [
        NORMAL,
        EMERGENCY,
        DEGRADED,
        NORMAL,
    ]
    assert restarts == [pytest.approx(15 + 5 + 30, abs=1)]

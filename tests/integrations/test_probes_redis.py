"""Laws of the probe of a Redis: a real server, killed, paused and started again."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from resilient import probes
from resilient.core.hub import subscribe
from resilient.errors import ConfigError
from resilient.mode import Mode, SystemOperationMode
from resilient.system.probes.probe import ProbeChanged, ProbeStatus
from resilient.testing import ManualClock, TcpProxy
from tests.servers import ValkeyServer

HEALTHY, DEGRADED, UNHEALTHY, FAILED = ProbeStatus
SOON = 0.2
"""Seconds that a server which never answers is given."""
LONG = 10.0
"""Seconds; a server that took so long on a busy machine would have failed."""


def connected(valkey: ValkeyServer, limit: float) -> redis.Redis:
    """A client as the page of the probe recommends it."""
    return redis.Redis(
        host=valkey.host,
        port=valkey.port,
        socket_timeout=limit,
        socket_connect_timeout=limit,
        retry=Retry(NoBackoff(), 0),
    )


@pytest.fixture
def client(valkey: ValkeyServer) -> Iterator[redis.Redis]:
    """A patient one."""
    with connected(valkey, LONG) as made:
        yield made


@pytest.fixture
async def aclient(valkey: ValkeyServer) -> AsyncIterator[redis.asyncio.Redis]:
    """One for an event loop."""
    made = redis.asyncio.Redis(
        host=valkey.host, port=valkey.port, socket_timeout=LONG, retry=AsyncRetry(NoBackoff(), 0)
    )
    async with made:
        yield made


def test_it_writes_reads_back_and_the_server_forgets(client: redis.Redis) -> None:
    """One key for each question, which expires."""
    ask = probes.redis(client, expiry=7, prefix="shop:probe:")
    ask()
    ask()
    keys = client.keys("*")
    assert isinstance(keys, list)
    assert len(keys) == 2
    assert keys == client.keys("shop:probe:*")
    assert all(0 < client.ttl(key) <= 7 for key in keys)


def test_without_writing_it_only_pings(client: redis.Redis) -> None:
    """For a replica that refuses to be written to."""
    probes.redis(client, write=False)()
    assert client.dbsize() == 0


def test_text_is_read_back_as_well_as_bytes(valkey: ValkeyServer) -> None:
    """A client that decodes its answers is as good."""
    with redis.Redis(host=valkey.host, port=valkey.port, decode_responses=True) as client:
        probes.redis(client)()


def test_a_server_that_cannot_be_written_to_is_a_failure(client: redis.Redis) -> None:
    """Its memory is full: it pings, and that is all. It would still read."""
    client.config_set("maxmemory", "1mb")
    client.config_set("maxmemory-policy", "noeviction")
    with pytest.raises(redis.OutOfMemoryError):
        probes.redis(client)()
    probes.redis(client, write=False)()


def test_a_server_that_forgets_what_it_is_given_is_a_failure(client: redis.Redis) -> None:
    """What is read back is compared."""

    class Forgetful(redis.Redis):
        def get(self, name: Any) -> Any:
            super().get(name)
            return b"other"

    with (
        Forgetful(connection_pool=client.connection_pool) as bad,
        pytest.raises(probes.WrongAnswerError, match="read 'other'"),
    ):
        probes.redis(bad)()


async def test_an_async_client_makes_an_async_probe(
    aclient: redis.asyncio.Redis, valkey: ValkeyServer
) -> None:
    """It does the same."""
    ask = probes.redis(aclient, expiry=7)
    assert await aclient.dbsize() == 0
    answer = ask()
    assert answer is not None
    await answer
    assert await aclient.dbsize() == 1
    await asyncio.to_thread(valkey.kill)
    again = ask()
    assert again is not None
    with pytest.raises(redis.ConnectionError):
        await again


def test_an_awaitable_from_what_looked_sync_is_refused() -> None:
    """A client of another kind, whose probe would never have asked anything."""

    class Odd:
        set = get = print

        def ping(self) -> Any:
            async def pong() -> None: ...

            return pong()

    with pytest.raises(TypeError, match="coroutine"):
        probes.redis(Odd())()


@pytest.mark.parametrize(
    ("setting", "given"),
    [
        ("client", {"client": "redis://localhost"}),
        ("client", {"client": None}),
        ("expiry", {"expiry": 0}),
        ("expiry", {"expiry": 1.5}),
        ("prefix", {"prefix": 7}),
    ],
)
def test_bad_settings_are_refused_by_name(
    client: redis.Redis, setting: str, given: dict[str, Any]
) -> None:
    """When the probe is made."""
    with pytest.raises(ConfigError) as caught:
        probes.redis(**{"client": client, **given})
    assert caught.value.setting == setting


class Watch:
    """A mode whose time is the test's, over a server whose time is real."""

    def __init__(self, ask: Callable[[], Any], **settings: Any) -> None:
        self.clock = ManualClock()
        self.mode = SystemOperationMode(clock=self.clock)
        self.mode.probe(
            "redis", ask, interval=10, jitter=0, failed_after=3, criticality="critical", **settings
        )

    def look(self, seconds: int) -> tuple[ProbeStatus | None, Mode]:
        """Let time pass, with everything done that is due."""
        for _ in range(seconds):
            self.clock.advance(1)
            self.mode.evaluate()
            assert self.mode.flush()
        return self.mode.probes["redis"].status, self.mode.current


def test_a_server_that_is_killed_and_comes_back(client: redis.Redis, valkey: ValkeyServer) -> None:
    """Healthy, unhealthy, failed and EMERGENCY; healthy again, and NORMAL in its ordinary time."""
    told: queue.Queue[ProbeStatus] = queue.Queue()
    listener = subscribe(ProbeChanged, lambda event: told.put(event.new))
    watch = Watch(probes.redis(client))
    assert watch.look(5) == (HEALTHY, Mode.NORMAL)
    valkey.kill()
    assert watch.look(10)[0] is UNHEALTHY
    assert watch.look(20) == (FAILED, Mode.EMERGENCY)
    assert any("redis" in reason for reason in watch.mode.reasons)
    last = watch.mode.probes["redis"].last
    assert last is not None
    assert "refused" in last.detail
    valkey.start()
    assert watch.look(10)[0] is HEALTHY
    assert watch.look(120) == (HEALTHY, Mode.NORMAL)
    assert watch.mode.flush()
    assert [told.get_nowait() for _ in range(told.qsize())] == [
        HEALTHY,
        UNHEALTHY,
        FAILED,
        HEALTHY,
    ]
    listener.cancel()
    watch.mode.close()


def test_a_server_that_is_paused_fails_in_its_time_and_comes_back(
    client: redis.Redis, valkey: ValkeyServer
) -> None:
    """Connections are taken and nothing is said: the client's own time limit ends each question."""
    with connected(valkey, SOON) as impatient:
        ask, asks_soon = probes.redis(client), probes.redis(impatient)
        watch = Watch(lambda: ask())  # noqa: PLW0108  (it changes)
        assert watch.look(5) == (HEALTHY, Mode.NORMAL)
        valkey.pause()
        patient, ask = ask, asks_soon
        assert watch.look(30) == (FAILED, Mode.EMERGENCY)
        assert "TimeoutError: Timeout" in repr(watch.mode.probes["redis"].last)
        valkey.resume()
        ask = patient
        assert watch.look(10)[0] is HEALTHY
        watch.mode.close()


def test_a_slow_server_is_degraded(valkey: ValkeyServer) -> None:
    """A network that takes its time: more than the 100 ms of the source document is too slow."""
    with (
        TcpProxy(valkey.host, valkey.port) as proxy,
        redis.Redis(host=proxy.host, port=proxy.port, retry=Retry(NoBackoff(), 0)) as client,
    ):
        ask = probes.redis(client)
        ask()
        watch = SystemOperationMode()  # on the machine's clock: it measures a real delay
        proxy.delay(0.06)  # each way, three times
        watch.probe("redis", ask, degraded_above=0.1, jitter=0, timeout=10)
        watch.evaluate()
        assert watch.flush(10)
        assert watch.probes["redis"].status is DEGRADED
        watch.close()


async def test_an_async_probe_of_a_server_that_is_killed(
    aclient: redis.asyncio.Redis, valkey: ValkeyServer
) -> None:
    """On the loop on which its client lives."""
    watch = Watch(probes.redis(aclient), timeout=3600)
    probe = watch.mode.probes["redis"]

    async def look() -> tuple[ProbeStatus | None, Mode]:
        """One more answer."""
        asked = probe.done
        watch.clock.advance(10)
        watch.mode.evaluate()
        while probe.done == asked:  # noqa: ASYNC110  (nothing tells of an answer like the last)
            await asyncio.sleep(0.001)
        assert await asyncio.to_thread(watch.mode.flush)
        return probe.status, watch.mode.current

    assert await look() == (HEALTHY, Mode.NORMAL)
    await asyncio.to_thread(valkey.kill)
    assert (await look())[0] is UNHEALTHY
    await look()
    assert await look() == (FAILED, Mode.EMERGENCY)
    await asyncio.to_thread(valkey.start)
    assert (await look())[0] is HEALTHY
    await watch.mode.aclose()

"""On the jumping loop time passes as asyncio would have it, only at once."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilient.testing import JumpingEventLoop, ManualClock
from resilient.testing.loop import run


@pytest.fixture(autouse=True)
def in_no_time() -> Any:
    """A loop that waits in real time fails every test here."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < 5


def test_sleeping_an_hour_takes_no_time() -> None:
    """The clock says an hour, the machine does not."""
    clock = ManualClock()
    run(asyncio.sleep(3600), clock)
    assert clock.monotonic() == 3600


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 50), max_size=8), st.sampled_from([0.0, 1e6]))
def test_sleepers_wake_in_the_order_of_their_times(times: list[int], start: float) -> None:
    """Concurrent sleeps interleave as in real time, through asyncio and through the clock alike."""
    clock = ManualClock(start)
    woken: list[tuple[float, float]] = []

    async def sleeper(seconds: int, sleep: Callable[[float], Coroutine[Any, Any, None]]) -> None:
        await sleep(seconds)
        woken.append((seconds, clock.monotonic() - start))

    async def main() -> None:
        sleeps = (asyncio.sleep, clock.sleep_async)
        await asyncio.gather(*(sleeper(s, sleeps[s % 2]) for s in times))

    run(main(), clock)
    assert [seconds for seconds, _ in woken] == sorted(times)
    assert all(at == pytest.approx(seconds, abs=1e-6) for seconds, at in woken)


def test_a_timeout_fires_at_its_time() -> None:
    """`asyncio.timeout` around something that never ends lasts exactly as long as it says."""
    clock = ManualClock()

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await asyncio.Event().wait()

    run(main(), clock)
    assert clock.monotonic() == 30


def test_does_not_jump_while_there_is_work() -> None:
    """Ready callbacks come first, however many turns they take."""
    clock = ManualClock()

    async def main() -> float:
        timer = asyncio.ensure_future(asyncio.sleep(1))
        for _ in range(100):
            await asyncio.sleep(0)
        seen = clock.monotonic()
        await timer
        return seen

    assert run(main(), clock) == 0


def test_does_not_jump_while_a_thread_works() -> None:
    """A timeout around a quick job in a thread does not fire because time flew meanwhile."""
    clock = ManualClock()

    def job() -> str:
        time.sleep(0.05)
        return "done"

    async def main() -> str:
        async with asyncio.timeout(30):
            return await asyncio.to_thread(job)

    assert run(main(), clock) == "done"
    assert clock.monotonic() == 0


def test_a_thread_that_sleeps_on_the_clock_makes_timers_due() -> None:
    """The job moves the clock past the timeout, so the timeout fires, although the job goes on."""
    clock = ManualClock()
    loop = JumpingEventLoop(clock)
    go_on = asyncio.Event()

    def job() -> None:
        time.sleep(0.05)  # the loop waits by now
        clock.sleep(31)
        while not go_on.is_set():
            time.sleep(0.001)

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await asyncio.to_thread(job)
        go_on.set()

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main())
    assert clock.monotonic() == 31


def test_a_thread_can_wake_the_loop() -> None:
    """`call_soon_threadsafe` reaches a loop that has no timer at all."""

    async def main() -> str:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[str] = loop.create_future()
        job = asyncio.ensure_future(
            asyncio.to_thread(loop.call_soon_threadsafe, done.set_result, "told")
        )
        result = await done
        await job
        return result

    assert run(main(), ManualClock()) == "told"


def test_real_sockets_get_real_time() -> None:
    """An answer over a socket arrives before a timeout of minutes jumps at it."""
    clock = ManualClock()

    ours, theirs = socket.socketpair()

    def answer() -> None:
        time.sleep(0.02)  # the network is no part of any clock
        theirs.sendall(b"hello\n")

    async def main() -> bytes:
        reader, writer = await asyncio.open_connection(sock=ours)
        async with asyncio.timeout(120):
            heard = await reader.readline()
        writer.close()
        await writer.wait_closed()
        return heard

    server = threading.Thread(target=answer)
    server.start()
    with theirs:
        assert run(main(), clock) == b"hello\n"
        server.join()
    assert clock.monotonic() == 0


def test_slow_in_manual_time_is_not_slow(caplog: pytest.LogCaptureFixture) -> None:
    """A callback that moves the clock by an hour is not reported as slow in debug mode."""
    clock = ManualClock()

    async def main() -> None:
        clock.advance(3600)

    with asyncio.Runner(debug=True, loop_factory=lambda: JumpingEventLoop(clock)) as runner:
        runner.run(main())
    assert not [record for record in caplog.records if "took" in record.message]

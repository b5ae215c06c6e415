"""The manual clock moves when told to, and only then."""

from __future__ import annotations

import asyncio
import math
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from resilient.clock import Clock
from resilient.errors import ConfigError
from resilient.testing import ManualClock


def test_is_what_every_clock_parameter_accepts() -> None:
    """It fulfils the protocol."""
    assert isinstance(ManualClock(), Clock)


def test_stands_still_until_it_is_moved() -> None:
    """Both readings begin at `start` and follow each step."""
    clock = ManualClock(start=10)
    assert (clock.monotonic(), clock.time()) == (10, 10)
    clock.advance(2.5)
    clock.advance(timedelta(minutes=1))
    assert (clock.monotonic(), clock.time()) == (72.5, 72.5)


def test_sleepers_move_it_and_return_at_once() -> None:
    """A day of sleep takes no time."""
    clock = ManualClock()
    clock.sleep(86_400)
    assert clock.monotonic() == 86_400


def test_an_async_sleeper_lets_the_others_run() -> None:
    """On a loop of real time it moves the clock at once and yields one turn."""
    clock = ManualClock()
    seen: list[float] = []

    async def main() -> None:
        asyncio.get_running_loop().call_soon(lambda: seen.append(clock.monotonic()))
        await clock.sleep_async(5)
        seen.append(-1)

    asyncio.run(main())
    assert seen == [5, -1]


@pytest.mark.parametrize("step", [-1, math.nan, math.inf, timedelta(seconds=-1), "1"])
def test_refuses_to_go_back(step: float) -> None:
    """Time neither steps back nor ends, however it is moved."""
    clock = ManualClock()
    with pytest.raises(ConfigError, match="advance="):
        clock.advance(step)
    with pytest.raises(ConfigError, match="advance="):
        clock.sleep(step)
    with pytest.raises(ConfigError, match="start="):
        ManualClock(start=step)
    assert clock.monotonic() == 0


def test_threads_lose_no_step() -> None:
    """Steps of many threads add up exactly."""
    clock = ManualClock()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(clock.advance, [1] * 4000))
    assert clock.monotonic() == 4000

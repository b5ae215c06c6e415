"""The server of the experiment, on a loop whose time jumps."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from statistics import fmean

import pytest

from benchmarks.experiment.scenario import HEALTHY, TRIGGERS, Condition, Scenario
from benchmarks.experiment.server import Server
from resilient.testing import ManualClock
from resilient.testing.loop import run

SICK, HEALTHY_KEY = 10, 11
Trial = Callable[[Server, list[tuple[float, bool]]], Awaitable[None]]


def served(trigger: str, trial: Trial, *, scale: float = 1) -> list[tuple[float, bool]]:
    """When each request of `trial` was answered, and whether it went well."""
    answers: list[tuple[float, bool]] = []

    async def main() -> None:
        scenario = Scenario(trigger=TRIGGERS[trigger], scale=scale)
        await trial(Server(scenario, asyncio.get_running_loop()), answers)

    run(main(), ManualClock())
    return answers


def submit(server: Server, answers: list[tuple[float, bool]], key: int, replica: int = 0) -> None:
    """One request, whose answer is noted."""
    loop = asyncio.get_running_loop()
    server.submit(key, replica, lambda good: answers.append((loop.time(), good)))


def test_thirty_workers_serve_three_hundred_a_second() -> None:
    """A queue that never empties is served at the capacity: 3000 requests in about 10 s."""

    async def trial(server: Server, answers: list[tuple[float, bool]]) -> None:
        for _ in range(3000):
            submit(server, answers, HEALTHY_KEY)
        assert server.waiting == 2970
        await asyncio.sleep(60)

    answers = served("brownout", trial)
    assert len(answers) == 3000
    assert all(good for _, good in answers)
    assert answers[-1][0] == pytest.approx(10, rel=0.15)


@pytest.mark.parametrize(
    ("condition", "mean"),
    [(HEALTHY, 0.1), (Condition(slowdown=10), 1.0), (Condition(slow_replica=10), 1.0)],
)
def test_a_condition_changes_the_service(condition: Condition, mean: float) -> None:
    """Without a queue an answer takes the service time; four standard errors are 13 %."""
    took: list[float] = []

    async def trial(server: Server, _: list[tuple[float, bool]]) -> None:
        server.apply(condition)
        for _number in range(1000):
            answers: list[tuple[float, bool]] = []
            began = asyncio.get_running_loop().time()
            submit(server, answers, HEALTHY_KEY)
            await asyncio.sleep(30)
            took.append(answers[0][0] - began)

    served("brownout", trial)
    assert fmean(took) == pytest.approx(mean, rel=0.13)


@pytest.mark.parametrize("condition", [Condition(slowdown=math.inf), Condition(workers=0)])
def test_a_stalled_server_keeps_the_queue(condition: Condition) -> None:
    """Nothing is begun while it stalls, what had begun ends, and afterwards all is served."""

    async def trial(server: Server, answers: list[tuple[float, bool]]) -> None:
        submit(server, answers, HEALTHY_KEY)
        server.apply(condition)
        submit(server, answers, HEALTHY_KEY)
        await asyncio.sleep(10)
        assert len(answers) == 1
        server.apply(HEALTHY)
        await asyncio.sleep(10)

    answers = served("stall", trial)
    assert answers[0][0] < 10 < answers[1][0]


def test_workers_that_are_gone_finish_first() -> None:
    """A tenth of the workers serves a tenth of the capacity, after what was under way."""

    async def trial(server: Server, answers: list[tuple[float, bool]]) -> None:
        server.apply(Condition(workers=0.1))
        for _ in range(300):
            submit(server, answers, HEALTHY_KEY)
        assert server.waiting == 297
        await asyncio.sleep(60)

    assert served("workers", trial)[-1][0] == pytest.approx(10, rel=0.3)


def test_sick_keys_fail_while_they_are_sick() -> None:
    """Only every tenth key does, and it takes the time of any other."""

    async def trial(server: Server, answers: list[tuple[float, bool]]) -> None:
        for condition in (HEALTHY, Condition(sick_keys=True)):
            server.apply(condition)
            for key in (SICK, HEALTHY_KEY):
                submit(server, answers, key)
                await asyncio.sleep(10)

    assert [good for _, good in served("keys", trial)] == [True, True, False, True]


def test_a_cache_answers_until_it_is_lost_and_fills_again() -> None:
    """A hit takes 1 ms; an emptied cache holds what was answered since, but never a sick key."""

    async def trial(server: Server, answers: list[tuple[float, bool]]) -> None:
        for condition, key in (
            (HEALTHY, HEALTHY_KEY),  # a hit
            (HEALTHY, SICK),
            (Condition(cache=False), HEALTHY_KEY),
            (HEALTHY, HEALTHY_KEY),  # fills it
            (HEALTHY, HEALTHY_KEY),  # a hit again
            (HEALTHY, SICK),
        ):
            server.apply(condition)
            submit(server, answers, key)
            await asyncio.sleep(10)

    took = [at % 10 for at, _ in served("cache", trial)]
    assert [round(each, 6) == 0.001 for each in took] == [True, False, False, False, True, False]


def test_replicas_have_queues_of_their_own() -> None:
    """Thirty workers are three for each of ten replicas; only the first one gets slow."""

    async def trial(server: Server, answers: list[tuple[float, bool]]) -> None:
        server.apply(Condition(slow_replica=math.inf))
        for replica in (0, 9):
            for _ in range(4):
                submit(server, answers, HEALTHY_KEY, replica)
        assert server.waiting == 4 + 1
        await asyncio.sleep(30)

    assert len(served("replica", trial)) == 4

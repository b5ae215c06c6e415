"""Many runs: several at a time, each in a process of its own."""

from __future__ import annotations

import math
import multiprocessing
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from typing import Any

from .arms import Arm
from .catalogue import ARMS
from .measures import Measures, Series, measure, series
from .record import Record
from .scenario import Scenario

__all__ = ["Run", "as_data", "from_data", "run_all"]

World = Callable[[Arm, Scenario], Record]


@dataclass(frozen=True, slots=True)
class Run:
    """What is kept of one run. `begin` and `end` are those of the trigger."""

    arm: str
    trigger: str
    load: float
    seed: int
    offered: float
    begin: float
    end: float
    measures: Measures
    series: Series | None


def run_all(
    world: World, arms: Iterable[Arm], scenarios: Sequence[Scenario], jobs: int
) -> list[Run]:
    """Every arm through every scenario, `jobs` at a time; told of on stderr as they end."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, max_tasks_per_child=1) as pool:
        waiting = [
            pool.submit(_run, world, arm.name, scenario) for scenario in scenarios for arm in arms
        ]
        for number, done in enumerate(as_completed(waiting), start=1):
            run = done.result()
            told = f"{run.arm} at {run.load:.0%}, seed {run.seed}"
            lag = f"timers late by up to {run.measures.lag * 1000:.0f} ms (p99)"
            print(f"{number}/{len(waiting)} {told}: {lag}", file=sys.stderr, flush=True)
    return [done.result() for done in waiting]


def _run(world: World, arm: str, scenario: Scenario) -> Run:
    record = world(ARMS[arm], scenario)
    return Run(
        arm=arm,
        trigger=scenario.trigger.name,
        load=scenario.load,
        seed=scenario.seed,
        offered=scenario.rate,
        begin=scenario.begin,
        end=scenario.end,
        measures=measure(record),
        series=series(record),
    )


def as_data(run: Run, *, with_series: bool) -> dict[str, Any]:
    """Plain data for a file. "Never" is the string, as JSON has no infinity."""
    data = asdict(run)
    measures = data["measures"]
    for name, value in measures.items():
        if isinstance(value, float):
            measures[name] = "never" if math.isinf(value) else round(value, 5)
    if not with_series:
        data["series"] = None
    return data


def from_data(data: dict[str, Any]) -> Run:
    """The run that `as_data` made `data` of."""
    measures = {
        name: math.inf if value == "never" else value for name, value in data["measures"].items()
    }
    counts = data["series"]
    return Run(
        **{
            **data,
            "measures": Measures(**measures),
            "series": None if counts is None else Series(**counts),
        }
    )

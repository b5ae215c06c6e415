"""What both scripts do: read options, run, print, write."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from .arms import Arm
from .catalogue import ARMS, arms
from .keeping import Kept, Place, block, compared, kept_results, load, machine, page, save
from .record import Record
from .report import as_text, comparison, picture, table, verdicts
from .runs import Run, run_all
from .scenario import TRIGGERS, Scenario

__all__ = ["Defaults", "main", "parser", "scenarios"]

_HERE = Path(__file__).parent.parent
World = Callable[[Arm, Scenario], Record]


@dataclass(frozen=True, slots=True)
class Defaults:
    """How the scripts differ: the name, the world, what it is run with unless told otherwise.

    `twin` is the world to compare with, if there is one.
    """

    name: str
    world: World
    seeds: str
    jobs: int
    steady: float
    stop_early: bool
    twin: World | None = None


def parser(about: str, defaults: Defaults) -> argparse.ArgumentParser:
    """The options of both scripts."""
    options = argparse.ArgumentParser(description=about)
    add = options.add_argument
    add("--trigger", default="brownout", metavar="NAMES", help=", ".join(TRIGGERS))
    add("--arms", default="all", metavar="NAMES", help=", ".join(ARMS))
    add("--loads", default="50,80,93", metavar="PERCENT", help="of capacity (50,80,93)")
    add("--seeds", default=defaults.seeds, metavar="NUMBERS", help=f"({defaults.seeds})")
    add("--clients", type=int, default=10, help="(10)")
    add("--scale", type=float, default=1.0, help="times 30 workers, 300 requests/s (1)")
    add("--steady", type=float, default=defaults.steady, help=f"seconds ({defaults.steady:g})")
    add("--observe", type=float, default=110.0, help="seconds after the trigger (110)")
    add("--jobs", type=int, default=defaults.jobs, help=f"runs at a time ({defaults.jobs})")
    add("--quick", action="store_true", help="80 %% load, one seed, 45 s after the trigger")
    add("--write", action="store_true", help="write the results, the pictures and README.md")
    add("--add", action="store_true", help="with --write: keep other arms, loads and seeds")
    if defaults.twin is not None:
        add("--compare", action="store_true", help="run the simulation at the same settings too")
    return options


def scenarios(given: argparse.Namespace, trigger: str, *, stop_early: bool) -> list[Scenario]:
    """What the options ask for: each load with each seed."""
    loads, seeds = given.loads.split(","), given.seeds.split(",")
    base = Scenario(
        trigger=TRIGGERS[trigger],
        clients=given.clients,
        scale=given.scale,
        steady=given.steady,
        observe=given.observe,
        stop_early=stop_early,
    )
    if given.quick:
        loads, seeds = ["80"], seeds[:1]
        base = replace(base, steady=10.0, observe=45.0)
    return [
        replace(base, load=float(load) / 100, seed=int(seed)) for load in loads for seed in seeds
    ]


def main(about: str, defaults: Defaults, arguments: list[str] | None = None) -> int:
    """Run a script. Always 0: a missed mark is a fact to report, not an error."""
    given = parser(about, defaults).parse_args(arguments)
    for trigger in given.trigger.split(","):
        tried = scenarios(given, trigger, stop_early=defaults.stop_early)
        chosen = arms(given.arms, replicas=TRIGGERS[trigger].replicas > 1)
        runs = run_all(defaults.world, chosen, tried, given.jobs)
        print(f"\n{TRIGGERS[trigger].title}: {settings(tried)}\n")
        print(as_text(table(trigger, runs)), *verdicts(trigger, runs), sep="\n")
        if given.write:
            place = _place(defaults.name, given.clients)
            kept = _others(place, trigger, runs) if given.add else []
            _write(place, trigger, tried, [*kept, *runs])
        if defaults.twin is not None and given.compare:
            twins = run_all(defaults.twin, chosen, tried, given.jobs)
            print("", as_text(comparison(trigger, runs, twins)), sep="\n")
            if given.write:
                _write_twins(trigger, tried, twins)
    return 0


def settings(tried: Sequence[Scenario]) -> str:
    """What the runs had in common, in words."""
    one = tried[0]
    seeds = ", ".join(sorted({str(scenario.seed) for scenario in tried}))
    return (
        f"{one.clients:,} clients, {one.workers:,} workers ({one.capacity:,.0f} requests/s), "
        f"{one.trigger.seconds:g} s of trigger, seeds {seeds}."
    )


def _place(name: str, clients: int = 10) -> Place:
    """Other numbers of clients have tables and pictures of their own."""
    name = name if clients == 10 else f"{name}-{clients}"  # noqa: PLR2004  (the usual number)
    return Place(name, _HERE / "results", _HERE.parent / "docs" / "pictures", _HERE / "README.md")


def _others(place: Place, trigger: str, runs: Sequence[Run]) -> list[Run]:
    """What is kept already, of arms, loads and seeds that were not run anew."""
    path = place.result(trigger)
    anew = {(run.arm, run.load, run.seed) for run in runs}
    held = load(path).runs if path.exists() else []
    return [run for run in held if (run.arm, run.load, run.seed) not in anew]


def _write(place: Place, trigger: str, tried: Sequence[Scenario], runs: Sequence[Run]) -> None:
    about = machine() | {"settings": settings(tried)}
    save(place.result(trigger), Kept(trigger, about, list(runs)))
    place.pictures.mkdir(parents=True, exist_ok=True)
    for share in sorted({run.load for run in runs}):
        drawn = picture(trigger, share, runs, settings(tried))
        place.picture(trigger, share).write_text(drawn, encoding="utf-8")
    _write_page(place, place.name, block(place, kept_results(place)))


def _write_twins(trigger: str, tried: Sequence[Scenario], twins: Sequence[Run]) -> None:
    """Keep what the simulation says at the settings of the real runs, beside those."""
    real, twin = _place("brownout"), _place("twin")
    about = machine() | {"settings": settings(tried)}
    save(twin.result(trigger), Kept(trigger, about, [replace(run, series=None) for run in twins]))
    _write_page(real, "comparison", compared(kept_results(real), kept_results(twin)))


def _write_page(place: Place, label: str, new: str) -> None:
    text = place.page.read_text(encoding="utf-8")
    place.page.write_text(page(text, label, new), encoding="utf-8")

"""Whole runs in the simulation, and what is kept and shown of them."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.experiment.arms import FAILURES
from benchmarks.experiment.catalogue import ARMS, arms
from benchmarks.experiment.keeping import Kept, load, page, save
from benchmarks.experiment.marks import columns, passed, shown
from benchmarks.experiment.measures import Measures, Series, measure
from benchmarks.experiment.report import as_markdown, as_text, comparison, picture, table
from benchmarks.experiment.runs import Run
from benchmarks.experiment.scenario import TRIGGERS, Scenario
from benchmarks.experiment.simulated import simulate

SMALL = Scenario(scale=0.1, clients=2, warm_up=1, steady=4, observe=12)
"""Three workers: 30 requests/s."""


@pytest.mark.parametrize("trigger", TRIGGERS)
def test_a_run_makes_every_call_and_ends_it(trigger: str) -> None:
    """Under every trigger: each call is recorded once, and none is open at the end."""
    scenario = replace(SMALL, trigger=TRIGGERS[trigger], load=0.5)
    record = simulate(ARMS["none"], scenario)
    lasting = scenario.finish - scenario.trigger.seconds
    offered = scenario.rate * lasting + scenario.offered(scenario.begin) * scenario.trigger.seconds
    assert len(record.calls) == pytest.approx(offered, rel=0.25)
    assert len(record.attempts) == len(record.calls)
    assert record.until == pytest.approx(scenario.finish, abs=1)
    assert all(call.seconds <= scenario.timeout + 0.01 for call in record.calls)


def test_a_simulation_can_be_repeated() -> None:
    """The same seed gives the same record, to the last digit."""
    short = replace(SMALL, steady=2, observe=1)
    first, again = (simulate(ARMS["naive"], short) for _ in range(2))
    assert first == again
    assert first.calls != simulate(ARMS["naive"], replace(short, seed=2)).calls


def test_naive_retries_make_three_calls_of_one() -> None:
    """What the experiment is about: a slow server gets three times the load, for nothing."""
    scenario = replace(SMALL, load=0.8)
    none, naive = (measure(simulate(ARMS[name], scenario)) for name in ("none", "naive"))
    assert naive.extra is not None
    assert none.extra == 1
    assert naive.extra > 2
    assert naive.amplification > 2 * none.amplification
    assert math.isinf(naive.recovery)


def test_a_run_that_may_stop_early_does() -> None:
    """Once it has recovered there is nothing more to see; it shows the same recovery."""
    scenario = replace(SMALL, load=0.3, observe=110)
    whole, short = (
        simulate(ARMS["none"], replace(scenario, stop_early=early)) for early in (False, True)
    )
    assert short.until < whole.until - 20
    assert measure(short).recovery == measure(whole).recovery < 60
    assert measure(short).wasted == measure(whole).wasted


@pytest.mark.parametrize("name", [name for name, arm in ARMS.items() if not arm.missing])
def test_every_arm_serves_a_healthy_server(name: str) -> None:
    """Without trouble no arm makes any, and none makes many more attempts than calls."""
    scenario = replace(SMALL, load=0.3, trigger=replace(TRIGGERS["spike"], surge=1.0))
    found = measure(simulate(ARMS[name], scenario))
    assert found.steady is not None
    assert found.steady > 0.97
    assert found.extra == pytest.approx(1, abs=0.2)


def test_arms_are_found_by_name() -> None:
    """All of them, or those that are named; a name that is none says so."""
    assert [arm.name for arm in arms("naive,none")] == ["naive", "none"]
    assert {"none", "naive", "peers", "retry", "breaker"} <= {arm.name for arm in arms("all")}
    with pytest.raises(ValueError, match="no such arm: nobody"):
        arms("none,nobody")


def test_failures_are_not_rejections() -> None:
    """What arms retry is what the server did."""
    assert issubclass(ConnectionError, FAILURES)
    assert issubclass(TimeoutError, FAILURES)


MEASURES = Measures(
    steady=1.0,
    trigger=0.02,
    after=0.5,
    amplification=1.25,
    recovery=7.0,
    wasted=0.09,
    false_rejections=0.0005,
    critical=None,
    sheddable=None,
    healthy_lost=None,
    p50=0.1,
    p99=0.5,
    p999=0.9,
    extra=1.1,
)


def a_run(arm: str = "none", seed: int = 1, **changes: float | None) -> Run:
    """A run with measures made up."""
    return Run(
        arm=arm,
        trigger="brownout",
        load=0.8,
        seed=seed,
        offered=240.0,
        begin=25.0,
        end=35.0,
        measures=replace(MEASURES, **changes),  # type: ignore[arg-type]  # fields by name
        series=Series([240] * 145, [200] * 145, [250] * 145),
    )


def test_a_mark_is_for_the_worst_seed() -> None:
    """The table shows the median and the range; one seed that misses is a miss."""
    column = next(each for each in columns("brownout") if each.measure == "recovery")
    runs = [a_run(recovery=seconds).measures for seconds in (3.0, 15.0, 4.0)]
    assert (shown(column, runs), passed(column, runs)) == ("4 s (3 s..15 s)", True)
    runs.append(a_run(recovery=math.inf).measures)
    assert (shown(column, runs), passed(column, runs)) == ("10 s (3 s..never)", False)
    assert passed(column, []) is None


def test_tables_name_marks_and_misses() -> None:
    """Every arm has a row; beside a figure stands whether it meets its mark."""
    runs = [a_run(), a_run("naive", amplification=3.3, recovery=math.inf)]
    rows = table("brownout", runs)
    text, page_ = as_text(rows), as_markdown(rows)
    assert "recovery (<= 15 s)" in text
    assert "7 s pass" in text
    assert "never MISS" in text
    assert [line.count("|") for line in page_.splitlines()] == [10] * 4
    assert "critical" not in text


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    """Never included; seconds only of the first seed."""
    kept = Kept("brownout", {"date": "2026-11-22"}, [a_run(recovery=math.inf), a_run(seed=2)])
    path = tmp_path / "results" / "brownout.json"
    save(path, kept)
    assert load(path) == replace(kept, runs=[kept.runs[0], replace(kept.runs[1], series=None)])


def test_a_page_keeps_what_is_around_the_markers() -> None:
    """Only what lies between them is replaced; without them nothing is."""
    text = "before\n<!-- begin x -->\nold\n<!-- end x -->\nafter\n"
    assert page(text, "x", "new") == text.replace("old", "new")
    with pytest.raises(ValueError, match="begin y"):
        page(text, "y", "new")


def test_worlds_are_compared_arm_by_arm() -> None:
    """Only what both have; real first."""
    rows = comparison("brownout", [a_run(), a_run("naive")], [a_run(recovery=9.0)])
    assert [row[0] for row in rows] == ["arm", "no retry"]
    assert "7 s / 9 s" in rows[1]


def test_a_picture_has_a_panel_for_each_arm() -> None:
    """Of the first seed; of a load that nobody ran there is none."""
    runs = [a_run(), a_run(seed=2), a_run("naive", recovery=math.inf)]
    drawn = picture("brownout", 0.8, runs, "ten clients")
    assert drawn.count("<polyline") == 2 * 2
    assert "does not recover; 1.2 times the load at most" in drawn
    assert picture("brownout", 0.5, runs, "") == ""

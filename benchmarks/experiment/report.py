"""How results are shown: tables for the screen and for a page, and the pictures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from .catalogue import ARMS
from .chart import Panel, chart
from .marks import MARKED_LOAD, Column, columns, passed, shown
from .measures import Measures
from .runs import Run
from .scenario import TRIGGERS

__all__ = ["as_markdown", "as_text", "comparison", "picture", "table", "verdicts"]

_DRAWN = {
    *("none", "naive", "peers", "budget", "breaker", "throttle", "bulkhead", "aimd"),
    *("hedge", "failover", "protect"),
}
"""The arms of a picture of all."""
_MANY = 9
_AROUND = (10, 60)  # seconds of a picture before the trigger and after it


def groups(runs: Iterable[Run]) -> dict[tuple[str, float], list[Run]]:
    """The runs by arm and load, in the order of the arms, then of the loads."""
    found: dict[tuple[str, float], list[Run]] = {}
    order = list(ARMS)
    for run in sorted(runs, key=lambda run: (run.load, order.index(run.arm), run.seed)):
        found.setdefault((run.arm, run.load), []).append(run)
    return found


def table(trigger: str, runs: Sequence[Run]) -> list[list[str]]:
    """Heading and rows: the median over the seeds, the range, and whether the mark is met."""
    shape = columns(trigger)
    rows = [["arm", "load", *(column.title(trigger) for column in shape)]]
    for (arm, load), group in groups(runs).items():
        measured = [run.measures for run in group]
        cells = [_cell(column, measured, trigger, load) for column in shape]
        rows.append([ARMS[arm].title, f"{load:.0%}", *cells])
    return rows


def _cell(column: Column, measured: Sequence[Measures], trigger: str, load: float) -> str:
    text = shown(column, measured)
    if not column.marked(trigger) or not math.isclose(load, MARKED_LOAD):
        return text
    verdict = passed(column, measured)
    return text if verdict is None else f"{text} {'pass' if verdict else 'MISS'}"


def as_text(rows: Sequence[Sequence[str]]) -> str:
    """Rows for the screen."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def as_markdown(rows: Sequence[Sequence[str]]) -> str:
    """Rows for a page, the first of which is the heading."""
    head, *rest = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([head, "|---" * len(rows[0]) + "|", *rest])


def verdicts(trigger: str, runs: Sequence[Run]) -> list[str]:
    """A line for each mark of each arm that is judged."""
    lines = []
    for (arm, load), group in groups(runs).items():
        if not ARMS[arm].judged or not math.isclose(load, MARKED_LOAD):
            continue
        measured = [run.measures for run in group]
        for column in columns(trigger):
            verdict = passed(column, measured) if column.marked(trigger) else None
            if verdict is not None:
                word = "pass" if verdict else "MISS"
                lines.append(
                    f"{ARMS[arm].title}, {column.title(trigger)}: {shown(column, measured)} {word}"
                )
    return lines


def comparison(trigger: str, runs: Sequence[Run], others: Sequence[Run]) -> list[list[str]]:
    """Heading and rows: what `runs` and `others` measured under the same settings."""
    shape = [
        column
        for column in columns(trigger)
        if column.measure in {"trigger", "after", "amplification", "recovery", "wasted", "p99"}
    ]
    rows = [["arm", "load", *(f"{column.heading}: real / simulated" for column in shape)]]
    simulated = groups(others)
    for key, group in groups(runs).items():
        if key in simulated:
            ours, theirs = ([run.measures for run in each] for each in (group, simulated[key]))
            cells = [f"{shown(column, ours)} / {shown(column, theirs)}" for column in shape]
            rows.append([ARMS[key[0]].title, f"{key[1]:.0%}", *cells])
    return rows


def picture(trigger: str, load: float, runs: Iterable[Run], subtitle: str) -> str:
    """An SVG of the first seed of every arm at `load`; empty if there is none."""
    chosen = [
        group[0]
        for (_, at), group in groups(runs).items()
        if math.isclose(at, load) and group[0].series is not None
    ]
    if len(chosen) > _MANY:
        chosen = [run for run in chosen if run.arm in _DRAWN]
    title = f"{TRIGGERS[trigger].title.capitalize()}, load {load:.0%} of capacity"
    return chart(title, subtitle, [_panel(run) for run in chosen]) if chosen else ""


def _panel(run: Run) -> Panel:
    counts = run.series
    assert counts is not None  # noqa: S101  (the caller looked)
    before, after = _AROUND
    window = slice(int(run.begin) - before, int(run.end) + after)
    offered = [max(count, 1) for count in counts.offered[window]]
    return Panel(
        title=ARMS[run.arm].title,
        note=_note(run),
        good=_shares(counts.good[window], offered),
        attempts=_shares(counts.attempts[window], [run.offered] * len(offered)),
        trigger=run.end - run.begin,
    )


def _shares(counts: Sequence[int], of: Sequence[float]) -> list[float]:
    return [count / base for count, base in zip(counts, of, strict=False)]


def _note(run: Run) -> str:
    recovery = run.measures.recovery
    if math.isinf(recovery):
        told = "does not recover"
    elif recovery == 0:
        told = "recovers at once"
    else:
        told = f"recovers after {recovery:.0f} s"
    return f"{told}; {run.measures.amplification:.1f} times the load at most"

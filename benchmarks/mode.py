"""Does the mode keep still, and is it there in time? Simulated scores, one a second.

Usage, in an environment that has `resilient` (that of ``nox -s bench`` has)::

    python benchmarks/mode.py               # every rule, 20 hours at each level, and what it costs
    python benchmarks/mode.py --quick       # 4 hours at each level: a first impression
    python benchmarks/mode.py --seeds 50    # more hours; about a minute for each ten
    python benchmarks/mode.py --write       # the tables into README.md, the pictures into docs

Every simulation is seeded: the same figures each time, on any machine. It always ends with 0.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import mean, median

import mode_cost
from _measure import Effort
from _report import machine, versions
from mode_picture import Story, draw
from mode_simulation import (
    MEANS,
    RULES,
    SPREADS,
    Change,
    brownout,
    flapping,
    noise,
    outage,
    seeded,
)

from resilient import Mode

_HERE = Path(__file__).parent
_PICTURES = _HERE.parent / "docs" / "pictures"
_MARKERS = "<!-- begin mode -->", "<!-- end mode -->"
_SHOWN = 3600  # seconds of an hour
_NEVER = "never"


# Steadiness ---------------------------------------------------------------------------------


def steadiness(seeds: int) -> list[list[str]]:
    """Heading and rows: changes per hour under noise, and with a dependency that flaps."""
    head = ["rule"]
    for spread in SPREADS:
        head += [f"noise {spread:.2f}: all hours", "worst level", "worst hour"]
    rows = [[*head, "ill 40 of every 120 s"]]
    for name, rule in RULES.items():
        cells = [name]
        for spread in SPREADS:
            levels = [
                [len(rule(noise(seeded(seed, at), [at] * _SHOWN, spread))) for seed in range(seeds)]
                for at in MEANS
            ]
            averages = [mean(counts) for counts in levels]
            cells += [f"{mean(averages):.1f}", f"{max(averages):.1f}"]
            cells.append(str(max(max(counts) for counts in levels)))
        rows.append([*cells, str(len(rule(flapping())))])
    return [*rows, ["to beat (design)", *("", "3", "3", "", "5", "5"), "15"]]


# Times --------------------------------------------------------------------------------------


def times(seeds: int) -> list[list[str]]:
    """Heading and rows: seconds to detect and to recover."""
    rows = [
        [
            "rule",
            "outage: EMERGENCY",
            "over: DEGRADED",
            "over: NORMAL",
            "with noise 0.05: NORMAL (worst)",
            "fall to 70: DEGRADED",
            "over: NORMAL",
        ]
    ]
    for name, rule in RULES.items():
        calm, dim = rule(outage()), rule(brownout())
        noisy = [
            _after(rule(noise(seed, outage(0.97), 0.05)), 200, Mode.NORMAL) for seed in range(seeds)
        ]
        known = [one for one in noisy if one is not None]
        rows.append(
            [
                name,
                _told(_after(calm, 100, Mode.EMERGENCY)),
                _told(_after(calm, 200, Mode.DEGRADED)),
                _told(_after(calm, 200, Mode.NORMAL)),
                f"{median(known):.1f} ({max(known):.1f})" if len(known) == seeds else _NEVER,
                _told(_after(dim, 100, Mode.DEGRADED)),
                _told(_after(dim, 600, Mode.NORMAL)),
            ]
        )
    return [*rows, ["to beat (design)", "3", "", "90", "", "4", ""]]


def _after(changes: Sequence[Change], begin: float, mode: Mode) -> float | None:
    """Seconds from `begin` to the first change into `mode`, or past it to a better one."""
    for at, entered in changes:
        if at >= begin and (entered is mode or (begin > 100 and entered.rank < mode.rank)):  # noqa: PLR2004  (recovery)
            return at - begin
    return None


def _told(seconds: float | None) -> str:
    return _NEVER if seconds is None else f"{seconds:.1f}"


# Cost ---------------------------------------------------------------------------------------


def costs(effort: Effort) -> list[list[str]]:
    """Heading and rows: what an evaluation and a fresh read take."""
    rows = [["what", "takes", "each component"]]
    for size, micros in mode_cost.evaluations(effort).items():
        word = "component" if size == 1 else "components"
        rows.append(
            [f"`mode.evaluate()`, {size} {word}", f"{micros:,.1f} µs", f"{micros / size:.1f} µs"]
        )
    current, wrapper = mode_cost.reading(effort)
    told = f"{current:.0f} ns, {current / wrapper:.2f} of a bare wrapper's call"
    return [*rows, ["`mode.current`, nothing new", told, ""]]


# Pictures -----------------------------------------------------------------------------------


def outage_story() -> Story:
    """A minute in which nothing works, with noise before and after."""
    levels = [0.97] * 60 + [0.02] * 60 + [0.97] * 120
    scores = noise(3, levels, 0.03)
    changes = RULES["the defaults"](scores)
    words = {
        Mode.EMERGENCY: ("EMERGENCY after {:.1f} s", 60, 0.40),
        Mode.DEGRADED: ("DEGRADED {:.0f} s after its end", 120, 0.40),
        Mode.NORMAL: ("NORMAL {:.0f} s after", 120, 0.74),
    }
    notes = []
    for at, entered in changes:
        text, begin, height = words[entered]
        notes.append((at, height, text.format(at - begin)))
    return Story(
        "A hard outage of a minute, without a hard trip",
        "The mode worsens in seconds and improves step by step, when the score has stayed up.",
        scores,
        [(60, 120)],
        [("mode", changes)],
        ticks=20,
        unit=(1, "seconds"),
        notes=notes,
    )


def flapping_story() -> Story:
    """An hour of a dependency that is ill for 40 s of every 120 s."""
    scores = flapping()
    chosen = {"thresholds": "thresholds", "the defaults": "the defaults"}
    return Story(
        "A dependency that is ill for 40 s of every 120 s, for an hour",
        "After two relapses the time to improve is longer than the dependency is ever well.",
        scores,
        [(float(begin), begin + 40.0) for begin in range(80, _SHOWN, 120)],
        [(shown, RULES[name](scores)) for name, shown in chosen.items()],
        ticks=300,
        unit=(60, "minutes"),
    )


# The page -----------------------------------------------------------------------------------


def as_markdown(rows: Sequence[Sequence[str]]) -> str:
    """Rows for a page, the first of which is the heading."""
    head, *rest = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([head, "|---" * len(rows[0]) + "|", *rest])


def as_text(rows: Sequence[Sequence[str]]) -> str:
    """Rows for the screen."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(wide) for cell, wide in zip(row, widths, strict=True)) for row in rows
    ]
    return "\n".join(line.rstrip() for line in lines)


def about(seeds: int) -> str:
    """What was measured, on what, when."""
    today = datetime.now(UTC).date().isoformat()
    return (
        f"Measured {today} on {machine()}; Python {versions()['Python']}, "
        f"resilient-mode {version('resilient-mode')}; {seeds} hours at each level and spread."
    )


def write(tables: Sequence[Sequence[Sequence[str]]], seeds: int) -> None:
    """The tables into README.md, the pictures into docs."""
    path = _HERE / "README.md"
    begin, end = _MARKERS
    head, rest = path.read_text(encoding="utf-8").split(begin, 1)
    tail = rest.split(end, 1)[1]
    body = "\n\n".join([about(seeds), *map(as_markdown, tables)])
    path.write_text(f"{head}{begin}\n{body}\n{end}{tail}", encoding="utf-8")
    for name, story in (("outage", outage_story()), ("flapping", flapping_story())):
        (_PICTURES / f"mode-{name}.svg").write_text(draw(story), encoding="utf-8")


def main(arguments: list[str] | None = None) -> None:
    """Simulate, measure and show."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="4 seeds and short rounds")
    parser.add_argument("--seeds", type=int, default=20, help="hours at each level (20)")
    parser.add_argument("--write", action="store_true", help="write README.md and the pictures")
    options = parser.parse_args(arguments)
    seeds = 4 if options.quick else options.seeds
    effort = Effort(5, 0.003) if options.quick else Effort(15, 0.006)
    tables = [steadiness(seeds), times(seeds), costs(effort)]
    print("\n\n".join(map(as_text, tables)))
    if options.write:
        write(tables, seeds)


if __name__ == "__main__":
    main()

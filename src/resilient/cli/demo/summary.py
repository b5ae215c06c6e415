"""The end of the story in words and figures: the table of both arms, the modes, the verdict."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

from resilient.cli.demo.arm import ARMS, Arm
from resilient.cli.demo.loader import PATIENCE
from resilient.cli.demo.tally import Tally

__all__ = [
    "LABELS",
    "QUALITIES",
    "RESTORED",
    "course",
    "incidents",
    "preface",
    "rows",
    "text",
    "times",
    "verdict",
]

LABELS = {
    "live": "fresh: live from the upstream",
    "database": "stale: recorded in the database",
    "stale": "stale: last good answer in memory",
    "default": "default: a fixed price",
    "late": f"failed: no answer within {PATIENCE:g} s",
    "error": "failed: an error",
}
"""What the kinds of answer are called, best first."""

RESTORED = (
    "After the restore the connections of both services belong to a file that is gone: they can "
    "write no more. The protected service opens others, and asks its probe whether that helped; "
    "the bare one waits for somebody to restart it."
)
"""Why one of them comes back and the other does not."""

QUALITIES = ("full", "reduced", "minimal")
"""What the header ``X-Response-Quality`` may say, best first."""


def preface(tally: Tally) -> str:
    """Return what is about to be seen, and how it is set."""
    story = (
        f"A pricing service runs twice for {tally.seconds:g} s, bare and protected. Both get the "
        f"same requests,\nabout {tally.rate:g} a second (seed {tally.seed}), from clients that "
        f"wait {PATIENCE:g} s; the faults are real."
    )
    settings = [f"  {name}: {value}" for name, value in tally.settings.items()]
    return "\n".join([story, "For a run this short, the protected service was set:", *settings])


def rows(tally: Tally) -> list[tuple[str, ...]]:
    """Return the table: a label, then the figure of each arm; the first row is the head."""
    arms = [tally.arms[name] for name in ARMS]
    table: list[tuple[str, ...]] = [("", *ARMS)]
    table.append(("requests", *(f"{arm.total}" for arm in arms)))
    table += [(label, *(_share(arm, kind) for arm in arms)) for kind, label in LABELS.items()]
    table += [(f"p{p} of the wait", *(_wait(arm, p / 100) for arm in arms)) for p in (50, 99)]
    table.append(("requests to the upstream", *(f"{arm.attempts}" for arm in arms)))
    table.append(("answers with suggestions", *(_part(arm, arm.extras) for arm in arms)))
    for quality in QUALITIES:
        table.append((f"said of itself: {quality}", *(_said(arm, quality) for arm in arms)))
    return table


def _said(arm: Arm, quality: str) -> str:
    return _part(arm, arm.qualities[quality]) if arm.qualities else "-"


def _share(arm: Arm, kind: str) -> str:
    return _part(arm, arm.kinds[kind])


def _part(arm: Arm, count: int) -> str:
    return f"{count} ({100 * count / arm.total:.1f} %)" if count else "0"


def _wait(arm: Arm, share: float) -> str:
    wait = arm.wait(share)
    return f"over {PATIENCE:g} s" if wait >= PATIENCE else f"{wait * 1000:.1f} ms"


def course(tally: Tally) -> list[tuple[str, str, str]]:
    """Return the timeline of modes: when, what, and why."""
    return [
        (f"{c.at:.1f} s", f"{c.old} to {c.new}, score {c.score:.0f}", "; ".join(c.reasons))
        for c in tally.changes
    ]


def incidents(tally: Tally) -> list[tuple[str, ...]]:
    """Return the table of incidents; the first row is the head."""
    head = ("incident", "began", "worst mode", "detected in", "lasted", "requests", "answered")
    return [head, *map(_incident, tally.status.get("incidents", ()))]


def _incident(found: dict[str, Any]) -> tuple[str, ...]:
    detected, lasted, answered = found["detected_in"], found["lasted"], found["availability"]
    return (
        f"{found['number']}",
        f"{found['at']:.1f} s",
        found["worst"],
        "-" if detected is None else f"{detected:.1f} s",
        "goes on" if lasted is None else f"{lasted:.1f} s",
        f"{found['calls']}",
        "-" if answered is None else f"{100 * answered:.1f} %",
    )


def times(tally: Tally) -> list[tuple[str, str]]:
    """Return each mode, and the seconds spent in it."""
    return [(mode, f"{spent:.1f} s") for mode, spent in tally.status.get("times", {}).items()]


def verdict(tally: Tally) -> str:
    """Return one sentence that compares the arms."""
    bare, protected = (tally.arms[name] for name in ARMS)
    return (
        f"Under the same load and the same faults, the bare service failed {bare.failed} of "
        f"{bare.total} requests, the protected one {protected.failed} of {protected.total}."
    )


def text(tally: Tally) -> str:
    """Return all of it as plain lines."""
    return "\n".join(_lines(tally))


def _lines(tally: Tally) -> Iterator[str]:
    yield from _aligned(rows(tally))
    yield "(the wait is until an answer, or until the client gave up; quick errors left out)"
    yield ""
    yield "modes of the protected service:"
    for at, what, why in course(tally) or [("", "it stayed NORMAL", "")]:
        yield f"  {at:>7}  {what}" + (f": {why}" if why else "")
    yield ""
    yield from _aligned(incidents(tally))
    yield "time in " + ", ".join(f"{mode}: {spent}" for mode, spent in times(tally))
    yield ""
    yield from textwrap.wrap(RESTORED, 100)
    yield verdict(tally)


def _aligned(table: list[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    for label, *figures in table:
        cells = [figure.rjust(width) for figure, width in zip(figures, widths[1:], strict=True)]
        yield "  ".join([label.ljust(widths[0]), *cells]).rstrip()

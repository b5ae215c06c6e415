"""The tables at the end of the report: incidents, what the modes cost, headers, and the log."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from resilient.cli.demo import palette, summary
from resilient.cli.demo.markup import Markup, element
from resilient.cli.demo.tally import Tally

__all__ = ["headers", "impacts", "incidents", "notes", "times"]

FIGURES: dict[str, tuple[str, Callable[[float], str]]] = {
    "latency": ("mean latency", lambda value: f"{1000 * value:.1f} ms"),
    "error_rate": ("errors", lambda value: f"{100 * value:.1f} %"),
    "availability": ("availability", lambda value: f"{100 * value:.1f} %"),
}
"""Each figure of an impact: what it is called, and how it is written."""


def times(tally: Tally) -> Markup:
    """Return how long each mode lasted."""
    spent = ", ".join(f"{mode} {lasted}" for mode, lasted in summary.times(tally))
    return element("p", f"Time in each mode, from the start of the service: {spent or 'unknown'}.")


def incidents(tally: Tally) -> Markup:
    """Return the times that NORMAL was left."""
    head, *rest = summary.incidents(tally)
    if not rest:
        return element("p", "There was none.")
    return _table(head, rest)


def impacts(tally: Tally) -> Iterator[Markup]:
    """Return what was measured in each mode when it was slowest, beside what was declared."""
    yield element(
        "p",
        "Measured over 5 s, at the moment in which each mode was slowest, beside what was declared "
        "for this mode and for NORMAL. A failure that is answered otherwise is no error.",
    )
    head = ("mode", "figure", "measured", "declared", "in NORMAL", "against NORMAL")
    modes = [mode for mode in palette.MODE if mode in tally.impacts]
    yield _table(head, [row for mode in modes for row in _impact(mode, tally.impacts[mode])])


def _impact(mode: str, found: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for name, (words, shown) in FIGURES.items():
        values = [found[column][name] for column in ("measured", "expected", "normal")]
        cells = ["-" if value is None else shown(value) for value in values]
        yield (mode, words, *cells, _worse(found["worse"].get(name)))
        mode = ""  # said once


def _worse(percent: float | None) -> str:
    if percent is None:
        return "-"
    return f"{percent:.0f} % worse" if percent > 0 else "no worse"


def headers(tally: Tally) -> Iterator[Markup]:
    """Return the headers of the first answer of each mode."""
    yield element("p", "The first answer that a client got in each mode.")
    modes = [mode for mode in palette.MODE if mode.lower() in tally.samples]
    samples = [tally.samples[mode.lower()] for mode in modes]
    names = dict.fromkeys(name for sample in samples for name in sample if name.startswith("x-"))
    rows = [(name, *(sample.get(name, "") for sample in samples)) for name in names]
    yield _table(("header", *modes), rows, class_="headers")


def notes(tally: Tally) -> Markup:
    """Return the log: what was seen, told and tried, in order."""
    found = sorted(tally.notes, key=lambda note: note.at)
    return _table(
        ("at", "who", "said"),
        [(f"{note.at:.1f} s", note.source, note.words) for note in found],
        class_="notes",
    )


def _table(head: Iterable[str], rows: Iterable[Iterable[str]], **attributes: str) -> Markup:
    top = element("tr", [element("th", cell) for cell in head])
    lines = [element("tr", [element("td", cell) for cell in row]) for row in rows]
    return element("table", element("thead", top), element("tbody", lines), **attributes)

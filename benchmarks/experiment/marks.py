"""The pass marks, and what a table says of each measure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from .measures import Measures

__all__ = ["COLUMNS", "MARKED_LOAD", "Column", "columns", "passed", "shown"]

MARKED_LOAD = 0.8
"""The marks are for this load."""


@dataclass(frozen=True, slots=True)
class Column:
    """A measure in a table: its heading, how it is written, and its mark if there is one.

    `triggers` are those it is marked under, `only` those it is shown under (empty: all).
    """

    measure: str
    heading: str
    form: str
    mark: float | None = None
    at_least: bool = False
    triggers: tuple[str, ...] = ()
    only: tuple[str, ...] = ()

    def title(self, trigger: str) -> str:
        """The heading, with the mark that holds under `trigger`."""
        if not self.marked(trigger) or self.mark is None:
            return self.heading
        sign = ">=" if self.at_least else "<="
        return f"{self.heading} ({sign} {self.write(self.mark)})"

    def marked(self, trigger: str) -> bool:
        """Whether the mark holds under `trigger`."""
        return self.mark is not None and trigger in self.triggers

    def write(self, value: float | None) -> str:
        """A value as people read it."""
        if value is None:
            return "-"
        return "never" if math.isinf(value) else self.form.format(value)


_HARD = ("brownout", "workers", "stall", "spike", "cache")
_ALL = (*_HARD, "replica", "keys", "overload")

COLUMNS = [
    Column("steady", "goodput before", "{:.1%}"),
    Column("trigger", "during", "{:.1%}"),
    Column("after", "after", "{:.1%}"),
    Column("amplification", "amplification", "{:.2f} x", 1.3, triggers=_HARD),
    Column("recovery", "recovery", "{:.0f} s", 15, triggers=_HARD, only=_HARD),
    Column("wasted", "wasted work", "{:.1%}", 0.10, triggers=_HARD),
    Column("false_rejections", "false rejections", "{:.2%}", 0.001, triggers=_ALL),
    Column("healthy_lost", "healthy keys lost", "{:.1%}", 0.02, triggers=("keys",), only=("keys",)),
    Column(
        "critical",
        "critical available",
        "{:.1%}",
        0.99,
        at_least=True,
        triggers=("overload",),
        only=("overload",),
    ),
    Column("sheddable", "sheddable available", "{:.1%}", only=("overload",)),
    Column("p50", "p50", "{:.3f} s", only=("replica",)),
    Column("p99", "p99", "{:.3f} s", only=("replica",)),
    Column("p999", "p99.9", "{:.3f} s", only=("replica",)),
    Column("extra", "attempts per call", "{:.2f}", only=("replica",)),
]


def columns(trigger: str) -> list[Column]:
    """The columns of a table about `trigger`."""
    return [column for column in COLUMNS if not column.only or trigger in column.only]


def values(column: Column, runs: Sequence[Measures]) -> list[float]:
    """What each run measured, where there was anything to measure."""
    found = [getattr(run, column.measure) for run in runs]
    return [value for value in found if value is not None]


def passed(column: Column, runs: Sequence[Measures]) -> bool | None:
    """Whether every run meets the mark; `None` without a mark or a measurement."""
    measured = values(column, runs)
    if column.mark is None or not measured:
        return None
    if column.at_least:
        return min(measured) >= column.mark
    return max(measured) <= column.mark


def shown(column: Column, runs: Sequence[Measures]) -> str:
    """The median of the runs, and their range if it can be seen."""
    measured = values(column, runs)
    if not measured:
        return "-"
    low, middle, high = (
        column.write(value) for value in (min(measured), median(measured), max(measured))
    )
    return middle if low == high else f"{middle} ({low}..{high})"

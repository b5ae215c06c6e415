"""What happened, counted: every answer of both arms, and the course of modes and circuits."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from resilient.cli.demo.faults import Fault, FaultKind
from resilient.cli.demo.loader import PATIENCE, Record

__all__ = ["ARMS", "FAILED", "KINDS", "Arm", "Change", "Span", "Tally", "percentile"]

ARMS = ("bare", "protected")
KINDS = ("live", "database", "stale", "default", "late", "error")
"""Where an answer came from, best first, and the two ways to fail."""
FAILED = frozenset({"late", "error"})


def percentile(values: Iterable[float], share: float) -> float:
    """Return the smallest of `values` that at least `share` of them do not exceed; 0 of none.

    Example::

        percentile([1, 2, 3, 4], 0.5)  # 2
    """
    ranked = sorted(values)
    if not ranked:
        return 0.0
    return ranked[max(0, math.ceil(share * len(ranked)) - 1)]


@dataclass
class Arm:
    """The answers of one service.

    `kinds` and `freshness` count them; `course` counts them by the second in which they were
    asked for, `ended` by the second in which they ended; `waits` are seconds until an answer came
    or the client gave up; `attempts` is how often the upstream was asked.
    """

    kinds: Counter[str] = field(default_factory=Counter)
    freshness: Counter[str] = field(default_factory=Counter)
    course: dict[int, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    ended: dict[int, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    waits: list[float] = field(default_factory=list)
    attempts: int = 0

    @property
    def total(self) -> int:
        """Requests sent."""
        return self.kinds.total()

    @property
    def failed(self) -> int:
        """Requests that got no answer, or none in time."""
        return sum(self.kinds[kind] for kind in FAILED)

    def add(self, at: float, took: float, kind: str, freshness: str) -> None:
        """Count one request."""
        self.kinds[kind] += 1
        self.course[int(at)][kind] += 1
        self.ended[int(at + took)][kind] += 1
        if kind != "error":
            # A quick refusal is no quick answer: errors would flatter the figures.
            self.waits.append(min(took, PATIENCE))
        if freshness:
            self.freshness[freshness] += 1

    def wait(self, share: float) -> float:
        """Return the percentile of the waits, in seconds."""
        return percentile(self.waits, share)


@dataclass(frozen=True, slots=True)
class Change:
    """At `at` seconds, the mode went from `old` to `new`, with this score and these reasons."""

    at: float
    old: str
    new: str
    score: float
    reasons: tuple[str, ...]


@dataclass
class Span:
    """`what` held from `start` until `end` (`None`: it still does), in seconds."""

    what: str
    start: float
    end: float | None = None


@dataclass
class Tally:
    """Everything a view or the report shows.

    `faults` are those that really happened, with the times at which they took effect.
    """

    seconds: float
    rate: float
    seed: int
    arms: dict[str, Arm] = field(default_factory=lambda: {arm: Arm() for arm in ARMS})
    faults: list[Span] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    circuits: dict[str, list[Span]] = field(default_factory=dict)
    scores: list[tuple[float, float]] = field(default_factory=list)
    status: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)

    def record(self, records: Sequence[Record]) -> None:
        """Count what the loader saw."""
        for arm, at, took, kind, freshness in records:
            self.arms[arm].add(at, took, kind, freshness)

    def fault(self, fault: Fault, at: float, *, begins: bool) -> None:
        """Note that `fault` took effect, or ended, at `at`."""
        if begins:
            self.faults.append(Span(fault.kind.value, at))
            return
        for span in self.faults:
            if span.what == fault.kind.value and span.end is None:
                span.end = at

    def current_faults(self) -> list[FaultKind]:
        """Return what is wrong now."""
        return [FaultKind(span.what) for span in self.faults if span.end is None]

    def circuit(self, name: str, state: str, at: float) -> None:
        """Note that the circuit `name` went to `state` at `at`."""
        course = self.circuits.setdefault(name, [])
        if course:
            course[-1].end = at
        course.append(Span(state, at))

    def modes(self) -> list[Span]:
        """Return the course of modes, from the beginning of the load."""
        spans = [Span(self.changes[0].old if self.changes else "NORMAL", 0.0)]
        for change in self.changes:
            spans[-1].end = change.at
            spans.append(Span(change.new, change.at))
        return spans

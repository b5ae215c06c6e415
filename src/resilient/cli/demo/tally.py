"""What happened, counted: every answer of both arms, and the course of modes and circuits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from resilient.cli.demo.arm import ARMS, Arm
from resilient.cli.demo.faults import Fault, FaultKind
from resilient.cli.demo.loader import Record

__all__ = ["Change", "Course", "Note", "Span", "Tally"]


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
    why: str = ""


@dataclass(frozen=True, slots=True)
class Note:
    """At `at` seconds, an alert, a probe or a recovery said `words`: `bad` news or good."""

    at: float
    source: str
    words: str
    bad: bool


Course = dict[str, list[Span]]
"""By name, what held one after the other."""


def _went(course: Course, name: str, span: Span) -> None:
    """Add `span` to the course of `name`, if it is anything new."""
    spans = course.setdefault(name, [])
    if spans and spans[-1].what == span.what:
        return
    if spans:
        spans[-1].end = span.start
    spans.append(span)


def _slowness(impact: dict[str, Any]) -> float:
    return impact["measured"]["latency"] or 0.0


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
    circuits: Course = field(default_factory=dict)
    features: Course = field(default_factory=dict)
    probes: Course = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    impacts: dict[str, dict[str, Any]] = field(default_factory=dict)
    samples: dict[str, dict[str, str]] = field(default_factory=dict)
    scores: list[tuple[float, float]] = field(default_factory=list)
    status: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)

    def record(self, records: Sequence[Record]) -> None:
        """Count what the loader saw."""
        for record in records:
            self.arms[record.arm].add(record)

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
        _went(self.circuits, name, Span(state, at))

    def probe(self, name: str, state: str, at: float, detail: str) -> None:
        """Note that the probe of `name` has changed its mind."""
        _went(self.probes, name, Span(state, at, why=detail))
        bad = state != "healthy"
        self.notes.append(Note(at, "probe", f"{name} is {state}: {detail}", bad))

    def stand(self, status: dict[str, Any], at: float) -> None:
        """Note how the protected service stands; of each mode the impact at its slowest is kept."""
        self.status = status
        self.scores.append((at, status["score"]))
        for name, state in status["features"].items():
            _went(self.features, name, Span(state, at))
        impact = status["impact"]
        kept = self.impacts.get(status["mode"], impact)
        if _slowness(impact) >= _slowness(kept):
            self.impacts[status["mode"]] = impact

    def modes(self) -> list[Span]:
        """Return the course of modes, from the beginning of the load."""
        spans = [Span(self.changes[0].old if self.changes else "NORMAL", 0.0)]
        for change in self.changes:
            spans[-1].end = change.at
            spans.append(Span(change.new, change.at))
        return spans

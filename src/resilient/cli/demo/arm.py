"""The answers of one service, counted."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from resilient.cli.demo.loader import PATIENCE, Record

__all__ = ["ARMS", "FAILED", "KINDS", "Arm", "percentile"]

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
    or the client gave up; `attempts` is how often the upstream was asked; `extras` counts
    answers with suggestions, `qualities` what answers said of themselves.
    """

    kinds: Counter[str] = field(default_factory=Counter)
    freshness: Counter[str] = field(default_factory=Counter)
    course: dict[int, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    ended: dict[int, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    waits: list[float] = field(default_factory=list)
    attempts: int = 0
    extras: int = 0
    qualities: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        """Requests sent."""
        return self.kinds.total()

    @property
    def failed(self) -> int:
        """Requests that got no answer, or none in time."""
        return sum(self.kinds[kind] for kind in FAILED)

    def add(self, record: Record) -> None:
        """Count one request."""
        kind = record.kind
        self.kinds[kind] += 1
        self.course[int(record.at)][kind] += 1
        self.ended[int(record.at + record.took)][kind] += 1
        if kind != "error":
            # A quick refusal is no quick answer: errors would flatter the figures.
            self.waits.append(min(record.took, PATIENCE))
        if record.freshness:
            self.freshness[record.freshness] += 1
        if record.quality:
            self.qualities[record.quality] += 1
        self.extras += record.extra

    def wait(self, share: float) -> float:
        """Return the percentile of the waits, in seconds."""
        return percentile(self.waits, share)

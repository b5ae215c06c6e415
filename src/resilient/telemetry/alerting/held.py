"""What was held back or did not arrive, until one alert sums it up."""

from __future__ import annotations

from collections import Counter, deque

from resilient.events import Severity
from resilient.telemetry.alerting.alert import Alert
from resilient.telemetry.severities import rank

__all__ = ["SUMMARY", "Held"]

SUMMARY = "alerts_held_back"
"""The kind of an alert that sums up others."""

TITLES = 20
"""Titles that a summary tells, the latest ones."""


class Held:
    """Counts alerts by kind, and keeps the worst and the latest titles.

    Example::

        held = Held("more than 10 in 60 s")
        held.add(alert)
        held.summary(mode="NORMAL")
    """

    def __init__(self, why: str) -> None:
        self.why = why
        self.kinds: Counter[str] = Counter()
        self.titles: deque[str] = deque(maxlen=TITLES)
        self.worst: Alert | None = None

    def __len__(self) -> int:
        """How many."""
        return self.kinds.total()

    def add(self, alert: Alert) -> None:
        """Take one more; of a summary, what that sums up."""
        if alert.kind == SUMMARY:
            self.kinds.update(alert.details["kinds"])
            self.titles.extend(alert.details["latest"])
        else:
            self.kinds[alert.kind] += 1
            self.titles.append(alert.title)
        self._compare(alert)

    def duplicates(self, key: str, number: int) -> None:
        """Take `number` repetitions of a thing that is about to be forgotten."""
        self.kinds["duplicate"] += number
        self.titles.append(f"{key}: {number} more of the same")

    def merge(self, other: Held) -> None:
        """Take over what `other` has."""
        self.why = f"{self.why}; {other.why}" if self else other.why
        self.kinds.update(other.kinds)
        self.titles.extend(other.titles)
        if other.worst is not None:
            self._compare(other.worst)

    def summary(self, *, mode: str | None) -> Alert:
        """All of it as one alert, as severe as the worst one."""
        number = len(self)
        worst = "" if self.worst is None else f"; the worst: {_bare(self.worst)}"
        return Alert(
            kind=SUMMARY,
            name="alerts",
            severity=Severity.WARNING if self.worst is None else self.worst.severity,
            title=f"{number} {'alert' if number == 1 else 'alerts'} not told: {self.why}{worst}",
            key="alerts:held back",
            mode=mode,
            suppressed=number,
            details={"kinds": dict(self.kinds), "latest": list(self.titles)},
        )

    def _compare(self, alert: Alert) -> None:
        if self.worst is None or _weight(alert) > _weight(self.worst):
            self.worst = alert


def _weight(alert: Alert) -> tuple[int, bool]:
    """What the whole system does says more than any part of it."""
    return rank(alert.severity), alert.key.startswith("mode:")


def _bare(alert: Alert) -> str:
    """The title, of a summary the title of the worst in it."""
    return alert.title.rpartition("; the worst: ")[2]

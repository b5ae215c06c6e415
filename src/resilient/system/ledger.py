"""Everything that was said about components, brought together for one instant."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple
from weakref import WeakKeyDictionary, WeakSet

from resilient.core.ports import CircuitHealth, Criticality, HealthSource
from resilient.system.decision.component import Component, Evidence
from resilient.system.decision.evidence import Latency, of_circuit
from resilient.system.decision.fallbacks import Fallbacks
from resilient.system.settings import Settings
from resilient.system.view import Job, Witness

__all__ = ["Declared", "Ledger"]


@dataclass(frozen=True, slots=True)
class Declared:
    """What `mode.component` or `mode.metric` said of a name; `None` is nothing."""

    weight: float | None = None
    criticality: Criticality | None = None
    depends_on: tuple[str, ...] | None = None
    latency: Latency | None = None


class _Seen(NamedTuple):
    recorded: int
    at: float


class Ledger:
    """Holds declarations, marks and jobs, and asks witnesses and breakers.

    The three tables are replaced, never changed, so whoever iterates one needs no lock.

    Example::

        ledger = Ledger(Settings())
        ledger.components({"db": [breaker]}, now=0.0)["db"].weight
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.declared: Mapping[str, Declared] = {}
        self.marks: Mapping[str, Evidence] = {}
        self.jobs: Mapping[tuple[str, str], Job] = {}
        self.fallbacks = Fallbacks()
        self.troubles: list[str] = []
        self._lock = threading.RLock()
        self._seen: WeakKeyDictionary[HealthSource, _Seen] = WeakKeyDictionary()
        self._watched: WeakSet[HealthSource] = WeakSet()

    def declare(self, name: str, said: Declared) -> None:
        """Add what was said; what is `None` stays as it was."""
        with self._lock:
            old = self.declared.get(name, Declared())
            merged = Declared(
                old.weight if said.weight is None else said.weight,
                old.criticality if said.criticality is None else said.criticality,
                old.depends_on if said.depends_on is None else said.depends_on,
                old.latency if said.latency is None else said.latency,
            )
            self.declared = {**self.declared, name: merged}

    def mark(self, name: str, evidence: Evidence | None) -> bool:
        """Set the manual mark of a component, or clear it; whether there was one."""
        with self._lock:
            marks = dict(self.marks)
            had = marks.pop(name, None) is not None
            if evidence is not None:
                marks[name] = evidence
            self.marks = marks
        return had

    def employ(self, job: Job) -> Job | None:
        """Add a job; return the one of its kind and name that it replaces."""
        with self._lock:
            replaced = self.jobs.get((job.kind, job.name))
            self.jobs = {**self.jobs, (job.kind, job.name): job}
        return replaced

    def dismiss(self, job: Job) -> bool:
        """Forget a job; whether it was there."""
        with self._lock:
            kept = {key: one for key, one in self.jobs.items() if one is not job}
            known = len(kept) < len(self.jobs)
            self.jobs = kept
        return known

    def after_fork(self) -> None:
        """Take a fresh lock."""
        self._lock = threading.RLock()

    def components(
        self, sources: Mapping[str, list[HealthSource]], now: float, *, promised: bool = True
    ) -> dict[str, Component]:
        """All that is known at `now`; what could not be asked is named in `troubles`.

        Unless anything is `promised`, the silence of a witness means nothing.
        """
        self.troubles = [text for job in self.jobs.values() for text in job.notices()]
        self.marks = {name: mark for name, mark in self.marks.items() if now < mark.until}
        witnesses: dict[str, list[Witness]] = {}
        for job in self.jobs.values():
            if isinstance(job, Witness):
                witnesses.setdefault(job.name, []).append(job)
        names = {*sources, *self.declared, *self.marks, *witnesses}
        found = {
            name: self._component(name, sources.get(name, []), witnesses.get(name, []), now)
            for name in names
        }
        if promised:
            return found
        return {name: replace(one, blind_from=math.inf) for name, one in found.items()}

    def _component(
        self, name: str, sources: list[HealthSource], witnesses: list[Witness], now: float
    ) -> Component:
        declared = self.declared.get(name, Declared())
        criticality = declared.criticality or _most_critical(sources) or Criticality.MEDIUM
        given = [one.weight for one in sources if one.weight is not None]
        weight = declared.weight or max(given, default=None) or float(criticality.value)
        evidence = [one for source in sources for one in self._ask(source, declared.latency, now)]
        evidence += [mark] if (mark := self.marks.get(name)) else []
        evidence += [said for one in witnesses for said in one.evidence(self.settings.fresh_for)]
        return Component(
            name,
            weight,
            criticality,
            declared.depends_on or (),
            tuple(evidence),
            self.fallbacks.softened_until(name),
            min((one.blind_from() for one in witnesses), default=math.inf),
        )

    def _ask(self, source: HealthSource, latency: Latency | None, now: float) -> list[Evidence]:
        try:
            if latency is not None and source not in self._watched:
                self._watched.add(source)
                source.watch_latency()
            health = source.health()
        except Exception as error:  # noqa: BLE001  (one broken source must not blind the rest)
            self.troubles.append(f"DROPPED: asking {source.name} raised {error!r}")
            return []
        until = now - self._age(source, health, now) + self.settings.fresh_for
        return of_circuit(health, until, self.settings, latency)

    def _age(self, source: HealthSource, health: CircuitHealth, now: float) -> float:
        """Seconds since its last outcome; where no clock says, since a new one was seen."""
        if health.age is not None:
            return health.age
        if health.recorded == 0:
            return math.inf
        seen = self._seen.get(source)
        if seen is None or seen.recorded != health.recorded:
            self._seen[source] = seen = _Seen(health.recorded, now)
        return now - seen.at


def _most_critical(sources: Iterable[HealthSource]) -> Criticality | None:
    given = [one.criticality for one in sources if one.criticality is not None]
    return max(given, key=lambda one: one.value, default=None)

"""What happened to components between two looks, as events."""

from __future__ import annotations

from resilient.events import ComponentFailed, ComponentRecovered, Event, Severity
from resilient.system.decision.cascade import Cascade
from resilient.system.decision.engine import Engine
from resilient.system.decision.score import Contribution

__all__ = ["CascadeDetected", "Noticing"]


class CascadeDetected(Event, frozen=True, kw_only=True):
    """One failure brought others with it, or one more.

    Fields: `name`, that of the mode; `trigger`, the component it began with; `chain`, all that it
    reached so far, in order.

    Example::

        resilient.subscribe(CascadeDetected, lambda event: print(*event.chain, sep=" -> "))
    """

    trigger: str
    chain: tuple[str, ...]

    @property
    def severity(self) -> Severity:
        """Several components at once."""
        return Severity.ERROR


class Noticing:
    """Remembers what was told, so that each thing is told once.

    Example::

        noticing = Noticing("system")
        noticing.news(engine)  # [ComponentFailed(name="redis", ...)]
    """

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self._failed: dict[str, float] = {}
        self._cascade: Cascade | None = None

    def news(self, engine: Engine) -> list[Event]:
        """What is new since the last time, in a sensible order."""
        since, old = engine.onsets.since, self._failed
        if since == old and not since:
            return []
        self._failed = dict(since)
        known = {row.name: row for row in engine.assessment.contributions}
        fallen = sorted(since.keys() - old.keys(), key=lambda name: since[name])
        made: list[Event] = [self._failure(known[name]) for name in fallen]
        for name in sorted(old.keys() - since.keys()):
            health = known[name].health if name in known else None
            if health is not None:  # else nothing is known of it any more
                took = engine.now - old[name]
                made.append(
                    ComponentRecovered(name=name, mode=self.mode, health=health, seconds=took)
                )
        return made + self._spreading(engine)

    def _failure(self, row: Contribution) -> ComponentFailed:
        health = row.health or 0.0
        return ComponentFailed(
            name=row.name, mode=self.mode, health=health, signal=row.signal, detail=row.detail
        )

    def _spreading(self, engine: Engine) -> list[Event]:
        cascade, before = engine.cascade(), self._cascade
        self._cascade = cascade
        if cascade is None or (before is not None and set(cascade.chain) <= set(before.chain)):
            return []
        return [CascadeDetected(name=self.mode, trigger=cascade.trigger, chain=cascade.chain)]

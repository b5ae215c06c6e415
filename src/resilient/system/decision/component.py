"""What is known of one component, and how evidence of any kind becomes its health."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import Enum

from resilient.core.ports import Criticality

__all__ = ["Component", "Evidence", "Standing"]


class Standing(Enum):
    """How much is known of a component.

    Members: `KNOWN`, by evidence that is fresh; `IDLE`, nothing fresh and nothing promised, so it
    counts for nothing; `BLIND`, knowledge was promised and has fallen silent.
    """

    KNOWN = "known"
    IDLE = "idle"
    BLIND = "blind"


@dataclass(frozen=True, slots=True)
class Evidence:
    """One signal about one component.

    Fields: `signal`, its kind (``breaker``, ``availability``, ``latency``, ``mark``, ``metric``);
    `value`, 0 (dead) to 1 (well); `until`, the instant from which it counts no more; `detail`, what
    was seen, in words.

    Example::

        Evidence("breaker", 0.0, math.inf, "open")
    """

    signal: str
    value: float
    until: float = math.inf
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Component:
    """Something the application depends on, with all that was said about it.

    Fields: `name`; `weight` in the mean; `criticality`, which decides its gate; `depends_on`, names
    of other components; `evidence`; `softened_until`, the instant up to which a working fallback
    answers for it; `blind_from`, the instant from which silence means BLIND (never, by default).

    Example::

        Component("redis", 2.0, evidence=(Evidence("breaker", 0.5),))
    """

    name: str
    weight: float
    criticality: Criticality = Criticality.MEDIUM
    depends_on: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    softened_until: float = -math.inf
    blind_from: float = math.inf

    def worst(self, now: float) -> Evidence | None:
        """The fresh evidence of the least value, which sets the health; `None` if none is fresh."""
        fresh = [one for one in self.evidence if now < one.until]
        return min(fresh, key=lambda one: one.value, default=None)

    def standing(self, now: float) -> Standing:
        """How much is known at `now`."""
        if self.worst(now) is not None:
            return Standing.KNOWN
        return Standing.BLIND if now >= self.blind_from else Standing.IDLE

    def softened(self, now: float) -> bool:
        """Whether a working fallback answers for it at `now`."""
        return now < self.softened_until

    def values(self, signal: str) -> list[float]:
        """What evidence of one kind says."""
        return [one.value for one in self.evidence if one.signal == signal]

    def says(self, evidence: Evidence, now: float) -> bool:
        """Whether the same is known already: as good, of the same kind, and both fresh at `now`."""
        known = [one for one in self.evidence if one.signal == evidence.signal]
        same = [one.value == evidence.value and now < one.until for one in known]
        return same == [True] and now < evidence.until

    def boundaries(self) -> list[float]:
        """The instants at which what is known changes by the mere passing of time."""
        return [one.until for one in self.evidence] + [self.softened_until, self.blind_from]

    def having(self, evidence: Evidence) -> Component:
        """The same component with `evidence` in place of what was known of that kind.

        A breaker's verdict also takes the place of its success rate: it begins a new count.
        """
        kinds = {evidence.signal, "availability" if evidence.signal == "breaker" else ""}
        kept = [one for one in self.evidence if one.signal not in kinds]
        return replace(self, evidence=(*kept, evidence))

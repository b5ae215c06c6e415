"""How much the call under way matters: where overload makes somebody lose, the least does."""

from __future__ import annotations

from contextvars import ContextVar

from resilient.core.ports import Criticality

__all__ = ["DEFAULT", "current", "importance", "rank"]

DEFAULT = Criticality.HIGH
"""Of a call that nobody has marked. What is made to wait for users matters; what may be shed is
marked so (Beyer et al., "Site Reliability Engineering", 2016, chapter 21: CRITICAL, the second
level of four, is the default)."""

current: ContextVar[Criticality | None] = ContextVar("resilient_criticality", default=None)
"""What the call under way was marked with; see `resilient.criticality`."""


def importance() -> Criticality:
    """The criticality of the call under way in this task or thread; HIGH if it was not marked.

    Example::

        headers["X-Criticality"] = resilient.importance().name
    """
    return current.get() or DEFAULT


def rank(level: Criticality) -> int:
    """0 for CRITICAL, which goes first, to 3 for LOW, which is shed first."""
    return _RANKS[level]


_RANKS = {level: place for place, level in enumerate(Criticality)}

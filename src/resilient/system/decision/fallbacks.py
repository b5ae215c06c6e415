"""Whose calls are answered by a fallback that works."""

from __future__ import annotations

import math
from collections import deque

__all__ = ["Fallbacks"]

LAST = 20
"""Answers that are judged."""

LEAST = 3
"""Answers before anything is judged."""

SHARE = 0.95
"""Share of good answers from which a fallback works."""

REMEMBERED = 900.0
"""Seconds after which the last answer says nothing about today."""


class Fallbacks:
    """Counts, per component, how the fallbacks around it answered.

    Example::

        fallbacks = Fallbacks()
        fallbacks.note("redis", worked=True, now=0.0)  # False: not yet judged
    """

    def __init__(self) -> None:
        self._answers: dict[str, deque[bool]] = {}
        self._last: dict[str, float] = {}

    def note(self, name: str, *, worked: bool, now: float) -> bool:
        """Count one answer; return whether it turned the verdict."""
        before = self.softened_until(name) > now
        self._answers.setdefault(name, deque(maxlen=LAST)).append(worked)
        self._last[name] = now
        return before is not (self.softened_until(name) > now)

    def softened_until(self, name: str) -> float:
        """The instant up to which the component gates softer; minus infinity if it does not."""
        answers = list(self._answers.get(name, ()))
        if len(answers) < LEAST or sum(answers) < SHARE * len(answers):
            return -math.inf
        return self._last[name] + REMEMBERED

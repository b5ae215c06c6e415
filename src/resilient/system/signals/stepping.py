"""Steps up and down with a gap between their edges, so that they do not follow each wobble."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["StepRules", "Steps"]


@dataclass(frozen=True, slots=True)
class StepRules:
    """Up above `above`, down below `below`, no two steps within `pause` seconds, `most` up.

    0.8 and 0.3 are the figures of "Success and Failure States".
    """

    above: float = 0.8
    below: float = 0.3
    pause: float = 60.0
    most: int = 1


class Steps:
    """How many steps up were taken; there are never fewer than none.

    Example::

        steps = Steps(StepRules())
        steps.decide(0.85, now=0.0)  # 1: one up
        steps.decide(0.5, now=90.0)  # 0: stay
        steps.decide(0.29, now=90.0)  # -1: one down
    """

    def __init__(self, rules: StepRules) -> None:
        self.rules = rules
        self.taken = 0
        self._last = -math.inf

    def decide(self, expected: float, now: float) -> int:
        """1, -1 or 0: the step that was taken just now, given what is to be expected."""
        rules = self.rules
        if now - self._last < rules.pause:
            return 0
        step = int(expected > rules.above and self.taken < rules.most)
        step -= int(expected < rules.below and self.taken > 0)
        if step:
            self.taken += step
            self._last = now
        return step

    def undo(self, step: int) -> None:
        """It could not be done; it is tried again after the pause."""
        self.taken = min(self.rules.most, max(0, self.taken - step))

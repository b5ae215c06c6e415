"""How often to try to bring a component back, and what is known of it at one instant."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from resilient.system.recoveries.stage import RecoveryStage

__all__ = ["LONGEST", "Move", "RecoveryRules", "Sight"]

LONGEST = 1e9
"""Seconds; a wait that doubles is bounded by the range of its float, if by nothing else."""


class RecoveryRules(NamedTuple):
    """How often, how soon, and below which health. Durations in seconds."""

    backoff: float = 30.0
    factor: float = 2.0
    attempts: int = 5
    longest: float = LONGEST
    below: float = 0.4
    jitter: float = 0.0

    def wait(self, attempt: int, uniform: Callable[[float, float], float]) -> float:
        """Seconds between attempt number `attempt` (0: the failure) and the next one."""
        try:
            planned = self.backoff * self.factor**attempt
        except OverflowError:
            planned = math.inf if self.backoff else 0.0
        return min(planned, self.longest) * uniform(1 - self.jitter, 1 + self.jitter)


class Sight(NamedTuple):
    """What is known of a component at one instant.

    `health` is `None` if it is unknown; `blind`, that knowledge of it was promised; `first`, what
    has failed of what it depends on.
    """

    now: float
    health: float | None = None
    blind: bool = False
    first: tuple[str, ...] = ()
    said: str = ""

    @property
    def silent(self) -> bool:
        """Whether nothing says anything of it, and nothing should: it has not failed, then."""
        return self.health is None and not self.blind


class Move(NamedTuple):
    """A change of stage, and what held then."""

    old: RecoveryStage
    new: RecoveryStage
    attempt: int
    next_in: float | None
    error: str
    seconds: float

"""How much of a limit each criticality may use, so that the least critical is shed first."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from resilient.core.ports import Criticality
from resilient.errors import ConfigError
from resilient.policies.levels import shares

__all__ = ["DEFAULT_SHARES", "Room", "Shares", "highest", "read_shares"]

Shares = Mapping[Criticality | str, float]

DEFAULT_SHARES = {
    Criticality.CRITICAL: 1.0,
    Criticality.HIGH: 0.9,
    Criticality.MEDIUM: 0.75,
    Criticality.LOW: 0.5,
}
"""The last tenth is kept for what is CRITICAL, and LOW may fill no more than half. Chosen, not
published: wide enough for four different numbers from a limit of 10 on."""

_ROUNDING = 1e-9


class Room:
    """What one level may use: with `bound` calls in flight, of all levels, none more is admitted.

    `peak` is the highest number in flight that a call of this level made, in the present window.
    """

    __slots__ = ("bound", "peak", "share")

    def __init__(self, share: float, limit: int) -> None:
        self.share = share
        self.peak = 0
        self.bound = 1
        self.resize(limit)

    def resize(self, limit: int) -> None:
        """Follow the limit. It is 1 at least, so something is always admitted."""
        self.bound = max(1, math.ceil(self.share * limit - _ROUNDING))

    def used(self) -> float:
        """The part of the bound that was used: a level that fills its own has filled the limit."""
        return self.peak / self.bound


def highest(rooms: Iterable[Room]) -> float:
    """The part that was used of the fullest room in the window that ends now."""
    most = 0.0
    for room in rooms:
        most = max(most, room.used())
        room.peak = 0
    return most


def read_shares(partitions: Shares | None) -> dict[Criticality, float]:
    """Check shares; a level that is not named keeps its default.

    Raises `ConfigError` for a share outside (0, 1], or a level with more than a more critical one.
    """
    given = {} if partitions is None else shares("partitions", partitions)
    found = {**DEFAULT_SHARES, **given}
    most = list(found.values())
    if most != sorted(most, reverse=True):
        allowed = "shares that do not grow from CRITICAL to LOW (not named: 1, 0.9, 0.75, 0.5)"
        raise ConfigError("partitions", partitions, allowed)
    return found

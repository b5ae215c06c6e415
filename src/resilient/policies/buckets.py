"""Amounts over the last seconds, in a ring of buckets; an expired bucket leaves whole."""

from __future__ import annotations

import math
from collections.abc import Sequence

from resilient.policies.match import positive

__all__ = ["BUCKETS", "Buckets"]

BUCKETS = 10
"""Buckets of a window: those that are full, and the one under way."""


class Buckets:
    """The amounts in the last `number` buckets of `width` seconds, the one under way included.

    It has no lock: its owner has one.
    """

    __slots__ = ("_amounts", "_slot", "_width")

    def __init__(self, width: float, now: float, number: int = BUCKETS) -> None:
        self._width = width
        self._slot = math.floor(now / width)
        self._amounts: list[float] = [0] * number

    def roll(self, now: float) -> None:
        """Let time pass. An instant before the bucket under way changes nothing."""
        passed = math.floor(now / self._width) - self._slot
        if passed > 0:
            self._slot += passed
            expired = min(passed, len(self._amounts))
            del self._amounts[:expired]
            self._amounts.extend([0] * expired)

    def add(self, amount: float) -> None:
        """Put `amount` into the bucket under way."""
        self._amounts[-1] += amount

    def spread(self, amount: float, since: float, now: float) -> None:
        """Put in `amount`, evenly over the time from `since` to `now`, which must have rolled."""
        if since >= now:
            self.add(amount)
            return
        begin = (self._slot + 1 - len(self._amounts)) * self._width
        for place in range(len(self._amounts)):
            overlap = min(now, begin + self._width) - max(since, begin)
            if overlap > 0:
                self._amounts[place] += amount * overlap / (now - since)
            begin += self._width

    def total(self) -> float:
        """What all of them hold."""
        return sum(self._amounts)

    def until(self) -> float:
        """The end of the bucket under way."""
        return (self._slot + 1) * self._width

    def snapshot(self) -> list[float]:
        """The amounts, oldest first."""
        return self._amounts[:]

    def restore(self, amounts: Sequence[float]) -> None:
        """Take over a `snapshot` as if it had been made now. Raises `ValueError` or its kin."""
        checked = [positive("amounts", amount, zero=True) for amount in amounts]
        if len(checked) != len(self._amounts):
            raise ValueError(amounts)
        self._amounts = checked

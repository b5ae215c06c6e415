"""The trial places of a half-open circuit."""

from __future__ import annotations

import math
from typing import Any

__all__ = ["Trials"]


class Trials:
    """At most `places` calls, outstanding and judged together, decide about a circuit.

    A permit that is given back frees its place. One that is older than `timeout` seconds loses its
    place when somebody else wants it; until then its answer counts.
    """

    __slots__ = ("_bad", "_good", "_needed", "_out", "_places", "_timeout")

    def __init__(self, places: int, success_rate: float, timeout: float) -> None:
        self._places = places
        # Floats such as 0.7 * 10 are a hair above the whole number that is meant.
        self._needed = max(1, math.ceil(success_rate * places - 1e-9))
        self._timeout = timeout
        self._out: list[Any] = []
        self._good = 0
        self._bad = 0

    def admit(self, permit: Any, now: float) -> float | None:
        """Give `permit` a place; if there is none, the seconds until one may come free."""
        if len(self._out) + self._good + self._bad >= self._places:
            if not self._out:
                return 0.0
            left = self._out[0].started + self._timeout - now
            if left > 0:
                return float(left)
            del self._out[0]
        self._out.append(permit)
        return None

    def __contains__(self, permit: object) -> bool:
        """Whether `permit` still has its place."""
        return permit in self._out

    def give_back(self, permit: Any) -> None:
        """Free the place of a call that is not judged."""
        if permit in self._out:
            self._out.remove(permit)

    def settle(self, permit: Any, *, good: bool) -> bool | None:
        """Judge a call; True or False once the verdict is certain, else `None`."""
        if permit not in self._out:
            return None
        self._out.remove(permit)
        self._good += good
        self._bad += not good
        if self._good >= self._needed:
            return True
        if self._bad > self._places - self._needed:
            return False
        return None

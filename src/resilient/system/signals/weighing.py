"""Several figures, each a share of what is much, weighed into one. The arithmetic alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

__all__ = ["SignalPart", "Weighed", "weigh"]


@dataclass(frozen=True, slots=True)
class SignalPart:
    """One part of a `mode.composite`: it adds ``weight * value / scale``.

    Fields: `scale` > 0, the value at which the part alone counts as full; `weight` > 0, compared
    with the other parts; `read`, a function, sync or async, that returns the value, called in the
    background (without one it is `set` by hand); `drain`, by how much the value can fall in a
    second, if it is a backlog.

    Example::

        SignalPart(scale=1000, weight=0.4, read=queue.qsize, drain=50)
    """

    scale: float
    weight: float = 1.0
    read: Callable[[], Any] | None = None
    drain: float | None = None


class Weighed(NamedTuple):
    """A score, the parts that were missing, and the seconds until backlogs are empty."""

    score: float | None
    missing: tuple[str, ...]
    clears_in: float | None


def weigh(parts: Mapping[str, SignalPart], values: Mapping[str, float]) -> Weighed:
    """The mean of ``value / scale`` by weight; the others stand in for a part without a value.

    Example::

        weigh({"depth": SignalPart(100)}, {"depth": 80.0}).score  # 0.8
    """
    known = {name: part for name, part in parts.items() if name in values}
    missing = tuple(name for name in parts if name not in known)
    if not known:
        return Weighed(None, missing, None)
    total = sum(part.weight for part in known.values())
    shares = (part.weight * values[name] / part.scale for name, part in known.items())
    drains = [values[name] / part.drain for name, part in known.items() if part.drain]
    return Weighed(math.fsum(shares) / total, missing, max(drains, default=None))

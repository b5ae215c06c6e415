"""When calls are made: by many callers who know nothing of each other, nor of the server."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from .scenario import KEYS, Scenario

__all__ = ["Arrival", "arrivals"]


@dataclass(frozen=True, slots=True)
class Arrival:
    """One call to make: when, by which client, for which key, and whether it may be shed."""

    at: float
    client: int
    key: int
    sheddable: bool


def arrivals(scenario: Scenario) -> Iterator[Arrival]:
    """Calls of all clients in order of time: the same ones for the same seed.

    Each client's calls are a Poisson process. All of them together are one as well, of the sum of
    their rates, in which each call belongs to any client with the same probability; so one
    generator serves ten clients and ten thousand. It has no memory, so where the rate changes, the
    time to the next call is drawn anew.
    """
    chance = random.Random(scenario.seed)  # noqa: S311  (an experiment, to be repeated)
    sheddable = scenario.trigger.sheddable or 0.0
    now = 0.0
    for border in (scenario.begin, scenario.end, scenario.finish):
        rate = scenario.offered(now)
        while (now := now + chance.expovariate(rate)) < border:
            yield Arrival(
                at=now,
                client=chance.randrange(scenario.clients),
                key=chance.randrange(KEYS),
                sheddable=chance.random() < sheddable,
            )
        now = border

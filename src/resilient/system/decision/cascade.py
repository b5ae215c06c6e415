"""Which failure came first, and which followed from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from heapq import heappop, heappush
from typing import NamedTuple

from resilient.system.decision.score import FAILED, IMPAIRED, Contribution

__all__ = ["Cascade", "Onsets", "name_cascade"]


class Cascade(NamedTuple):
    """A failure that spread: the component it began with, and all it reached, in order.

    Example::

        str(Cascade("redis", ("redis", "sessions")))  # 'redis -> sessions'
    """

    trigger: str
    chain: tuple[str, ...]

    def __str__(self) -> str:
        """The chain, with arrows."""
        return " -> ".join(self.chain)


class Onsets:
    """Since when each failed component has been failing."""

    def __init__(self) -> None:
        self.since: dict[str, float] = {}

    def update(self, rows: Iterable[Contribution], now: float) -> None:
        """Note who fails at `now`; forget who is well again.

        A trial call of a half-open circuit is no recovery: if it fails, the failure is the old one.
        """
        known = {row.name: row.health for row in rows if row.health is not None}
        self.since = {
            name: self.since.get(name, now)
            for name, health in known.items()
            if health < (IMPAIRED if name in self.since else FAILED)
        }


def name_cascade(
    since: Mapping[str, float], depends_on: Mapping[str, tuple[str, ...]], window: float
) -> Cascade | None:
    """The longest cascade among the components that fail now, the earliest of equals.

    A component that declares what it depends on joins if one of those is a member and they failed
    within `window` seconds of each other, in either order: callers often notice first. One that
    declares nothing joins if it failed within `window` seconds after the trigger. `None` if nobody
    joins anybody.

    Example::

        name_cascade({"redis": 0.0, "web": 4.0}, {"web": ("redis",)}, window=30.0)
    """
    order = sorted(since, key=lambda name: (since[name], name))
    causes = {name: _causes(name, since, depends_on, window) for name in order}
    effects: dict[str, list[str]] = {}
    for name, found in causes.items():
        for cause in found:
            effects.setdefault(cause, []).append(name)
    alone = [name for name in order if not depends_on.get(name)]
    best: tuple[str, ...] = ()
    for trigger in [name for name in order if not causes[name]] or order:
        last = since[trigger] + window
        followers = [name for name in alone if since[trigger] <= since[name] <= last]
        chain = _chain(trigger, order, followers, effects)
        best = max(best, chain, key=len)
        if len(best) == len(order):
            break  # as long as can be; of equals the earliest counts
    return Cascade(best[0], best) if len(best) > 1 else None


def _causes(
    name: str, since: Mapping[str, float], depends_on: Mapping[str, tuple[str, ...]], window: float
) -> list[str]:
    """What `name` depends on, and has failed at about the same time."""
    needed = depends_on.get(name, ())
    return [one for one in needed if one in since and abs(since[name] - since[one]) <= window]


def _chain(
    trigger: str, order: list[str], followers: list[str], effects: Mapping[str, list[str]]
) -> tuple[str, ...]:
    """The trigger, and all that follows from it or from one another, in order of joining.

    Of those that may join, the one that failed first does, and then whatever it may have caused.
    """
    rank = {name: place for place, name in enumerate(order)}
    ahead = [rank[name] for name in followers]  # sorted, so it is a heap already
    chain = {trigger: None}
    for name in effects.get(trigger, ()):
        heappush(ahead, rank[name])
    while ahead:
        name = order[heappop(ahead)]
        if name not in chain:
            chain[name] = None
            for effect in effects.get(name, ()):
                heappush(ahead, rank[effect])
    return tuple(chain)

"""Which failure came first, and which followed from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
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

    def caused(cause: str, name: str) -> bool:
        return cause in depends_on.get(name, ()) and abs(since[name] - since[cause]) <= window

    def follows(name: str, chain: list[str]) -> bool:
        after = since[name] - since[chain[0]]
        undeclared = not depends_on.get(name) and 0 <= after <= window
        return undeclared or any(caused(cause, name) for cause in chain)

    roots = [one for one in order if not any(caused(other, one) for other in order)]
    chains = [_chain(trigger, order, follows) for trigger in roots or order]
    best = max(chains, key=len, default=())
    return Cascade(best[0], best) if len(best) > 1 else None


def _chain(
    trigger: str, order: list[str], follows: Callable[[str, list[str]], bool]
) -> tuple[str, ...]:
    """The trigger, and all that follows from it or from one another, in order of joining."""
    chain = [trigger]
    while joined := [name for name in order if name not in chain and follows(name, chain)]:
        chain.append(joined[0])
    return tuple(chain)

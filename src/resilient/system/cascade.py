"""Which failure came first, and which followed from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from resilient.system.score import FAILED, Contribution

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
        """Note who fails at `now`; forget who does not."""
        failed = [row.name for row in rows if row.health is not None and row.health < FAILED]
        self.since = {name: self.since.get(name, now) for name in failed}


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

    def caused(name: str, cause: str) -> bool:
        return cause in depends_on.get(name, ()) and abs(since[name] - since[cause]) <= window

    roots = [one for one in order if not any(caused(one, other) for other in order)]
    best: tuple[str, ...] = ()
    for trigger in roots or order:
        chain = [trigger]
        while joiner := _joiner(chain, order, since, depends_on, window, caused):
            chain.append(joiner)
        best = max(best, tuple(chain), key=len)
    return Cascade(best[0], best) if len(best) > 1 else None


def _joiner(
    chain: list[str],
    order: list[str],
    since: Mapping[str, float],
    depends_on: Mapping[str, tuple[str, ...]],
    window: float,
    caused: Callable[[str, str], bool],
) -> str | None:
    """The earliest failure that is not in the chain and follows from it."""
    for name in order:
        after = since[name] - since[chain[0]]
        undeclared = not depends_on.get(name) and 0 <= after <= window
        if name not in chain and (undeclared or any(caused(name, cause) for cause in chain)):
            return name
    return None

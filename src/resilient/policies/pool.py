"""Which target of a pool to ask, and which one to leave alone for a while.

Pure decisions: time and chance are passed in, and nobody is called. Whoever drives a pool holds a
lock around everything but `lighter` and what `Pool` shows to the straight line.

The rules of ejection are those of Envoy's outlier detection (its architecture overview, "Outlier
detection"): so many failures in a row, a base time multiplied by the ejections in a row up to a
longest time, a share of the pool that is never exceeded. Envoy looks every 10 s whether a host is
healthy and takes one off its multiplier then; here nothing ticks, and each base time in the pool
takes one off. Choosing by load is "the power of two choices" (Mitzenmacher, "The power of two
choices in randomized load balancing", IEEE TPDS 12(10), 2001).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import msgspec

__all__ = ["Change", "Limits", "Pool", "Target", "Ticket", "lighter", "pairs"]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """A pool's settings; checked by `resilient.failover`, which explains them.

    `base` and `longest` are seconds; `room` is how many targets may be out at the same time.
    """

    threshold: int
    base: float
    longest: float
    room: int
    spread: bool


class Target:
    """One of a pool, and what is known of it.

    `started` and `ended` count its calls, so their difference is in flight. `failures` counts
    those that failed, `streak` those since the last answer. `times` counts ejections in a row,
    `back` is when it returned last, `until` when it may be tried again, `trial` the number of the
    trial that is out (0: none). `era` counts ejections and returns: what was asked in an earlier
    one says nothing.
    """

    __slots__ = (
        "back",
        "ejected",
        "ended",
        "era",
        "failures",
        "fn",
        "index",
        "label",
        "started",
        "streak",
        "times",
        "trial",
        "until",
    )

    def __init__(self, index: int, label: str, fn: Callable[..., Any]) -> None:
        self.index = index
        self.label = label
        self.fn = fn
        self.started = self.ended = self.failures = 0
        self.streak = self.times = self.era = self.trial = 0
        self.ejected = False
        self.back = self.until = -math.inf

    def heir(self) -> Target:
        """A fresh one that knows what this one knows, with nothing in flight.

        What is in flight on this one settles here, where nobody looks any more.
        """
        heir = Target(self.index, self.label, self.fn)
        heir.started = heir.ended = self.ended
        heir.failures, heir.streak, heir.times = self.failures, self.streak, self.times
        heir.ejected, heir.back = self.ejected, self.back
        heir.until = -math.inf if self.trial else self.until
        return heir


class Ticket(NamedTuple):
    """A call to a target: its era when the call began, and the number of a trial (0: none)."""

    target: Target
    era: int
    trial: int = 0


class Change(NamedTuple):
    """A target was ejected for so many seconds, or is back (`None`)."""

    target: Target
    seconds: float | None


Pair = tuple[Target, Target]

_OTHERS = 32
"""With how many others a target of a large pool is drawn."""


def pairs(targets: Sequence[Target]) -> tuple[Pair, ...]:
    """Every pair that may be drawn, in both orders; of a lone target, itself twice.

    In a pool of more than 33 each has partners at even distances, so that the list stays short.
    """
    count = len(targets)
    if count == 1:
        return ((targets[0], targets[0]),)
    step = -(-(count - 1) // _OTHERS)
    return tuple(
        (target, targets[(place + away) % count])
        for place, target in enumerate(targets)
        for away in range(1, count, step)
    )


def lighter(pair: Pair) -> Target:
    """The one with fewer calls in flight.

    Of two alike it is the one with fewer failures in a row: a retry goes elsewhere.
    """
    a, b = pair
    lead = a.started - a.ended - b.started + b.ended
    return b if lead > 0 or (lead == 0 and b.streak < a.streak) else a


class Pool:
    """Targets, and the decisions about them.

    * `swift`: whether calls may go straight to a target;
    * `front`: the one that they may ask first, `None` if not `swift`;
    * `pairs`: of those that are not ejected; a call that is spread draws one;
    * `edge`: when that ends, because somebody is to be tried; `None` for never.
    """

    def __init__(self, targets: Sequence[Target], limits: Limits) -> None:
        self.targets = tuple(targets)
        self.limits = limits
        self.swift = False
        self._trials = 0
        self.align()

    def align(self) -> None:
        """Bring up to date what the straight line looks at."""
        good = [target for target in self.targets if not target.ejected]
        first = good[0]
        better = self.targets if self.limits.spread else self.targets[: first.index]
        self.edge: float | None = min(
            (target.until for target in better if target.ejected), default=None
        )
        self.pairs: tuple[Pair, ...] = pairs(good) if self.limits.spread else ()
        self.front: Target | None = first if self.swift else None

    @property
    def out(self) -> int:
        """How many are ejected."""
        return sum(target.ejected for target in self.targets)

    def take(self, now: float, tried: Collection[int] = (), number: float = 0.0) -> Ticket | None:
        """Begin a call to the best target that was not tried; `None` if there is none.

        An ejected one whose time is over is tried by one call; if that does not end, by another one
        after the base time. One whose time is not over comes last.
        """
        left = [target for target in self.targets if target.index not in tried]
        if not left:
            return None
        target = self._best(left, now, number)
        trial = 0
        if target.ejected and target.until <= now:
            self._trials = trial = target.trial = self._trials + 1
            target.until = now + self.limits.base
            self.align()
        target.started += 1
        return Ticket(target, target.era, trial)

    def _best(self, left: Sequence[Target], now: float, number: float) -> Target:
        due = [target for target in left if target.ejected and target.until <= now]
        good = [target for target in left if not target.ejected]
        if not (due or good):
            return min(left, key=lambda target: target.until)
        if not self.limits.spread:
            return min(due + good, key=lambda target: target.index)
        if due:
            return due[0]
        drawn = pairs(good)
        return lighter(drawn[int(number * len(drawn))])

    def answered(self, ticket: Ticket, now: float) -> Change | None:
        """End a call that was answered: the streak is over, and who was out is back."""
        target = ticket.target
        target.ended += 1
        return self.cleared(ticket, now)

    def cleared(self, ticket: Ticket, now: float) -> Change | None:
        """What an answer means, for a call that was counted already."""
        target = ticket.target
        if target.era != ticket.era:
            return None
        target.streak = 0
        return self.admit(target, now)

    def failed(self, ticket: Ticket, now: float) -> Change | None:
        """End a call that failed. Of one that is out, only a failed trial says anything new."""
        target = ticket.target
        target.ended += 1
        target.failures += 1
        if target.era != ticket.era:
            return None
        if target.ejected:
            lost = ticket.trial and ticket.trial == target.trial
            return self._out(target, target.times + 1, now) if lost else None
        target.streak += 1
        return self.eject(target, now) if target.streak >= self.limits.threshold else None

    def abandoned(self, ticket: Ticket, now: float) -> None:
        """End a call that says nothing of its target; a trial leaves its place to the next call."""
        target = ticket.target
        target.ended += 1
        if ticket.trial and ticket.trial == target.trial and target.era == ticket.era:
            target.trial, target.until = 0, now
            self.align()

    def eject(self, target: Target, now: float) -> Change | None:
        """Leave `target` alone for a while; `None` if it is out already, or too many would be."""
        if target.ejected or self.out >= self.limits.room:
            return None
        healed = (now - target.back) / self.limits.base
        times = 0 if healed >= target.times else target.times - int(healed)
        return self._out(target, times + 1, now)

    def _out(self, target: Target, times: int, now: float) -> Change:
        seconds = min(self.limits.base * times, self.limits.longest)
        target.ejected, target.times, target.until = True, times, now + seconds
        self._turn(target)
        return Change(target, seconds)

    def admit(self, target: Target, now: float) -> Change | None:
        """Take `target` back; `None` if it is not out."""
        if not target.ejected:
            return None
        target.ejected, target.back = False, now
        self._turn(target)
        return Change(target, None)

    def _turn(self, target: Target) -> None:
        """Begin another era of `target`."""
        target.era += 1
        target.streak = target.trial = 0
        self.align()

    def renew(self, *, forget: bool) -> None:
        """Have nothing in flight: after a fork, or to `forget` everything."""
        fresh = [
            Target(old.index, old.label, old.fn) if forget else old.heir() for old in self.targets
        ]
        for old in self.targets:
            old.era = -1  # what is in flight says nothing here
        self.targets = tuple(fresh)
        self.align()

    def snapshot(self, now: float) -> list[dict[str, Any]]:
        """What is known of each target: plain data, seconds left and no instants."""
        return [
            {
                "streak": target.streak,
                "times": target.times,
                "left": max(0.0, target.until - now) if target.ejected else None,
                "healing": now - target.back if target.back > -math.inf else None,
                "calls": target.ended,
                "failures": target.failures,
            }
            for target in self.targets
        ]

    def restore(self, saved: Sequence[dict[str, Any]], now: float) -> None:
        """Know what `snapshot` told, and nothing else. Raises `ValueError` for another pool's."""
        if len(saved) != len(self.targets):
            message = f"a snapshot of {len(saved)} targets for a pool of {len(self.targets)}"
            raise ValueError(message)
        self.renew(forget=True)
        for target, known in zip(self.targets, saved, strict=True):
            target.streak, target.times = known["streak"], known["times"]
            target.started = target.ended = known["calls"]
            target.failures, target.ejected = known["failures"], known["left"] is not None
            target.until = now + (known["left"] or 0.0)
            target.back = -math.inf if known["healing"] is None else now - known["healing"]
        self.align()

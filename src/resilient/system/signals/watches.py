"""The three things a threshold can watch; each says whether it is crossed, and with what figure."""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

from resilient.system.signals.condition import Condition, Form
from resilient.system.signals.tally import Tally

__all__ = ["Counting", "Crossing", "Figure", "Silence", "Watch", "watching"]


class Crossing(NamedTuple):
    """What was seen: `crossed`, `None` while nothing can be said; `next`, when to look again."""

    crossed: bool | None
    value: float | None
    detail: str
    next: float = math.inf
    until: float = math.inf


class Watch(Protocol):
    """What a threshold asks of what it watches."""

    def look(self, now: float) -> Crossing:
        """Judge what is known at `now`."""
        ...

    def after_fork(self, now: float) -> None:
        """The child has seen nothing."""
        ...


class Counting:
    """So many marks in the last so many seconds."""

    def __init__(self, condition: Condition, now: float) -> None:
        self._condition = condition
        self._tally = Tally(condition.seconds)
        # Fewer than so many cannot be said before the time is over for the first time.
        self._wait = 0.0 if condition.sign.startswith(">") else condition.seconds
        self._from = now + self._wait

    def mark(self, n: int, now: float) -> bool:
        """Count `n` more; whether the limit is passed by that."""
        count = self._tally.add(n, now)
        holds = self._condition.holds
        return holds(count) is not holds(count - n)

    def look(self, now: float) -> Crossing:
        """Compare the count with the limit."""
        count = self._tally.count(now)
        detail = f"{count} in {self._condition.seconds:g} s"
        if now < self._from:
            return Crossing(None, count, detail, self._from)
        return Crossing(self._condition.holds(count), count, detail)

    def after_fork(self, now: float) -> None:
        """Count from 0."""
        self._tally.after_fork()
        self._from = now + self._wait


class Silence:
    """The time since the last mark; having been made counts as one."""

    def __init__(self, condition: Condition, now: float) -> None:
        self._condition = condition
        self._heard = now

    def mark(self, n: int, now: float) -> bool:
        """Note a sign of life; whether a silence ends by it."""
        if n == 0:
            return False
        broken = now - self._heard >= self._condition.seconds
        self._heard = max(self._heard, now)
        return broken

    def look(self, now: float) -> Crossing:
        """Compare the time since the last mark with the limit."""
        patience, silent = self._condition.seconds, max(0.0, now - self._heard)
        detail = f"last mark {silent:.3g} s ago"
        end = self._heard + patience
        if silent >= patience or now >= end:
            return Crossing(crossed=True, value=silent, detail=detail)
        return Crossing(crossed=False, value=silent, detail=detail, next=end, until=end)

    def after_fork(self, now: float) -> None:
        """Whoever marks has its time in the child, too."""
        self._heard = now


class Figure:
    """A figure, and since when it is beyond the limit; it counts for `life` seconds."""

    def __init__(self, condition: Condition, life: float) -> None:
        self._condition = condition
        self._life = life
        self._value: float | None = None
        self._at = -math.inf
        self._since: float | None = None

    def take(self, value: float, at: float) -> None:
        """Take a new figure."""
        if not self._condition.holds(value):
            self._since = None
        elif self._since is None or at - self._at >= self._life:
            self._since = at  # what it was in a gap is not known
        self._value, self._at = value, max(at, self._at)

    def look(self, now: float) -> Crossing:
        """Whether it has been beyond the limit for long enough."""
        value, since, until = self._value, self._since, self._at + self._life
        if value is None or now >= until:
            return Crossing(None, None, "nothing fresh is known")
        detail = f"{value:.4g}"
        if since is None:
            return Crossing(crossed=False, value=value, detail=detail, until=until)
        end = since + self._condition.seconds
        detail = f"{value:.4g} and beyond for {now - since:.3g} s"
        return Crossing(now >= end, value, detail, end if now < end else math.inf, until)

    def after_fork(self, now: float) -> None:
        """The last figure counts in the child too, until it is old."""


def watching(condition: Condition, now: float, life: float) -> Counting | Silence | Figure:
    """The watch for a condition.

    Example::

        watching(parse("silent for 30 s"), now=0.0, life=90.0)
    """
    if condition.form is Form.FIGURE:
        return Figure(condition, life)
    kind = Counting if condition.form is Form.COUNT else Silence
    return kind(condition, now)

"""What every signal has in common as a witness."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import NamedTuple

from resilient.system.decision.component import Evidence
from resilient.system.signals.level import Damper, SignalLevel, level_of
from resilient.system.signals.reader import Reader
from resilient.system.signals.reading import SignalReading
from resilient.system.view import View, Witness

__all__ = ["Found", "Signal", "Ties"]


class Ties(NamedTuple):
    """What a signal has of its mode: its line of time, and whom to tell of news and of changes.

    `pause`: news that comes sooner than this many seconds after the last waits for the next look.
    """

    now: Callable[[], float]
    news: Callable[[Signal], None]
    changed: Callable[[tuple[Signal, SignalLevel]], None]
    pause: float = 0.1


class Found(NamedTuple):
    """What one look found; see `SignalReading`. `until` is when the evidence counts no more."""

    health: float | None
    value: float | None
    limit: float | None
    detail: str
    until: float = math.inf
    action: str = ""


class Signal(Witness):
    """A figure that is judged. See `mode.rate`, `composite`, `saturation` and `threshold`.

    It is judged when the mode asks for its evidence: at every evaluation, and at the instant of
    news, on whatever thread that is. `poll`, which comes after, tells what has changed.
    """

    def __init__(self, name: str, ties: Ties, hold: float = 0.0) -> None:
        self.name = name
        self._ties = ties
        self._lock = threading.Lock()
        self._stirred = -math.inf
        self._damper = Damper(hold)
        self._said: tuple[Evidence, ...] = ()
        self._trouble = ""
        self._told = (SignalLevel.CLEAR, 0)
        self._last = self._reading(Found(None, None, None, "nothing is known yet"), ties.now())

    @property
    def reading(self) -> SignalReading:
        """What it said at the last evaluation of the mode.

        Example::

            print(signal.reading)
        """
        return self._last

    def tell(self) -> None:
        """Have the mode look soon."""
        self._ties.news(self)

    def stir(self) -> None:
        """The same, but for ten thousand news a second not as many looks."""
        now = self._ties.now()
        if not self._stirred <= now < self._stirred + self._ties.pause:
            self._stirred = now
            self.tell()

    def look(self, now: float) -> Found:
        """Judge what is known at `now`; one thread at a time."""
        raise NotImplementedError

    def turn(self) -> int:
        """A number that changes when there is more to tell than the level."""
        return 0

    def level(self, found: Found) -> SignalLevel:
        """How bad that is."""
        return level_of(1.0 if found.health is None else found.health)

    def readers(self) -> tuple[Reader, ...]:
        """What is read in the background for it."""
        return ()

    def evidence(self, fresh_for: float, /) -> tuple[Evidence, ...]:
        """Look, and say what was found; while somebody else looks, what was found before.

        It never waits: whoever sets a figure may be interrupted by somebody who evaluates the mode.
        """
        if self._lock.acquire(blocking=False):
            try:
                self._said = self._seen_now(self._ties.now(), fresh_for)
            finally:
                self._lock.release()
        return self._said

    def poll(self, view: View, /) -> None:
        """Tell what has changed, and have read what is due."""
        before, (level, turn) = self._told, (self._last.level, self.turn())
        if (level, turn) != before:
            self._told = (level, turn)
            self._ties.changed((self, before[0]))
        for reader in self.readers():
            reader.poll(view.now)

    def due(self) -> float:
        """When something is to be read, or given up."""
        return min((reader.due() for reader in self.readers()), default=math.inf)

    def notices(self) -> tuple[str, ...]:
        """What could not be read, and why."""
        found = [self._trouble, *(reader.trouble for reader in self.readers())]
        return tuple(text for text in found if text)

    def blind_from(self) -> float:
        """When all that is read for it is missing; never if nothing is."""
        return max((reader.blind_from() for reader in self.readers()), default=math.inf)

    def close(self) -> None:
        """Read no more."""
        for reader in self.readers():
            reader.errand.cancel()

    def retire(self) -> None:
        """Never read again; another signal has taken its place."""
        for reader in self.readers():
            reader.errand.retire()

    def after_fork(self) -> None:
        """Nothing is read in the child yet."""
        self._lock = threading.Lock()
        for reader in self.readers():
            reader.errand.after_fork()

    def _seen_now(self, now: float, fresh_for: float) -> tuple[Evidence, ...]:
        """Look; one that cannot be judged must not blind the mode for all the others."""
        try:
            found, self._trouble = self.look(now), ""
        except Exception as error:  # noqa: BLE001  (figures that no arithmetic can deal with)
            found = Found(None, None, None, "it could not be judged")
            self._trouble = f"DROPPED: judging {self.kind} of {self.name} raised {error!r:.200}"
        self._last = self._reading(found, now)
        if found.health is None:
            return ()
        until = min(found.until, now + fresh_for)
        return (Evidence(self.kind, found.health, until, found.detail),)

    def _reading(self, found: Found, now: float) -> SignalReading:
        level = self._damper.level
        if found.health is not None:
            level = self._damper.take(self.level(found), now)
        health, value, limit, detail, _, action = found
        return SignalReading(
            name=self.name,
            kind=self.kind,
            level=level,
            health=health,
            value=value,
            limit=limit,
            detail=detail,
            action=action,
        )

"""A token bucket that calls may wait for, as pure decisions with the time passed in.

A full bucket holds `burst` tokens. A call takes one, and one comes back every `step` seconds. This
is the virtual scheduling algorithm of ITU-T I.371, annex A (the ATM Forum's generic cell rate
algorithm), which keeps no tokens but the instant at which the bucket will be full: the
"theoretical arrival time". Here that instant is ``base + taken * step``, with a whole number of
calls taken since the bucket was last full, so that nothing adds up rounding errors.

The law: in any time of length t, at most ``burst + t / step`` calls start, to within the rounding
of one reading of the clock. Refunds do not bend it.

Call number k since the bucket was last full has a *slot*: the instant at which its token is there,
``base + (k - (burst - 1)) * step``. If that is to come, the call waits for it. Whoever waits keeps
the appointed time, whatever others do:

* A slot that is given up before its time is a gap; the next call that has to wait gets the first
  gap. A gap that nobody took is a token owed.
* A call that was admitted and never began owes its token back. While others wait, what is owed is
  put into the bucket only when the last appointment is over: until then the bucket is as empty
  as they need it. The bucket may owe as much as fits beside what they may find in it.
* A refund is worth one token, or what the bucket has had room for at every instant since that
  call took it: what would have overflowed cannot be given back. The least room since then is
  the time in which the bucket would have filled if nobody else had taken anything, less all that
  was given back meanwhile. (A refund at once is therefore worth a whole token.)
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Mapping
from typing import Any, NamedTuple

__all__ = ["Place", "TokenBucket", "until"]

_ROUNDING = 1e-9
"""Part of a token that is taken for a rounding error."""


class Place(NamedTuple):
    """What `reserve` gives.

    `start` is the instant at which the call may start, `slot` the place in the order, and `mark`
    what a refund needs.
    """

    start: float
    slot: int
    mark: float


def until(start: float, now: float) -> float:
    """Seconds from `now` to `start`, 0 if it is over; added to `now`, never before `start`."""
    if start <= now:
        return 0.0
    wait = start - now
    while now + wait < start:
        wait = math.nextafter(wait, math.inf)
    return wait


class TokenBucket:
    """See the module. It has no lock: its owner has one, and is `alone` with everything but `take`.

    `held` is everywhere the number of tokens that this call must leave for others; it is less
    than `burst`. `used` grows with every question.

    Example::

        bucket = TokenBucket(step=0.1, burst=5, now=0.0)
        bucket.wait(0.0)                   # 0.0
        place = bucket.reserve(0.0)
    """

    __slots__ = (
        "_back",
        "_base",
        "_busy",
        "_full",
        "_gaps",
        "_given",
        "_last",
        "_owed",
        "_queued",
        "_room",
        "_shut",
        "_step",
        "_taken",
        "_top",
        "burst",
        "used",
    )

    def __init__(self, step: float, burst: int, now: float) -> None:
        self.burst = burst
        self.used = 0
        self._step = step
        self._top = burst - 1
        self._busy = 0  # how many are alone with it: one, and its finalisers
        self._shut = False  # whether the quick way is
        self._given = 0.0  # seconds of tokens that were ever given back
        self._base = now
        self._taken = 0
        self._room = (self._top + _ROUNDING) * step
        self._full = now  # when it will be full, what it owes aside
        self.clear(now, burst)

    def clear(self, now: float, tokens: float) -> None:
        """Begin anew with so many tokens; no place given before can be refunded any more."""
        self._given += max(0.0, self._full - now)
        self._set(now + (self.burst - tokens) * self._step, 0)
        self._gaps: list[int] = []  # slots to come that were given up
        self._owed = 0.0  # seconds of tokens that wait for the last appointment
        self._queued = False  # whether there are appointments
        self._last = -math.inf  # the last of them
        self._back = 0  # the most that one of those who wait leaves for others

    def change(self, step: float, burst: int, now: float) -> None:
        """Go on with the tokens that are there, as many as fit, at another speed.

        Whoever waits keeps the appointed time, and newcomers wait until what was promised is paid
        for at the new speed. A place given before can no longer be refunded.
        """
        tokens = self.tokens(now)
        self._step, self.burst, self._top = step, burst, burst - 1
        self._room = (self._top + _ROUNDING) * step
        self.clear(now, min(tokens, burst))

    def alone(self) -> None:
        """Shut the quick way, until `done`."""
        self._busy += 1
        self._shut = True

    def done(self) -> None:
        """Open the quick way, unless calls wait."""
        self._busy -= 1
        self._shut = self._busy > 0 or self._queued

    # Taking

    def take(self, now: float, held: int = 0) -> float | None:
        """A token at once: the mark for a refund; `None`, with nothing changed, if not certain.

        Needs no lock while the interpreter has one: nothing is called in here, so no other thread
        gets its turn between the first look and the last change.
        """
        full = self._full
        room = (self._top - held) * self._step if held else self._room
        if self._shut or full - now > room:
            return None
        self.used += 1
        if full > now:
            self._taken += 1
            self._full = full = self._base + self._taken * self._step
        else:
            self._base = now
            self._taken = 1
            self._full = full = now + self._step
        return full + self._given

    def wait(self, now: float, held: int = 0) -> float:
        """Seconds until a call would be admitted, if nobody else comes; 0 for now."""
        self._tidy(now)
        self.used += 1
        return until(self._slot(self._gaps[0] if self._gaps else self._taken, held), now)

    def reserve(self, now: float, held: int = 0) -> Place:
        """Take the first token that is to be had, now or later."""
        self._tidy(now)
        if self._gaps:
            slot = self._gaps.pop(0)
        else:
            if self._full <= now:
                self._set(now, 0)
            slot = self._taken
            self._set(self._base, slot + 1)
        start = self._slot(slot, held)
        if start > now:
            self._queued = True
            self._last = max(self._last, start)
            self._back = max(self._back, held)
            self._owed = min(self._owed, self._beside())
        return Place(start, slot, self._base + (slot + 1) * self._step + self._given)

    # Giving back

    def withdraw(self, place: Place, now: float) -> None:
        """Give up a place that nobody has used, before or after its time."""
        self._tidy(now)
        if place.start <= now or self._slot(place.slot) <= now:
            self.refund(place.mark, now)
        elif place.mark - self._given <= now:
            return  # of before the bucket was cleared
        elif place.slot == self._taken - 1:
            self._shorten()
        else:
            insort(self._gaps, place.slot)

    def refund(self, mark: float, now: float) -> None:
        """Give back the token of a call that never began."""
        self._tidy(now)
        room = mark - self._given - now
        if self._queued:
            self._owe(room)
        elif room >= self._step * (1 - _ROUNDING):
            self._set(self._base, self._taken - 1)
            self._given += self._step
        elif room > 0:
            self._lower(room, now)

    # Looking

    def tokens(self, now: float) -> float:
        """What is in it; below 0 while calls wait."""
        self._tidy(now)
        missing = (self._full - self._owed - now) / self._step - len(self._gaps)
        return min(float(self.burst), self.burst - missing)

    def snapshot(self, now: float) -> dict[str, Any]:
        """Plain data for `restore`: tokens, no instants."""
        return {"tokens": self.tokens(now)}

    def restore(self, data: Mapping[str, Any], now: float) -> None:
        """Take over a `snapshot`. Raises `KeyError`, `TypeError` or `ValueError` for others."""
        tokens = float(data["tokens"])
        if not -math.inf < tokens <= self.burst:
            raise ValueError(data)
        self.clear(now, tokens)

    def after_fork(self, now: float) -> None:
        """Forget those who wait, and who is alone with it: they are the parent's."""
        self._busy, self._shut = 0, False
        self.clear(now, max(0.0, self.tokens(now)))

    # Inside

    def _set(self, base: float, taken: int) -> None:
        self._base = base
        self._taken = taken
        self._full = base + taken * self._step

    def _slot(self, slot: int, held: int = 0) -> float:
        """When the token of `slot` is there, with `held` others beside it."""
        return self._base + (slot - self._top + held) * self._step

    def _tidy(self, now: float) -> None:
        """Let time pass, if anybody waited."""
        if not self._queued:
            return
        gaps = self._gaps
        while gaps and self._slot(gaps[0]) <= now:
            slot = gaps.pop(0)
            self._owe(self._base + (slot + 1) * self._step - now)
        if now < self._last:
            return
        self._queued = False
        self._back = 0
        owed, self._owed = self._owed, 0.0
        if owed:
            self._lower(min(owed, self._full - now), now)

    def _owe(self, room: float) -> None:
        """Owe one token, or as much of it as there was room for."""
        worth = min(self._step, room - self._owed, self._beside() - self._owed)
        if worth > 0:
            self._owed += worth

    def _beside(self) -> float:
        """The most it may owe: beside what those who wait may find in it, in seconds of tokens."""
        return (self._top - self._back) * self._step

    def _lower(self, by: float, now: float) -> None:
        """Be full so many seconds earlier, but not before now."""
        if by <= 0:
            return
        self._given += by
        if self._full - by - now <= self._step * _ROUNDING:
            self._set(now, 0)
        else:
            self._set(self._base - by, self._taken)

    def _shorten(self) -> None:
        """Take off the last slot, and the gaps before it."""
        taken = self._taken - 1
        while self._gaps and self._gaps[-1] == taken - 1:
            self._gaps.pop()
            taken -= 1
        self._set(self._base, taken)
        self._last = min(self._last, self._slot(self._taken - 1, self._back))

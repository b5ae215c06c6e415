"""So many calls in each window of so many seconds, as pure decisions with the time passed in.

Windows follow one another without a gap, from the instant at which the first one was made. The law:
in each of them at most `rate` calls start. Around the border of two windows twice as many may start
within a moment; whoever cannot have that takes a `resilient.policies.token_bucket`.

A call that finds its window full may wait for the beginning of the first one that has a place left.
A place that is given back is free again in its own window, if that is not over, and whoever waits
for another window goes on waiting for that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from resilient.policies.match import whole
from resilient.policies.token_bucket import Place, until

__all__ = ["FixedWindow"]


class FixedWindow:
    """See the module. It has no lock: its owner has one, and is `alone` with everything but `take`.

    `held` is everywhere the number of places that this call must leave for others; it is less
    than `burst`, the rate. `used` grows with every question.

    Example::

        window = FixedWindow(per=60.0, rate=100, now=0.0)
        window.wait(0.0)                   # 0.0
    """

    __slots__ = (
        "_ahead",
        "_busy",
        "_count",
        "_edge",
        "_from",
        "_number",
        "_origin",
        "_per",
        "_shut",
        "_zero",
        "burst",
        "used",
    )

    def __init__(self, per: float, rate: int, now: float) -> None:
        self.burst = rate
        self.used = 0
        self._per = per
        self._busy = 0  # how many are alone with it: one, and its finalisers
        self._shut = False  # whether the quick way is
        self._number = 0  # of the window under way
        self._ahead: dict[int, int] = {}  # places taken in windows to come, by number
        self._start(now)

    def _start(self, now: float) -> None:
        """Begin anew; the numbers go on, so that places given before mean no window of now."""
        self._number = max(self._ahead, default=self._number) + 1
        self._zero = self._number  # of the window that began at the origin
        self._origin = now
        self._edge = self._opening(self._number + 1)
        self._count = 0
        self._ahead = {}
        self._from: dict[int, int] = {}  # the first window that may have room, by `held`

    def clear(self, now: float, tokens: float) -> None:
        """Begin anew with so many places left."""
        self._start(now)
        self._count = self.burst - math.floor(tokens)

    def change(self, per: float, rate: int, now: float) -> None:
        """Go on with another rate; with another length, a window of that begins now.

        Places taken in this window count in it. Whoever waits keeps the appointed time, and has a
        place in the new window of that time.
        """
        self._roll(now)
        ahead = [(self._opening(number), taken) for number, taken in self._ahead.items()]
        count, self.burst = self._count, rate
        self._from = {}
        if per == self._per:
            return
        self._per = per
        self._start(now)
        self._count = count
        for opening, taken in ahead:
            number = self._zero + math.floor((opening - now) / per)
            if number == self._number:
                self._count += taken
            else:
                self._ahead[number] = self._ahead.get(number, 0) + taken

    def alone(self) -> None:
        """Shut the quick way, until `done`."""
        self._busy += 1
        self._shut = True

    def done(self) -> None:
        """Open the quick way."""
        self._busy -= 1
        self._shut = self._busy > 0

    # Taking

    def take(self, now: float, held: int = 0) -> int | None:
        """A place at once: the mark for a refund; `None`, with nothing changed, if not certain.

        Needs no lock while the interpreter has one: nothing is called in here, so no other thread
        gets its turn between the first look and the last change.
        """
        if self._shut or now >= self._edge or self._count >= self.burst - held:
            return None
        self._count += 1
        self.used += 1
        return self._number

    def wait(self, now: float, held: int = 0) -> float:
        """Seconds until a call would be admitted, if nobody else comes; 0 for now."""
        self._roll(now)
        self.used += 1
        return until(self._opening(self._room(held)), now)

    def reserve(self, now: float, held: int = 0) -> Place:
        """Take the first place that is to be had, now or later."""
        self._roll(now)
        number = self._room(held)
        if number == self._number:
            self._count += 1
            return Place(now, number, number)
        self._ahead[number] = self._ahead.get(number, 0) + 1
        return Place(self._opening(number), number, number)

    # Giving back

    def withdraw(self, place: Place, now: float) -> None:
        """Give up a place that nobody has used, before or after its time."""
        self.refund(place.slot, now)

    def refund(self, mark: float, now: float) -> None:
        """Give back the place of a call that never began."""
        self._roll(now)
        number = int(mark)
        if number == self._number:
            self._count -= 1
        elif number in self._ahead:
            self._ahead[number] -= 1
            for held, first in self._from.items():
                self._from[held] = min(first, number)

    # Looking

    def tokens(self, now: float) -> float:
        """Places left in the window under way."""
        self._roll(now)
        return float(self.burst - self._count)

    def snapshot(self, now: float) -> dict[str, Any]:
        """Plain data for `restore`: the window's age in seconds, and places taken from now on."""
        self._roll(now)
        ahead = [[number - self._number, taken] for number, taken in self._ahead.items()]
        return {"seconds": now - self._opening(self._number), "taken": [[0, self._count], *ahead]}

    def restore(self, data: Mapping[str, Any], now: float) -> None:
        """Take over a `snapshot`. Raises `KeyError`, `TypeError` or `ValueError` for others."""
        age = float(data["seconds"])
        taken = {
            whole("window", window, least=0): whole("taken", number, least=0)
            for window, number in data["taken"]
        }
        if not 0 <= age <= self._per or max(taken.values(), default=0) > self.burst:
            raise ValueError(data)
        self._start(now - age)
        self._count = taken.pop(0, 0)
        self._ahead = {self._number + ahead: number for ahead, number in taken.items()}

    def after_fork(self, now: float) -> None:
        """Forget those who wait, and who is alone with it: they are the parent's."""
        self._busy, self._shut = 0, False
        self._roll(now)
        begin, count = self._opening(self._number), self._count
        self._start(begin)
        self._count = count

    # Inside

    def _room(self, held: int) -> int:
        """The number of the first window with a place for a call that leaves `held` of them."""
        most = self.burst - held
        if self._count < most:
            return self._number
        number = max(self._from.get(held, 0), self._number + 1)
        while self._ahead.get(number, 0) >= most:
            number += 1
        self._from[held] = number
        return number

    def _opening(self, number: int) -> float:
        """When the window of that number begins, or began. From the origin: nothing adds up."""
        return self._origin + (number - self._zero) * self._per

    def _roll(self, now: float) -> None:
        """Let time pass."""
        if now < self._edge:
            return
        number = self._zero + math.floor((now - self._origin) / self._per)
        while self._opening(number + 1) <= now:
            number += 1
        while self._opening(number) > now:
            number -= 1
        self._number = number
        self._edge = self._opening(number + 1)
        self._count = self._ahead.get(number, 0)
        self._ahead = {ahead: taken for ahead, taken in self._ahead.items() if ahead > number}

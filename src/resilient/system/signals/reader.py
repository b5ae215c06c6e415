"""A figure that is read in the background from time to time."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from resilient.errors import CallTimeoutError
from resilient.system.errand import Errand, Report

__all__ = ["Hire", "Reader", "Source", "figure"]

Hire = Callable[[Callable[..., Any], float, Callable[[Report], None]], Errand]
"""Makes an errand of a function, its time limit, and whom to tell."""


class Source(NamedTuple):
    """What to read: a function, sync or async; every so many seconds; with a time limit."""

    fn: Callable[[], Any]
    every: float
    timeout: float


def figure(value: Any) -> float:
    """A finite number. Raises `ValueError` for anything else.

    Example::

        figure(3)  # 3.0
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            found = float(value)
        except OverflowError:  # a whole number of more than 308 digits
            found = math.inf
        if math.isfinite(found):
            return found
    message = f"{value!r:.80} is no finite number"
    raise ValueError(message)


class Reader:
    """Asks a function off every caller's thread, never twice at once, and keeps the last answer.

    Attributes: `value`, and `at`, when it was asked for, both `None` before the first; `trouble`,
    why there is no newer one.

    Example::

        Reader("pool", Source(pool.used, 1.0, 1.0), hire, 0.0, told=print)
    """

    def __init__(  # noqa: PLR0913  (made in three places)
        self,
        what: str,
        source: Source,
        hire: Hire,
        now: float,
        *,
        convert: Callable[[Any], Any] = figure,
        told: Callable[[], None],
    ) -> None:
        self.what = what
        self.source = source
        self.value: Any = None
        self.at: float | None = None
        self.trouble = ""
        self._convert = convert
        self._told = told
        self._heard = now
        self._next = now
        self.errand = hire(source.fn, source.timeout, self._done)

    @property
    def life(self) -> float:
        """Seconds for which an answer counts: until the next but one should have come."""
        return 2 * self.source.every + self.source.timeout

    def poll(self, now: float) -> None:
        """Ask, if it is time; give up an answer that does not come."""
        self.errand.expire(now)
        if now < self._next:
            return
        self._next = now + self.source.every
        if not self.errand.start() and self.errand.overdue_since is not None:
            self.trouble = f"DROPPED: reading {self.what} has not ended yet"

    def due(self) -> float:
        """When it is to be asked next, or the present question given up."""
        expires = self.errand.expires
        return self._next if expires is None else min(self._next, expires)

    def blind_from(self) -> float:
        """When two answers in a row are missing."""
        return self._heard + self.life

    def _done(self, report: Report) -> None:
        value, error = None, report.error
        if error is None:
            try:
                value = self._convert(report.value)
            except Exception as bad:  # noqa: BLE001  (whatever it is, there is no figure)
                error = bad
        if error is None:
            self.value, self.at, self.trouble = value, report.began, ""
            self._heard = report.began
        elif isinstance(error, CallTimeoutError):
            self.trouble = f"DROPPED: reading {self.what}: no answer in {error.seconds:.3g} s"
        else:
            self.trouble = f"DROPPED: reading {self.what} raised {error!r:.200}"
        self._told()

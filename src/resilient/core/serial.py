"""Which errors a retry has already given up on.

A retry that gives up stamps the error with the next serial number. A retry further out honours
only stamps younger than its own call, so an exception object that is raised again later is judged
afresh. One that is shared with calls under way at the same time counts as given up when any of
them gives up.
"""

from __future__ import annotations

import threading

__all__ = ["Serial", "serial"]

_STAMP = "__resilient_given_up__"


class Serial:
    """A number that grows with every stamp. `value` may be read without a lock."""

    __slots__ = ("_lock", "value")

    def __init__(self) -> None:
        self.value = 0
        self._lock = threading.Lock()

    def stamp(self, error: BaseException) -> None:
        """Mark `error` as given up on, now."""
        with self._lock:
            self.value += 1
            number = self.value
        # Past any `__setattr__` of the application's: a frozen exception is stamped like others.
        error.__dict__[_STAMP] = number

    def younger(self, error: BaseException, mark: int) -> bool:
        """Whether a retry gave up on `error` after the serial number was `mark`."""
        number: int = error.__dict__.get(_STAMP, 0)
        return number > mark

    def after_fork(self) -> None:
        """A fresh lock for the child."""
        self._lock = threading.Lock()


serial = Serial()

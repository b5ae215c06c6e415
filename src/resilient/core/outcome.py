"""How a call ended: a value or an error, and where it came from."""

from __future__ import annotations

from enum import Enum
from typing import Generic, TypeVar, cast

import msgspec

__all__ = ["Freshness", "Outcome"]

T = TypeVar("T")


class Freshness(Enum):
    """How current an answer is."""

    FRESH = "fresh"
    STALE = "stale"
    DEFAULT = "default"


class Outcome(msgspec.Struct, Generic[T], frozen=True):
    """How a call ended. What `resilient.outcome` returns.

    * `value`: the answer, `None` if there is none;
    * `error`: the `Exception` the caller would have got, or `None`;
    * `source`: ``"call"`` for the function itself, else the name of the alternative that answered;
    * `freshness`: FRESH, STALE or DEFAULT;
    * `attempts`: how often the function itself was called;
    * `reasons`: the errors passed over on the way to this answer, oldest first;
    * `at`: wall-clock time of the answer in seconds, the time it was stored for a stale one.

    Example::

        outcome = resilient.outcome(price, "zone-7")
        if outcome.freshness is not Freshness.FRESH:
            page.add_banner(f"from {outcome.source}")
    """

    value: T | None = None
    error: Exception | None = None
    source: str = "call"
    freshness: Freshness = Freshness.FRESH
    attempts: int = 0
    reasons: tuple[Exception, ...] = ()
    at: float | None = None

    @property
    def ok(self) -> bool:
        """Whether there is an answer."""
        return self.error is None

    def unwrap(self) -> T:
        """Return the value, or raise the error as it was."""
        error = self.error
        if error is None:
            return cast("T", self.value)
        try:
            raise error
        finally:
            # The error's traceback holds this frame: without this, the two hold each other.
            del self, error

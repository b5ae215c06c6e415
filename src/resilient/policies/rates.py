"""What a rate limit is made of: what decides, its settings, and what it counts."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any, Protocol

import msgspec

from resilient.core.ports import Criticality
from resilient.policies.token_bucket import Place

__all__ = ["Bucket", "Permit", "RateMetrics", "Rates"]


class Bucket(Protocol):
    """What decides: `TokenBucket` or `FixedWindow`."""

    burst: int
    used: int

    def clear(self, now: float, tokens: float) -> None:
        """Begin anew with so many tokens."""
        ...

    def alone(self) -> None:
        """Let nobody `take`, until `done`."""
        ...

    def done(self) -> None:
        """Let calls `take` again."""
        ...

    def take(self, now: float, held: int = 0) -> float | None:
        """A token at once, or `None`."""
        ...

    def wait(self, now: float, held: int = 0) -> float:
        """Seconds until there is one."""
        ...

    def reserve(self, now: float, held: int = 0) -> Place:
        """Take one, now or later."""
        ...

    def withdraw(self, place: Place, now: float) -> None:
        """Give up a place."""
        ...

    def refund(self, mark: float, now: float) -> None:
        """Give back the token of a call that never began."""
        ...

    def tokens(self, now: float) -> float:
        """What is left."""
        ...

    def snapshot(self, now: float) -> dict[str, Any]:
        """Plain data."""
        ...

    def restore(self, data: Mapping[str, Any], now: float) -> None:
        """From plain data."""
        ...

    def after_fork(self, now: float) -> None:
        """Nobody waits."""
        ...


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a rate limit; checked by `resilient.rate_limit`, which explains them.

    `make` makes a bucket at an instant, `refill` is the seconds after which one that was left alone
    is full, and `words` is what `describe()` says.
    """

    name: str
    make: Callable[[float], Bucket]
    held: Mapping[Criticality, int]
    max_wait: float
    refill: float
    words: str
    key: Callable[..., Hashable] | None = None
    max_keys: int = 10_000
    key_ttl: float = 3600.0


class RateMetrics(msgspec.Struct, frozen=True):
    """What a rate limit has counted since it was made.

    `admitted` calls, `waited` of them after a wait; `rejected` calls; `refunded` admitted calls
    that gave their place back, because something further in refused them.

    Example::

        search.metrics.rejected
    """

    admitted: int
    waited: int
    rejected: int
    refunded: int


Permit = tuple[Bucket | None, float]
"""Leave to make one call: the bucket, `None` while the library is off, and the token's mark."""

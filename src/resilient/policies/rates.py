"""What a rate limit is made of: what decides, its settings, and what it counts."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any, Literal, Protocol

import msgspec

from resilient.core.importance import DEFAULT
from resilient.core.ports import Criticality
from resilient.policies.fixed_window import FixedWindow
from resilient.policies.token_bucket import Place, TokenBucket

Algorithm = Literal["token_bucket", "fixed_window"]

__all__ = ["Algorithm", "Bucket", "Permit", "RateMetrics", "Rates"]


class Bucket(Protocol):
    """What decides: `TokenBucket` or `FixedWindow`."""

    burst: int
    used: int

    def clear(self, now: float, tokens: float) -> None:
        """Begin anew with so many tokens."""
        ...

    def change(self, length: float, burst: int, now: float) -> None:
        """Go on with another step, or another length of windows, and another burst."""
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

    `step` is the time between two tokens, `burst` how many there are, `words` what `describe()`
    says.
    """

    name: str
    algorithm: Algorithm = "token_bucket"
    step: float = 1.0
    per: float = 1.0
    burst: int = 1
    held: Mapping[Criticality, int] = {}
    max_wait: float = 0.0
    words: str = ""
    key: Callable[..., Hashable] | None = None
    max_keys: int = 10_000
    key_ttl: float = 3600.0

    def make(self, now: float) -> Bucket:
        """A full bucket."""
        if self.algorithm == "token_bucket":
            return TokenBucket(self.step, self.burst, now)
        return FixedWindow(self.per, self.burst, now)

    def change(self, bucket: Bucket, now: float) -> None:
        """Bring a bucket of other rates to these; what it holds stays, as far as it fits."""
        bucket.change(self.step if self.algorithm == "token_bucket" else self.per, self.burst, now)

    @property
    def leaves(self) -> dict[Criticality | None, int]:
        """How many tokens a call of each criticality leaves for others; `None` is unmarked."""
        found: dict[Criticality | None, int] = {None: self.held.get(DEFAULT, 0)}
        found.update((level, self.held.get(level, 0)) for level in Criticality)
        return found

    @property
    def lifetime(self) -> float:
        """Seconds after which a key that is unused may be forgotten: its bucket is full again."""
        return max(self.key_ttl, self.burst * self.step + self.max_wait)


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

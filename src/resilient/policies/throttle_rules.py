"""How likely a call is shed, and from what that is seen: pure decisions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from resilient.core.ports import Criticality
from resilient.policies.buckets import BUCKETS, Buckets
from resilient.policies.rules import FREE_THREADED

__all__ = ["Evidence", "ThrottleRules"]

_POWERS = {
    Criticality.CRITICAL: 2.0,
    Criticality.HIGH: 1.0,
    Criticality.MEDIUM: 1 / 2,
    Criticality.LOW: 1 / 4,
}
"""What the probability is raised to; see `throttle`."""


class ThrottleRules(msgspec.Struct, frozen=True, kw_only=True):
    """A throttle's settings as decisions; checked by `resilient.throttle`, which explains them."""

    name: str
    k: float
    cap: float
    window: float
    minimum_calls: int
    draw: Callable[[], float]

    def probability(self, requests: float, accepts: float) -> float:
        """How likely an unmarked call is shed (Site Reliability Engineering, equation 21-1).

        Of too few requests nothing is concluded: after a single failure it would be a half.
        """
        if requests < self.minimum_calls:
            return 0.0
        return min(self.cap, max(0.0, (requests - self.k * accepts) / (requests + 1)))

    def chance(self, probability: float, level: Criticality) -> float:
        """How likely a call of `level` is shed."""
        raised: float = probability ** _POWERS[level]
        return min(self.cap, raised)


class Evidence:
    """What the dependency did with the calls of the window. It is the permit of those calls.

    The straight line may add 1 to `ok` by itself while the call ended before `edge`. Nothing is
    shed before the instant `calm`, whatever else happens but a refusal. Everything else is done
    under the throttle's lock.
    """

    __slots__ = ("_accepted", "_counted", "_refused", "_until", "calm", "edge", "ok")

    def __init__(self, window: float, now: float) -> None:
        self.ok = 0
        self.edge = -math.inf
        self.calm = math.inf
        self._counted = 0  # how much of `ok` the buckets have
        self._until = -math.inf  # the end of the bucket under way
        self._accepted = Buckets(window / BUCKETS, now)
        self._refused = Buckets(window / BUCKETS, now)

    def look(self, now: float, rules: ThrottleRules) -> float:
        """Bring it up to `now`; the probability for an unmarked call."""
        self._roll(now)
        return self._judge(rules)

    def record(self, now: float, rules: ThrottleRules, *, accepted: bool) -> float:
        """Count a call that ended, or was shed, at `now`; the probability for the next one."""
        self._roll(now)
        if accepted:
            self.ok += 1
        else:
            self._refused.add(1)
        return self._judge(rules)

    def counts(self) -> tuple[float, float]:
        """Calls that were accepted, and others."""
        return self._accepted.total() + self.ok - self._counted, self._refused.total()

    def _roll(self, now: float) -> None:
        if now < self._until:
            return
        ok = self.ok
        self._accepted.add(ok - self._counted)  # to the bucket in which they were accepted
        self._counted = ok
        self._accepted.roll(now)
        self._refused.roll(now)
        self._until = self._accepted.until()

    def _judge(self, rules: ThrottleRules) -> float:
        accepted, refused = self.counts()
        probability = rules.probability(accepted + refused, accepted)
        self.edge = -math.inf if FREE_THREADED else self._until
        # Only a refusal, or accepted calls that leave the window, can raise the probability; or
        # any call that makes enough of them.
        few = refused and accepted + refused < rules.minimum_calls
        self.calm = -math.inf if probability or few else self._until if refused else math.inf
        return probability

    def retire(self) -> None:
        """Let the straight line count nothing by itself."""
        self.edge = -math.inf

    def snapshot(self) -> dict[str, list[float]]:
        """Bucket by bucket, oldest first, as of the last look."""
        ok = self.ok
        self._accepted.add(ok - self._counted)
        self._counted = ok
        return {"accepted": self._accepted.snapshot(), "refused": self._refused.snapshot()}

    def restore(self, data: Mapping[str, Any]) -> None:
        """Take over a snapshot. Raises `ValueError` or its kin."""
        self._accepted.restore(data["accepted"])
        self._refused.restore(data["refused"])

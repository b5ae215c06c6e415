"""Adaptive throttling: a client that spares a dependency which turns its calls away."""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Callable, Mapping
from typing import Any

from resilient.clock import Clock, Duration, chosen, seconds
from resilient.core.gate import Gate
from resilient.core.hub import hub
from resilient.core.importance import importance
from resilient.core.outcome import Outcome
from resilient.errors import ConfigError, Rejected, ThrottledError
from resilient.policies.judge import Judge, Verdict
from resilient.policies.match import Catch, function, matcher, named, positive, whole
from resilient.policies.throttle_rules import Evidence, ThrottleRules

__all__ = ["Throttle", "throttle"]

_UNJUDGED = object()
"""The permit of a call that is made while the library is inactive."""


class Throttle(Gate):
    """Turns calls away while the dependency accepts too few. Made by `resilient.throttle`.

    `throttled` counts the calls that it has turned away since it was made.
    """

    swift = True

    def __init__(self, rules: ThrottleRules, judge: Judge, *, clock: Clock) -> None:
        self.name = rules.name
        self.clock = clock
        self.rules = rules
        self.throttled = 0
        self._judge = judge
        self._active = True
        self._lock = threading.RLock()  # reentrant: a finaliser may come back
        self._calm: Evidence | None = None  # the evidence, while there is nothing against it
        self._evidence = Evidence(rules.window, clock.monotonic())
        self.reset()
        hub.register(self)

    # The policy

    def at_once(self, /, *_: Any, **__: Any) -> Any:
        """A permit, as long as the probability is certain to be 0."""
        return self._calm or self._calm_until()

    def _calm_until(self) -> Evidence | None:
        evidence = self._evidence
        return evidence if self.clock.monotonic() < evidence.calm else None

    def succeeded(self, permit: Any, /) -> None:
        """Count an accepted call."""
        now = self.clock.monotonic()
        if now < permit.edge:
            permit.ok += 1
        else:
            self._record(permit, now, accepted=True)

    def admit(self, /, *_: Any, **__: Any) -> Evidence | object:
        """A permit, or a new `ThrottledError`, which is not raised."""
        if not self._active:
            return _UNJUDGED
        now = self.clock.monotonic()
        with self._lock:
            evidence = self._evidence
            probability = self._look(now)
        if not probability:
            return evidence
        chance = self.rules.chance(probability, importance())
        shed = self.rules.draw() < chance
        if not shed:
            return evidence
        self._record(evidence, now, accepted=False)
        with self._lock:
            self.throttled += 1
        return self._refused(chance)

    def settle(self, permit: Any, outcome: Outcome[Any] | None) -> None:
        """Count a call that ended; `None`, a rejection further in and what is ignored do not."""
        if outcome is None or permit is _UNJUDGED or isinstance(outcome.error, Rejected):
            return
        verdict, _ = self._judge.verdict(outcome)
        if verdict is not Verdict.IGNORED:
            accepted = verdict is Verdict.SUCCESS
            self._record(permit, self.clock.monotonic(), accepted=accepted)

    def _record(self, permit: Evidence, now: float, *, accepted: bool) -> None:
        with self._lock:
            if self._active:
                # Of an earlier era, that is evidence which nobody looks at any more.
                permit.record(now, self.rules, accepted=accepted)
                self._align()

    def _look(self, now: float) -> float:
        """The probability for an unmarked call at `now`; the caller holds the lock."""
        probability = self._evidence.look(now, self.rules)
        self._align()
        return probability

    def _align(self) -> None:
        """Tell the straight line what it may do by itself; the caller holds the lock."""
        evidence = self._evidence
        if not self._active:
            evidence.retire()
        self._calm = evidence if evidence.calm == math.inf else None

    def _refused(self, chance: float) -> ThrottledError:
        reason = f"too few calls are accepted, so {chance:.0%} of such calls are not made"
        self.announce(reason)
        return ThrottledError(self.name, None, reason)

    # The surface

    @property
    def probability(self) -> float:
        """How likely an unmarked call is shed now, in [0, cap].

        Example::

            if search.probability > 0.5:
                show_simple_page()
        """
        now = self.clock.monotonic()
        with self._lock:
            return self._look(now)

    @property
    def accepts(self) -> int:
        """Calls of the window that the dependency accepted."""
        return self._counts()[0]

    @property
    def requests(self) -> int:
        """Calls of the window that ended, and those that were shed."""
        return sum(self._counts())

    def _counts(self) -> tuple[int, int]:
        now = self.clock.monotonic()
        with self._lock:
            self._look(now)
            accepted, refused = self._evidence.counts()
        return int(accepted), int(refused)

    def describe(self) -> str:
        """One line for `pipeline.describe()`."""
        share = 1 / self.rules.k
        return (
            f"throttle({self.name!r}): sheds up to {self.rules.cap:.0%} of the calls while fewer "
            f"than {share:.0%} are accepted"
        )

    def reset(self) -> None:
        """Forget every call of the window."""
        self._renew(Evidence(self.rules.window, self.clock.monotonic()))

    def snapshot(self) -> dict[str, list[float]]:
        """Plain data to restore from: calls accepted and not, bucket by bucket, oldest first."""
        now = self.clock.monotonic()
        with self._lock:
            self._look(now)
            return self._evidence.snapshot()

    def restore(self, data: Mapping[str, Any]) -> None:
        """Take over a `snapshot`, as if made now. Raises `ConfigError` for anything else."""
        evidence = Evidence(self.rules.window, self.clock.monotonic())
        try:
            evidence.restore(data)
        except (KeyError, TypeError, ValueError) as error:
            allowed = "what snapshot() of a throttle returned"
            raise ConfigError("snapshot", data, allowed) from error
        self._renew(evidence)

    def _renew(self, evidence: Evidence) -> None:
        """Begin a new era: answers to calls that were made before change nothing any more."""
        now = self.clock.monotonic()
        with self._lock:
            self._evidence = evidence
            self._look(now)

    # What the hub asks

    def set_active(self, active: bool, /) -> None:  # noqa: FBT001  (a switch is a boolean)
        """Work, or let everything pass uncounted."""
        now = self.clock.monotonic()
        with self._lock:
            self._active = active
            self._look(now)

    def after_fork(self) -> None:
        """A fresh lock; what the parent had begun is none of the child's calls."""
        super().after_fork()
        self._lock = threading.RLock()
        self.restore(self.snapshot())


def throttle(  # noqa: PLR0913  (every setting of a throttle, all but the name optional)
    name: str,
    *,
    k: float = 2.0,
    cap: float = 0.9,
    window: Duration = 10,
    minimum_calls: int = 20,
    on: Catch = Exception,
    ignore: Catch = (),
    draw: Callable[[], float] = random.random,
    clock: Clock | None = None,
) -> Throttle:
    """Make a throttle: it turns calls away, at random, while the dependency accepts too few.

    A dependency that is overloaded spends its strength on refusing. A breaker would send it
    nothing; a throttle sends about `k` times what it accepts. The probability that a call is
    shed is::

        min(cap, max(0, (requests - k * accepts) / (requests + 1)))

    with `requests` and `accepts` of the last `window` seconds (Beyer et al., "Site Reliability
    Engineering", 2016, chapter 21, "Handling Overload", equation 21-1).

    * `k`: a number >= 1. With 2 nothing is shed while half of the calls are accepted; nearer to 1
      it spares the dependency more, and notices later that it has recovered. Default 2.
    * `cap`: the highest probability, in (0, 1). Without one, a client whose every call was refused
      would send next to nothing, and so hardly ever learn that the dependency is back.
    * `window`: seconds, in 10 buckets. Default 10.
    * `minimum_calls`: nothing is shed while the window holds fewer requests; the equation makes
      a half of the first failure. Default 20, as for `resilient.breaker`.
    * `on`, `ignore`: which exceptions mean that the call was not accepted: classes, tuples of them,
      or predicates. `ignore` wins, and touches no counter. An exception outside `on` is an answer,
      so the call was accepted. A `CallTimeoutError` from inside was not, unless ignored.
    * `draw`: a function that gives a random number in [0, 1).
    * `clock`: for tests.

    A call is one of the `requests` when it has ended or was shed. One that is still under way says
    nothing yet (else a burst of calls would look like a dependency that refuses), and one that
    was cancelled, or rejected by a policy further in, never counts.

    What matters less is shed first: the probability p is raised to the power 2 for a call marked
    CRITICAL, 1/2 for MEDIUM and 1/4 for LOW, and again capped; HIGH, and a call that is not marked,
    follows the equation. At p = 0.5 that is 0.25, 0.5, 0.71, 0.84. So nobody is shed while p is 0,
    the order holds for every p, and nobody is above the cap. The exponent is that of Envoy's
    admission control filter, where it is 1/aggression. The book's own way, counts for each level,
    needs a dependency that refuses the lower levels first.

    A shed call raises `ThrottledError`, without a time to come back, so a retry does not repeat it.
    Raises `ConfigError` naming the setting, its value and what is allowed.

    Example::

        search = throttle("search", on=(OverloadedError, TimeoutError))

        @search
        def find(words: str) -> list[str]: ...
    """
    if positive("k", k) < 1:
        raise ConfigError("k", k, "a number >= 1")
    if positive("cap", cap, most=1) == 1:
        raise ConfigError("cap", cap, "a number > 0 and < 1")
    rules = ThrottleRules(
        name=named(name),
        k=float(k),
        cap=float(cap),
        window=seconds("window", window),
        minimum_calls=whole("minimum_calls", minimum_calls),
        draw=function("draw", draw),
    )
    return Throttle(rules, Judge(matcher("on", on), matcher("ignore", ignore)), clock=chosen(clock))

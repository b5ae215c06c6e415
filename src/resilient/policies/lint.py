"""Orders of policies that do harm, named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from resilient.core.policy import Policy
from resilient.policies.adaptive_limit import AdaptiveLimit
from resilient.policies.bulkhead import Bulkhead
from resilient.policies.circuit_breaker import CircuitBreaker
from resilient.policies.criticality import Marked
from resilient.policies.deadline import Deadline
from resilient.policies.fallback import Fallback
from resilient.policies.hedge import Hedge
from resilient.policies.mode_gate import ModeGate
from resilient.policies.rate_limiter import RateLimit
from resilient.policies.retry import Retry
from resilient.policies.slow_start_gate import SlowStart
from resilient.policies.throttle import Throttle
from resilient.policies.timeout import Timeout

__all__ = ["Finding", "findings"]

_LOW_RATE = 0.5
_JUDGES = (CircuitBreaker, Throttle, AdaptiveLimit)
_ASKS_FOR_MARKS = (AdaptiveLimit, Bulkhead, ModeGate, RateLimit, Throttle)
_KINDS: dict[type[Policy], str] = {
    CircuitBreaker: "breaker",
    Throttle: "throttle",
    AdaptiveLimit: "limit",
    Bulkhead: "bulkhead",
    ModeGate: "mode gate",
    RateLimit: "rate limit",
}


class Finding(msgspec.Struct, frozen=True):
    """One harmful order. `rule` is a short name, `message` says what happens and what to do."""

    rule: str
    message: str


def findings(policies: Sequence[Policy]) -> tuple[Finding, ...]:
    """Everything that is wrong with `policies`, outermost first."""
    found = [finding for policy in policies for finding in _alone(policy)]
    for index, outer in enumerate(policies):
        for inner in policies[index + 1 :]:
            found.extend(_pair(outer, inner))
    found.extend(_unseen_timeouts(policies))
    return tuple(found)


def _alone(policy: Policy) -> Iterator[Finding]:
    if isinstance(policy, CircuitBreaker):
        rate = policy.rules.failure_rate
        if rate is not None and rate < _LOW_RATE and not policy.keyed:
            yield Finding(
                "low-failure-rate",
                f"breaker {policy.name!r} opens for all callers at {rate:.0%} failures: if one key "
                "in ten fails, it cuts off the healthy ones too. Give it a key=, or 50 % and more",
            )


def _pair(outer: Policy, inner: Policy) -> Iterator[Finding]:
    if isinstance(inner, Retry):
        yield from _around_retry(outer)
    if isinstance(outer, Retry) and isinstance(inner, Fallback):
        yield Finding(
            "fallback-inside-retry",
            "the fallback inside the retry answers first, so nothing is ever retried. Put the "
            "fallback outside",
        )
    if isinstance(inner, Marked) and isinstance(outer, _ASKS_FOR_MARKS):
        yield Finding(
            "mark-inside-gate",
            f"the {_kind(outer)} {outer.name!r} asks how much a call matters before the mark "
            "inside it says so. Put the mark outside",
        )
    if isinstance(inner, Timeout):
        yield from _around_timeout(outer, inner)
    if isinstance(outer, Timeout) and isinstance(inner, Hedge):
        delay = inner.delay
        if delay is not None and delay >= outer.seconds:
            yield Finding(
                "hedge-later-than-timeout",
                f"the hedge begins a second attempt after {delay:g} s, but all of it may take only "
                f"{outer.seconds:g} s: it never does. Make the delay shorter",
            )


def _around_retry(outer: Policy) -> Iterator[Finding]:
    if isinstance(outer, CircuitBreaker | Throttle):
        kind = _kind(outer)
        late = "opens" if kind == "breaker" else "sheds"
        yield Finding(
            f"retry-inside-{kind}",
            f"{kind} {outer.name!r} sees one outcome for all attempts of the retry inside it, "
            f"so it {late} late. Put the retry outside",
        )
    if isinstance(outer, SlowStart):
        yield Finding(
            "retry-inside-slow-start",
            f"the slow start {outer.name!r} admits a call and the retry inside it makes several of "
            "it, so more of them reach what has just come back. Put the retry outside",
        )
    if isinstance(outer, Hedge):
        yield Finding(
            "retry-inside-hedge",
            "each attempt of the hedge retries by itself, so the attempts multiply. Put the retry "
            "outside",
        )


def _around_timeout(outer: Policy, inner: Timeout) -> Iterator[Finding]:
    if isinstance(outer, Deadline) and inner.seconds >= outer.seconds:
        yield Finding(
            "timeout-longer-than-deadline",
            f"one attempt may take {inner.seconds:g} s, and all of it no more than "
            f"{outer.seconds:g} s: the deadline fires first, and an attempt that hangs counts as "
            "nothing. Make the timeout shorter",
        )
    if isinstance(outer, CircuitBreaker):
        window = outer.rules.window_seconds
        if window is not None and window < 2 * inner.seconds:
            yield Finding(
                "window-shorter-than-timeouts",
                f"the window of breaker {outer.name!r} is {window:g} s, but a call that hangs "
                f"takes {inner.seconds:g} s to fail: it forgets faster than it learns. Make the "
                "window at least twice the timeout",
            )


def _unseen_timeouts(policies: Sequence[Policy]) -> Iterator[Finding]:
    for index, policy in enumerate(policies):
        if not isinstance(policy, _JUDGES):
            continue
        outside = any(isinstance(each, Timeout) for each in policies[:index])
        inside = any(isinstance(each, Timeout) for each in policies[index + 1 :])
        if outside and not inside:
            kind = _kind(policy)
            yield Finding(
                f"timeout-around-{kind}",
                f"a timeout around {kind} {policy.name!r} reaches it as a cancellation and counts "
                "as nothing: it never learns of a dependency that hangs. Put the timeout inside",
            )


def _kind(policy: Policy) -> str:
    return next(word for kind, word in _KINDS.items() if isinstance(policy, kind))

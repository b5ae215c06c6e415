"""Orders of policies that do harm, named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from resilient.core.policy import Policy
from resilient.policies.circuit_breaker import CircuitBreaker
from resilient.policies.deadline import Deadline
from resilient.policies.fallback import Fallback
from resilient.policies.retry import Retry
from resilient.policies.timeout import Timeout

__all__ = ["Finding", "findings"]

_LOW_RATE = 0.5


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
    if isinstance(outer, CircuitBreaker) and isinstance(inner, Retry):
        yield Finding(
            "retry-inside-breaker",
            f"breaker {outer.name!r} sees one outcome for all attempts of the retry inside it, "
            "so it opens late. Put the retry outside",
        )
    if isinstance(outer, Retry) and isinstance(inner, Fallback):
        yield Finding(
            "fallback-inside-retry",
            "the fallback inside the retry answers first, so nothing is ever retried. Put the "
            "fallback outside",
        )
    if isinstance(outer, Deadline) and isinstance(inner, Timeout) and inner.seconds > outer.seconds:
        yield Finding(
            "timeout-longer-than-deadline",
            f"one attempt may take {inner.seconds:g} s, but all of it only {outer.seconds:g} s: "
            "the timeout never fires. Make it shorter",
        )
    if isinstance(outer, CircuitBreaker) and isinstance(inner, Timeout):
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
        if not isinstance(policy, CircuitBreaker):
            continue
        outside = any(isinstance(each, Timeout) for each in policies[:index])
        inside = any(isinstance(each, Timeout) for each in policies[index + 1 :])
        if outside and not inside:
            yield Finding(
                "timeout-around-breaker",
                f"a timeout around breaker {policy.name!r} reaches it as a cancellation and counts "
                "as nothing: a dependency that hangs never opens it. Put the timeout inside",
            )

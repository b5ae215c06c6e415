"""The recommended pipeline, in one word."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from resilient.clock import Clock, Duration, seconds
from resilient.core.effects import Call, Flow, Guarded, Step
from resilient.core.policy import Line, Policy, Protector
from resilient.core.ports import Criticality, ModePort
from resilient.errors import ConfigError
from resilient.policies.adaptive import adaptive_limit
from resilient.policies.breaker import breaker
from resilient.policies.budget import RetryBudget, retry_budget
from resilient.policies.bulkhead import bulkhead
from resilient.policies.criticality import criticality as marked
from resilient.policies.deadline import deadline as bounded
from resilient.policies.fallback import fallback as answered
from resilient.policies.limit_algorithms import aimd
from resilient.policies.match import Catch, named, whole
from resilient.policies.mode_gate import ModeSource, mode_gate
from resilient.policies.pipeline import Pipeline, pipeline
from resilient.policies.rate_limit import rate_limit
from resilient.policies.retry import retry
from resilient.policies.throttle import throttle
from resilient.policies.timeout import Timeout

__all__ = ["protect"]

PASSING = (ConnectionError, TimeoutError)
"""What is retried unless said otherwise: failures of the way to the dependency, not of the call."""


_ONCE = 0.45
"""The share of the deadline that one attempt may take: two, and a wait between, fit into it."""


class _AttemptTimeout(Timeout):
    """A limit for each attempt of an ``async def``. A ``def`` cannot be interrupted: it runs on."""

    def check(self, fn: Line, is_async: bool) -> None:  # noqa: FBT001
        """Refuse nothing."""

    def flow(self, call: Call, inner: Step, place: int) -> Flow:
        """The limit, where there can be one."""
        return super().flow(call, inner, place) if call.guard.is_async else inner(call)

    def wrap(self, line: Line, guard: Guarded) -> Line:
        """The straight line."""
        return super().wrap(line, guard) if guard.is_async else line


def protect(  # noqa: PLR0913  (every choice that the pipeline leaves, all but the name optional)
    name: str,
    *,
    criticality: Criticality | str | None = None,
    fallback: Any = None,
    deadline: Duration = 2.0,
    rate: float | None = None,
    limit: int | None = None,
    attempts: int = 3,
    on: Catch | Callable[[Any], bool] = PASSING,
    ignore: Catch = (),
    budget: RetryBudget | None = None,
    attempt_timeout: Duration | None = None,
    throttled: bool = False,
    key: Callable[..., Any] | None = None,
    mode: ModePort | None = None,
    clock: Clock | None = None,
) -> Pipeline:
    """Protect calls of one dependency by every policy, in the recommended order.

    Outermost first: the gate of the mode, the fallback, the deadline, the rate limit, the limit of
    calls in flight, the retry with its budget, the throttle if asked for, the breaker, the timeout
    of an attempt. ``protect(...).describe()`` prints them with their numbers.

    * `name`: the dependency; errors, events and the mode call it so.
    * `criticality`: of the component to the mode, and of its calls where nobody further out has
      marked them.
    * `fallback`: one alternative, or a tuple of them, as `resilient.fallback` takes
      them; by default there is none. An answer of `None` is ``value(None)``.
    * `deadline`: seconds for everything inside, attempts and waits.
    * `rate`: at most so many calls a second; by default there is no such limit.
    * `limit`: so many calls at a time, and as many again may wait (a bulkhead). By default the
      limit is found from the dependency's own answers (an adaptive limit).
    * `attempts`: calls in all, for what may be done twice; 1 for what may not.
    * `on`: what is retried: by default failures of the connection, and time-outs. Name your
      client's own errors, such as ``httpx.TransportError``.
    * `ignore`: errors that say nothing about the dependency, such as "not found".
    * `budget`: a `retry_budget` that is shared with others; by default one of its own.
      In a fleet of thousands with few calls each, give ``retry_budget(0.1, min_per_second=0)``.
    * `attempt_timeout`: seconds for one attempt; by default 0.45 of the deadline. Choose it so that
      a usual answer takes less than a quarter of it. A ``def`` is not interrupted by it; it learns
      from `resilient.remaining()` how much time is left.
    * `throttled`: put a throttle around the breaker, for a dependency that refuses some calls at
      once when it is overloaded (429, 503). Off: where overload shows as silence it was measured to
      bring nothing, and to make recovery take 13 s instead of 3 s.
    * `key`: a circuit for each key, as for `resilient.breaker`; for calls of which some keys may
      fail while others work.
    * `mode`: the mode that it reports to and obeys; by default the default one.

    Returns a pipeline, which has no finding in ``lint()``.
    Raises `ConfigError` naming the setting, its value and what is allowed.

    Example::

        @protect("payments", criticality="critical", fallback=queue_for_later)
        async def charge(order: int) -> Receipt: ...
    """
    named(name)
    whole("attempts", attempts)
    total = seconds("deadline", deadline)
    once = _ONCE * total if attempt_timeout is None else seconds("attempt_timeout", attempt_timeout)
    if once >= total:
        allowed = f"less than the deadline, {total:g} s: what that cuts off counts as nothing"
        raise ConfigError("attempt_timeout", attempt_timeout, allowed)
    level = None if criticality is None else Criticality.of(criticality)
    alternatives = fallback if isinstance(fallback, tuple) else (fallback,)
    alternatives = () if fallback is None else alternatives
    layers: list[Protector | None] = [
        None if level is None else marked(level, only_unmarked=True),
        mode_gate(name, mode=cast("ModeSource | None", mode), clock=clock),
        answered(*alternatives) if alternatives else None,
        bounded(total, clock=clock),
        None if rate is None else rate_limit(name, rate=rate, clock=clock),
        _in_flight(name, limit, once, ignore, clock),
        _repeated(on, attempts, budget, mode, clock),
        throttle(name, ignore=ignore, clock=clock) if throttled else None,
        breaker(
            name,
            failure_threshold=10,
            failure_rate=0.5,
            minimum_calls=10,
            window=max(10.0, 2 * once),
            reset_timeout=5.0,
            reset_jitter=0.1,
            ignore=ignore,
            key=key,
            criticality=level,
            mode=mode,
            clock=clock,
        ),
        _AttemptTimeout(once),
    ]
    return pipeline(*(layer for layer in layers if layer is not None))


def _in_flight(
    name: str, limit: int | None, once: float, ignore: Catch, clock: Clock | None
) -> Policy:
    if limit is None:
        slow = aimd(timeout=once / 2)
        return adaptive_limit(name, algorithm=slow, ignore=ignore, clock=clock)
    return bulkhead(name, limit=whole("limit", limit), queue=limit, clock=clock)


def _repeated(
    on: Catch | Callable[[Any], bool],
    attempts: int,
    budget: RetryBudget | None,
    mode: Any,
    clock: Clock | None,
) -> Policy | None:
    if attempts == 1:
        return None
    shared = budget or retry_budget(0.1, min_per_second=1, mode=mode, clock=clock)
    return retry(on=on, attempts=attempts, budget=shared, clock=clock)

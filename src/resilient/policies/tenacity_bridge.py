"""tenacity's strategies, without its loop.

Strategies are asked only after a failure, with a state filled in then, and with a small outcome in
place of tenacity's future.
"""

from __future__ import annotations

from typing import Any, cast

import tenacity
from tenacity.asyncio import retry as async_retry
from tenacity.retry import retry_base
from tenacity.stop import stop_base
from tenacity.wait import wait_base

from resilient.errors import ConfigError

__all__ = [
    "Attempted",
    "is_stop",
    "is_strategy",
    "is_wait",
    "judges_results",
    "needs_time",
    "state",
]

_ON_RESULTS = (
    tenacity.retry_if_result,
    tenacity.retry_if_not_result,
    tenacity.retry_unless_exception_type,
    tenacity.retry_if_not_exception_message,
    type(tenacity.retry_always),
)
_TIMELESS_STOPS = (
    tenacity.stop_after_attempt,
    tenacity.stop_when_event_set,
    type(tenacity.stop_never),
)


class Attempted:
    """What a strategy reads of an attempt, in place of tenacity's future."""

    __slots__ = ("_error", "_value", "attempt_number", "failed")

    def __init__(self, attempt: int, error: Exception | None, value: object = None) -> None:
        self.attempt_number = attempt
        self.failed = error is not None
        self._error = error
        self._value = value

    def exception(self) -> Exception | None:
        """The error, or `None`."""
        return self._error

    def result(self) -> object:
        """The value; raises the error if there is one."""
        if self._error is not None:
            raise self._error
        return self._value


def is_wait(value: object) -> bool:
    """Whether `value` is one of tenacity's waits."""
    return isinstance(value, wait_base)


def is_stop(value: object) -> bool:
    """Whether `value` is one of tenacity's stops."""
    return isinstance(value, stop_base)


def is_strategy(value: object) -> bool:
    """Whether `value` is one of tenacity's retry strategies.

    Raises `ConfigError` for the async ones, which would have to be awaited to decide.
    """
    if isinstance(value, async_retry.async_retry_base):
        raise ConfigError("on", value, "a tenacity retry strategy that is not async")
    return isinstance(value, retry_base)


def judges_results(strategy: Any) -> bool:
    """Whether `strategy` may ask for another attempt after a good result."""
    parts = getattr(strategy, "retries", None)
    if parts is not None:
        return any(judges_results(part) for part in parts)
    known = type(strategy).__module__.startswith("tenacity.")
    return isinstance(strategy, _ON_RESULTS) or not known


def needs_time(stop: Any) -> bool:
    """Whether `stop` depends on the time since the call began."""
    parts = getattr(stop, "stops", None)
    if parts is not None:
        return any(needs_time(part) for part in parts)
    return not isinstance(stop, _TIMELESS_STOPS)


def state(  # noqa: PLR0913  (what tenacity keeps)
    outcome: Attempted,
    *,
    attempt: int,
    began: float,
    now: float,
    idle: float,
    upcoming: float = 0.0,
) -> tenacity.RetryCallState:
    """The state that a strategy expects, as of `now`."""
    made = tenacity.RetryCallState(cast("Any", None), None, (), {})
    made.start_time = began
    made.attempt_number = attempt
    made.outcome = cast("Any", outcome)
    made.outcome_timestamp = now
    made.idle_for = idle
    made.upcoming_sleep = upcoming
    return made

"""The limit on the time of one attempt, given or learned."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, overload

from resilient.clock import Clock, Duration, chosen, seconds
from resilient.core import threads
from resilient.core.deadline import current
from resilient.core.effects import Call, Flow, Guarded, Step, Within
from resilient.core.hub import hub
from resilient.core.inspection import label
from resilient.core.outcome import Outcome
from resilient.core.policy import Line, Policy
from resilient.errors import ConfigError, DeadlineExceededError
from resilient.policies.match import positive, whole
from resilient.policies.observed import Observed, least_samples, quantile_of

__all__ = ["Timeout", "no_time", "timeout"]

_ONE = "seconds > 0 as a number, or a timedelta; or a quantile instead, one of the two"


def no_time(name: str) -> DeadlineExceededError:
    """The rejection of a limit that has nothing left."""
    return DeadlineExceededError(name, None, "no time is left to start the call")


class Timeout(Policy):
    """Ends a call that takes too long. Made by `resilient.timeout`.

    `seconds` is the limit, the longest one if it is learned.
    """

    wraps = True

    def __init__(
        self, limit: float, *, thread: bool = False, observed: Observed[float] | None = None
    ) -> None:
        self.title = f"timeout({limit:g})"
        self.seconds = limit
        self.thread = thread
        self._observed = observed
        if observed is not None:
            self.title = f"timeout(quantile={observed.quantile:g})"
            self.clock = observed.clock

    def check(self, fn: Callable[..., Any], is_async: bool) -> None:  # noqa: FBT001
        """Refuse a ``def`` unless a thread may be used, and a thread for an ``async def``."""
        if is_async and self.thread:
            message = f"{label(fn)} is async: timeout(thread=True) is for a def"
            raise TypeError(message)
        if not (is_async or self.thread):
            message = (
                f"{label(fn)} is a def, which cannot be interrupted. timeout(..., thread=True) "
                "runs it on a worker thread, which lives on after the limit; or give its client "
                "a timeout of its own"
            )
            raise TypeError(message)

    def flow(self, call: Call, inner: Step, place: int) -> Flow:
        """Run what is inside within the limit, or what the deadline leaves of it."""
        del place
        limit = self.limit()
        if limit <= 0:
            return Outcome(error=no_time(self.title))
        observed, began, answered = self._observed, self.clock.monotonic(), False
        most = self.limit_now
        try:
            outcome: Outcome[Any] = yield Within(limit, call.guard.label, inner, call)
            answered = outcome.error is None
        finally:
            if observed is not None:
                observed.settle(began, most, answered=answered)
        return outcome

    def wrap(self, line: Line, guard: Guarded) -> Line:
        """The straight line."""
        make = partial(_timed_async if guard.is_async else _timed_thread, self, line, guard.label)
        if self._observed is None:
            return make(self.seconds)
        wrap = self._observed.line_async if guard.is_async else self._observed.line
        return wrap(line, make)

    def describe(self) -> str:
        """One line for `pipeline.describe()`."""
        if self._observed is None:
            return f"timeout: {self.seconds:g} s for what is inside"
        quantile = f"the {self._observed.quantile:g} quantile"
        return f"timeout: by {quantile} of what is inside, at most {self.seconds:g} s"

    @property
    def limit_now(self) -> float:
        """Seconds that a call may take now, whatever a deadline leaves of them.

        Example::

            timeout(quantile=0.99, max=5).limit_now  # 5.0 until enough calls are known
        """
        if self._observed is None:
            return self.seconds
        return self._observed.current(self.clock.monotonic())

    def limit(self) -> float:
        """Seconds that a call may take now."""
        left = current.get()
        return self.limit_now if left is None else min(self.limit_now, left.remaining())


def _timed_async(policy: Timeout, line: Line, name: str, seconds: float) -> Line:
    from resilient.core.timer import limited, within  # noqa: PLC0415  (loads asyncio)

    async def clipped(*args: Any, **kwargs: Any) -> Any:
        if not hub.active:
            return await line(*args, **kwargs)
        limit = policy.limit()
        if limit <= 0:
            raise no_time(policy.title)
        return await within(line(*args, **kwargs), limit, name)

    return limited(line, seconds, name, clipped)


def _timed_thread(policy: Timeout, line: Line, name: str, seconds: float) -> Line:
    del seconds  # asked anew for each call

    def timed(*args: Any, **kwargs: Any) -> Any:
        if not hub.active:
            return line(*args, **kwargs)
        limit = policy.limit()
        if limit <= 0:
            raise no_time(policy.title)
        return threads.within(lambda: line(*args, **kwargs), limit, name)

    return timed


@overload
def timeout(limit: Duration, *, thread: bool = False) -> Timeout: ...
@overload
def timeout(
    *,
    quantile: float,
    max: Duration,
    min: Duration = ...,
    factor: float = ...,
    warm_up: int | None = None,
    thread: bool = False,
    clock: Clock | None = None,
) -> Timeout: ...
def timeout(  # noqa: PLR0913  (two forms in one word)
    limit: Duration | None = None,
    *,
    quantile: float | None = None,
    max: Duration | None = None,  # noqa: A002  (what it is)
    min: Duration | None = None,  # noqa: A002  (what it is)
    factor: float | None = None,
    warm_up: int | None = None,
    thread: bool = False,
    clock: Clock | None = None,
) -> Timeout:
    """End each call that takes longer than `limit` seconds with `CallTimeoutError`.

    An ``async def`` is cancelled when the time is over. A ``def`` cannot be interrupted:
    decorating one is a `TypeError` unless `thread` is true; then it runs on a worker thread of its
    own, the caller stops waiting for it, and the thread lives on until the function returns.
    Within a `deadline` the limit is what is left of it, if that is less; when nothing is left, the
    call is not started (`DeadlineExceededError`).

    Instead of `limit`, a `quantile` in (0, 1) lets the limit follow the calls: `factor` times that
    quantile of what answers have taken in the last 15 to 30 seconds, at least `min` and at most
    `max` seconds, read again once a second.

    * `max`: required; it is the limit as long as fewer than `warm_up` answers are known.
    * `min`: default 0.01, so that a hiccup of the event loop is not taken for a slow answer.
    * `factor`: >= 1, default 1.5: of each 100 calls, one is slower than their 0.99 quantile when
      all is well, and it should not fail for that.
    * `warm_up`: default 1 / (1 - quantile), of which one lies above: 100 for 0.99.
    * `clock`: what durations are measured with, and what tells which are recent.

    A call that is ended by the limit counts with the limit, so a limit that has become too short
    grows, by up to `factor` a second. An error that comes sooner and a cancellation are no answers
    and do not count: a refusal after a millisecond does not say how long an answer takes.

    Raises `ConfigError` naming the setting, its value and what is allowed.

    Example::

        @timeout(2)
        async def fetch(url: str) -> bytes: ...

        @timeout(quantile=0.99, max=5)
        async def look_up(key: str) -> bytes: ...
    """
    if (limit is None) == (quantile is None):
        raise ConfigError("timeout", limit, _ONE)
    if quantile is not None:
        observed = _learned(quantile, factor, (min, max), warm_up, chosen(clock))
        return Timeout(observed.limit, thread=bool(thread), observed=observed)
    learned = {"max": max, "min": min, "factor": factor, "warm_up": warm_up, "clock": clock}
    for setting, value in learned.items():
        if value is not None:
            raise ConfigError(setting, value, "nothing beside seconds; it belongs to quantile")
    return Timeout(_limit(limit), thread=bool(thread))


def _limit(limit: Any) -> float:
    return seconds("timeout", limit)


def _learned(
    quantile: float,
    factor: float | None,
    bounds: tuple[Duration | None, Duration | None],
    warm_up: int | None,
    clock: Clock,
) -> Observed[float]:
    share = quantile_of(quantile)
    least, most = bounds
    shortest = 0.01 if least is None else seconds("min", least)
    if most is None:
        raise ConfigError("max", most, "seconds > 0 as a number, or a timedelta")
    longest = seconds("max", most)
    if least is None:
        shortest = min(shortest, longest)
    if shortest > longest:
        raise ConfigError("min", least, f"at most max, {longest:g}")
    grow = 1.5 if factor is None else positive("factor", factor)
    if grow < 1:
        raise ConfigError("factor", factor, "a number >= 1")
    samples = least_samples(share) if warm_up is None else whole("warm_up", warm_up)
    return Observed(share, samples, partial(_between, shortest, longest, grow), clock)


def _between(shortest: float, longest: float, factor: float, quantile: float | None) -> float:
    """The limit that follows from a quantile; the longest one if there is none."""
    return longest if quantile is None else max(shortest, min(longest, factor * quantile))

"""Hedges: a second attempt while the first is still under way, against the few that take long."""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, cast, runtime_checkable

import msgspec

from resilient.clock import Clock, Duration, chosen, seconds
from resilient.core.effects import Call, Flow, Guarded, Race, Step
from resilient.core.hub import hub
from resilient.core.inspection import label
from resilient.core.outcome import Outcome
from resilient.core.policy import Line, Policy
from resilient.core.ports import ReactingMode
from resilient.core.reacting import obeyed
from resilient.errors import ConfigError
from resilient.policies.budget import Deposits, RetryBudget
from resilient.policies.leave import Leave
from resilient.policies.match import function, optional, whole
from resilient.policies.observed import Lines, Observed, least_samples, quantile_of

__all__ = ["Budget", "Hedge", "HedgeMetrics", "hedge"]

_SAFE = (
    "True: attempts run at the same time, so all of them may take effect. It is a promise that "
    "doing the call twice does no harm"
)
_ONE = "exactly one of delay and quantile"


@runtime_checkable
class Budget(Protocol):
    """What a hedge asks of a budget; `resilient.retry_budget` makes one.

    `calls` is incremented by one for each call under the hedge.
    """

    calls: int

    def deposit(self) -> None:
        """Count a call."""
        ...

    def withdraw(self) -> bool:
        """Whether one more attempt may be made now; true takes it."""
        ...


class HedgeMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """What became of attempts beside the first, since the hedge was made.

    `started` is how many were made, `won` how many of them gave the answer, `refused` how many
    the budget or the mode did not allow. Few wins for many starts: the delay is too short, or what
    makes the first attempt slow is the same for the next.

    Example::

        metrics = hedged.metrics
        print(f"{metrics.won} of {metrics.started} were worth it")
    """

    started: int = 0
    won: int = 0
    refused: int = 0


class Hedge(Policy):
    """Starts another attempt when the first takes long. Made by `resilient.hedge`."""

    wraps = True

    def __init__(  # noqa: PLR0913  (settings, filled in one place)
        self,
        delay: float | Observed[float | None],
        max_hedges: int,
        *,
        budget: Budget | None,
        mode: ReactingMode | None,
        accept: Callable[[Any], bool] | None,
        dispose: Callable[[Any], Any],
        clock: Clock,
    ) -> None:
        self._delay = delay
        self.max_hedges = max_hedges
        self.budget = budget
        self.mode = mode
        self.clock = clock
        self._accept = accept
        self._dispose = dispose
        self._deposits = None if budget is None else Deposits(cast("RetryBudget", budget))
        self._runs = Lines(self._run)
        self._lock = threading.RLock()  # reentrant: a finaliser may come back
        self._counts = dict.fromkeys(HedgeMetrics.__struct_fields__, 0)
        hub.register(self)

    @property
    def metrics(self) -> HedgeMetrics:
        """How many attempts it has started, and what for; see `HedgeMetrics`."""
        with self._lock:
            return HedgeMetrics(**self._counts)

    @property
    def delay(self) -> float | None:
        """Seconds after which another attempt starts now; `None` while there is no telling.

        Example::

            hedge(quantile=0.95, idempotent=True).delay  # None before the first calls
        """
        if isinstance(self._delay, Observed):
            return self._delay.current(self.clock.monotonic())
        return self._delay

    def check(self, fn: Callable[..., Any], is_async: bool) -> None:  # noqa: FBT001
        """Refuse a ``def``."""
        if not is_async:
            message = (
                f"{label(fn)} is a def: an attempt on a thread cannot be cancelled, so every one "
                "that loses would run on. Hedge an async def; around a def put a timeout in its "
                "client, and a retry"
            )
            raise TypeError(message)

    def wrap(self, line: Line, guard: Guarded) -> Line:
        """The straight line."""

        def hedged(delay: float | None) -> Line:
            return line if delay is None else self._race(line, delay, self._accept, self._dispose)

        if isinstance(self._delay, Observed):
            made = self._delay.line_async(line, hedged)
        else:
            made = hedged(self._delay)
        return made if self._deposits is None else self._deposits.line(made, guard, self)

    def flow(self, call: Call, inner: Step, place: int) -> Flow:
        """The same race, of outcomes."""
        if self._deposits is not None:
            self._deposits.begun(call.guard, place)
        began, delay = self.clock.monotonic(), self.delay
        answered = False
        try:
            outcome: Outcome[Any] = yield Race(self._runs.of(delay), inner, call)
            answered = outcome.error is None
        finally:
            if isinstance(self._delay, Observed):
                self._delay.settle(began, delay, answered=answered)
        return outcome

    def describe(self) -> str:
        """One line for `pipeline.describe()`."""
        after = (
            f"the {self._delay.quantile:g} quantile"
            if isinstance(self._delay, Observed)
            else f"{self._delay:g} s"
        )
        budget = "" if self.budget is None else ", on a budget"
        return f"hedge: up to {self.max_hedges} more, each after {after}{budget}"

    def set_active(self, active: bool, /) -> None:  # noqa: FBT001  (a switch is a boolean)
        """Nothing to do: an inactive library hedges nothing."""

    def after_fork(self) -> None:
        """A fresh lock."""
        self._lock = threading.RLock()

    def _count(self, kind: str) -> None:
        with self._lock:
            self._counts[kind] += 1

    def _run(self, delay: float | None) -> Line:
        if delay is None:
            return _attempt

        def good(outcome: Outcome[Any]) -> bool:
            return outcome.error is None and (self._accept is None or self._accept(outcome.value))

        def dispose(outcome: Outcome[Any]) -> Any:
            return None if outcome.error is not None else self._dispose(outcome.value)

        return self._race(_attempt, delay, good, dispose, _same)

    def _race(
        self,
        line: Line,
        delay: float,
        good: Callable[[Any], bool] | None,
        dispose: Callable[[Any], Any],
        same: Callable[[Any, Any], bool] = operator.is_,
    ) -> Line:
        from resilient.core.race import Plan, hedged  # noqa: PLC0415  (loads asyncio)

        leave = Leave(self.mode, self.budget)
        plan = Plan(self.max_hedges, leave, good, dispose, self._count, same)
        return hedged(line, delay, plan)


async def _attempt(attempt: Callable[[], Any]) -> Any:
    """The line of a flow's attempts."""
    return await attempt()


def _same(one: Outcome[Any], other: Outcome[Any]) -> bool:
    return one.value is other.value


def _close(result: Any) -> Any:
    """Close what has a way to be closed; of two ways the async one."""
    close = getattr(result, "aclose", None) or getattr(result, "close", None)
    return close() if callable(close) and not isinstance(result, type) else None


def hedge(  # noqa: PLR0913  (one keyword for each decision)
    *,
    idempotent: bool = False,
    delay: Duration | None = None,
    quantile: float | None = None,
    max_hedges: int = 1,
    budget: Budget | None = None,
    min_delay: Duration | None = None,
    warm_up: int | None = None,
    accept: Callable[[Any], bool] | None = None,
    dispose: Callable[[Any], Any] | None = None,
    mode: ReactingMode | None = None,
    clock: Clock | None = None,
) -> Hedge:
    """Start another attempt when the first takes long; the first good answer counts.

    For an ``async def`` that may be made twice, and of which a few calls take much longer than the
    rest for reasons of their own (a pause, a queue, a bad replica). All attempts but the one that
    answers are cancelled and awaited before the caller goes on, and what they return nevertheless
    is closed.

    * `idempotent`: must be true. An attempt that is cancelled may have taken effect all the same;
      nobody but the author of the function knows whether that does harm.
    * `delay`: seconds after which the next attempt starts; or `quantile`, in (0, 1), of what calls
      have taken in the last 15 to 30 seconds, so that about that share needs no second attempt:
      0.95 is the choice of Dean and Barroso, "The Tail at Scale", Communications of the ACM 56
      (2013), which costs up to 5 % more calls. Exactly one of the two.
    * `max_hedges`: how many attempts may be made beside the first, each after another delay.
    * `budget`: a `resilient.retry_budget`; without a token there are no more attempts for the call.
    * `min_delay`: of `quantile`, the shortest delay in seconds; default 0.001, below which timers
      of an event loop do not tell apart what is late.
    * `warm_up`: of `quantile`, how many calls must be known before there are hedges. Default
      1 / (1 - quantile), of which one lies above: 20 for 0.95.
    * `accept`: says of a result whether it is an answer. One that is not does not end a race; it
      is returned if no attempt has a better one. What `accept` raises, the caller gets.
    * `dispose`: closes a result that nobody gets, sync or async; default its ``aclose()`` or
      ``close()`` if it has one.
    * `mode`: the `SystemOperationMode` to obey; by default the default one, if there is one. Only
      in NORMAL are there hedges, unless its reactions say otherwise (`resilient.Reactions`).
    * `clock`: what durations are measured with, for `quantile`. The delay passes on the event loop.

    An attempt that fails before another has started is simply the failure; while others run, they
    are waited for, and if none answers the error of the first is raised. A cancellation of the
    caller, and what is no `Exception`, cancels and awaits every attempt and passes through.

    Raises `ConfigError` naming the setting, its value and what is allowed; decorating a ``def`` is
    a `TypeError`.

    Example::

        @hedge(delay=0.05, idempotent=True)
        async def look_up(key: str) -> bytes: ...
    """
    if idempotent is not True:
        raise ConfigError("idempotent", idempotent, _SAFE)
    if (delay is None) == (quantile is None):
        raise ConfigError("delay", delay, _ONE)
    if budget is not None and (isinstance(budget, type) or not isinstance(budget, Budget)):
        raise ConfigError("budget", budget, "a resilient.retry_budget(), or None")
    time = chosen(clock)
    return Hedge(
        _learned(quantile, min_delay, warm_up, time)
        if delay is None
        else _given(delay, min_delay, warm_up),
        whole("max_hedges", max_hedges),
        budget=budget,
        mode=obeyed(mode),
        accept=optional(function, "accept", accept),
        dispose=_closer(dispose),
        clock=time,
    )


def _given(delay: Duration, min_delay: object, warm_up: object) -> float:
    for setting, value in (("min_delay", min_delay), ("warm_up", warm_up)):
        if value is not None:
            raise ConfigError(setting, value, "nothing beside delay; it belongs to quantile")
    return seconds("delay", delay)


def _learned(
    quantile: object, min_delay: Duration | None, warm_up: object, clock: Clock
) -> Observed[float | None]:
    share = quantile_of(quantile)
    least = 0.001 if min_delay is None else seconds("min_delay", min_delay)
    samples = least_samples(share) if warm_up is None else whole("warm_up", warm_up)
    return Observed(share, samples, partial(_at_least, least), clock)


def _at_least(least: float, quantile: float | None) -> float | None:
    return None if quantile is None else max(least, quantile)


def _closer(dispose: object) -> Callable[[Any], Any]:
    if dispose is None:
        return _close
    if not callable(dispose):
        raise ConfigError("dispose", dispose, "a function of a result, sync or async")
    return dispose

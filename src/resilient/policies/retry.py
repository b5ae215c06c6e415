"""Retries: ask again, within limits, and never instead of somebody further in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from typing import Any

import msgspec

from resilient.clock import Clock, Duration, chosen, seconds
from resilient.core.configured import Recipe, configured
from resilient.core.copies import brief
from resilient.core.effects import Call, Flow, Guarded, Sleep, Step
from resilient.core.hub import hub
from resilient.core.notes import note
from resilient.core.outcome import Outcome
from resilient.core.policy import Line, Policy
from resilient.core.serial import serial
from resilient.core.threads import BLOCKED, may_wait
from resilient.errors import ConfigError
from resilient.events import RetryGaveUp, RetryScheduled
from resilient.policies.attempts import AsyncAttempts, Attempt, attempts_sync
from resilient.policies.backoff import Wait, backoff
from resilient.policies.budget import Deposits, RetryBudget
from resilient.policies.match import Catch, function, names_rejection, optional, whole
from resilient.policies.retry_rules import (
    GiveUp,
    Labelled,
    RetryRules,
    Run,
    delay,
    stopper,
    strategy,
    wait_strategy,
)

__all__ = ["Retry", "retry"]

_BLOCKED = GiveUp(BLOCKED)


class Retry(Policy):
    """Asks again after a failure. Made by `resilient.retry`."""

    repeats = True
    marks = True

    def __init__(
        self,
        rules: RetryRules,
        *,
        judges_results: bool = False,
        timed: bool = False,
        before_sleep: Callable[[RetryScheduled], object] | None = None,
        budget: RetryBudget | None = None,
    ) -> None:
        self.rules = rules
        self.clock = rules.clock
        self.timed = timed
        self.straight = not judges_results
        self._judges_results = judges_results
        self._before_sleep = before_sleep
        self.budget = budget
        self.observes = budget is not None
        self._deposits = None if budget is None else Deposits(budget)

    def flow(self, call: Call, inner: Step, place: int) -> Flow:
        """Attempt, decide, wait, attempt again."""
        run = self.begin(call.guard, call, place)
        while True:
            outcome = yield from inner(call)
            wait = self.after(run, outcome, blocking=not call.guard.is_async)
            if wait is None:
                return outcome
            if wait > 0 or call.guard.is_async:
                yield Sleep(wait, self.clock)

    def observe(self, line: Line, guard: Guarded) -> Line:
        """`line`, counting its calls for the budget."""
        return line if self._deposits is None else self._deposits.line(line, guard, self)

    def begin(self, of: Labelled, call: Call | None = None, place: int = 0) -> Run:
        """Start the record of a retried call; one that began on the straight line began then."""
        if self._deposits is not None and (call is None or call.first is None):
            self._deposits.begun(of, place)
        if call is not None and call.first is not None:
            if call.began is None:
                return Run(of, call.mark, 0.0, measured=False)
            return Run(of, call.mark, call.began)
        return Run(of, serial.value, self.clock.monotonic())

    def after(self, run: Run, outcome: Outcome[Any], *, blocking: bool) -> float | None:
        """Seconds to wait before the next attempt; `None` if `outcome` is the last word.

        A wait is `blocking` if it stops the thread and not only a task.
        """
        run.attempts += 1
        error = outcome.error
        if error is None and not self._judges_results:
            return None
        run.now = self.clock.monotonic()
        if run.attempts == 1 and not run.measured:
            run.began = run.now
        decision = self._decide(run, outcome, blocking=blocking)
        if isinstance(decision, GiveUp):
            if decision.matched:
                self.give_up(run, outcome, decision)
            return None
        run.waits.append(decision)
        self._announce(run, outcome, decision)
        return decision

    def _decide(self, run: Run, outcome: Outcome[Any], *, blocking: bool) -> float | GiveUp:
        decision = self.rules.decide(run, outcome.error, outcome.value)
        if isinstance(decision, GiveUp):
            return decision
        if blocking and decision and not may_wait(self.clock):
            return _BLOCKED
        # Last, so that a token is taken only for an attempt that will be made.
        if self.budget is None or self.budget.withdraw():
            return decision
        return GiveUp(self.budget.refusal)

    def give_up(self, run: Run, outcome: Outcome[Any], why: GiveUp) -> None:
        """Leave a note on the error, and a stamp for retries further out."""
        error = outcome.error
        if error is not None:
            serial.stamp(error)
            waits = ", ".join(f"{wait:.3g}" for wait in run.waits) or "none"
            times = "once" if run.attempts == 1 else f"{run.attempts} times"
            note(error, f"{run.of.label} was tried {times} (waits in s: {waits}); {why.reason}")
        if hub.bus.wants(RetryGaveUp):
            hub.bus.publish(
                RetryGaveUp(
                    name=run.of.label,
                    attempts=run.attempts,
                    seconds=self.clock.monotonic() - run.began if run.measured else None,
                    reason=why.reason,
                    error=_text(outcome),
                )
            )

    def obey(self, rules: RetryRules, /) -> None:
        """Decide by these rules from now on; what was tried so far counts."""
        self.rules = rules

    def describe(self) -> str:
        """One line for `pipeline.describe()`."""
        most = self.rules.attempts
        limit = "until stopped" if most is None else f"up to {most} attempts"
        return f"retry: {limit}" if self.budget is None else f"retry: {limit}, on a budget"

    def __iter__(self) -> Iterator[Attempt]:
        """Attempts for ``for attempt in retry:`` with ``with attempt:`` bodies."""
        return attempts_sync(self)

    def __aiter__(self) -> AsyncIterator[Attempt]:
        """Attempts for ``async for attempt in retry:`` with ``with attempt:`` bodies."""
        return AsyncAttempts(self)

    def _announce(self, run: Run, outcome: Outcome[Any], wait: float) -> None:
        if self._before_sleep is None and not hub.bus.wants(RetryScheduled):
            return
        event = RetryScheduled(
            name=run.of.label, attempt=run.attempts, wait=wait, error=_text(outcome)
        )
        hub.bus.publish(event)
        if self._before_sleep is not None:
            self._before_sleep(event)


def _text(outcome: Outcome[Any]) -> str:
    if outcome.error is None:
        return f"the result {brief(outcome.value)}"
    return brief(outcome.error)


def retry(  # noqa: PLR0913  (every setting of a retry, all but `on` optional)
    *,
    on: Catch | Callable[[Any], bool],
    attempts: int | None = None,
    wait: Duration | Wait | Callable[[Any], float] | None = None,
    stop: Any = None,
    max_delay: Duration | None = None,
    budget: RetryBudget | None = None,
    retry_after: Callable[[Exception], float | None] | None = None,
    on_result: Callable[[Any], bool] | None = None,
    before_sleep: Callable[[RetryScheduled], object] | None = None,
    retry_exhausted: bool = False,
    clock: Clock | None = None,
) -> Retry:
    """Ask again when a call fails.

    * `on`: what to retry. Exception classes, a tuple of them, a predicate, or a tenacity retry
      strategy. Required: retrying what is not known to be passing does harm. A `Rejected` is
      retried only if a class of rejections is named, and it says when it ends. Exceptions outside
      `Exception` (cancellation, Ctrl-C) are never retried.
    * `attempts`: calls in all, the first included. Default: the setting ``retry.attempts``, 3; with
      `stop` alone there is no limit but that.
    * `wait`: seconds, a function ``(attempt, error) -> seconds``, or a tenacity wait. Default:
      `resilient.backoff` with full jitter and the settings ``retry.initial_delay``, 0.1 s,
      ``retry.backoff_factor``, 2, and ``retry.max_delay``, 2 s. A wait that an error asks for
      (``retry_after``, or a ``Retry-After`` header) lengthens it; `retry_after` is a function of
      the error that finds it elsewhere.
    * `max_delay`: the longest single wait, in seconds, also of those an error asks for. Default:
      none.
    * `stop`: a tenacity stop.
    * `budget`: a `resilient.retry_budget`, which any number of retries share; without a token of it
      there is no further attempt.
    * `on_result`: a predicate on good results; true asks again.
    * `before_sleep`: called with a `RetryScheduled` before each wait, on the caller's thread.
    * `retry_exhausted`: retry also what a retry further in has already given up on. Off, so that
      nested retries do not multiply.

    A wait that does not fit the `deadline` is not begun. The last error is raised as it was, with
    one note. On a thread that runs an event loop a retried ``def`` does not wait: it gives up.

    Raises `ConfigError` naming the setting, its value and what is allowed.

    Example::

        @retry(on=ConnectionError, attempts=4)
        def fetch(url: str) -> bytes: ...

        for attempt in retry(on=ConnectionError):
            with attempt:
                connection.send(data)
    """
    again, judged = strategy(on, on_result)
    stop_when, timed = stopper(stop)
    if attempts is not None:
        whole("attempts", attempts)
    optional(function, "before_sleep", before_sleep)
    optional(function, "retry_after", retry_after)
    if not (budget is None or isinstance(budget, RetryBudget)):
        raise ConfigError("budget", budget, "a resilient.retry_budget(), or None")
    rules = RetryRules(
        again=again,
        wait=_at_once if wait is None else wait_strategy(wait),
        stop=stop_when,
        attempts=attempts,
        max_delay=None if max_delay is None else seconds("max_delay", max_delay, zero=True),
        names_rejections=names_rejection(on),
        retry_exhausted=bool(retry_exhausted),
        retry_after=retry_after,
        clock=chosen(clock),
    )
    given = {} if wait is None else dict.fromkeys(_WAIT)
    if not (attempts is None and stop is None):
        given["attempts"] = attempts
    recipe = Recipe("retry", None, given, _completed, rules)
    values = configured.values
    made = Retry(
        recipe(values), judges_results=judged, timed=timed, before_sleep=before_sleep, budget=budget
    )
    configured.follow(made, recipe, values)
    return made


def _at_once(run: Run, error: Exception | None, value: object) -> float:
    """In the place of a wait that is yet to be found."""
    del run, error, value
    return 0.0


_WAIT = ("initial_delay", "backoff_factor", "max_delay")


def _completed(
    settings: Mapping[str, Any], given: Collection[str], rules: RetryRules
) -> RetryRules:
    """Put the configured numbers in where none was given."""
    attempts, wait = settings["attempts"], rules.wait
    if _WAIT[0] not in given:
        initial, factor, cap = (settings[each] for each in _WAIT)
        wait = delay(backoff(initial, factor=factor, cap=cap))
    return msgspec.structs.replace(rules, attempts=attempts, wait=wait)

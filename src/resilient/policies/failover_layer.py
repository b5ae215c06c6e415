"""What `resilient.failover` puts around its targets: a policy that asks one after another.

As a policy it is written once for threads and for asyncio, and joins the others of a function in
one pipeline. It is always the innermost: what it calls are its targets.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from enum import Enum
from itertools import pairwise
from typing import Any

import msgspec

from resilient.clock import Clock
from resilient.core.copies import brief
from resilient.core.deadline import remaining
from resilient.core.effects import Call, Flow, Guarded, Reply, Step
from resilient.core.hub import hub
from resilient.core.notes import chain, note
from resilient.core.outcome import Outcome
from resilient.core.policy import Line, Policy
from resilient.errors import Rejected
from resilient.events import TargetEjected, TargetReturned
from resilient.policies.failover_lines import line_async, line_sync
from resilient.policies.match import Matcher
from resilient.policies.pool import Change, Pool, Target, Ticket
from resilient.policies.rules import FREE_THREADED

__all__ = ["FailoverLayer", "FailoverTarget"]


class FailoverTarget(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one target, as ``targets()`` of a `failover` tells.

    * `label`: its name in events and notes;
    * `in_flight`: calls that have begun and not ended;
    * `consecutive_failures`: those since its last answer, its ejection or its return;
    * `ejected_for`: seconds until it may be tried again, 0 if the next call may; `None` if it is
      not ejected;
    * `calls`: all that have begun; `failures`: those that failed.

    Example::

        [target.label for target in fetch.targets() if target.ejected_for is not None]
    """

    label: str
    in_flight: int
    consecutive_failures: int
    ejected_for: float | None
    calls: int
    failures: int


class _Verdict(Enum):
    ANSWERED = 1
    FAILED = 2
    PASSED_OVER = 3


class FailoverLayer(Policy):
    """Asks the targets of a pool until one answers. Made by `resilient.failover`."""

    repeats = True
    wraps = True

    def __init__(  # noqa: PLR0913  (what `failover` has checked)
        self,
        name: str,
        pool: Pool,
        *,
        on: Matcher,
        busy: Matcher,
        attempts: int,
        draw: Callable[[], float],
        clock: Clock,
    ) -> None:
        self.name = name
        self.pool = pool
        self.clock = clock
        self.draw = draw
        self._on = on
        self._busy = busy
        self._attempts = attempts
        # Reentrant: while it is held, the collector may close a dropped call, which settles here.
        self._lock = threading.RLock()
        self.set_active(hub.active)
        hub.register(self)

    # The flow

    def flow(self, call: Call, inner: Step, place: int) -> Flow:
        """Ask a target; pass over to others as long as that makes sense."""
        del inner, place
        ticket = self._take(())
        assert ticket is not None  # noqa: S101  (a pool has targets)
        outcome = yield from self._ask(ticket, call)
        return (yield from self._go_on(ticket, outcome, call))

    def whole(self, call: Call) -> Flow:
        """The flow from its beginning, for the straight line."""
        return self.flow(call, self.whole, 0)

    def rest(self, ticket: Ticket) -> Step:
        """The flow from the error of `ticket`, which is `call.first`, for the straight line."""

        def resume(call: Call) -> Flow:
            first, call.first = call.first, None
            assert first is not None  # noqa: S101  (the straight line got it)
            return self._go_on(ticket, first, call)

        return resume

    def _ask(self, ticket: Ticket, call: Call) -> Flow:
        outcome: Outcome[Any] | None = None
        call.attempts += 1
        try:
            fn = _faulty(ticket.target.fn, call)
            outcome = yield Reply(fn, _arguments(call), call.kwargs)
            return outcome
        finally:
            if outcome is None:
                self._abandon(ticket)

    def _go_on(self, ticket: Ticket, outcome: Outcome[Any], call: Call) -> Flow:
        tried: list[Target] = []
        passed: list[Exception] = []
        asked = 0
        while True:
            verdict = self._settle(ticket, outcome.error)
            if outcome.error is None or verdict is _Verdict.ANSWERED:
                source = ticket.target.label if ticket.target.index else "call"
                return Outcome(
                    outcome.value, error=outcome.error, source=source, reasons=tuple(passed)
                )
            tried.append(ticket.target)
            passed.append(outcome.error)
            asked += verdict is _Verdict.FAILED
            following = self._following(tried, asked)
            if isinstance(following, str):
                return self._give_up(tried, passed, following)
            ticket = following
            outcome = yield from self._ask(ticket, call)

    def _following(self, tried: Sequence[Target], asked: int) -> Ticket | str:
        """The next call, or why there is none."""
        if len(tried) == len(self.pool.targets):
            return "no target left"
        if asked == self._attempts:
            return "no attempts left"
        if remaining() == 0:
            return "no time left"
        return self._take([target.index for target in tried]) or "no target left"

    def _give_up(self, tried: Sequence[Target], passed: list[Exception], why: str) -> Outcome[Any]:
        for earlier, later in pairwise(passed):
            chain(later, earlier)
        names = ", ".join(target.label for target in tried)
        note(passed[-1], f"{self.name} got no answer from {names}; {why}")
        return Outcome(error=passed[-1], reasons=tuple(passed[:-1]))

    # The pool, under the lock; the application's code runs outside of it

    def _take(self, tried: Sequence[int]) -> Ticket | None:
        number = self.draw() if self.pool.limits.spread else 0.0
        now = self.clock.monotonic()
        with self._lock:
            return self.pool.take(now, tried, number)

    def _settle(self, ticket: Ticket, error: Exception | None) -> _Verdict:
        try:
            verdict = self._judge(error)
        except BaseException:
            self._abandon(ticket)
            raise
        if verdict is _Verdict.PASSED_OVER:
            self._abandon(ticket)
            return verdict
        now = self.clock.monotonic()
        with self._lock:
            end = self.pool.answered if verdict is _Verdict.ANSWERED else self.pool.failed
            change = end(ticket, now)
        self._tell(change, error)
        return verdict

    def _judge(self, error: Exception | None) -> _Verdict:
        if error is None:
            return _Verdict.ANSWERED
        if isinstance(error, Rejected) or self._busy(error):
            return _Verdict.PASSED_OVER
        return _Verdict.FAILED if self._on(error) else _Verdict.ANSWERED

    def _abandon(self, ticket: Ticket) -> None:
        now = self.clock.monotonic()
        with self._lock:
            self.pool.abandoned(ticket, now)

    def cleared(self, ticket: Ticket) -> None:
        """The straight line got an answer from a target that has failed before."""
        now = self.clock.monotonic()
        with self._lock:
            change = self.pool.cleared(ticket, now)
        self._tell(change, None)

    def _tell(self, change: Change | None, error: Exception | None) -> None:
        if change is None:
            return
        target, seconds = change
        if seconds is None:
            if hub.bus.wants(TargetReturned):
                hub.bus.publish(TargetReturned(name=self.name, target=target.label))
        elif hub.bus.wants(TargetEjected):
            text = None if error is None else brief(error)
            hub.bus.publish(
                TargetEjected(name=self.name, target=target.label, seconds=seconds, error=text)
            )

    # What may be asked from outside

    def targets(self) -> tuple[FailoverTarget, ...]:
        """What is known of each target, in the order given."""
        now = self.clock.monotonic()
        with self._lock:
            return tuple(_record(target, now) for target in self.pool.targets)

    def eject(self, index: int) -> bool:
        """Leave a target alone, as if it had failed too often; whether it is out now.

        The pool keeps as many as it always does. Raises `IndexError` if there is no such target.
        """
        now = self.clock.monotonic()
        with self._lock:
            target = self.pool.targets[index]
            change = self.pool.eject(target, now)
            out = target.ejected
        self._tell(change, None)
        return out

    def admit(self, index: int) -> bool:
        """Take a target back; whether it was out. Raises `IndexError` if there is no such one."""
        now = self.clock.monotonic()
        with self._lock:
            change = self.pool.admit(self.pool.targets[index], now)
        self._tell(change, None)
        return change is not None

    # What the hub and tests ask

    def set_active(self, active: bool, /) -> None:  # noqa: FBT001  (a switch is a boolean)
        """Switch the straight line; without it, calls look whether the library is active."""
        with self._lock:
            self.pool.swift = active and not FREE_THREADED
            self.pool.align()

    def after_fork(self) -> None:
        """Have a fresh lock, and nothing in flight."""
        self._lock = threading.RLock()
        self.pool.renew(forget=False)

    def reset(self) -> None:
        """Forget everything."""
        with self._lock:
            self.pool.renew(forget=True)

    def snapshot(self) -> list[dict[str, Any]]:
        """What is known, for `restore`."""
        now = self.clock.monotonic()
        with self._lock:
            return self.pool.snapshot(now)

    def restore(self, saved: list[dict[str, Any]]) -> None:
        """Know what `snapshot` told, and nothing else. Raises `ValueError` for another pool's."""
        now = self.clock.monotonic()
        with self._lock:
            self.pool.restore(saved, now)

    def describe(self) -> str:
        """One line for `pipeline.describe()`."""
        names = [target.label for target in self.pool.targets]
        spread = self.pool.limits.spread
        over = "spread over " + ", ".join(names) if spread else ", then ".join(names)
        return f"failover {self.name!r}: {over}"

    # The straight line

    def wrap(self, line: Line, guard: Guarded) -> Line:
        """The straight line; `line` calls the first target and is for a library switched off."""
        return (line_async if guard.is_async else line_sync)(self, line, guard)


def _record(target: Target, now: float) -> FailoverTarget:
    # What ended is read first: what begins meanwhile must not count as ended before it began.
    ended = target.ended
    calls = target.started
    return FailoverTarget(
        label=target.label,
        in_flight=calls - ended,
        consecutive_failures=target.streak,
        ejected_for=max(0.0, target.until - now) if target.ejected else None,
        calls=calls,
        failures=target.failures,
    )


def _arguments(call: Call) -> tuple[Any, ...]:
    """Those of the call; before them the object, if somebody decorated a bound method."""
    owner = getattr(call.guard.original, "__self__", None)
    return call.args if owner is None else (owner, *call.args)


def _faulty(fn: Line, call: Call) -> Line:
    """`fn`, with the faults that a test has set for the policies around it, if there are."""
    if call.fn is not call.guard.original:
        for name in dict.fromkeys(call.guard.names_inside(-1)):
            fn = hub.faults[name](fn) if name in hub.faults else fn
    return fn

"""The state machine of one circuit: pure decisions under one lock, with the time passed in.

::

              a criterion is met                the open time is over
    CLOSED -----------------------> OPEN ---------------------------------> HALF_OPEN
       ^                              ^                                      |     |
       |                              +---- success rate out of reach -------+     |
       +------------------------------------- success rate certain ----------------+

    FORCED_OPEN, DISABLED and METRICS_ONLY are entered and left by hand.

Each transition begins a new *era*: a window or a set of trial places. A permit remembers its era,
so an answer that belongs to an earlier one changes nothing.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from resilient.clock import Clock
from resilient.core.hub import hub
from resilient.errors import CircuitOpenError
from resilient.events import CallRejected, CircuitState
from resilient.policies.latency import Latency
from resilient.policies.match import positive, whole
from resilient.policies.rules import FREE_THREADED, Rules
from resilient.policies.trials import Trials
from resilient.policies.window import Counts, Window

__all__ = ["Circuit", "Failure", "Owner", "Permit", "Saved", "Transition"]

CLOSED, OPEN, HALF_OPEN = CircuitState.CLOSED, CircuitState.OPEN, CircuitState.HALF_OPEN
_FOREVER = math.inf
_IS_OPEN = "the circuit is open"
_COUNTING = (CLOSED, CircuitState.METRICS_ONLY)


Transition = tuple[CircuitState, CircuitState, str, int]
"""Old state, new state, reason, sequence number."""


class Failure(NamedTuple):
    """What is remembered of a failure: a copy of its error, and what was said of it at once.

    An error's own words are asked for only when it happens, on the caller's thread and without a
    lock. `open_for` is what the failure itself asks the open time to be, in seconds.
    """

    error: BaseException | str | None
    text: str
    open_for: float | None = None


class Owner(Protocol):
    """What the circuits of one breaker share."""

    name: str
    rules: Rules
    clock: Clock
    lock: threading.RLock
    active: bool
    failure: Failure | None
    opened_at: float | None

    def tell(self, circuit: Circuit, change: Transition, /) -> None:
        """Called after each transition, without the lock."""
        ...


class Permit:
    """Leave to make one call: the era it belongs to (`None`: nothing is judged) and its start."""

    __slots__ = ("circuit", "era", "started")

    def __init__(self, circuit: Circuit, era: object, started: float) -> None:
        self.circuit = circuit
        self.era = era
        self.started = started


class Circuit:
    """One circuit of a breaker.

    `live` is the window while the straight line may count into it, else `None`; `barred` is the
    instant until which every call is refused. It is the gauge of the breaker (see
    `resilient.core.policy.Gauge`).
    """

    __slots__ = (
        "barred",
        "failure",
        "ignored",
        "key",
        "latency",
        "live",
        "opened_at",
        "opened_by",
        "openings",
        "owner",
        "rejected",
        "sequence",
        "state",
        "streak",
        "trials",
        "until",
        "window",
    )

    def __init__(self, owner: Owner, key: object = None) -> None:
        now = owner.clock.monotonic()
        self.owner = owner
        self.key = key
        self.state = CLOSED
        self.window: Window = owner.rules.new_window(now)
        self.live: Window | None = None
        self.barred = -math.inf
        self.latency: Latency | None = None
        self.trials: Trials | None = None
        self.streak = 0
        self.openings = 0
        self.until = 0.0
        self.sequence = 0
        self.rejected = 0
        self.ignored = 0
        self.opened_at: float | None = None
        self.failure: Failure | None = None
        self.opened_by: Failure | None = None
        self.align(now)

    # Admission

    def refused(self, left: float, reason: str = _IS_OPEN) -> CircuitOpenError:
        """Count a rejection that holds for `left` more seconds, and make its error."""
        if FREE_THREADED:
            with self.owner.lock:
                self.rejected += 1
        else:
            self.rejected += 1
        after: float | None = left
        if left == _FOREVER:
            after, reason = None, "the circuit is forced open" if reason is _IS_OPEN else reason
        name = self.owner.name
        if hub.bus.wants(CallRejected):
            hub.bus.publish(CallRejected(name=name, reason=reason, retry_after=after))
        opened_by = self.opened_by
        return CircuitOpenError(name, after, reason, opened_by.error if opened_by else None)

    def admit(self) -> Permit | CircuitOpenError:
        """Admit a call, or say why not. Never waits."""
        live = self.live
        if live is not None:
            return Permit(self, live, self.owner.clock.monotonic())
        owner = self.owner
        now = owner.clock.monotonic()
        if self.barred > now:
            return self.refused(self.barred - now)
        if not owner.active or self.state is CircuitState.DISABLED:
            return Permit(self, None, now)
        change = None
        with owner.lock:
            if self.state is OPEN and now >= self.until:
                change = self.move(HALF_OPEN, "the open time is over", now)
            admitted = self._admit(now)
        if change is not None:
            owner.tell(self, change)
        if isinstance(admitted, Permit):
            return admitted
        return self.refused(*admitted)

    def _admit(self, now: float) -> Permit | tuple[float, str]:
        """A permit, or for how long and why there is none."""
        if self.state in _COUNTING:
            return Permit(self, self.window, now)
        if self.trials is None:
            # Opened, forced open or disabled between the first look and the lock.
            return (self.barred - now, _IS_OPEN) if self.barred > now else Permit(self, None, now)
        permit = Permit(self, self.trials, now)
        wait = self.trials.admit(permit, now)
        if wait is None:
            return permit
        return wait, "the circuit is half open and every trial place is taken"

    def permit(self, window: Window, started: float) -> Permit:
        """The permit of a call that the straight line admitted."""
        return Permit(self, window, started)

    # Recording

    def passed(self, window: Window, started: float, ended: float) -> None:
        """Record a success that the straight line may not count by itself."""
        self._record(window, started, ended)

    def abandon(self, permit: Permit, *, ignored: bool = False) -> None:
        """Give a permit back without judging anything."""
        era, trials = permit.era, self.trials
        if era is None or not (ignored or era is trials):
            return
        with self.owner.lock:
            if era is self.trials and self.trials is not None:
                self.ignored += ignored and permit in self.trials
                self.trials.give_back(permit)
            elif era is self.window and self.state in _COUNTING:
                self.ignored += ignored

    def settle(self, permit: Permit, failure: Failure | None = None) -> None:
        """Judge a call: a success, or this `failure`."""
        ended = self.owner.clock.monotonic()
        live, era = self.live, permit.era
        if live is not None and era is live and failure is None:
            # What the straight line does.
            if ended < live.edge and ended - permit.started <= live.limit:
                live.ok += 1
            else:
                self._record(live, permit.started, ended)
        elif era is self.window:
            self._record(self.window, permit.started, ended, failure)
        elif era is not None and era is self.trials:
            self._settle_trial(permit, ended, failure)

    def _record(
        self, window: Window, started: float, ended: float, failure: Failure | None = None
    ) -> None:
        rules, took = self.owner.rules, ended - started
        with self.owner.lock:
            if window is not self.window or not self._counting():
                return
            if self.latency is not None:
                self.latency.add(took, ended)
            window.add(ended, failed=failure is not None, slow=rules.is_slow(took))
            if failure is None:
                self.streak = 0
            else:
                self.streak += 1
                self.failure = self.owner.failure = failure
            counts = window.counts(ended)
            change = self._judge(counts, ended, failure)
            if change is None:
                self._set_edge(counts)
        if change is not None:
            self.owner.tell(self, change)

    def _judge(self, counts: Counts, now: float, failure: Failure | None) -> Transition | None:
        if self.state is not CLOSED:
            return None
        reason = self.owner.rules.verdict(self.streak, counts)
        return None if reason is None else self._open(reason, now, failure)

    def _settle_trial(self, permit: Permit, now: float, failure: Failure | None) -> None:
        slow = self.owner.rules.is_slow(now - permit.started)
        change = None
        with self.owner.lock:
            trials = self.trials
            if trials is None or permit.era is not trials:
                return
            if not self.owner.active:
                trials.give_back(permit)
                return
            if failure is not None and permit in trials:
                self.failure = self.owner.failure = failure
            passed = trials.settle(permit, good=failure is None and not slow)
            if passed is True:
                change = self.move(CLOSED, "enough trial calls succeeded", now)
            elif passed is False:
                reason = "trial calls failed" if failure else "a trial call was too slow"
                change = self._open(reason, now, failure)
        if change is not None:
            self.owner.tell(self, change)

    def _open(self, reason: str, now: float, failure: Failure | None) -> Transition:
        self.opened_by = failure
        return self.move(OPEN, reason, now, None if failure is None else failure.open_for)

    # Transitions; the caller holds the lock

    def move(
        self, new: CircuitState, reason: str, now: float, open_for: float | None = None
    ) -> Transition:
        """Go to state `new` and begin a new era."""
        old, self.state = self.state, new
        self.sequence += 1
        self.trials = self.owner.rules.new_trials() if new is HALF_OPEN else None
        if new is OPEN:
            grown = self.owner.rules.open_time(self.openings)
            self.until = now + (grown if open_for is None else open_for)
            self.openings += 1
            self.opened_at = self.owner.opened_at = self.owner.clock.time()
        elif new is CLOSED:
            self.clear(now)
        else:
            self._renew(self.window.copy())
        self.align(now)
        return (old, new, reason, self.sequence)

    def clear(self, now: float) -> None:
        """Forget the window and what opened the circuit."""
        self._renew(self.owner.rules.new_window(now))
        self.streak = 0
        self.openings = 0
        self.opened_by = None

    def _renew(self, window: Window) -> None:
        # The old window may still be in the hands of a call: it must not count there unseen.
        self.window.edge = -math.inf
        self.window = window

    def obey(self, now: float) -> None:
        """Go on by the new rules of the owner."""
        self.owner.rules.fit(self.window, now)
        self.align(now)

    def align(self, now: float) -> None:
        """Tell the straight line whether it may count, until when, and up to which duration."""
        owner, window = self.owner, self.window
        self.live = window if self._counting() and owner.rules.straight else None
        until = {OPEN: self.until, CircuitState.FORCED_OPEN: math.inf}.get(self.state, -math.inf)
        self.barred = until if owner.active else -math.inf
        self._set_edge(window.counts(now))

    def _set_edge(self, counts: Counts) -> None:
        window, rules = self.window, self.owner.rules
        window.limit = -math.inf if self.latency is not None else rules.slow_limit
        may_count = self._counting() and not rules.must_look(self.streak, counts)
        window.edge = window.until() if may_count else -math.inf

    def _counting(self) -> bool:
        return self.owner.active and self.state in _COUNTING

    def after_fork(self) -> None:
        """A new era: what the parent had begun is none of the child's calls."""
        if self.trials is not None:
            self.trials = self.owner.rules.new_trials()
        self._renew(self.window.copy())
        self.align(self.owner.clock.monotonic())

    # Plain data

    def snapshot(self, now: float) -> dict[str, Any]:
        """State, openings, and seconds left instead of instants."""
        state = OPEN if self.state is HALF_OPEN else self.state
        left = max(0.0, self.until - now) if self.state is OPEN else 0.0
        return {"state": state.value, "seconds_left": left, "openings": self.openings}

    def restore(self, saved: Saved, now: float) -> Transition:
        """Take over a snapshot; the window starts empty."""
        change = self.move(saved.state, "restored", now, saved.seconds_left)
        self.clear(now)
        self.openings = saved.openings
        self.align(now)
        return change


class Saved(NamedTuple):
    """A snapshot that was checked."""

    state: CircuitState
    seconds_left: float
    openings: int

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Saved:
        """Check what `Circuit.snapshot` wrote. Raises `ValueError` or its kin for others."""
        state, left = CircuitState(data["state"]), data["seconds_left"]
        openings = whole("openings", data["openings"], least=0)
        positive("seconds_left", left, zero=True)
        if state is HALF_OPEN or not math.isfinite(left):
            raise ValueError(data)
        return cls(state, float(left), openings)

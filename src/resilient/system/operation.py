"""The living mode: asks, decides and tells, for any number of threads and event loops."""

from __future__ import annotations

import math
import threading
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from resilient.clock import Clock
from resilient.core.dispatch import Listener
from resilient.core.hub import hub
from resilient.core.ports import HealthSource
from resilient.events import CircuitChanged, CircuitState, FallbackUsed
from resilient.system.decision.component import Component
from resilient.system.decision.engine import Engine
from resilient.system.history import History
from resilient.system.impact.incident import Incidents
from resilient.system.impact.traffic import Totals, Traffic
from resilient.system.ledger import Ledger
from resilient.system.metric import Metric
from resilient.system.noticing import Noticing
from resilient.system.settings import Settings
from resilient.system.states import Mode, ModeChange
from resilient.system.timeline import Timeline
from resilient.system.view import View, Witness

__all__ = ["Operation"]

VERDICTS = {CircuitState.CLOSED: 1.0, CircuitState.HALF_OPEN: 0.5, CircuitState.OPEN: 0.0}

PATIENCE = 1.0
"""Seconds for which one thread waits for the evaluation of another."""

BACKLOG = 1000
"""Changes of circuits that are remembered while nobody evaluates."""

T = TypeVar("T")
Command = Callable[[Engine, Mapping[str, Component]], None]


class Operation:
    """Holds the engine under a lock, and brings it up to date.

    A command (a trip, an override, a breaker that opened) goes into an inbox with its instant and
    is obeyed by the next evaluation, so neither a signal handler nor a tap ever waits for a lock
    that its own thread holds. No user code runs under the lock.
    """

    def __init__(self, name: str, settings: Settings, interval: float, clock: Clock | None) -> None:
        self.name = name
        self.interval = interval
        self._settings = settings
        self._time = Timeline(clock)
        self._clock = self._time.clock
        self._engine = Engine(settings, self._time.now())
        self._ledger = Ledger(settings)
        self._history = History(self._time.now())
        self._current = Mode.NORMAL
        self._fresh_from = math.inf
        self._fresh_until = -math.inf
        self._dirt = object()
        self._inbox: deque[tuple[float, Command]] = deque()
        self._reports: dict[tuple[str, str], tuple[float, Command]] = {}
        self._lock = threading.RLock()  # reentrant: a signal may come before `_owner` is set
        self._owner = 0
        self._resting = False
        self._sequence = 0
        self._noticing = Noticing(name)
        self._incidents = Incidents()
        self._traffic: Traffic | None = None
        self._reporters: frozenset[int] = frozenset()
        self._registrations = -1
        self._kinds: dict[type, bool] = {}
        self._listen()
        hub.register(self)

    def evaluate(self) -> Mode:
        """Bring everything up to date now, and return the mode.

        A tick does the same, and so does reading a stale value. Waits for an evaluation that runs
        in another thread, but no longer than a second.

        Example::

            mode.evaluate()
        """
        if self._under_lock(self._evaluated) is None and self._owner != threading.get_ident():
            self._nudge()
        return self._current

    def _evaluated(self) -> bool:
        self._bring_up_to_date()
        return True

    def after_fork(self) -> None:
        """Take fresh locks in a forked child."""
        self._lock = threading.RLock()
        self._owner = 0
        self._time.after_fork()
        self._ledger.after_fork()
        for job in self._ledger.jobs.values():
            job.after_fork()

    def set_active(self, active: bool, /) -> None:  # noqa: FBT001  (asked by the hub)
        """Nothing to switch: inactive policies say nothing, so their components go idle."""

    def _refresh(self) -> None:
        """Bring up to date, unless another thread is at it: then the last value must do.

        On an injected clock, where hours pass between two instructions, that one is waited for.
        """
        patience = PATIENCE if self._time.injected else 0.0
        if self._owner != threading.get_ident() and self._lock.acquire(timeout=patience):
            try:
                self._owner = threading.get_ident()
                self._bring_up_to_date()
            finally:
                self._owner = 0
                self._lock.release()

    def _under_lock(self, do: Callable[[], T]) -> T | None:
        """Run `do` alone; `None` if this very thread is in the middle of an evaluation.

        `None` also if another thread is, and does not come to an end: this thread may hold what
        that one waits for, the lock of a breaker in the midst of which a signal handler was called.
        """
        me = threading.get_ident()
        if self._owner == me or not self._lock.acquire(timeout=PATIENCE):
            return None
        try:
            self._owner = me
            return do()
        finally:
            self._owner = 0
            self._lock.release()

    def _command(self, command: Command) -> None:
        self._inbox.append((self._time.now(), command))
        self._touch()
        self.evaluate()

    def _order(self, command: Command) -> None:
        """Have a command obeyed soon, without waiting for it."""
        self._inbox.append((self._time.now(), command))
        self._nudge()

    def _touch(self) -> None:
        """Make the next reader evaluate. Each touch is a new object, so none gets lost."""
        self._dirt = object()
        self._fresh_until = -math.inf

    def _reported(self, metric: Metric) -> None:
        """A metric has a new value: take it up, but not for each of ten thousand a second."""
        now, key, often = self._time.now(), (metric.kind, metric.name), self.interval / 10
        pending = self._reports.get(key)
        if pending is not None and now >= pending[0] + often:
            self._inbox.append(pending)  # it has stood long enough to count
        self._reports[key] = (now, self._report(metric))
        self._fresh_until = min(self._fresh_until, self._fresh_from + often)
        if not self._fresh_from <= self._clock.monotonic() < self._fresh_until:
            self._refresh()

    def _bring_up_to_date(self) -> None:
        dirt = self._dirt
        sources = self._sources()
        now, raw = self._time.read()
        found = self._ledger.components(sources, now, promised=not self._resting)
        engine = self._engine
        for at, command in self._orders():
            engine.advance(at)
            command(engine, found)
        engine.advance(now)
        jobs = list(self._ledger.jobs.values())
        engine.troubles = tuple(self._ledger.troubles)
        engine.unmet = tuple(text for job in jobs for text in job.unmet())
        engine.observe(found)
        self._current = engine.steady.mode
        self._tell()
        jobs = [job for job in jobs if not (self._resting and job.rests)]
        if jobs:
            view = self._view()
            for job in jobs:
                job.poll(view)
        due = min((job.due() for job in jobs), default=math.inf)
        pause = min(self.interval, engine.next_boundary() - engine.now, due - now)
        self._fresh_from, self._fresh_until = raw, raw + pause
        if self._dirt is not dirt:
            self._fresh_until = -math.inf
        self._keep_ticking()

    def _view(self) -> View:
        engine = self._engine
        rows = {row.name: row for row in engine.assessment.contributions}
        incident = 0 if self._current is Mode.NORMAL else self._history.incident
        return View(engine.now, self._current, rows, engine.cascade(), incident)

    def _orders(self) -> list[tuple[float, Command]]:
        """What came in since the last evaluation, by instant."""
        reports, self._reports = self._reports, {}
        orders = list(reports.values())
        while self._inbox:
            orders.append(self._inbox.popleft())
        return sorted(orders, key=lambda order: order[0])

    def _tell(self) -> None:
        """Record and publish what changed, in order; listeners run elsewhere."""
        made, self._engine.made = self._engine.made, []
        for transition, reasons in made:
            self._sequence += 1
            self._history.note(transition)
            change = ModeChange(
                name=self.name,
                at=self._time.wall(transition.at),
                old=transition.old,
                new=transition.new,
                score=transition.smoothed * 100,
                state=self._engine.state_of(transition.smoothed),
                reasons=reasons,
                sequence=self._sequence,
            )
            self._history.changes.append(change)
            self._incidents.note(transition, change, self._totals())
            self._offer(change)
            hub.bus.publish(change)
        for event in self._noticing.news(self._engine):
            hub.bus.publish(event)

    def _totals(self) -> Totals:
        """What was served so far, if anybody counts it."""
        return Totals() if self._traffic is None else self._traffic.totals

    def _keep_ticking(self) -> None:
        """See to it that somebody looks again, if there are jobs."""

    def _own(self, listener: Listener) -> None:
        """Let go of `listener` when the mode is gone, and let its loop be that of the mode."""

    def _nudge(self) -> None:
        """Have it brought up to date soon, by somebody who may wait."""
        self._touch()
        self._soon.offer(self)

    def _offer(self, change: ModeChange) -> None:
        """Queue a change for this mode's own listeners."""

    def _sources(self) -> dict[str, list[HealthSource]]:
        """The policies that report here, by the name of their component."""
        registrations = hub.registrations
        grouped: dict[str, list[HealthSource]] = {}
        for policy in hub.reporting_to(self):
            if self._is_source(policy):
                grouped.setdefault(policy.name, []).append(policy)
        mine = frozenset(id(policy) for named in grouped.values() for policy in named)
        self._reporters, self._registrations = mine, registrations
        return grouped

    def _is_source(self, policy: Any) -> bool:
        kind = type(policy)
        if kind not in self._kinds:
            self._kinds[kind] = isinstance(policy, HealthSource)
        return self._kinds[kind]

    def _listen(self) -> None:
        """Tap the bus, holding the mode only weakly."""
        me = weakref.ref(self)

        def changed(event: CircuitChanged) -> None:
            if (mode := me()) is not None:
                mode._circuit_changed(event)  # noqa: SLF001  (a method of this class)

        def answered(event: FallbackUsed) -> None:
            if (mode := me()) is not None:
                mode._fallback_used(event)  # noqa: SLF001  (a method of this class)

        def evaluate(_: object) -> None:
            if (mode := me()) is not None:
                mode.evaluate()

        self._soon = hub.dispatcher.listener(evaluate, limit=1)
        for event_type, receive in ((CircuitChanged, changed), (FallbackUsed, answered)):
            weakref.finalize(self, hub.bus.tap(event_type, receive)).atexit = False

    def _circuit_changed(self, event: CircuitChanged) -> None:
        known = self._registrations == hub.registrations
        if known and event.origin not in self._reporters:
            return
        verdict = VERDICTS.get(event.new) if event.key is None else None
        if verdict is not None and len(self._inbox) < BACKLOG:
            self._inbox.append((self._time.now(), self._switch(event, verdict)))
        self._nudge()

    def _fallback_used(self, event: FallbackUsed) -> None:
        now, worked = self._time.now(), event.source is not None
        note = self._ledger.fallbacks.note
        turned = [note(name, worked=worked, now=now) for name in event.inside]
        if any(turned):
            self._nudge()

    def _report(self, witness: Witness) -> Command:
        said = witness.evidence(self._settings.fresh_for)

        def obey(engine: Engine, found: Mapping[str, Component]) -> None:
            for evidence in said:
                if witness.name in found:
                    engine.reported(found[witness.name], evidence)

        return obey

    def _switch(self, event: CircuitChanged, verdict: float) -> Command:
        """Obey a change of a circuit at its own instant, however late anybody looks.

        A component may have several breakers. Then only an opening that is still seen counts.
        """

        def obey(engine: Engine, found: Mapping[str, Component]) -> None:
            component = found.get(event.name)
            verdicts = component.values("breaker") if component is not None else []
            if component is None or not verdicts or event.origin not in self._reporters:
                return
            if len(verdicts) == 1 or (verdict == 0 and min(verdicts) < 1):
                engine.switched(component, verdict)

        return obey

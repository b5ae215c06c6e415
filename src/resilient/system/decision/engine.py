"""The whole decision, pure: evidence and commands in, with their instants; changes of mode out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from resilient.core.ports import Criticality
from resilient.system.decision.cascade import Cascade, Onsets, name_cascade
from resilient.system.decision.component import Component, Evidence
from resilient.system.decision.reasons import confirmed, reasons_of
from resilient.system.decision.score import assess
from resilient.system.decision.steady import Steady, Transition
from resilient.system.settings import Settings
from resilient.system.states import Mode, SystemState

__all__ = ["BLIND_SHARE", "Engine", "Override", "Trip"]

BLIND_SHARE = 0.50
"""Share of BLIND weight from which the mode may not improve."""


class Trip(NamedTuple):
    """EMERGENCY for as long as it holds; a `local` one is about this process only."""

    reason: str
    until: float = math.inf
    local: bool = False


class Override(NamedTuple):
    """A mode set by hand, which beats all evidence."""

    mode: Mode
    reason: str
    owner: str | None = None
    until: float = math.inf


_SAID = {0.0: "breaker open", 0.5: "breaker half-open", 1.0: "breaker closed"}


class Engine:
    """Holds what was observed last, and steps through every instant at which that changes itself.

    Evidence grows old, a mark or a trip ends, blindness has lasted: each takes effect at its own
    instant, even if nobody looked then. Not thread-safe; the caller holds a lock.

    Example::

        engine = Engine(Settings(), now=0.0)
        engine.observe({"db": Component("db", 8.0, evidence=(Evidence("mark", 0.0),))})
        engine.advance(10.0)
        engine.steady.mode
    """

    def __init__(self, settings: Settings, now: float) -> None:
        self.settings = settings
        self.steady = Steady(settings, now)
        self.components: Mapping[str, Component] = {}
        self.assessment = assess((), now)
        self.onsets = Onsets()
        self._named: tuple[object, Cascade | None] = (None, None)
        self.trips: dict[str, Trip] = {}
        self.override: Override | None = None
        self.blind_since: float | None = None
        self.edge = ""
        self.troubles: tuple[str, ...] = ()
        self.unmet: tuple[str, ...] = ()
        self.made: list[tuple[Transition, tuple[str, ...]]] = []

    def take(self, settings: Settings) -> None:
        """Decide by these settings from now on."""
        self.settings = settings
        self.steady.take(settings)
        self._feed()

    @property
    def now(self) -> float:
        """The instant up to which all is decided."""
        return self.steady.now

    @property
    def state(self) -> SystemState:
        """What the smoothed score says."""
        return self.state_of(self.steady.smoothed)

    def state_of(self, smoothed: float) -> SystemState:
        """The state for a smoothed score from 0 to 1."""
        for state, least in zip(SystemState, self.settings.thresholds, strict=False):
            if smoothed * 100 >= least:
                return state
        return SystemState.COMPLETE_FAILURE

    def next_boundary(self) -> float:
        """The next instant at which something changes though nothing new is observed."""
        return min(self._lapse(), self.steady.next_change()[0])

    def advance(self, now: float) -> None:
        """Decide everything up to `now`; an instant that has passed already changes nothing."""
        while self.now < now:
            lapse = self._lapse()
            self._note(self.steady.advance(min(lapse, now)))
            if lapse <= now:
                self._expire()
                self._feed()

    def observe(self, components: Mapping[str, Component]) -> None:
        """From now on this is what is known."""
        self.components = components
        self._feed()

    def switched(self, component: Component, verdict: float) -> None:
        """The breaker of a component gave a new verdict just now: 0 open, 0.5 half open, 1 closed.

        A CRITICAL one that opens is a hard trip, unless a working fallback answers for it.
        """
        until = self.now + self.settings.fresh_for if verdict == 1 else math.inf
        said = Evidence("breaker", verdict, until, _SAID.get(verdict, "breaker changed"))
        self.observe({**self.components, component.name: component.having(said)})
        if verdict == 0:
            self._trips(component, f"TRIP: the breaker of CRITICAL {component.name} opened")

    def reported(self, component: Component, evidence: Evidence) -> None:
        """A witness of a component reported just now.

        A CRITICAL one whose probe has failed is a hard trip, as when its breaker opens.
        """
        held = self.components.get(component.name)
        before = [1.0] if held is None else held.values("probe")
        again = held is not None and held.says(evidence, self.now)
        held = (held or component).having(evidence)
        self.components = {**self.components, component.name: held}
        if not again:  # else it only lasts longer, and the score is what it was
            self._feed()
        if evidence.signal == "probe" and evidence.value == 0 and 0 not in before:
            self._trips(held, f"TRIP: the probe of CRITICAL {held.name} failed")

    def trip(self, trip: Trip) -> None:
        """Hold EMERGENCY from now on."""
        self.trips[trip.reason] = trip
        self._feed()

    def untrip(self, reason: str | None) -> None:
        """End one trip, or all."""
        kept = {} if reason is None else self.trips
        self.trips = {one: trip for one, trip in kept.items() if one != reason}
        self._feed()

    def force(self, override: Override | None) -> None:
        """Pin the mode, or let it go."""
        self.override = override
        self._note(self.steady.force(override.mode if override else None))

    def cascade(self) -> Cascade | None:
        """The cascade that runs now, if one does."""
        since, window = self.onsets.since, self.settings.cascade_window
        depends_on = {
            one.name: one.depends_on for one in self.components.values() if one.depends_on
        }
        seen = (since, depends_on, window)
        if seen != self._named[0]:
            self._named = (seen, name_cascade(since, depends_on, window))
        return self._named[1]

    def _trips(self, component: Component, edge: str) -> None:
        """Skip smoothing and confirmation, if the component is CRITICAL and nothing softens it."""
        if component.criticality is Criticality.CRITICAL and not component.softened(self.now):
            self.edge = edge
            self._note(self.steady.trip(self.assessment.capped))

    def _lapse(self) -> float:
        """The next instant at which evidence, a trip, an override or patience ends."""
        instants = [trip.until for trip in self.trips.values()]
        for component in self.components.values():
            instants += component.boundaries()
        if self.override is not None:
            instants.append(self.override.until)
        if self.blind_since is not None:
            instants.append(self.blind_since + self.settings.blind_after)
        return min((one for one in instants if one > self.now), default=math.inf)

    def _expire(self) -> None:
        self.trips = {r: trip for r, trip in self.trips.items() if self.now < trip.until}
        if self.override is not None and self.now >= self.override.until:
            self.force(None)

    def _feed(self) -> None:
        now = self.now
        self.assessment = assess(self.components.values(), now)
        self.onsets.update(self.assessment.contributions, now)
        blind = self.assessment.blind >= BLIND_SHARE
        if not blind:
            self.blind_since = None
        elif self.blind_since is None:
            self.blind_since = now
        capped, waits = self.assessment.capped, bool(self.unmet)
        self._note(self.steady.feed(capped, floor=self.floor(), held=blind, waits=waits))

    def floor(self) -> Mode:
        """The best mode that trips and blindness allow."""
        if self.trips:
            return Mode.EMERGENCY
        blind = self.blind_since
        lasting = blind is not None and self.now >= blind + self.settings.blind_after
        return Mode.DEGRADED if lasting else Mode.NORMAL

    def _note(self, made: list[Transition]) -> None:
        if self.steady.mode is not Mode.EMERGENCY:
            self.edge = ""
        if made:
            reasons = tuple(reasons_of(self))
            self.made += [(one, (*confirmed(one, self.settings), *reasons)) for one in made]

"""Why the mode is what it is, and what would change it, in words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from resilient.system.decision.component import Standing
from resilient.system.decision.score import FAILED, IMPAIRED, gate_of
from resilient.system.states import Mode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resilient.system.decision.engine import Engine, Override, Trip
    from resilient.system.decision.score import Contribution, Gate
    from resilient.system.decision.steady import Transition
    from resilient.system.settings import Settings

__all__ = ["changes_of", "confirmed", "reasons_of"]


def reasons_of(engine: Engine) -> Iterator[str]:
    """Every reason that bears on the mode now, the weightiest first."""
    if engine.override is not None:
        yield _override(engine.override, engine.now)
    for trip in engine.trips.values():
        yield _trip(trip, engine.now)
    if engine.edge:
        yield engine.edge
    yield from _knowledge(engine)
    cascade = engine.cascade()
    if cascade is not None:
        yield f"CASCADE: {cascade}"
    for gate in engine.assessment.gates:
        yield _gate(gate)
    losing = [row for row in engine.assessment.contributions if row.loss > 0]
    for row in sorted(losing, key=lambda row: -row.loss):
        yield _loss(row)
    for condition in engine.unmet:
        yield f"UNMET: {condition}, so nothing improves"
    yield from engine.troubles


def confirmed(transition: Transition, settings: Settings) -> list[str]:
    """What the smoothed score did to bring a change about, if it was the score."""
    normal, degraded = settings.thresholds[1], settings.thresholds[3]
    if transition.cause == "relapse":
        edge = normal if transition.old is Mode.NORMAL else degraded
        return [f"SCORE: it was below {edge:g}, by so much and for so long that it counts"]
    if transition.cause == "recovery":
        back = settings.return_normal if transition.new is Mode.NORMAL else settings.return_degraded
        return [f"RECOVERED: the score stayed at {back:g} or above"]
    return []


def changes_of(engine: Engine) -> Iterator[str]:
    """What would change the mode, the nearest first."""
    if engine.override is not None:
        yield f"release() ends the override{_left(engine.override.until, engine.now)}"
        return
    for trip in engine.trips.values():
        yield f"untrip({trip.reason!r}) ends the trip{_left(trip.until, engine.now)}"
    at, to = engine.steady.next_change()
    if to is not None:
        yield f"{to.name} in {at - engine.now:.1f} s if nothing else changes"
    for gate in engine.assessment.gates:
        yield _lifting(gate)
    yield from _edges(engine)


def _left(until: float, now: float) -> str:
    return f"; it ends by itself in {until - now:.0f} s" if until < math.inf else ""


def _override(override: Override, now: float) -> str:
    owner = f" by {override.owner}" if override.owner else ""
    left = _left(override.until, now)
    return f"OVERRIDE: {override.mode.name} forced{owner}: {override.reason}{left}"


def _trip(trip: Trip, now: float) -> str:
    return f"TRIP: {trip.reason}{' (local)' if trip.local else ''}{_left(trip.until, now)}"


def _knowledge(engine: Engine) -> Iterator[str]:
    assessment = engine.assessment
    blind = [row.name for row in assessment.contributions if row.standing is Standing.BLIND]
    if not (assessment.known or blind):
        yield "NO_EVIDENCE: nothing is known, which is no illness"
    if blind:
        effect = ""
        if engine.blind_since is not None:
            effect = f", {assessment.blind:.0%} of the weight, so nothing improves"
        yield f"BLIND: {', '.join(blind)} fell silent{effect}"


def _gate(gate: Gate) -> str:
    soft = ", softened by a working fallback," if gate.softened else ""
    return (
        f"GATE: {gate.criticality.name} {gate.component} at {gate.health:.2f}{soft} "
        f"caps the score at {gate.cap * 100:.0f}"
    )


def _loss(row: Contribution) -> str:
    return f"{row.name} {row.health:.2f} by {row.signal} ({row.detail}): -{row.loss * 100:.1f}"


def _lifting(gate: Gate) -> str:
    needed = FAILED if gate_of(gate.criticality, FAILED, softened=gate.softened) > gate.cap else 0
    needed = needed or IMPAIRED
    return f"{gate.component} at {needed:.2f} or better lifts the cap of {gate.cap * 100:.0f}"


def _edges(engine: Engine) -> Iterator[str]:
    """The scores at which the mode leaves for a better or a worse one."""
    mode, settings = engine.steady.mode, engine.settings
    returns = (settings.return_normal, settings.return_degraded)
    score = engine.steady.smoothed * 100
    edges: dict[Mode, float] = dict(zip((Mode.DEGRADED, Mode.EMERGENCY), returns, strict=True))
    back = edges.get(mode)
    if back is not None and score < back:
        better = Mode.NORMAL if mode is Mode.DEGRADED else Mode.DEGRADED
        yield f"{better.name} needs a score of {back:g}; it is {score:.1f}"
    lower = {Mode.NORMAL: settings.thresholds[1], Mode.DEGRADED: settings.thresholds[3]}.get(mode)
    if lower is not None and score >= lower:
        yield f"a score below {lower:g} makes it worse, in {settings.confirm_worse:g} s or more"

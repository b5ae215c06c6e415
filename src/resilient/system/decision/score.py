"""From components to one number: the weighted mean, and the gates that cap it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from resilient.core.ports import Criticality
from resilient.system.decision.component import Component, Standing

__all__ = ["Assessment", "Contribution", "Gate", "assess", "gate_of", "losses"]

FAILED = 0.40
"""Health below which a component counts as failed."""

IMPAIRED = 0.70
"""Health below which a CRITICAL component already caps the score."""

_GRID = 1 << 53


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one component adds to the score.

    Fields: `name`, `weight`, `criticality`; `standing`; `health`, 0 to 1 or `None` when unknown;
    `signal` and `detail`, the evidence that set it; `loss`, its share of what is missing from 1.
    """

    name: str
    weight: float
    criticality: Criticality
    standing: Standing
    health: float | None = None
    signal: str = ""
    detail: str = ""
    loss: float = 0.0


@dataclass(frozen=True, slots=True)
class Gate:
    """A component too important for the mean to hide: the score is at most `cap`, 0 to 1.

    `softened` says that a working fallback made it gate one criticality softer.
    """

    component: str
    criticality: Criticality
    health: float
    cap: float
    softened: bool = False


@dataclass(frozen=True, slots=True)
class Assessment:
    """The score at one instant, before smoothing.

    Fields: `mean` over what is known (1 if nothing is); `capped`, after the gates;
    `contributions`; `gates` that fired, lowest cap first; `known`, whether anything is; `blind`,
    the share of BLIND weight in the weight that is not IDLE.
    """

    mean: float
    capped: float
    contributions: tuple[Contribution, ...]
    gates: tuple[Gate, ...]
    known: bool
    blind: float


def losses(weighted: list[tuple[float, float]]) -> list[float]:
    """Share ``w * (1 - h) / sum(w)`` of each (weight, health), such that nothing is lost.

    Every loss is a whole multiple of 2**-53, and the remainders are dealt out largest first. So
    floats add them up without rounding, in any order, and 1 minus their sum is a float as well.
    No loss is further than 2**-52 from the true share.

    Example::

        losses([(1, 0.0), (2, 1.0)])  # [0.333..., 0.0]
    """
    total = math.fsum(weight for weight, _ in weighted)
    shares = [weight * (1 - health) / total * _GRID for weight, health in weighted]
    units = [int(share) for share in shares]
    missing = min(_GRID, round(math.fsum(shares))) - sum(units)
    if missing > 0:
        for index in sorted(range(len(shares)), key=lambda i: units[i] - shares[i])[:missing]:
            units[index] += 1
    elif missing < 0:  # every share was rounded up, and nothing is left of the whole
        units[units.index(max(units))] += missing
    return [unit / _GRID for unit in units]


def gate_of(criticality: Criticality, health: float, *, softened: bool = False) -> float:
    """The cap on the score, 1 for none.

    Caps lie in the middle of a band of scores, so that the smoothed score crosses its edge in
    seconds. A working fallback softens by one criticality.

    Example::

        gate_of(Criticality.CRITICAL, 0.0)  # 0.2
    """
    ranks = [Criticality.CRITICAL, Criticality.HIGH]
    rank = ranks.index(criticality) + softened if criticality in ranks else len(ranks)
    if rank == 0:
        if health < FAILED:
            return 0.20
        return 0.65 if health < IMPAIRED else 1.0
    return 0.65 if rank == 1 and health < FAILED else 1.0


def assess(components: Iterable[Component], now: float) -> Assessment:
    """Weigh everything that is fresh at `now`.

    Example::

        assess([Component("db", 8.0, evidence=(Evidence("breaker", 0.0),))], now=0.0).mean  # 0.0
    """
    ordered = sorted(components, key=lambda one: one.name)
    rows = [_look(component, now) for component in ordered]
    known = [(row.weight, row.health) for row in rows if row.health is not None]
    shares = iter(losses(known) if known else [])
    rows = [_with_loss(row, next(shares)) if row.health is not None else row for row in rows]
    mean = 1.0 - sum(row.loss for row in rows)
    gates = _gates(ordered, rows, now)
    capped = min([mean, *(gate.cap for gate in gates)])
    return Assessment(mean, capped, tuple(rows), gates, bool(known), _blind(rows))


def _look(component: Component, now: float) -> Contribution:
    worst = component.worst(now)
    base = (component.name, component.weight, component.criticality, component.standing(now))
    if worst is None:
        return Contribution(*base)
    return Contribution(*base, worst.value, worst.signal, worst.detail)


def _with_loss(row: Contribution, loss: float) -> Contribution:
    return Contribution(
        row.name,
        row.weight,
        row.criticality,
        row.standing,
        row.health,
        row.signal,
        row.detail,
        loss,
    )


def _gates(components: list[Component], rows: list[Contribution], now: float) -> tuple[Gate, ...]:
    fired = []
    for component, row in zip(components, rows, strict=True):
        if row.health is None:
            continue
        softened = component.softened(now)
        cap = gate_of(row.criticality, row.health, softened=softened)
        if cap < 1:
            fired.append(Gate(row.name, row.criticality, row.health, cap, softened))
    return tuple(sorted(fired, key=lambda gate: (gate.cap, gate.component)))


def _blind(rows: list[Contribution]) -> float:
    """Share of BLIND weight; the sums do not depend on the order of the components."""
    blind, known = (
        math.fsum(row.weight for row in rows if row.standing is standing)
        for standing in (Standing.BLIND, Standing.KNOWN)
    )
    return blind / (blind + known) if blind else 0.0

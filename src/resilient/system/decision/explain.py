"""The whole decision as one record that prints well."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from resilient.system.decision.reasons import changes_of, reasons_of

if TYPE_CHECKING:
    from resilient.system.decision.cascade import Cascade
    from resilient.system.decision.engine import Engine, Override, Trip
    from resilient.system.decision.score import Contribution, Gate
    from resilient.system.decision.steady import Pending
    from resilient.system.states import Mode, SystemState

__all__ = ["Explanation", "explain"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why the mode is what it is, to the last point.

    Fields: `mode`, `state`, `score` (0 to 100); `mean`, `capped` and `smoothed` (0 to 1);
    `contributions`, whose losses add up to ``1 - mean`` exactly; `gates` that fired; `confirming`,
    the change on its way and its seconds so far, if there is one; `dwell_left`, seconds before the
    mode may improve; `penalty` for relapses; `override`; `trips` that hold; `cascade`; `unmet`, the
    conditions that forbid that it improves; `reasons`, the weightiest first; `would_change`, what
    would change the mode.

    Example::

        print(mode.explain())
    """

    mode: Mode
    state: SystemState
    score: float
    mean: float
    capped: float
    smoothed: float
    contributions: tuple[Contribution, ...]
    gates: tuple[Gate, ...]
    confirming: Pending | None
    dwell_left: float
    penalty: float
    override: Override | None
    trips: tuple[Trip, ...]
    cascade: Cascade | None
    unmet: tuple[str, ...]
    reasons: tuple[str, ...]
    would_change: tuple[str, ...]

    def __str__(self) -> str:
        """A page for a tired reader: the verdict, why, each component, what would change it."""
        lines = [f"{self.mode.name}  score {self.score:.1f}  {self.state.name}"]
        lines += [f"  mean {self.mean:.3f}  capped {self.capped:.3f}  smoothed {self.smoothed:.3f}"]
        lines += _section("because", self.reasons)
        lines += _section("components", [_row(one) for one in self.contributions])
        lines += _section("in motion", self._motion())
        lines += _section("what would change it", self.would_change)
        return "\n".join(lines)

    def _motion(self) -> list[str]:
        found = []
        if self.confirming is not None:
            to, so_far, needed, _ = self.confirming
            found.append(f"{to.name}: confirmed for {min(so_far, needed):.1f} of {needed:.1f} s")
        if self.dwell_left > 0:
            found.append(f"{self.mode.name} is kept for {self.dwell_left:.1f} s more")
        if self.penalty >= 0.005:  # noqa: PLR2004  (what would print as 0.00)
            found.append(f"relapses: improving takes {1 + self.penalty:.2f} times as long")
        return found


def _missing(engine: Engine) -> list[str]:
    """What must come to pass, besides the score, before the mode may improve."""
    return [f"it may improve when this holds: {condition}" for condition in engine.unmet]


def _section(title: str, lines: tuple[str, ...] | list[str]) -> list[str]:
    return [f"{title}:", *(f"  {line}" for line in lines)] if lines else []


def _row(row: Contribution) -> str:
    health = row.standing.name if row.health is None else f"{row.health:.2f}"
    loss = f"-{row.loss * 100:.1f}" if row.loss else "0.0"
    why = f"  {row.signal}: {row.detail}" if row.signal else ""
    weight = f"{row.criticality.name.lower()}, weight {row.weight:g}"
    return f"{row.name}  {health}  {loss}  ({weight}){why}"


def explain(engine: Engine) -> Explanation:
    """Read everything off the engine."""
    steady, assessment = engine.steady, engine.assessment
    return Explanation(
        mode=steady.mode,
        state=engine.state,
        score=steady.smoothed * 100,
        mean=assessment.mean,
        capped=assessment.capped,
        smoothed=steady.smoothed,
        contributions=assessment.contributions,
        gates=assessment.gates,
        confirming=steady.pending(),
        dwell_left=steady.dwell_left(),
        penalty=steady.penalty(),
        override=engine.override,
        trips=tuple(engine.trips.values()),
        cascade=engine.cascade(),
        unmet=engine.unmet,
        reasons=tuple(reasons_of(engine)),
        would_change=(*changes_of(engine), *_missing(engine)),
    )

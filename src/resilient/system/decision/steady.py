"""From a score that jitters to a mode that does not: pure arithmetic in continuous time.

The capped score is taken as a step function: what was fed last holds until the next feed. The
smoothed score then is a chain of exponentials, and what the capped one lacks to an edge adds up in
straight lines; so the instant at which an edge is crossed, a confirmation complete or a dwell over
follows in closed form. The history of modes is a function of what was fed and when, and never of
how often anybody looked.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from resilient.system.settings import Settings
from resilient.system.states import Mode

__all__ = ["Pending", "Steady", "Transition"]

NEVER = math.inf

FULL, LEAST = 0.22, 0.33
"""What the score must lack to an edge for a second to confirm a second, and the least that any
second below it confirms. Above the edge a second takes back as much as it is away from it. A
cumulative sum, bounded (Page 1954): `docs/explanation/mode.md` has the figures."""


class Transition(NamedTuple):
    """The mode changed at instant `at`.

    `cause` is ``relapse``, ``recovery``, ``trip``, ``floor`` or ``forced``; `smoothed` the score;
    `onset` the instant from which the evidence called for less than NORMAL, if it does.
    """

    at: float
    old: Mode
    new: Mode
    cause: str
    smoothed: float
    onset: float | None = None


class Pending(NamedTuple):
    """A change that is being confirmed: `so_far` of `needed` seconds; `left` until it happens.

    `left` is infinite while something else must come to pass first.
    """

    to: Mode
    so_far: float
    needed: float
    left: float


@dataclass(frozen=True, slots=True)
class _Clock:
    """A condition on the smoothed score: true from `since` until `ends`."""

    since: float
    ends: float


class Steady:
    """The state machine. Instants are seconds on any one clock; scores are from 0 to 1.

    Example::

        steady = Steady(Settings(), now=0.0)
        steady.feed(0.0)
        steady.advance(10.0)  # [Transition(at=3.49, old=NORMAL, new=EMERGENCY, ...)]
    """

    def __init__(self, settings: Settings, now: float) -> None:
        self.now = now
        self.target = 1.0
        self.smoothed = 1.0
        self.mode = Mode.NORMAL
        self.entered = now
        self.floor = Mode.NORMAL
        self.held = False
        self.waits = False
        self.forced: Mode | None = None
        self.improved: float | None = None
        self.onset: float | None = None
        self.patience = 1.0
        self._penalty = 0.0
        self._penalty_at = now
        self._lacked = 0.0
        self._above: float | None = None
        self.take(settings)

    def take(self, settings: Settings) -> None:
        """Decide by these settings from now on; what has lasted so far counts."""
        self.settings = settings
        self._lacked = min(self._lacked, settings.confirm_worse)  # what is over is not owed
        normal, degraded = settings.thresholds[1] / 100, settings.thresholds[3] / 100
        self._lower = {Mode.NORMAL: normal, Mode.DEGRADED: degraded, Mode.EMERGENCY: -1.0}
        self._return = {
            Mode.NORMAL: 2.0,
            Mode.DEGRADED: settings.return_normal / 100,
            Mode.EMERGENCY: settings.return_degraded / 100,
        }

    def penalty(self, at: float | None = None) -> float:
        """Relapses counted against the next improvement, halved every `flap_half_life` seconds."""
        past = (self.now if at is None else at) - self._penalty_at
        return float(self._penalty * 0.5 ** (past / self.settings.flap_half_life))

    def shows(self, score: float) -> Mode:
        """The mode that a score stands for, bands aside."""
        if score < self._lower[Mode.DEGRADED]:
            return Mode.EMERGENCY
        return Mode.DEGRADED if score < self._lower[Mode.NORMAL] else Mode.NORMAL

    def feed(
        self,
        target: float,
        *,
        floor: Mode = Mode.NORMAL,
        held: bool = False,
        waits: bool = False,
    ) -> list[Transition]:
        """From now on the capped score is `target`.

        Parameters: `floor`, the best mode allowed (a trip that holds, blindness); `held` forbids
        improvement, and its confirmation; `waits` forbids improvement, but what is confirmed
        meanwhile counts.
        """
        self.target, self.floor, self.held, self.waits = target, floor, held, waits
        ill = target < self._lower[Mode.NORMAL] or floor is not Mode.NORMAL
        if not ill:
            self.onset = None
        elif self.onset is None:
            self.onset = self.now
        if self.forced is None and floor.rank > self.mode.rank:
            return [self._move(floor, "floor")]
        return []

    def trip(self, target: float) -> list[Transition]:
        """Let the smoothed score fall to `target` and go to EMERGENCY, without confirmation."""
        self.target, self.smoothed = target, min(self.smoothed, target)
        self._lacked, self._above = 0.0, None
        self.onset = self.now if self.onset is None else self.onset
        if self.forced is not None or self.mode is Mode.EMERGENCY:
            return []
        return [self._move(Mode.EMERGENCY, "trip")]

    def force(self, mode: Mode | None) -> list[Transition]:
        """Pin the mode to `mode`; `None` lets it go on from where it stands."""
        self.forced = mode
        if mode is not None and mode is not self.mode:
            return [self._move(mode, "forced")]
        self._lacked, self._above = 0.0, None
        if mode is None:
            self.entered = self.now
            self.patience = 1.0 + self.penalty()
            if self.floor.rank > self.mode.rank:
                return [self._move(self.floor, "floor")]
        return []

    def advance(self, until: float) -> list[Transition]:
        """Let time pass up to `until`; return what happened on the way, in order."""
        made: list[Transition] = []
        while self.now < until:
            at, to = self.next_change()
            if at <= until and to is not None:
                self._glide(max(at, self.now))
                cause = "relapse" if to.rank > self.mode.rank else "recovery"
                made.append(self._move(to, cause))
            else:
                self._glide(until)
        return made

    def next_change(self) -> tuple[float, Mode | None]:
        """The instant of the next change of mode if nothing new is fed, and the mode it enters."""
        if self.forced is not None:
            return NEVER, None
        worse, better = self._worsening(), self._improving()
        if worse < NEVER:
            return worse, self._worse_at(worse)
        if better is not None and not self.waits and self._bears(_better(self.mode)):
            at = max(better.since + self._confirm(), self.entered + self._dwell(), self.now)
            if at < better.ends:
                return at, _better(self.mode)
        return NEVER, None

    def pending(self) -> Pending | None:
        """What is being confirmed at this instant, if anything is."""
        if self.forced is not None:
            return None
        at, _ = self.next_change()
        left = max(0.0, at - self.now)
        worse, better = self._worsening(), self._improving()
        if worse < NEVER:
            return Pending(self._worse_at(worse), self._lacked, self.settings.confirm_worse, left)
        if better is None or better.since > self.now:
            return None
        return Pending(_better(self.mode), self.now - better.since, self._confirm(), left)

    def dwell_left(self) -> float:
        """Seconds for which the mode is kept before it may improve; 0 in NORMAL."""
        if self.mode is Mode.NORMAL:
            return 0.0
        return max(0.0, self.entered + self._dwell() - self.now)

    def _confirm(self) -> float:
        leaving = self.mode is Mode.EMERGENCY
        settings = self.settings
        return self.patience * (settings.confirm_degraded if leaving else settings.confirm_normal)

    def _dwell(self) -> float:
        return self.patience * self.settings.dwell

    def _score_at(self, at: float) -> float:
        if at == NEVER:
            return self.target
        fade = math.exp((self.now - at) / self.settings.tau)
        return self.target + (self.smoothed - self.target) * fade

    def _crossing(self, edge: float) -> float:
        """The instant after now at which the smoothed score passes `edge`; NEVER if it does not."""
        start, end = self.smoothed - edge, self.target - edge
        if (start < 0) == (end < 0) or end == 0:
            return NEVER
        return self.now + self.settings.tau * math.log((start - end) / -end)

    def _worsening(self) -> float:
        """The instant at which enough will have been lacking; NEVER if it will not."""
        pace = self._pace()
        left = max(0.0, self.settings.confirm_worse - self._lacked)
        return self.now + left / pace if pace > 0 else NEVER

    def _pace(self) -> float:
        """Seconds of confirmation that a second brings; negative above the edge."""
        pace = (self._lower[self.mode] - self.target) / FULL
        return min(1.0, max(LEAST, pace)) if pace > 0 else pace

    def _improving(self) -> _Clock | None:
        """When the smoothed score is at or above the return edge and may improve the mode."""
        if self.held or self.floor.rank >= self.mode.rank:
            return None
        edge = self._return[self.mode]
        crossing = self._crossing(edge)
        if self.smoothed >= edge:
            return _Clock(self.now if self._above is None else self._above, crossing)
        return None if crossing == NEVER else _Clock(crossing, NEVER)

    def _bears(self, mode: Mode) -> bool:
        """Whether `mode` would not begin to worsen at once: else both might change for ever."""
        return self.target >= self._lower[mode]

    def _worse_at(self, at: float) -> Mode:
        shown = self.shows(self._score_at(at))
        return shown if shown.rank > self.mode.rank else _worse(self.mode)

    def _glide(self, until: float) -> None:
        """Move to `until` with nothing changing on the way but the smoothed score."""
        above = self._improving()
        self._lacked = max(0.0, self._lacked + self._pace() * (until - self.now))
        self._above = above.since if above and above.since <= until < above.ends else None
        self.smoothed = self._score_at(until)
        self.now = until

    def _move(self, to: Mode, cause: str) -> Transition:
        made = Transition(self.now, self.mode, to, cause, self.smoothed, self.onset)
        if cause != "forced":
            self._damp(to)
        self.mode, self.entered = to, self.now
        self.patience = 1.0 + self.penalty()
        self._lacked, self._above = 0.0, None
        return made

    def _damp(self, to: Mode) -> None:
        """Remember an improvement; count a relapse that follows one too soon."""
        if to.rank < self.mode.rank:
            self.improved = self.now
        elif self.improved is not None and self.now - self.improved < self.settings.flap_window:
            self._penalty = min(self.settings.flap_limit, self.penalty() + 1)
            self._penalty_at = self.now


def _better(mode: Mode) -> Mode:
    return Mode.NORMAL if mode is Mode.DEGRADED else Mode.DEGRADED


def _worse(mode: Mode) -> Mode:
    return Mode.DEGRADED if mode is Mode.NORMAL else Mode.EMERGENCY

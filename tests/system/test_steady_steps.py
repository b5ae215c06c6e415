"""The closed form of the steady mode against the same rules, walked in small steps."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from resilient.system.decision.steady import Steady, Transition
from resilient.system.settings import Settings
from resilient.system.states import Mode

STEP = 1 / 32
SLACK = 4 * STEP
"""How far the two may be apart: the walk sees a crossing at the end of a step."""

ORDER = list(Mode)


@dataclass
class Walk:
    """The rules as the documentation has them: no crossing is computed, every step is looked at."""

    settings: Settings
    now: float = 0.0
    target: float = 1.0
    smoothed: float = 1.0
    mode: Mode = Mode.NORMAL
    entered: float = 0.0
    lacked: float = 0.0
    good_since: float | None = None
    floor: Mode = Mode.NORMAL
    held: bool = False
    waits: bool = False
    forced: bool = False
    improved: float = -math.inf
    penalty: float = 0.0
    counted: float = 0.0
    patience: float = 1.0
    wanted: int = field(default=0)

    def edge(self, mode: Mode) -> float:
        """The score below which `mode` worsens."""
        _, normal, _, degraded, _ = self.settings.thresholds
        return {Mode.NORMAL: normal, Mode.DEGRADED: degraded, Mode.EMERGENCY: -100}[mode] / 100

    def step(self) -> None:
        """Let one step pass."""
        self.now += STEP
        fade = math.exp(-STEP / self.settings.tau)
        self.smoothed = self.target + (self.smoothed - self.target) * fade
        lack = (self.edge(self.mode) - self.target) / 0.22
        pace = min(1.0, max(0.33, lack)) if lack > 0 else lack
        self.lacked = max(0.0, self.lacked + pace * STEP)
        settings = self.settings
        back = settings.return_normal if self.mode is Mode.DEGRADED else settings.return_degraded
        kept = self.held or self.floor.rank >= self.mode.rank
        if kept or self.smoothed < back / 100:
            self.good_since = None
        elif self.good_since is None:
            self.good_since = self.now

    def wants(self) -> Mode | None:
        """The mode that is due, if one is."""
        settings, rank = self.settings, self.mode.rank
        if self.forced:
            return None
        if self.target < self.edge(self.mode):
            shown = [mode for mode in ORDER if self.smoothed < self.edge(mode)]
            deep = min(len(shown), 2)
            due = self.lacked >= settings.confirm_worse
            return ORDER[max(rank + 1, deep)] if due else None
        if rank == 0 or self.waits or self.good_since is None:
            return None
        better = ORDER[rank - 1]
        confirm = settings.confirm_normal if rank == 1 else settings.confirm_degraded
        long = self.now - self.good_since >= self.patience * confirm
        stayed = self.now - self.entered >= self.patience * settings.dwell
        return better if long and stayed and self.target >= self.edge(better) else None

    def grazes(self, made: Transition) -> bool:
        """Whether the score passed an edge so closely that a step of the walk may miss it."""
        settings = self.settings
        back = settings.return_normal if made.old is Mode.DEGRADED else settings.return_degraded
        return made.cause == "recovery" and abs(made.smoothed - back / 100) < 0.03

    def move(self, to: Mode, at: float, cause: str) -> None:
        """Enter `to`; what lacks, and what is good, counts from there."""
        if cause != "forced":
            self.damp(to, at)
        self.mode, self.entered = to, at
        self.lacked, self.good_since, self.wanted = 0.0, None, 0
        self.patience = 1 + self.decayed(at)

    def damp(self, to: Mode, at: float) -> None:
        """Count a relapse that comes soon after an improvement."""
        if to.rank < self.mode.rank:
            self.improved = at
        elif at - self.improved < self.settings.flap_window:
            self.penalty = min(self.settings.flap_limit, self.decayed(at) + 1)
            self.counted = at

    def decayed(self, at: float) -> float:
        """What is left of the penalty."""
        return float(self.penalty * 0.5 ** ((at - self.counted) / self.settings.flap_half_life))


def command(name: str, given: Any, steady: Steady, walk: Walk) -> list[Transition]:
    """Do the same to both; what changed at once."""
    if name == "feed":
        target, floor, held, waits = given
        walk.target, walk.floor, walk.held, walk.waits = target, floor, held, waits
        return steady.feed(target, floor=floor, held=held, waits=waits)
    if name == "take":
        walk.settings = given
        walk.lacked = min(walk.lacked, given.confirm_worse)
        steady.take(given)
        return []
    if name == "trip":
        walk.target, walk.smoothed = given, min(walk.smoothed, given)
        walk.lacked, walk.good_since = 0.0, None
        return steady.trip(given)
    walk.forced = given is not None
    walk.lacked, walk.good_since = 0.0, None
    made = steady.force(given)
    if given is None:
        walk.entered, walk.patience = walk.now, 1 + walk.decayed(walk.now)
    return made


def through(steady: Steady, walk: Walk, seconds: int) -> None:
    """Let time pass for both, and hold them together at each change."""
    until = steady.now + seconds
    told = steady.advance(until)
    while walk.now < until:
        walk.step()
        to = walk.wants()
        walk.wanted = walk.wanted + 1 if to is not None else 0
        near = bool(told) and abs(walk.now - told[0].at) <= SLACK
        if near and walk.now >= told[0].at and (to is not None or walk.grazes(told[0])):
            made = told.pop(0)
            on_edge = abs(walk.smoothed - walk.edge(Mode.DEGRADED)) < 0.05
            assert to in {None, made.new} or (on_edge and made.new.rank > made.old.rank)
            lag = walk.now - made.at
            walk.move(made.new, made.at, made.cause)
            lack = (walk.edge(walk.mode) - walk.target) / 0.22
            walk.lacked = lag * min(1.0, max(0.33, lack)) if lack > 0 else 0.0
        else:
            assert walk.wanted * STEP <= SLACK, "the walk changes, and the closed form does not"
        assert not told or walk.now - told[0].at <= SLACK, "the closed form changes alone"
    assert all(until - one.at <= SLACK for one in told), told
    for made in told:  # at the very end, where the walk has no step left to see it
        walk.move(made.new, made.at, made.cause)


# Sevenths: no such score lies on an edge of the settings below.
scores = st.integers(0, 7).map(lambda part: part / 7)
briefly = st.sampled_from([0.0, 0.5, 3.0])
tuned = st.builds(
    Settings,
    tau=st.sampled_from([0.5, 2.5, 6.0]),
    return_normal=st.sampled_from([86.0, 90.0, 97.0]),
    return_degraded=st.sampled_from([52.0, 62.0]),
    confirm_worse=st.sampled_from([0.0, 0.3, 2.65, 20.0]),
    confirm_degraded=briefly,
    confirm_normal=briefly,
    dwell=st.sampled_from([0.0, 1.5, 9.0]),
    flap_window=st.sampled_from([10.0, 900.0]),
    flap_half_life=st.sampled_from([5.0, 900.0]),
    flap_limit=st.sampled_from([0.0, 1.5, 7.0]),
)
modes = st.sampled_from(ORDER)
floors = st.sampled_from([Mode.NORMAL, Mode.NORMAL, Mode.NORMAL, *ORDER])
rarely = st.sampled_from([False, False, False, True])
feeds = st.tuples(st.just("feed"), st.tuples(scores, floors, rarely, rarely))
commands = st.one_of(
    feeds,
    feeds,
    feeds,
    st.tuples(st.just("take"), tuned),
    st.tuples(st.just("trip"), scores),
    st.tuples(st.just("force"), st.one_of(modes, st.none(), st.none())),
)
scripts = st.lists(st.tuples(commands, st.integers(0, 25)), min_size=1, max_size=12)

NOW = Settings(confirm_worse=0, confirm_degraded=0, confirm_normal=0, dwell=0)


@examples(max_examples=150, deadline=None)
@given(tuned, scripts)
@example(NOW, [(("feed", (4 / 7, Mode.NORMAL, False, False)), 5)])
def test_the_closed_form_is_what_small_steps_come_to(
    settings: Settings, script: list[tuple[tuple[str, Any], int]]
) -> None:
    """Whatever is fed, set, forced or tripped, every change comes at the instant of the walk."""
    steady, walk = Steady(settings, now=0.0), Walk(settings)
    for (name, given_), seconds in script:
        for made in command(name, given_, steady, walk):
            walk.move(made.new, made.at, made.cause)
        through(steady, walk, seconds)
        assert steady.mode is walk.mode
        assert steady.smoothed == pytest.approx(walk.smoothed, abs=1e-6)
        assert steady.penalty() == pytest.approx(walk.decayed(steady.now))


def test_what_may_change_at_once_does_not_change_for_ever() -> None:
    """A score that calls for DEGRADED improves nothing, however slowly the smoothed one falls."""
    steady = Steady(NOW, now=0.0)
    steady.feed(0.6)
    assert [one.new for one in steady.advance(100.0)] == [Mode.DEGRADED]
    steady.feed(0.3)
    assert [one.new for one in steady.advance(200.0)] == [Mode.EMERGENCY]
    steady.feed(1.0)
    assert [one.new for one in steady.advance(300.0)] == [Mode.DEGRADED, Mode.NORMAL]


def test_what_was_lacking_is_bounded_by_the_confirmation_that_holds_now() -> None:
    """90 s of 100, all well, and now one second is asked for: a second above gives 0.68 s back."""
    steady = Steady(replace(NOW, confirm_worse=100.0), now=0.0)
    steady.feed(0.0)
    steady.advance(90.0)
    steady.feed(1.0)
    steady.take(replace(NOW, confirm_worse=1.0))
    steady.advance(92.0)
    steady.feed(0.0)
    (made,) = steady.advance(200.0)
    assert made.at == pytest.approx(93.0)

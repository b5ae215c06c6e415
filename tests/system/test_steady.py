"""Laws of the steady mode."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilient.system.decision.steady import Steady, Transition
from resilient.system.settings import Settings
from resilient.system.states import Mode

PLAIN = Settings(
    tau=3.0,
    return_degraded=60.0,
    confirm_worse=3.0,
    confirm_degraded=30.0,
    confirm_normal=30.0,
    dwell=30.0,
)

# Seven equal parts: no such score lies on an edge, where the crossing would be a matter of the
# last bit of a float.
scores = st.integers(0, 7).map(lambda part: part / 7)
steps = st.lists(st.tuples(st.floats(0.1, 90), scores), min_size=1, max_size=25)
looks = st.lists(st.floats(0.001, 2000), max_size=60)


def told(made: list[Transition]) -> list[tuple[str, str]]:
    """From and to, without the instants."""
    return [(one.old.name, one.new.name) for one in made]


def run(script: list[tuple[float, float]], looked: list[float]) -> list[Transition]:
    """Feed each score and hold it for its seconds, looking at other instants as well."""
    steady = Steady(PLAIN, now=0.0)
    made: list[Transition] = []
    at = 0.0
    for held, score in script:
        made += steady.feed(score)
        for look in sorted(one for one in looked if at < one < at + held):
            made += steady.advance(look)
        at += held
        made += steady.advance(at)
    return made


@settings(max_examples=300)
@given(steps, looks)
def test_history_does_not_depend_on_how_often_one_looks(
    script: list[tuple[float, float]], looked: list[float]
) -> None:
    """The same evidence at the same instants makes the same changes at the same instants."""
    once, often = run(script, []), run(script, looked)
    assert told(once) == told(often)
    assert [one.at for one in once] == pytest.approx([one.at for one in often])
    assert [one.smoothed for one in once] == pytest.approx([one.smoothed for one in often])


@settings(max_examples=200)
@given(steps)
def test_a_mode_improves_by_one_and_never_within_its_dwell(
    script: list[tuple[float, float]],
) -> None:
    """Improvement is one step, after the dwell; worsening waits for its confirmation only."""
    made = run(script, [])
    entered = 0.0
    for one in made:
        if one.new.rank < one.old.rank:
            assert one.old.rank - one.new.rank == 1
            assert one.at - entered >= PLAIN.dwell - 1e-9
        entered = one.at


def test_smoothing_is_exponential_in_time() -> None:
    """After tau seconds 1/e of a step is left."""
    steady = Steady(PLAIN, now=0.0)
    steady.feed(0.0)
    steady.advance(3.0)
    assert steady.smoothed == pytest.approx(1 / math.e)


def test_an_outage_is_confirmed_and_may_go_two_down() -> None:
    """The mode waits for the confirmation, then goes where the smoothed score is."""
    steady = Steady(PLAIN, now=0.0)
    steady.feed(0.0)
    (made,) = steady.advance(60.0)
    assert (made.old, made.new) == (Mode.NORMAL, Mode.EMERGENCY)
    assert made.at == pytest.approx(3.0)
    assert made.smoothed == pytest.approx(1 / math.e)
    assert made.onset == 0.0


@pytest.mark.parametrize(
    ("score", "seconds"),
    [
        (0.0, 3.0),  # 85 points short, of which 22 count
        (0.63, 3.0),
        (0.74, 6.0),  # 11 points short: half a second a second
        (0.84, 3.0 / 0.33),  # the least that any second below the edge counts
    ],
)
def test_what_is_lacking_adds_up(score: float, seconds: float) -> None:
    """The less the score is short of the edge, the longer it takes, up to three times as long."""
    steady = Steady(PLAIN, now=0.0)
    steady.feed(score)
    (made, *_) = steady.advance(60.0)
    assert made.at == pytest.approx(seconds)


def test_what_was_lacking_is_taken_back_above_the_edge() -> None:
    """Two seconds of three, then a second 11 points above: half a second is taken back."""
    steady = Steady(PLAIN, now=0.0)
    for score, seconds in ((0.0, 2.0), (0.96, 1.0), (0.0, 1.0)):
        steady.feed(score)
        assert steady.advance(steady.now + seconds) == []
    (made,) = steady.advance(60.0)
    assert made.at == pytest.approx(4.5)


def test_a_dip_that_is_not_confirmed_changes_nothing() -> None:
    """Well above the edge for long enough, and the confirmation starts anew."""
    steady = Steady(PLAIN, now=0.0)
    made = []
    for dip in range(50):
        made += steady.feed(0.8)
        made += steady.advance(10.0 * dip + 5.0)  # 5 of the 9 s that a fall to 80 takes
        made += steady.feed(1.0)
        made += steady.advance(10.0 * dip + 10.0)
    assert made == []
    steady.feed(0.8)
    assert len(steady.advance(steady.now + 3.0 / 0.33 + 0.1)) == 1


def test_recovery_goes_step_by_step() -> None:
    """EMERGENCY, 30 s above its return edge, DEGRADED, its dwell, NORMAL."""
    steady = Steady(PLAIN, now=0.0)
    steady.feed(0.0)
    steady.advance(100.0)
    steady.feed(1.0)
    first, second = steady.advance(300.0)
    above = 3.0 * math.log(1 / 0.4)
    assert (first.new, second.new) == (Mode.DEGRADED, Mode.NORMAL)
    assert first.at == pytest.approx(100 + above + 30, abs=1e-6)
    assert second.at == pytest.approx(first.at + 30)


def test_a_mode_is_kept_for_its_dwell() -> None:
    """A dwell longer than the confirmation decides, in every mode that is not NORMAL."""
    steady = Steady(Settings(confirm_degraded=5.0, confirm_normal=5.0, dwell=100.0), now=0.0)
    (worse,) = [*steady.feed(0.0), *steady.advance(20.0)]
    steady.feed(1.0)
    better, best = steady.advance(1000.0)
    assert better.at == pytest.approx(worse.at + 100)
    assert best.at == pytest.approx(better.at + 100)


def test_between_the_bands_nothing_moves() -> None:
    """A score of 87 neither worsens NORMAL nor brings DEGRADED back to it."""
    steady = Steady(PLAIN, now=0.0)
    steady.feed(0.87)
    assert steady.advance(1000.0) == []
    steady.force(Mode.DEGRADED)
    steady.force(None)
    assert steady.advance(2000.0) == []


def test_a_relapse_lengthens_the_next_improvement() -> None:
    """Each relapse within the window adds one, halved with time, up to the limit."""
    steady = Steady(PLAIN, now=0.0)
    stays: list[float] = []
    for cycle in range(12):
        steady.feed(0.7)
        steady.advance(steady.now + 10)
        assert steady.mode is Mode.DEGRADED, cycle
        began = steady.now
        steady.feed(1.0)
        while steady.mode is not Mode.NORMAL:
            steady.advance(steady.now + 1)
        stays.append(steady.now - began)
    assert stays[0] < 40
    assert stays[1] > stays[0] + 25
    assert all(stay <= 30 * (1 + PLAIN.flap_limit) + 10 for stay in stays)
    calm = steady.penalty()
    steady.advance(steady.now + PLAIN.flap_half_life)
    assert steady.penalty() == pytest.approx(calm / 2)


def test_a_trip_is_at_once_and_recovery_is_ordinary() -> None:
    """No smoothing, no confirmation, and then the same way back as from anything."""
    steady = Steady(PLAIN, now=5.0)
    (made,) = steady.trip(0.2)
    assert (made.at, made.new, steady.smoothed) == (5.0, Mode.EMERGENCY, 0.2)
    steady.feed(1.0)
    assert [one.new for one in steady.advance(500.0)] == [Mode.DEGRADED, Mode.NORMAL]


def test_a_floor_holds_at_once_and_its_clock_starts_when_it_is_lifted() -> None:
    """While a floor holds nothing improves past it, and waiting under it does not count."""
    steady = Steady(PLAIN, now=0.0)
    (made,) = steady.feed(1.0, floor=Mode.EMERGENCY)
    assert made.new is Mode.EMERGENCY
    assert steady.advance(1000.0) == []
    steady.feed(1.0)
    assert steady.advance(1029.9) == []
    assert [one.new for one in steady.advance(1031.0)] == [Mode.DEGRADED]


def test_holding_forbids_improvement_only() -> None:
    """What is unknown is no recovery, but what is known to be bad still worsens."""
    steady = Steady(PLAIN, now=0.0)
    steady.feed(0.7)
    steady.advance(20.0)
    steady.feed(1.0, held=True)
    assert steady.advance(1000.0) == []
    steady.feed(0.0, held=True)
    assert [one.new for one in steady.advance(1100.0)] == [Mode.EMERGENCY]


def test_an_override_beats_everything_and_recovery_follows() -> None:
    """Forced up or down it stays; released it worsens and improves in the ordinary times."""
    steady = Steady(PLAIN, now=0.0)
    steady.feed(0.0)
    steady.force(Mode.NORMAL)
    assert steady.advance(100.0) == []
    assert steady.feed(0.0, floor=Mode.EMERGENCY) == []
    assert steady.trip(0.0) == []
    steady.feed(0.0)
    assert steady.force(None) == []
    (worse,) = steady.advance(200.0)
    assert (worse.at, worse.new) == (pytest.approx(103.0), Mode.EMERGENCY)
    steady.force(Mode.DEGRADED)
    steady.feed(1.0)
    steady.advance(300.0)
    steady.force(None)
    (better,) = steady.advance(400.0)
    assert (better.at, better.new) == (pytest.approx(330.0), Mode.NORMAL)


def test_forcing_is_no_relapse() -> None:
    """What a hand did is not counted against the system."""
    steady = Steady(PLAIN, now=0.0)
    for _ in range(5):
        steady.force(Mode.EMERGENCY)
        steady.force(Mode.NORMAL)
    steady.force(None)
    assert steady.penalty() == 0.0


def test_what_is_pending_tells_how_far_it_is() -> None:
    """So far, needed and left are those of the change that then happens."""
    steady = Steady(PLAIN, now=0.0)
    assert steady.pending() is None
    steady.feed(0.0)
    steady.advance(2.0)
    pending = steady.pending()
    assert pending is not None
    assert (pending.to, pending.needed) == (Mode.EMERGENCY, 3.0)
    (made,) = steady.advance(10.0)
    assert 2.0 + pending.left == pytest.approx(made.at)
    assert steady.dwell_left() == pytest.approx(made.at + 30 - 10)

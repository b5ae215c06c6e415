"""Laws of stepping through what changes by the mere passing of time."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilient.core.ports import Criticality
from resilient.system.decision.component import Component, Evidence
from resilient.system.decision.engine import Engine, Override, Trip
from resilient.system.decision.explain import explain
from resilient.system.settings import Settings
from resilient.system.states import Mode

lives = st.floats(1, 200)
parts = st.dictionaries(
    st.sampled_from("abcde"),
    st.tuples(st.sampled_from(Criticality), st.integers(0, 7), lives, st.booleans()),
    min_size=1,
)


def known(**healths: tuple[str, float]) -> dict[str, Component]:
    """Components by name, each with a criticality and a health that does not grow old."""
    return {
        name: Component(name, float(Criticality[rank].value), Criticality[rank], (), (_mark(h),))
        for name, (rank, h) in healths.items()
    }


def _mark(health: float, until: float = math.inf) -> Evidence:
    return Evidence("mark", health, until, "by hand")


def modes(engine: Engine) -> list[str]:
    """The modes entered so far."""
    return [made.new.name for made, _ in engine.made]


@settings(max_examples=200)
@given(parts, st.lists(st.floats(0.01, 400), max_size=40))
def test_lapses_take_effect_at_their_own_instant(
    given_parts: dict[str, tuple[Criticality, int, float, bool]], looked: list[float]
) -> None:
    """Looking more often makes no other history.

    Evidence ends, silence blinds, a trip and an override run out, each at its instant.
    """
    histories = []
    for instants in ([], sorted(looked)):
        engine = Engine(Settings(), now=0.0)
        engine.trip(Trip("disk", until=20.0))
        engine.force(Override(Mode.DEGRADED, "drill", until=35.0))
        engine.observe(
            {
                name: Component(
                    name,
                    float(rank.value),
                    rank,
                    evidence=(_mark(part / 7, life), _mark((part + 1) % 8 / 7, life / 2)),
                    blind_from=life if promised else math.inf,
                )
                for name, (rank, part, life, promised) in given_parts.items()
            }
        )
        for instant in [*instants, 900.0]:
            engine.advance(instant)
        histories.append(engine.made)
    once, often = histories
    assert [made.new for made, _ in once] == [made.new for made, _ in often]
    assert [made.at for made, _ in once] == pytest.approx([made.at for made, _ in often])


def test_a_critical_breaker_that_opens_is_an_emergency_at_once() -> None:
    """The edge needs no confirmation, and says which breaker it was."""
    engine = Engine(Settings(), now=0.0)
    engine.observe(known(db=("CRITICAL", 1.0)))
    engine.switched(engine.components["db"], 0.0)
    (change,) = engine.made
    assert (change[0].at, change[0].new) == (0.0, Mode.EMERGENCY)
    assert change[1][0].startswith("TRIP: the breaker of CRITICAL db")


@pytest.mark.parametrize(("rank", "softened"), [("HIGH", False), ("CRITICAL", True)])
def test_other_breakers_take_the_ordinary_way(rank: str, softened: bool) -> None:  # noqa: FBT001
    """A HIGH component, or a CRITICAL one whose fallback works, trips nothing."""
    engine = Engine(Settings(), now=0.0)
    engine.observe(known(db=(rank, 1.0), **dict.fromkeys("abcde", ("CRITICAL", 1.0))))
    until = math.inf if softened else -math.inf
    engine.switched(replace(engine.components["db"], softened_until=until), 0.0)
    assert modes(engine) == []
    engine.advance(60.0)
    assert modes(engine) == ["DEGRADED"]
    assert engine.assessment.capped == 0.65


def test_a_trip_holds_until_it_ends() -> None:
    """While any trip holds it is EMERGENCY whatever the score; then recovery is ordinary."""
    engine = Engine(Settings(confirm_degraded=30.0, dwell=30.0), now=0.0)
    engine.observe(known(db=("HIGH", 1.0)))
    engine.trip(Trip("disk"))
    engine.trip(Trip("lag", until=100.0))
    engine.advance(90.0)
    engine.untrip("disk")
    engine.advance(129.0)
    assert modes(engine) == ["EMERGENCY"]
    engine.advance(131.0)
    assert modes(engine) == ["EMERGENCY", "DEGRADED"]


def test_lasting_blindness_is_a_degradation() -> None:
    """Half of what was promised silent: no improvement at once, DEGRADED after 120 s."""
    engine = Engine(Settings(), now=0.0)
    well = known(a=("MEDIUM", 1.0))["a"]
    blind = Component("b", 2.0, blind_from=10.0)
    engine.observe({"a": well, "b": blind})
    engine.advance(129.9)
    assert modes(engine) == []
    assert explain(engine).reasons[0].startswith("BLIND: b fell silent")
    engine.advance(1000.0)
    assert modes(engine) == ["DEGRADED"]
    assert engine.made[0][0].at == pytest.approx(130.0)
    engine.observe({"a": well})
    engine.advance(2000.0)
    assert modes(engine) == ["DEGRADED", "NORMAL"]


def test_an_override_ends_with_its_time() -> None:
    """It shows in every explanation while it lasts, and not afterwards."""
    engine = Engine(Settings(), now=0.0)
    engine.observe(known(db=("HIGH", 1.0)))
    engine.force(Override(Mode.EMERGENCY, "drill", "ops", until=50.0))
    engine.advance(49.0)
    told = explain(engine)
    assert told.override is not None
    assert told.reasons[0] == ("OVERRIDE: EMERGENCY forced by ops: drill; it ends by itself in 1 s")
    assert told.would_change[0].startswith("release()")
    engine.advance(51.0)
    assert explain(engine).override is None
    engine.advance(1000.0)
    assert modes(engine) == ["EMERGENCY", "DEGRADED", "NORMAL"]


def test_a_cascade_is_named_in_reasons_and_explanation() -> None:
    """The trigger and the chain, as declared."""
    engine = Engine(Settings(), now=0.0)
    first = known(redis=("HIGH", 0.0), web=("MEDIUM", 1.0))
    engine.observe(first)
    engine.advance(5.0)
    both = known(redis=("HIGH", 0.0), web=("MEDIUM", 0.1))
    both["web"] = replace(both["web"], depends_on=("redis",))
    engine.observe(both)
    told = explain(engine)
    assert told.cascade is not None
    assert told.cascade.trigger == "redis"
    assert "CASCADE: redis -> web" in told.reasons


def test_an_explanation_prints_every_part() -> None:
    """Whoever reads it at night finds verdict, reason, components, motion and the way out."""
    engine = Engine(Settings(), now=0.0)
    engine.observe(known(db=("CRITICAL", 0.0), search=("LOW", 0.5)))
    engine.advance(2.0)
    page = str(explain(engine))
    for part in (
        "NORMAL  score",
        "GATE: CRITICAL db at 0.00 caps the score at 20",
        "db  0.00  -88.9",
        "search  0.50  -5.6",
        "in motion:",
        "EMERGENCY: confirmed for",
        "what would change it:",
        "db at 0.40 or better lifts the cap of 20",
    ):
        assert part in page, page


def test_nothing_known_is_said() -> None:
    """No evidence is score 100 with a reason."""
    told = explain(Engine(Settings(), now=0.0))
    assert (told.mean, told.score) == (1.0, 100.0)
    assert told.reasons[0].startswith("NO_EVIDENCE")


def test_the_same_answer_again_only_lasts_longer() -> None:
    """Nothing is assessed anew for it, and yet it counts until its own time is over."""
    engine = Engine(Settings(), now=0.0)
    component = Component("db", 2.0, evidence=(Evidence("probe", 0.6, 10.0),))
    engine.observe({"db": component})
    engine.advance(8.0)
    before = engine.assessment
    engine.reported(component, Evidence("probe", 0.6, 18.0))
    assert engine.assessment is before
    engine.advance(17.0)
    assert engine.assessment.known
    engine.advance(18.0)
    assert not engine.assessment.known
    engine.reported(component, Evidence("probe", 0.6, 28.0))
    assert engine.assessment.known  # nothing was, so that is news
    engine.reported(component, Evidence("probe", 0.3, 28.0))
    assert engine.assessment.mean == pytest.approx(0.3)

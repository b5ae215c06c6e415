"""The tables of states, changes and gates, with numbers, case by case.

Source of every number: the tables of ``docs/explanation/mode.md`` and the defaults of
``system/settings.py``. Instants follow from ``smoothed = to + (from - to) * exp(-t / 2.5)``; they
are written out, so that a default that is changed shows here.
"""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from resilient.core.ports import Criticality
from resilient.mode import Mode, SystemOperationMode, SystemState
from resilient.system.decision.component import Component, Evidence
from resilient.system.decision.engine import Engine, Override, Trip
from resilient.system.settings import Settings
from resilient.testing import ManualClock

N, D, E = Mode.NORMAL, Mode.DEGRADED, Mode.EMERGENCY
RESTING = {N: 1.0, D: 0.7, E: 0.0}
"""Scores at which the modes of the tables have come to rest."""

Made = list[tuple[float, Mode]]


def figure(score: float) -> dict[str, Component]:
    """A system of which one figure is all that is known."""
    return {"figure": Component("figure", 2.0, evidence=(Evidence("metric", score),))}


def resting(mode: Mode) -> Engine:
    """An engine that has been in `mode` by its score for an hour, with its clock at 0."""
    engine = Engine(Settings(), now=-3600.0)
    engine.observe(figure(RESTING[mode]))
    engine.advance(0.0)
    assert engine.steady.mode is mode
    engine.made.clear()
    return engine


def changes(engine: Engine, until: float = 600.0) -> Made:
    """What changes from now on, and when, to a thousandth of a second."""
    engine.advance(until)
    return [(round(made.at, 3), made.new) for made, _ in engine.made]


# States -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("score", "state", "mode"),
    [
        (100, "COMPLETE_SUCCESS", N),
        (95, "COMPLETE_SUCCESS", N),
        (94.99, "OPERATIONAL_SUCCESS", N),
        (85, "OPERATIONAL_SUCCESS", N),
        (84.99, "DEGRADED_SUCCESS", D),
        (70, "DEGRADED_SUCCESS", D),
        (69.99, "PARTIAL_FAILURE", D),
        (50, "PARTIAL_FAILURE", D),
        (49.99, "CASCADE_FAILURE", E),
        (25, "CASCADE_FAILURE", E),
        (24.99, "COMPLETE_FAILURE", E),
        (0, "COMPLETE_FAILURE", E),
    ],
)
def test_the_six_states(score: float, state: str, mode: Mode) -> None:
    """Each state begins at its threshold: 95, 85, 70, 50, 25. The mode it stands for is entered."""
    engine = Engine(Settings(), now=0.0)
    assert engine.state_of(score / 100) is SystemState[state]
    assert SystemState[state].mode is mode
    engine.observe(figure(score / 100 + 1e-9))  # what is smoothed comes close, and never arrives
    engine.advance(3600.0)
    assert engine.state is SystemState[state]
    assert engine.steady.mode is mode


@pytest.mark.parametrize(
    ("score", "state"),
    [(90, "COMPLETE_SUCCESS"), (60, "OPERATIONAL_SUCCESS"), (9, "COMPLETE_FAILURE")],
)
def test_thresholds_that_were_set(score: float, state: str) -> None:
    """Whoever sets thresholds gets states by them."""
    clock = ManualClock()
    mode = SystemOperationMode(
        thresholds=(90, 60, 40, 20, 10), return_normal=65, return_degraded=25, clock=clock
    )
    mode.metric("figure", expect_every=3600).set(score / 100 + 1e-9)
    clock.advance(120)
    assert mode.state is SystemState[state]


# Changes by the score -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "score", "expected"),
    [
        # 2.65 s, longer where less than 22 points lack: 2.65 * 0.22 / 0.15; 2.65 / 0.33 at most
        (N, 0.00, [(2.65, E)]),
        (N, 0.30, [(2.65, D), (5.565, E)]),
        (N, 0.70, [(3.887, D)]),
        (N, 0.849, [(8.030, D)]),
        (N, 0.851, []),
        # from 0.7: 2.65; 2.65 / 0.33; 2.5 ln(0.3/0.1) + 48; between the bands nothing moves
        (D, 0.00, [(2.65, E)]),
        (D, 0.499, [(8.030, E)]),
        (D, 0.501, []),
        (D, 0.85, []),
        (D, 0.899, []),
        (D, 0.90001, [(72.759, N)]),
        (D, 1.00, [(50.747, N)]),
        # from 0: 2.5 ln(1/0.38) + 38, then 48 more: one step at a time
        (E, 0.50, []),
        (E, 0.619, []),
        (E, 0.65, [(45.689, D)]),
        (E, 1.00, [(40.419, D), (88.419, N)]),
    ],
)
def test_changes_by_the_score(mode: Mode, score: float, expected: Made) -> None:
    """From each mode at rest, with the instants at which the score calls for another.

    22 points below 85 or 50 for 2.65 s it worsens; at 62 for 38 s or at 90 for 48 s it improves.
    """
    engine = resting(mode)
    engine.observe(figure(score))
    assert changes(engine) == [(pytest.approx(at, abs=0.0011), to) for at, to in expected]


# Changes by trips, floors and hands ---------------------------------------------------------


@pytest.mark.parametrize(("mode", "expected"), [(N, [(0.0, E)]), (D, [(0.0, E)]), (E, [])], ids=str)
def test_a_trip_is_emergency_at_once(mode: Mode, expected: Made) -> None:
    """From any mode, at the instant; and it stays while the trip holds, whatever the score."""
    engine = resting(mode)
    engine.trip(Trip("disk"))
    engine.observe(figure(1.0))
    assert changes(engine) == expected
    assert engine.steady.mode is E


def test_the_way_back_from_a_trip_is_the_ordinary_one() -> None:
    """A level leaves the score alone: 38 s and 48 s after it ends. An edge sets it to the cap."""
    level = resting(N)
    level.trip(Trip("lag", until=100.0))
    assert changes(level) == [(0.0, E), (138.0, D), (186.0, N)]
    edge = resting(N)
    db = Component("db", 8.0, Criticality.CRITICAL, evidence=(Evidence("breaker", 1.0),))
    edge.observe({"db": db})
    edge.switched(db, 0.0)
    edge.advance(100.0)
    assert edge.steady.smoothed == 0.0
    edge.switched(db, 1.0)
    assert changes(edge, 185.0) == [(0.0, E), (140.419, D)]  # 2.5 ln(1/0.38) + 38


@pytest.mark.parametrize(("mode", "expected"), [(N, [(120.0, D)]), (D, []), (E, [])], ids=str)
def test_lasting_blindness_is_at_least_degraded(mode: Mode, expected: Made) -> None:
    """Half of what was promised silent for 120 s: NORMAL ends, and nothing improves."""
    engine = resting(mode)
    blind = Component("dark", 2.0, blind_from=0.0)
    engine.observe({**figure(1.0), "dark": blind})
    assert changes(engine) == expected


@pytest.mark.parametrize(
    ("blind", "known", "idle", "holds"),
    [
        (0, 2, 0, False),
        (1, 3, 0, False),
        (49, 51, 0, False),
        (50, 50, 0, True),
        (50, 50, 1000, True),  # what is idle counts on neither side
        (3, 1, 0, True),
        (1, 0, 0, True),
    ],
)
def test_the_share_of_blind_weight(blind: int, known: int, idle: int, *, holds: bool) -> None:
    """From half of the weight that is not idle on, improvement is forbidden; below, nothing is."""
    engine = resting(D)
    parts = {
        "dark": Component("dark", float(blind or 1), blind_from=-math.inf if blind else math.inf),
        "seen": Component("seen", float(known or 1), evidence=figure(1.0)["figure"].evidence),
        "quiet": Component("quiet", float(idle or 1)),
    }
    if not known:
        parts["seen"] = replace(parts["seen"], evidence=())
    engine.observe(parts)
    assert changes(engine) == ([] if holds else [(50.747, N)])


@pytest.mark.parametrize("before", Mode)
@pytest.mark.parametrize("forced", Mode)
def test_every_pair_by_hand(before: Mode, forced: Mode) -> None:
    """`force` goes from any mode to any other at once, and stays against score and trip."""
    engine = resting(before)
    engine.force(Override(forced, "drill"))
    engine.observe(figure(RESTING[N] if forced is E else RESTING[E]))
    if forced is not E:
        engine.trip(Trip("disk"))
    assert changes(engine) == ([] if before is forced else [(0.0, forced)])


@pytest.mark.parametrize(
    ("forced", "score", "expected"),
    [
        (N, 0.0, [(102.65, E)]),
        (D, 0.0, [(100.0 + 2.65, E)]),
        (D, 1.0, [(148.0, N)]),
        (E, 1.0, [(138.0, D), (186.0, N)]),
        (E, 0.0, []),
    ],
)
def test_the_way_on_from_an_override(forced: Mode, score: float, expected: Made) -> None:
    """When it ends, after 100 s here, the ordinary confirmations begin."""
    engine = resting(D)
    engine.force(Override(forced, "drill", until=100.0))
    engine.observe(figure(score))
    made = changes(engine)
    assert made[forced is not D :] == expected


def test_what_beats_what() -> None:
    """Override, then trip, then blindness, then the score: each shows when the one above ends."""
    engine = resting(N)
    engine.observe({**figure(1.0), "dark": Component("dark", 2.0, blind_from=-math.inf)})
    engine.trip(Trip("disk", until=300.0))
    engine.force(Override(N, "drill", until=200.0))
    engine.advance(250.0)
    engine.advance(400.0)
    engine.observe(figure(1.0))
    assert changes(engine) == [
        (0.0, E),  # the trip
        (0.0, N),  # the hand
        (200.0, E),  # the trip again
        (438.0, D),  # while blind nothing improved
        (486.0, N),
    ]


def test_a_condition_that_is_not_met_forbids_improvement() -> None:
    """The score may be well for ten minutes; met, it improves at once: the score was confirmed.

    What worsens still worsens.
    """
    engine = resting(E)
    engine.unmet = ("backlog < 100",)
    engine.observe(figure(1.0))
    assert changes(engine) == []
    engine.unmet = ()
    engine.observe(figure(1.0))
    assert changes(engine, 1000.0) == [(600.0, D), (648.0, N)]
    engine.unmet = ("backlog < 100",)
    engine.observe(figure(0.0))
    assert changes(engine, 1100.0)[2:] == [(1002.65, E)]


# Gates --------------------------------------------------------------------------------------

HEALTHS = (0.0, 0.399, 0.40, 0.699, 0.70, 1.0)
CAPS = [
    ("CRITICAL", False, (20, 20, 65, 65, None, None)),
    ("CRITICAL", True, (65, 65, None, None, None, None)),
    ("HIGH", False, (65, 65, None, None, None, None)),
    ("HIGH", True, (None,) * 6),
    ("MEDIUM", False, (None,) * 6),
    ("MEDIUM", True, (None,) * 6),
    ("LOW", False, (None,) * 6),
    ("LOW", True, (None,) * 6),
]
ENDS: dict[int | None, Made] = {
    20: [(2.65, E)],  # where the smoothed score is 48
    65: [(2.915, D)],  # 2.65 * 0.22 / 0.20
    None: [],
}


@pytest.mark.parametrize(
    ("rank", "softened", "health", "cap"),
    [
        (rank, softened, health, cap)
        for rank, softened, caps in CAPS
        for health, cap in zip(HEALTHS, caps, strict=True)
    ],
)
def test_every_gate(rank: str, softened: bool, health: float, cap: int | None) -> None:  # noqa: FBT001
    """Criticality, health and a working fallback decide the cap; the cap, the mode and when.

    The component weighs 8 of 800, so that the mean stays above 98 and would hide it.
    """
    engine = Engine(Settings(), now=0.0)
    one = Component(
        "one",
        8.0,
        Criticality[rank],
        evidence=(Evidence("availability", health),),
        softened_until=math.inf if softened else -math.inf,
    )
    rest = Component("rest", 792.0, evidence=figure(1.0)["figure"].evidence)
    engine.observe({"one": one, "rest": rest})
    seen = engine.assessment
    assert seen.mean == pytest.approx(1 - 0.01 * (1 - health))
    assert seen.capped == (seen.mean if cap is None else cap / 100)
    assert [(gate.cap * 100, gate.softened) for gate in seen.gates] == (
        [] if cap is None else [(cap, softened)]
    )
    assert changes(engine) == ENDS[cap]


@pytest.mark.parametrize(
    ("healths", "capped"),
    [
        ({"a CRITICAL": 0.0, "b HIGH": 0.0}, 0.20),  # the lowest cap counts
        ({"a CRITICAL": 0.5, "b HIGH": 0.0}, 0.65),
        ({"a HIGH": 0.0, "b HIGH": 0.0}, 0.65),  # two gates are no worse than one
        ({"a CRITICAL": 0.0, "b CRITICAL": 0.0, "c CRITICAL": 0.0, "d LOW": 1.0}, 1 / 25),  # mean
    ],
    ids=str,
)
def test_several_gates(healths: dict[str, float], capped: float) -> None:
    """The lowest cap holds, and a mean that is lower still."""
    engine = Engine(Settings(), now=0.0)
    parts = [
        Component(name, float(rank.value), rank, evidence=(Evidence("mark", health),))
        for name, health in healths.items()
        for rank in [Criticality[name.split()[1]]]
    ]
    rest = [] if "d LOW" in healths else [Component("rest", 800.0, evidence=parts[0].evidence)]
    well = [replace(one, evidence=(Evidence("mark", 1.0),)) for one in rest]
    engine.observe({one.name: one for one in [*parts, *well]})
    assert engine.assessment.capped == pytest.approx(capped)
    caps = [gate.cap for gate in engine.assessment.gates]
    assert caps == sorted(caps)


@pytest.mark.parametrize(
    ("rank", "softened", "at_once"),
    [
        ("CRITICAL", False, True),
        ("CRITICAL", True, False),
        ("HIGH", False, False),
        ("MEDIUM", False, False),
        ("LOW", False, False),
    ],
)
@pytest.mark.parametrize("signal", ["breaker", "probe"])
def test_which_edges_trip(
    rank: str,
    softened: bool,  # noqa: FBT001  (a column of the table)
    at_once: bool,  # noqa: FBT001  (as above)
    signal: str,
) -> None:
    """A breaker that opens, a probe that fails: EMERGENCY at once if CRITICAL and not softened."""
    engine = Engine(Settings(), now=0.0)
    one = Component(
        "one",
        8.0,
        Criticality[rank],
        evidence=(Evidence(signal, 1.0),),
        softened_until=math.inf if softened else -math.inf,
    )
    rest = Component("rest", 792.0, evidence=figure(1.0)["figure"].evidence)
    engine.observe({"one": one, "rest": rest})
    if signal == "breaker":
        engine.switched(one, 0.0)
    else:
        engine.reported(one, Evidence("probe", 0.0))
    assert engine.steady.mode is (E if at_once else N)
    gated = 65 if rank in {"CRITICAL", "HIGH"} else None
    assert changes(engine) == ([(0.0, E)] if at_once else ENDS[gated])

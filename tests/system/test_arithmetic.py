"""Laws of the whole arithmetic: from any evidence to a score, and to a mode that keeps still.

That the losses add up exactly is held in `test_score.py`, that history does not depend on how often
one looks in `test_steady.py` and `test_engine.py`; here are the laws that join the parts.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import takewhile
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilient import breaker
from resilient.core.ports import CircuitHealth, Criticality
from resilient.events import CircuitState
from resilient.mode import Mode, SystemOperationMode
from resilient.system.decision.component import Component, Evidence, Standing
from resilient.system.decision.engine import Engine
from resilient.system.decision.evidence import MARKS, Latency, of_circuit
from resilient.system.decision.score import assess, gate_of
from resilient.system.settings import Settings
from resilient.testing import ManualClock

LONG = 1200.0
"""Seconds of a simulation."""

calm = settings(deadline=None)
healths = st.floats(0, 1) | st.sampled_from([0.0, 0.2, 0.39, 0.40, 0.69, 0.70, 1.0])
weights = st.floats(1e-6, 1e9)
ranks = st.sampled_from(Criticality)


class Part(NamedTuple):
    """A component as drawn; no health means that nothing fresh is known of it."""

    weight: float
    rank: Criticality
    health: float | None
    blind: bool = False
    softened: bool = False

    def named(self, name: str) -> Component:
        """As the arithmetic takes it."""
        return Component(
            name,
            self.weight,
            self.rank,
            evidence=() if self.health is None else (Evidence("mark", self.health),),
            softened_until=math.inf if self.softened else -math.inf,
            blind_from=-math.inf if self.blind else math.inf,
        )


parts = st.builds(Part, weights, ranks, st.none() | healths, st.booleans(), st.booleans())
systems = st.lists(parts, min_size=1, max_size=12)


def named(system: Sequence[Part], names: Sequence[int] | None = None) -> list[Component]:
    """The parts of a system, named in their order or by `names`."""
    order = range(len(system)) if names is None else names
    return [part.named(f"c{number:02}") for part, number in zip(system, order, strict=True)]


# Bounds -------------------------------------------------------------------------------------


@calm
@given(
    standing=st.none() | st.floats(-1, 2),
    calls=st.integers(0, 10_000),
    failed=st.integers(0, 12_000),
    p95=st.none() | st.floats(0, 1e6),
    target=st.floats(1e-3, 10),
    more=st.floats(1e-3, 10),
)
def test_all_that_a_breaker_says_is_within_0_and_1(  # noqa: PLR0913  (drawn by name)
    standing: float | None, calls: int, failed: int, p95: float | None, target: float, more: float
) -> None:
    """Health of every kind is from 0 to 1, whatever the counts and figures."""
    told = CircuitHealth(CircuitState.CLOSED, standing, calls, failed, calls, p95=p95)
    found = of_circuit(told, 90.0, Settings(), Latency(target, target + more))
    assert all(0 <= one.value <= 1 for one in [*found, *(Evidence("m", h) for h in MARKS.values())])


@calm
@given(systems)
def test_an_assessment_is_within_its_bounds(system: list[Part]) -> None:
    """0 <= capped <= mean <= 1, no loss is negative, and the blind share is a share."""
    seen = assess(named(system), now=0.0)
    assert 0 <= seen.capped <= seen.mean <= 1
    assert all(0 <= row.loss <= 1 for row in seen.contributions)
    assert 0 <= seen.blind <= 1
    assert seen.known is any(part.health is not None for part in system)


stories = st.lists(
    st.tuples(
        st.floats(0.05, 60),
        st.sampled_from(["set", "trip", "untrip", "force", "release", "mark", "clear"]),
        st.floats(-1, 2),
    ),
    max_size=30,
)


@settings(calm, max_examples=100)
@given(stories)
def test_what_the_living_mode_shows_is_within_its_bounds(
    story: list[tuple[float, str, float]],
) -> None:
    """Score 0 to 100, severity 0 to 1 and 0 in NORMAL, whatever is said and done."""
    clock = ManualClock()
    mode = SystemOperationMode(clock=clock)
    figure = mode.metric("figure", criticality="critical")
    for wait, what, value in story:
        do: dict[str, Callable[[], object]] = {
            "set": lambda value=value: figure.set(value),  # type: ignore[misc]  # a default binds it
            "trip": lambda: mode.trip("drill", ttl=5),
            "untrip": mode.untrip,
            "force": lambda: mode.force(Mode.DEGRADED, reason="drill", ttl=20),
            "release": mode.release,
            "mark": lambda: mode.mark_degraded("db", "drill", severity="high", ttl=30),
            "clear": lambda: mode.clear("db"),
        }
        do[what]()
        clock.advance(wait)
        told = mode.explain()
        assert 0 <= told.score <= 100
        assert 0 <= told.smoothed <= 1
        assert 0 <= told.capped <= told.mean <= 1
        assert sum(row.loss for row in told.contributions) == 1 - told.mean
        assert 0 <= mode.severity <= 1
        assert mode.current is not Mode.NORMAL or mode.severity == 0


# Monotonicity -------------------------------------------------------------------------------


@calm
@given(systems, st.lists(healths, min_size=12, max_size=12))
def test_worse_evidence_never_gives_a_better_score(
    system: list[Part], worsening: list[float]
) -> None:
    """With every health lower or equal, neither the mean nor the capped score is higher."""
    worse = [
        part if part.health is None else part._replace(health=part.health * by)
        for part, by in zip(system, worsening, strict=False)
    ]
    before, after = assess(named(system), now=0.0), assess(named(worse), now=0.0)
    assert after.mean <= before.mean
    assert after.capped <= before.capped


@calm
@given(ranks, st.booleans(), healths, healths)
def test_a_worse_health_never_lifts_a_cap(
    rank: Criticality,
    softened: bool,  # noqa: FBT001  (drawn)
    one: float,
    other: float,
) -> None:
    """The cap of a gate falls with the health, or stays."""
    worse, better = sorted([one, other])
    assert gate_of(rank, worse, softened=softened) <= gate_of(rank, better, softened=softened)


@calm
@given(systems, st.data())
def test_losing_a_fallback_never_gives_a_better_score(
    system: list[Part], data: st.DataObject
) -> None:
    """A gate that is softened is never lower than the same gate unsoftened."""
    index = data.draw(st.integers(0, len(system) - 1))
    softened = [*system]
    softened[index] = system[index]._replace(softened=True)
    bare = [*system]
    bare[index] = system[index]._replace(softened=False)
    assert assess(named(bare), 0.0).capped <= assess(named(softened), 0.0).capped


@settings(calm, max_examples=200)
@given(
    st.lists(st.tuples(weights, ranks), min_size=1, max_size=5),
    st.lists(
        st.tuples(st.floats(0.05, 40), st.lists(healths, min_size=5, max_size=5), healths),
        min_size=1,
        max_size=15,
    ),
)
def test_worse_evidence_never_gives_a_better_smoothed_score(
    kinds: list[tuple[float, Criticality]], script: list[tuple[float, list[float], float]]
) -> None:
    """Two systems see evidence at the same instants, one never the better: nor is its score."""
    well, ill = Engine(Settings(), 0.0), Engine(Settings(), 0.0)
    at = 0.0
    for held, given_healths, by in script:
        for engine, factor in ((well, 1.0), (ill, by)):
            engine.observe(
                {
                    f"c{number}": Part(weight, rank, health * factor).named(f"c{number}")
                    for number, ((weight, rank), health) in enumerate(
                        zip(kinds, given_healths, strict=False)
                    )
                }
            )
        assert ill.assessment.capped <= well.assessment.capped
        for part in (0.25, 0.5, 1.0):
            well.advance(at + held * part)
            ill.advance(at + held * part)
            assert ill.steady.smoothed <= well.steady.smoothed + 1e-12
        at += held


@calm
@given(parts, st.lists(healths, max_size=5), healths)
def test_more_evidence_never_raises_a_health(part: Part, known: list[float], more: float) -> None:
    """Health is the worst of what is fresh, so a further signal can only lower it."""
    evidence = tuple(Evidence(f"kind {number}", value) for number, value in enumerate(known))
    one = replace(part.named("db"), evidence=evidence)
    grown = replace(one, evidence=(*evidence, Evidence("further", more)))
    before, after = one.worst(0.0), grown.worst(0.0)
    assert after is not None
    assert after.value <= (more if before is None else before.value)
    assert after.value == min([*known, more])


# What must not matter -----------------------------------------------------------------------


@calm
@given(systems, st.randoms(use_true_random=False))
def test_the_order_of_components_does_not_matter(system: list[Part], chance: random.Random) -> None:
    """In another order, or under each other's names, they come to the same to the last bit."""
    components = named(system)
    shuffled = chance.sample(components, len(components))
    seen = assess(components, now=0.0)
    assert assess(shuffled, now=0.0) == seen
    renamed = assess(named(system, chance.sample(range(len(system)), len(system))), now=0.0)
    assert (renamed.mean, renamed.capped) == (seen.mean, seen.capped)
    assert renamed.blind == seen.blind
    assert sorted(gate.cap for gate in renamed.gates) == [gate.cap for gate in seen.gates]


@calm
@given(systems, st.floats(1e-3, 1e3))
def test_the_scale_of_weights_does_not_matter(system: list[Part], scale: float) -> None:
    """Weights are compared with one another only."""
    seen = assess(named(system), now=0.0)
    scaled = assess(named([part._replace(weight=part.weight * scale) for part in system]), now=0.0)
    assert scaled.mean == pytest.approx(seen.mean, abs=1e-14)
    assert scaled.capped == pytest.approx(seen.capped, abs=1e-14)
    assert scaled.blind == pytest.approx(seen.blind, abs=1e-14)
    assert [gate.component for gate in scaled.gates] == [gate.component for gate in seen.gates]


@calm
@given(systems, st.lists(st.tuples(weights, ranks), min_size=1, max_size=6))
def test_what_is_idle_leaves_both_sums(
    system: list[Part], quiet: list[tuple[float, Criticality]]
) -> None:
    """Components of which nothing is known or promised change no figure, however heavy."""
    idle = [Part(weight, rank, None) for weight, rank in quiet]
    seen = assess(named(system), now=0.0)
    both = assess(named([*system, *idle]), now=0.0)
    figures = [(one.mean, one.capped, one.gates, one.known, one.blind) for one in (seen, both)]
    assert figures[0] == figures[1]
    added = both.contributions[len(system) :]
    assert {(row.standing, row.health, row.loss) for row in added} == {(Standing.IDLE, None, 0.0)}


# Steadiness and ticks -----------------------------------------------------------------------


def noisy(mean: float) -> list[float]:
    """Twenty minutes of figures, one a second: noise about a level, and an outage now and then."""
    chance = random.Random(11)  # noqa: S311  (a simulation, no secret)
    level, found = 0.0, []
    for second in range(int(LONG)):
        level = 0.6 * level + 0.8 * chance.gauss(0, 1)
        out = second % 600 > 500
        found.append(0.1 if out else min(1.0, max(0.0, mean + 0.1 * level)))
    return found


def ticks(every: float | None) -> Iterator[float]:
    """Instants at which somebody looks; irregularly, up to 20 s apart, for `None`."""
    chance = random.Random(5)  # noqa: S311  (a simulation, no secret)
    count = 0
    at = 0.0
    while True:
        count += 1
        at = at + chance.uniform(0.01, 20) if every is None else count * every
        yield at


def lived(mean: float, every: float | None) -> SystemOperationMode:
    """A mode that was told a figure each second, and looked at meanwhile."""
    clock = ManualClock()
    mode = SystemOperationMode(clock=clock)
    figure = mode.metric("figure")
    told = [(float(second), 0, value) for second, value in enumerate(noisy(mean))]
    looks = [(at, 1, 0.0) for at in takewhile(lambda at: at < LONG, ticks(every))]
    for at, looking, value in sorted([*told, *looks, (LONG, 1, 0.0)]):
        clock.advance(max(0.0, at - clock.monotonic()))
        if looking:
            mode.evaluate()
        else:
            figure.set(value)
    return mode


@pytest.mark.parametrize("mean", [0.7, 0.87, 0.92])
def test_the_rate_of_ticks_does_not_change_history(mean: float) -> None:
    """Ticks of 0.1, 1 and 5 s, irregular ones or hardly any: the same changes at the same instants.

    Promised are 10 %; evidence that is told, as this is, counts from its own instant.
    """
    first, *others = (lived(mean, every).history for every in (0.1, 1.0, 5.0, None, LONG))
    assert len(first) >= 2
    for other in others:
        assert [one.new for one in other] == [one.new for one in first]
        assert [one.at for one in other] == pytest.approx([one.at for one in first], abs=1e-6)


def asked(every: float | None) -> tuple[int, dict[Mode, float]]:
    """Changes and time in each mode when the evidence is a breaker's window, read at each look.

    A dependency is called ten times a second for half an hour. It loses a fifth of its calls in
    minutes 10 to 15, and most of them in minutes 20 to 25.
    """
    clock = ManualClock()
    mode = SystemOperationMode(clock=clock)
    orders = breaker(
        "orders", failure_threshold=None, failure_rate=None, window=30, mode=mode, clock=clock
    )
    chance = random.Random(5)  # noqa: S311  (a simulation, no secret)
    looks = ticks(every)
    look = next(looks)
    for call in range(30 * 60 * 10):
        at = call / 10
        while look < at:
            clock.advance(max(0.0, look - clock.monotonic()))
            mode.evaluate()
            look = next(looks)
        clock.advance(max(0.0, at - clock.monotonic()))
        lost = {2: 0.2, 4: 0.8}.get(int(at // 300), 0.0)
        with suppress(ConnectionError):
            orders.call(_answer, chance.random() < lost)
    told = mode.statistics()
    return len(mode.history), dict(told.time_in)


def _answer(lost: bool) -> None:  # noqa: FBT001  (an argument of a call)
    if lost:
        raise ConnectionError


@pytest.mark.parametrize("every", [0.1, 5.0, None])
def test_evidence_that_is_asked_for_depends_on_ticks_by_less_than_a_tenth(
    every: float | None,
) -> None:
    """A breaker's window is read when somebody looks: the same changes, times within 10 %.

    Compared with ticks of 1 s. A mode that was held for minutes is held as long to a tenth.
    """
    changes, usual = asked(1.0)
    others, found = asked(every)
    assert others == changes == 6
    assert found == pytest.approx(usual, rel=0.1)

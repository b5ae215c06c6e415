"""Laws of the weighted mean and of the gates that cap it."""

from __future__ import annotations

import math
import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilient.core.ports import Criticality
from resilient.system.decision.component import Component, Evidence, Standing
from resilient.system.decision.score import assess, gate_of, losses

weights = st.floats(min_value=1e-6, max_value=1e9)
healths = st.floats(min_value=0, max_value=1)
weighted = st.lists(st.tuples(weights, healths), min_size=1, max_size=40)


def component(
    name: str, health: float | None, criticality: Criticality = Criticality.MEDIUM, **more: object
) -> Component:
    """A component of that health, or with nothing known."""
    evidence = () if health is None else (Evidence("mark", health),)
    weight = float(criticality.value)
    return Component(name, weight, criticality, evidence=evidence, **more)  # type: ignore[arg-type]  # keywords by name


@given(weighted)
def test_losses_add_up_to_what_is_missing(pairs: list[tuple[float, float]]) -> None:
    """The losses sum to 1 - mean without any rounding, in any order and however added."""
    parts = [
        Component(f"c{i:02}", weight, evidence=(Evidence("mark", health),))
        for i, (weight, health) in enumerate(pairs)
    ]
    seen = assess(parts, now=0.0)
    shares = [row.loss for row in seen.contributions]
    random.Random(1).shuffle(shares)  # noqa: S311  (an order, no secret)
    assert sum(shares) == math.fsum(shares) == 1 - seen.mean
    assert sum(map(Fraction, shares)) == 1 - Fraction(seen.mean)


@given(weighted)
def test_each_loss_is_the_components_share(pairs: list[tuple[float, float]]) -> None:
    """A loss is w(1-h)/sum(w), to the last bit but two, and never negative."""
    total = sum((Fraction(weight) for weight, _ in pairs), Fraction())
    for (weight, health), loss in zip(pairs, losses(pairs), strict=True):
        true = Fraction(weight) * (1 - Fraction(health)) / total
        assert loss >= 0
        assert abs(Fraction(loss) - true) <= Fraction(1, 2**50)
    lost = [Fraction(weight) * (1 - Fraction(health)) for weight, health in pairs]
    missing = sum(lost, Fraction()) / total
    assert abs(Fraction(sum(losses(pairs))) - missing) <= Fraction(4, 2**53)


@given(st.lists(weights, min_size=1, max_size=40))
def test_when_all_is_lost_no_more_than_all_is_lost(given_weights: list[float]) -> None:
    """Rounding never takes more than there is, however many parts it is dealt over."""
    shares = losses([(weight, 0.0) for weight in given_weights])
    assert 1 - 2**-50 <= sum(shares) <= 1


@pytest.mark.parametrize("parts", range(1, 60))
def test_equal_parts_lose_all_of_it(parts: int) -> None:
    """Sixty ways of dividing one, some of which round up in every part."""
    assert 1 - 2**-50 <= sum(losses([(0.1, 0.0)] * parts)) <= 1


@given(weighted)
def test_the_mean_stays_within_its_range(pairs: list[tuple[float, float]]) -> None:
    """Whatever the weights, the mean is from 0 to 1 and the cap never raises it."""
    parts = [
        Component(f"c{i}", weight, Criticality.CRITICAL, evidence=(Evidence("mark", health),))
        for i, (weight, health) in enumerate(pairs)
    ]
    seen = assess(parts, now=0.0)
    assert 0 <= seen.capped <= seen.mean <= 1


@pytest.mark.parametrize(
    ("criticality", "health", "softened", "cap"),
    [
        ("CRITICAL", 0.39, False, 0.20),
        ("CRITICAL", 0.40, False, 0.65),
        ("CRITICAL", 0.69, False, 0.65),
        ("CRITICAL", 0.70, False, 1.0),
        ("CRITICAL", 0.0, True, 0.65),
        ("CRITICAL", 0.5, True, 1.0),
        ("HIGH", 0.39, False, 0.65),
        ("HIGH", 0.40, False, 1.0),
        ("HIGH", 0.0, True, 1.0),
        ("MEDIUM", 0.0, False, 1.0),
        ("LOW", 0.0, False, 1.0),
    ],
)
def test_gates(criticality: str, health: float, softened: bool, cap: float) -> None:  # noqa: FBT001
    """Who is how ill caps the score at what; a working fallback gates one criticality softer."""
    assert gate_of(Criticality[criticality], health, softened=softened) == cap


def test_one_dead_critical_among_ten_is_not_averaged_away() -> None:
    """The mean hides it, the gate does not, and the gate names it."""
    parts = [component(f"c{i}", 1.0) for i in range(40)]
    seen = assess([*parts, component("db", 0.0, Criticality.CRITICAL)], now=0.0)
    assert seen.mean > 0.9
    assert seen.capped == 0.20
    assert [gate.component for gate in seen.gates] == ["db"]


def test_health_is_the_worst_of_what_is_fresh() -> None:
    """The least fresh signal sets the health and is named; what is old says nothing."""
    signals = (
        Evidence("metric", 0.9),
        Evidence("latency", 0.3, until=10.0),
        Evidence("breaker", 0.0, until=5.0),
    )
    one = Component("db", 2.0, evidence=signals)
    told = [assess([one], now).contributions[0] for now in (4.9, 5.0, 10.0)]
    assert [(row.signal, row.health) for row in told] == [
        ("breaker", 0.0),
        ("latency", 0.3),
        ("metric", 0.9),
    ]


def test_a_quiet_night_is_no_illness() -> None:
    """An idle component leaves both sums; with nothing known at all the mean is 1."""
    both = assess([component("a", 0.5), component("b", None)], now=0.0)
    assert both.mean == 0.5
    none = assess([component("b", None)], now=0.0)
    assert (none.mean, none.capped, none.known) == (1.0, 1.0, False)


def test_silence_where_knowledge_was_promised_is_blindness() -> None:
    """BLIND weight is counted against all weight that is not idle."""
    parts = [component("a", 1.0), component("b", None, blind_from=5.0), component("c", None)]
    assert assess(parts, now=4.9).blind == 0.0
    seen = assess(parts, now=5.0)
    assert seen.blind == 0.5
    assert [row.standing for row in seen.contributions] == [
        Standing.KNOWN,
        Standing.BLIND,
        Standing.IDLE,
    ]


@given(st.permutations("abcd"))
def test_the_blind_share_does_not_depend_on_names(names: list[str]) -> None:
    """0.6 of 1.2 is half, in whatever order the known weights are added up."""
    known = (Evidence("mark", 1.0),)
    parts = [
        Component(names[0], 0.1, evidence=known),
        Component(names[1], 0.2, evidence=known),
        Component(names[2], 0.3, evidence=known),
        Component(names[3], 0.6, blind_from=0.0),
    ]
    assert assess(parts, now=1.0).blind == 0.5

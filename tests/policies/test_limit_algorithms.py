"""The arithmetic of adaptive limits, against the published formulas worked out by hand.

Formulas and constants: github.com/Netflix/concurrency-limits, classes AIMDLimit, Gradient2Limit,
VegasLimit and WindowedLimit.
"""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilient import ConfigError
from resilient.policies.limit_algorithms import AIMD, Gradient, LimitAlgorithm, Vegas, aimd
from resilient.policies.limit_rounds import Rounds

ALGORITHMS: list[type[LimitAlgorithm]] = [AIMD, Gradient, Vegas]

# Each row: rtt in seconds (`None`: a drop), in flight, the limit afterwards. The start is 20.
AIMD_TRACE = [
    (0.1, 20, 21),  # in use: one more
    (0.1, 10, 21),  # 2 * 10 < 21: the application is the limit
    (0.1, 10.5, 22),  # 2 * 10.5 >= 21
    (None, 22, 19),  # min(22 - 1, floor(22 * 0.9) = 19)
    (5.0, 19, 20),  # not longer than the timeout of 5 s
    (5.1, 20, 18),  # longer: a drop
    (None, 0, 16),  # floor(16.2); what is in flight does not matter
]
GRADIENT_TRACE = [
    (0.1, 20, 20.8),  # base 0.1; ratio min(1, 1.5) = 1: 16 + 0.2 * (20 + 4)
    (0.3, 20, 21.6),  # base (0.1 + 0.3) / 2 = 0.2; ratio 1.5 * 0.2 / 0.3 = 1
    (0.6, 20, 21.68),  # base 1 / 3; ratio 5 / 6: 17.28 + 0.2 * (18 + 4)
    (2.0, 20, 20.583),  # base 0.75; ratio 0.5625: 17.344 + 0.2 * (12.195 + 4)
    (20.0, 20, 19.325),  # base 4.6; ratio 0.345, so 0.5: 0.9 * 20.583 + 0.8
    (None, 20, 17.392),  # a drop: 0.9 * 19.325
    (0.1, 8, 17.392),  # the application is the limit
]
VEGAS_TRACE = [
    (0.1, 20, 20),  # the first answer is the base
    (0.1, 20, 26),  # an empty queue: + 6
    (0.11, 26, 26),  # ceil(26 * (1 - 0.1 / 0.11)) = 3 queue: from 3 to 6 is right
    (0.107, 26, 27),  # ceil(1.7) = 2: + 1
    (0.128, 27, 27),  # ceil(5.9) = 6
    (0.136, 27, 26),  # ceil(7.1) = 8: - 1
    (None, 26, 25),  # a drop: - 1
    (0.1, 12, 25),  # 2 * 12 < 25: the application is the limit
    (0.05, 25, 31),  # the base moves to 0.095, and nothing queues: + 6
]


@pytest.mark.parametrize(
    ("kind", "trace"), [(AIMD, AIMD_TRACE), (Gradient, GRADIENT_TRACE), (Vegas, VEGAS_TRACE)]
)
def test_follows_the_published_formula(
    kind: type[LimitAlgorithm], trace: list[tuple[float | None, float, float]]
) -> None:
    """Sample by sample the limit is what the formula gives."""
    algorithm = kind(20, 1, 200)
    for rtt, in_flight, expected in trace:
        new = algorithm.sample(rtt or 0.0, in_flight, rtt is None)
        assert new == algorithm.limit == pytest.approx(expected, abs=0.001), (rtt, in_flight)


def test_steps_of_vegas_grow_with_the_limit() -> None:
    """The unit is int(log10(limit)), at least 1; six queue in a limit of 5 never."""
    for limit, grown, cut in [(5, 11, 5), (99, 105, 98), (100, 112, 98), (500, 512, 498)]:
        for rtt, expected in [(0.1, grown), (9.9, cut)]:
            algorithm = Vegas(limit, 1, 1000)
            algorithm.base = 0.1
            assert algorithm.sample(rtt, limit, dropped=False) == expected


def test_base_of_the_gradient() -> None:
    """First a plain mean of 10; then 2/601 of the difference; 0.95 when it is more than double.

    While the limit is in use, the mean does not rise: what is measured is our own queue.
    """
    gradient = Gradient(20, 1, 200)
    for _ in range(10):
        gradient.sample(0.1, 0, dropped=False)
    for rtt, in_flight, base in [
        (0.7, 0, 0.1 + 0.6 * 2 / 601),
        (0.7, 20, 0.1 + 0.6 * 2 / 601),
        (0.04, 0, (0.1 + 0.6 * 2 / 601 + (0.04 - (0.1 + 0.6 * 2 / 601)) * 2 / 601) * 0.95),
    ]:
        gradient.sample(rtt, in_flight, dropped=False)
        assert gradient.base == pytest.approx(base)


def test_a_small_limit_queues_less() -> None:
    """The queue of the gradient is the square root of the limit, at most 4."""
    for limit, new in [(1, 1.2), (4, 4.4), (9, 9.6), (16, 16.8), (100, 100.8)]:
        assert Gradient(limit, 1, 200).sample(0.1, limit, dropped=False) == pytest.approx(new)


@pytest.mark.parametrize("kind", [Gradient, Vegas])
def test_probes(kind: type[LimitAlgorithm]) -> None:
    """The 10th sample of a limit in use lowers it to a quarter; what that takes is the base.

    Then it goes back, and the next probe comes 100 samples later; 10 if the base was too high.
    """
    algorithm = kind(40, 1, 40)

    def until_probe() -> int:
        for number in range(1, 1000):
            algorithm.sample(0.1, 40, dropped=False)
            if algorithm.settling:
                return number
        raise AssertionError

    for base, gap in [(0.1, 10), (0.2, 100), (0.19, 100), (0.05, 100), (0.05, 10)]:
        assert until_probe() == gap
        before = algorithm.settled
        assert algorithm.limit == before / 4
        assert algorithm.sample(base, 40, dropped=False) == before
        assert (algorithm.base, algorithm.settling) == (base, False)


def test_a_drop_ends_a_probe() -> None:
    """A drop teaches no base; it cuts the limit that was to come back."""
    vegas = Vegas(40, 1, 40)
    for _ in range(10):
        vegas.sample(0.1, 40, dropped=False)
    assert (vegas.limit, vegas.settled) == (10, 40)
    assert vegas.sample(0.0, 10, dropped=True) == vegas.settled == 39
    assert vegas.base == 0.1


def test_an_application_that_asks_little_is_not_probed() -> None:
    """A limit that is not in use stays where it is, whatever the answers take."""
    for kind in ALGORITHMS:
        algorithm = kind(20, 1, 200)
        for number in range(500):
            assert algorithm.sample(0.1 + number % 7, 9, dropped=False) == 20 or kind is AIMD


SAMPLES = st.lists(
    st.tuples(
        st.sampled_from([0.0, 1e-9, 0.001, 0.1, 1, 60, 1e9]), st.integers(0, 300), st.booleans()
    )
)


@pytest.mark.parametrize("kind", ALGORITHMS)
@given(samples=SAMPLES, low=st.integers(1, 5), span=st.integers(0, 200))
@settings(max_examples=100, deadline=None)
def test_stays_within_its_bounds(
    kind: type[LimitAlgorithm], samples: list[tuple[float, int, bool]], low: int, span: int
) -> None:
    """Whatever it is told, answers that took no time included, the limit is one that is allowed."""
    algorithm = kind(low + span / 2, low, low + span)
    for sample in samples:
        assert low <= algorithm.sample(*sample) <= low + span
        assert low <= algorithm.settled <= low + span


@pytest.mark.parametrize(("kind", "most"), [(AIMD, 20), (Gradient, 40), (Vegas, 5)])
def test_grows_back_from_the_minimum(kind: type[LimitAlgorithm], most: int) -> None:
    """From 1 to 20 in so many windows of good answers; at 0.1 s each that is seconds."""
    algorithm = kind(1, 1, 200)
    windows = 0
    while algorithm.settled < 20 and windows < 100:
        algorithm.sample(0.01, algorithm.limit, dropped=False)
        windows += 1
    assert windows <= most


def test_settings_of_aimd() -> None:
    """Each limit gets a state of its own; what is out of range is refused by name."""
    patient = aimd(backoff=0.5, timeout=30)
    first, second = patient(20, 1, 200), patient(20, 1, 200)
    assert first.sample(29, 20, dropped=False) == 21
    assert first.sample(31, 20, dropped=False) == 10
    assert second.limit == 20
    for setting, value in [("backoff", 0.4), ("backoff", 1), ("backoff", True), ("timeout", 0)]:
        with pytest.raises(ConfigError, match=setting):
            aimd(**{setting: value})


# Windows and round trips


def answers(rounds: Rounds, number: int, took: float) -> None:
    """Count good answers, as the straight line does."""
    rounds.count += number
    rounds.total += number * took


@pytest.mark.parametrize(
    ("limit", "took", "need", "length"),
    [(1, 0.01, 3, 0.1), (2, 0.04, 6, 0.1), (3, 0.2, 9, 0.4), (4, 0.7, 10, 1.0), (200, 9, 10, 1.0)],
)
def test_a_window(limit: int, took: float, need: int, length: float) -> None:
    """Ten answers, or three round trips; twice their latency long, from 0.1 s to 1 s."""
    rounds = Rounds(AIMD(limit, 1, 200), 100.0)
    assert (rounds.need, rounds.edge) == (need, 100.1)
    answers(rounds, need - 1, took)
    assert not rounds.due(200.0)
    answers(rounds, 1, took)
    assert not rounds.due(100.09)
    assert rounds.due(200.0)
    rounds.close(200.0, 0)
    assert rounds.edge == pytest.approx(200.0 + length)
    assert (rounds.count, rounds.total) == (0, 0)


def test_a_window_gives_the_mean() -> None:
    """A sample is the mean of the answers, however long the pause before the last of them."""
    rounds = Rounds(vegas := Vegas(20, 1, 200), 0.0)
    answers(rounds, 5, 0.1)
    answers(rounds, 5, 0.3)
    rounds.close(1e6, 20)
    assert vegas.base == pytest.approx(0.2)
    assert rounds.edge == pytest.approx(1e6 + 0.4)


def test_a_probe_counts_only_calls_that_began_in_it() -> None:
    """A probe wants 30 answers of calls that began at its lower limit."""
    rounds = Rounds(Gradient(20, 1, 20), 0.0)
    for number in range(1, 11):
        assert rounds.since == 0.0
        answers(rounds, 10, 0.01)
        rounds.close(float(number), 20)
    assert (rounds.since, rounds.need) == (10.0, 30)
    answers(rounds, 30, 0.01)
    rounds.close(11.0, 5)
    assert (rounds.since, rounds.need, rounds.algorithm.limit) == (10.0, 10, 20)


# Each row: when the dropped call began, when it was dropped, the limit afterwards.
DROPS = [
    # 16 calls that began together: 0.9 each, rounded down as AIMD does, until half is left
    *[(0.0, 5.0, limit) for limit in (18, 16, 14, 12, 10, 10, 10, 10, 10)],
    (4.9, 9.9, 10),  # began before the cut at 5.0: the same round trip
    (5.0, 10.0, 9),  # began after it: a new one
    (5.0, 10.1, 8),
    (9.9, 14.9, 7),
    (9.9, 14.9, 6),
    (9.9, 14.9, 5),
    (9.9, 14.9, 5),  # half of 10 again
    (4.0, 15.0, 5),  # a straggler of the first
    (12.0, 17.0, 4),
    (4.0, 17.0, 4),
]


def test_drops_of_one_round_trip_halve_at_most() -> None:
    """Calls that were sent together and time out together say one thing, not twenty."""
    rounds = Rounds(AIMD(20, 1, 200), 0.0)
    for started, now, expected in DROPS:
        rounds.drop(started, now, 20)
        assert rounds.algorithm.limit == expected, (started, now)


def test_the_last_cut_of_a_round_trip_stops_at_half() -> None:
    """Half of 7 is 3.5: from 4 a tenth more would be too much."""
    rounds = Rounds(AIMD(7, 1, 200), 0.0)
    limits = []
    for _ in range(6):
        rounds.drop(0.0, 5.0, 7)
        limits.append(rounds.algorithm.limit)
    assert limits == [6, 5, 4, 3.5, 3.5, 3.5]


def test_a_drop_begins_a_window() -> None:
    """Answers from before the cut say nothing about the limit after it."""
    rounds = Rounds(AIMD(20, 1, 200), 0.0)
    answers(rounds, 9, 0.1)
    rounds.drop(0.0, 3.0, 20)
    assert (rounds.count, rounds.total, rounds.since, rounds.edge) == (0, 0.0, 3.0, 3.1)


@pytest.mark.parametrize("kind", ALGORITHMS)
def test_a_hang_brings_the_limit_to_the_minimum(kind: type[LimitAlgorithm]) -> None:
    """When every call times out, a few round trips are enough: 20, 10, 5, 2, 1."""
    rounds = Rounds(kind(20, 1, 200), 0.0)
    trips = 0
    while int(rounds.algorithm.limit) > 1:
        for _ in range(int(rounds.algorithm.limit)):
            rounds.drop(trips * 5.0, trips * 5.0 + 5.0, 20)
        trips += 1
    assert trips <= math.ceil(math.log2(20)) + 1

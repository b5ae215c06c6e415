"""Laws of rates: what is unusual, what is usual, and that neither chance nor a spike decides."""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilient import (
    ConfigError,
    RateSignal,
    SignalChanged,
    SignalLevel,
    SystemOperationMode,
    subscribe,
)
from resilient.system.signals.baseline import Average, Baseline, BaselineRules
from resilient.system.signals.deviation import health_of, surprise
from resilient.system.signals.tally import GRAIN, Tally
from resilient.testing import ManualClock

CLEAR, MEDIUM, HIGH, CRITICAL = (
    SignalLevel.CLEAR,
    SignalLevel.MEDIUM,
    SignalLevel.HIGH,
    SignalLevel.CRITICAL,
)


@pytest.fixture
def clock() -> ManualClock:
    """A clock of this test's own."""
    return ManualClock(1000)


@pytest.fixture
def mode(clock: ManualClock) -> SystemOperationMode:
    """A mode on that clock."""
    return SystemOperationMode(clock=clock)


def window(mode: SystemOperationMode, clock: ManualClock, rate: RateSignal, count: int) -> None:
    """Let one window pass, with so many marks spread over it."""
    for _ in range(6):
        clock.advance(rate.window / 6)
        if count:
            rate.mark(count // 6)
    rate.mark(count % 6)
    mode.evaluate()
    mode.flush()


# "Success and Failure States": above 50 % medium, above 70 % high, above 90 % critical. The last
# steps, beyond 100 % and silence, are the design's own.
DEVIATIONS = [
    (1000, 1.0, CLEAR),
    (500, 1.0, CLEAR),
    (499, 0.75, MEDIUM),
    (300, 0.75, MEDIUM),
    (299, 0.5, HIGH),
    (100, 0.5, HIGH),
    (99, 0.25, CRITICAL),
    (1, 0.25, CRITICAL),
    (0, 0.0, CRITICAL),
    (1500, 1.0, CLEAR),
    (1501, 0.75, MEDIUM),
    (1700, 0.75, MEDIUM),
    (1701, 0.5, HIGH),
    (1900, 0.5, HIGH),
    (1901, 0.25, CRITICAL),
    (2000, 0.25, CRITICAL),
    (2001, 0.0, CRITICAL),
    (90_000, 0.0, CRITICAL),
]


@pytest.mark.parametrize(("count", "health", "level"), DEVIATIONS)
def test_deviations_from_a_given_baseline(
    mode: SystemOperationMode, clock: ManualClock, count: int, health: float, level: SignalLevel
) -> None:
    """The steps of "Success and Failure States" are exact, and an action is recommended at each."""
    orders = mode.rate("orders", baseline=1000)
    window(mode, clock, orders, count)
    said = orders.reading
    assert (said.health, said.level, said.value, said.limit) == (health, level, count, 1000)
    assert bool(said.action) is (level is not CLEAR)
    assert [row.health for row in mode.explain().contributions] == [health]


@settings(deadline=None)
@given(st.floats(0, 50), st.floats(0, 50))
def test_more_deviation_is_never_healthier(one: float, two: float) -> None:
    """Health is within 0 and 1 and falls with the deviation."""
    near, far = sorted((one, two))
    assert 0 <= health_of(far) <= health_of(near) <= 1


@settings(deadline=None)
@given(st.integers(0, 5000), st.integers(0, 5000), st.floats(20, 2000), st.floats(0, 9))
def test_judging_is_bounded_and_monotone(one: int, two: int, expected: float, noise: float) -> None:
    """On either side of the baseline, a count that is further away is never healthier."""
    rules = BaselineRules(noise=noise)
    judged = [rules.judge(count, expected) for count in (one, two)]
    assert all(0 <= health <= 1 for health in judged)
    if (one - expected) * (two - expected) > 0:
        further = judged[abs(two - expected) > abs(one - expected)]
        assert further == min(judged)


@pytest.mark.parametrize(
    ("side", "few", "many", "none"),
    [("both", 0.5, 0.5, 0.0), ("below", 0.5, 1.0, 0.0), ("above", 1.0, 0.5, 1.0)],
)
def test_sides(side: str, few: float, many: float, none: float) -> None:
    """Who only fears the one is not bothered by the other; silence is below."""
    rules = BaselineRules(side=side)
    assert [rules.judge(count, 1000) for count in (200, 1800, 0)] == [few, many, none]


def test_nothing_is_said_before_the_first_window_is_over(
    mode: SystemOperationMode, clock: ManualClock
) -> None:
    """Half a window holds half of the events, which is no illness."""
    orders = mode.rate("orders", baseline=1000)
    clock.advance(59.9)
    mode.evaluate()
    assert (orders.reading.health, orders.reading.level) == (None, CLEAR)
    clock.advance(0.1)
    mode.evaluate()
    assert (orders.reading.health, orders.reading.level) == (0.0, CRITICAL)


def test_a_baseline_is_learned_and_then_judged_by(
    mode: SystemOperationMode, clock: ManualClock
) -> None:
    """Ten windows by default; until then there is no evidence, not even of silence."""
    orders = mode.rate("orders")
    for number in range(10):
        assert orders.baseline is None
        assert orders.reading.health is None
        window(mode, clock, orders, 200 + number % 2)
    assert orders.baseline == pytest.approx(200.5)
    window(mode, clock, orders, 0)
    assert (orders.reading.health, orders.reading.level) == (0.0, CRITICAL)


def test_silence_counts_only_where_a_baseline_was_learned(
    mode: SystemOperationMode, clock: ManualClock
) -> None:
    """A rate that was never more than silence has nothing to miss: IDLE, and the mode NORMAL."""
    orders = mode.rate("orders")
    for _ in range(30):
        window(mode, clock, orders, 0)
    assert orders.reading.health is None
    assert [row.standing.name for row in mode.explain().contributions] == ["IDLE"]


@settings(deadline=None)
@given(st.integers(100, 2000), st.lists(st.integers(0, 100_000), min_size=1, max_size=40))
def test_spikes_do_no_harm_to_a_baseline(usual: int, spikes: list[int]) -> None:
    """Whatever unusual comes between, half of the windows and less, the baseline stays."""
    baseline = Baseline(BaselineRules(accept_after=None), 60.0)
    for number in range(10):  # the first ten: 4 of them anything, the median counts
        baseline.close(spikes[number % len(spikes)] if number % 3 == 1 else usual, 60.0 * number)
    assert baseline.expected == usual
    rules = BaselineRules()
    for number, spike in enumerate(spikes):
        if rules.judge(spike, usual) < 1:
            baseline.close(spike, 600.0 + number)
    assert baseline.expected == usual


def test_a_slow_change_is_followed(mode: SystemOperationMode, clock: ManualClock) -> None:
    """A day's wave, tenfold within six hours and back, is never unusual."""
    orders = mode.rate("orders")
    for minute in range(24 * 60):
        count = 1000 * 10 ** (0.5 + 0.5 * math.sin(minute / 360 * math.pi))
        window(mode, clock, orders, round(count))
        assert orders.reading.level is CLEAR, (minute, orders.reading)


def test_a_lasting_new_level_is_accepted(mode: SystemOperationMode, clock: ManualClock) -> None:
    """After 30 minutes by default; until then it is unusual, and nothing is learned."""
    orders = mode.rate("orders")
    for _ in range(10):
        window(mode, clock, orders, 100)
    for _ in range(30):
        window(mode, clock, orders, 900)
        assert orders.baseline == 100
        assert orders.reading.health == 0
    for _ in range(2):
        window(mode, clock, orders, 900)
    assert orders.baseline == pytest.approx(900)
    assert orders.reading.level is CLEAR


@pytest.mark.parametrize("accept_after", [60, None])
@pytest.mark.parametrize("count", [0, 19])
def test_an_outage_never_becomes_usual(accept_after: float | None, count: int) -> None:
    """Nothing could be judged by so little, so it is not accepted however long it lasts."""
    baseline = Baseline(BaselineRules(accept_after=accept_after), 60.0)
    for number in range(1000):
        baseline.close(count if number >= 10 else 500, 60.0 * number)
    assert baseline.expected == 500


def test_only_one_side_at_a_time_lasts() -> None:
    """What is now too much and now too little is no new level."""
    baseline = Baseline(BaselineRules(accept_after=600.0), 60.0)
    for number in range(200):
        unusual = 1000 if number // 5 % 2 else 40
        baseline.close(unusual if number >= 10 else 200, 60.0 * number)
    assert baseline.expected == 200


def test_a_usual_window_between_begins_anew() -> None:
    """Twenty minutes and twenty minutes are not thirty."""
    baseline = Baseline(BaselineRules(accept_after=1800.0), 60.0)
    for number in range(200):
        usual = number < 10 or number % 21 == 0
        baseline.close(500 if usual else 2000, 60.0 * number)
    assert baseline.expected == pytest.approx(500)


def test_an_average_forgets_by_halves() -> None:
    """After a half-life of windows at another value it is half way there, in closed form."""
    average = Average(half_life=10.0)
    for _ in range(400):
        average.add(100.0)
    for _ in range(10):
        average.add(200.0)
    assert average.value == pytest.approx(150.0)


# Exact sums over the Poisson distribution: the chance that a window of so many expected events
# is taken for unusual. Without the test for noise it would be 28 %, 8 %, 2 % for the first three.
@pytest.mark.parametrize("expected", [20, 30, 50, 75, 100, 125, 200])
def test_chance_is_no_anomaly(expected: int) -> None:
    """At most 4 in a million windows; and an empty window is always unusual."""
    rules = BaselineRules()
    chance = sum(
        math.exp(count * math.log(expected) - expected - math.lgamma(count + 1))
        for count in range(expected * 6)
        if rules.judge(count, expected) < 1
    )
    assert chance < 4e-6
    assert rules.judge(0, expected) == 0


@pytest.mark.parametrize("expected", [2, 5, 12])
def test_small_rates_say_nothing(
    mode: SystemOperationMode, clock: ManualClock, expected: int
) -> None:
    """Two a window come as none or as six; so little is not judged, whatever it does."""
    generator = random.Random(expected)  # noqa: S311  (a simulation)
    orders = mode.rate("orders", warm_up=1)
    window(mode, clock, orders, expected)
    for _ in range(300):
        window(mode, clock, orders, generator.randint(0, 2 * expected))
        assert orders.reading.health is None


def test_the_noise_test_hides_nothing_where_counts_are_large() -> None:
    """From 125 events on, 50 % is beyond what chance explains."""
    assert min(surprise(62, 125), surprise(188, 125)) > 5
    assert surprise(30, 20) == pytest.approx(1.995, abs=0.001)


def test_counts_are_exact_with_eight_threads(mode: SystemOperationMode) -> None:
    """Not one mark is lost, and not one counted twice."""
    orders = mode.rate("orders", baseline=1000)
    start = threading.Barrier(8)

    def work() -> None:
        start.wait()
        for _ in range(2000):
            orders.mark()
            orders.mark(2)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    mode.evaluate()
    assert orders.reading.value == 8 * 2000 * 3


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 5), st.integers(1, 9)), max_size=400),
    st.floats(0, 40),
)
def test_a_tally_is_a_sliding_window(steps: list[tuple[float, int]], later: float) -> None:
    """It is the sum over the period, but for what is within a 300th of the period of its edge."""
    tally, now, seen = Tally(30.0), 0.0, []
    for wait, n in steps:
        now += wait
        seen.append((now, n))
        tally.add(n, now)
    now += later
    slack = 30.0 / GRAIN
    surely = sum(n for at, n in seen if at > now - 30 + slack)
    perhaps = sum(n for at, n in seen if at > now - 30)
    assert surely <= tally.count(now) <= perhaps


def test_memory_is_bounded() -> None:
    """A million marks within a period are at most 302 entries, whether or not anybody asks."""
    tally = Tally(60.0)
    for number in range(100_000):
        tally.add(10, number * 0.001)
    assert len(tally) <= GRAIN + 2
    assert tally.count(100.0) == pytest.approx(600_000, rel=1 / GRAIN)


def test_events_and_actions(mode: SystemOperationMode, clock: ManualClock) -> None:
    """Each change of level is told once, with the figures and with what the application says."""
    seen: list[SignalChanged] = []
    told = subscribe(SignalChanged, seen.append)
    orders = mode.rate("orders", baseline=1000, actions={"critical": "page on-call"})
    for count in (1000, 400, 400, 0, 1000):
        window(mode, clock, orders, count)
    assert mode.flush(5)
    told.cancel()
    steps = [(one.old, one.new, one.value, one.severity.name) for one in seen]
    assert steps == [
        (CLEAR, MEDIUM, 400, "WARNING"),
        (MEDIUM, CRITICAL, 0, "ERROR"),
        (CRITICAL, CLEAR, 1000, "INFO"),
    ]
    assert (seen[0].name, seen[0].mode, seen[0].kind) == ("orders", mode.name, "rate")
    assert [one.action for one in seen] == [
        "watch it, and look at what changed",
        "page on-call",
        "",
    ]
    assert seen[1].detail == "0 in 60 s, 1000 expected (-100%)"


def test_nobody_looked_for_long(mode: SystemOperationMode, clock: ManualClock) -> None:
    """Windows that nobody looked at are not learned from; the last one is judged as it is."""
    orders = mode.rate("orders", warm_up=3)
    for _ in range(3):
        window(mode, clock, orders, 300)
    clock.advance(86_400)
    window(mode, clock, orders, 290)
    assert orders.reading.value == 290
    assert orders.baseline == pytest.approx(300, abs=10)


@pytest.mark.parametrize(
    ("make", "setting"),
    [
        (lambda mode: mode.rate(""), "name"),
        (lambda mode: mode.rate("a", window=0), "window"),
        (lambda mode: mode.rate("a", baseline=0), "baseline"),
        (lambda mode: mode.rate("a", baseline=19), "baseline"),
        (lambda mode: mode.rate("a", half_life=-1), "half_life"),
        (lambda mode: mode.rate("a", warm_up=0), "warm_up"),
        (lambda mode: mode.rate("a", accept_after=0), "accept_after"),
        (lambda mode: mode.rate("a", minimum_expected=0), "minimum_expected"),
        (lambda mode: mode.rate("a", noise=-1), "noise"),
        (lambda mode: mode.rate("a", side="left"), "side"),
        (lambda mode: mode.rate("a", actions={"dire": "run"}), "actions"),
        (lambda mode: mode.rate("a", weight=0), "weight"),
    ],
)
def test_bad_settings_are_named(
    mode: SystemOperationMode, make: Callable[[SystemOperationMode], object], setting: str
) -> None:
    """At once, by `ConfigError`, and nothing is looked after then."""
    with pytest.raises(ConfigError) as caught:
        make(mode)
    assert caught.value.setting == setting
    assert mode.signals == ()

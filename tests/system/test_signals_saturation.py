"""Laws of saturation: health by the pressure now, steps by the forecast, and no flapping."""

from __future__ import annotations

import asyncio
import math
import random
import statistics
import threading
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilient import (
    ConfigError,
    SaturationSignal,
    SignalChanged,
    SignalLevel,
    SignalReading,
    SystemOperationMode,
    subscribe,
)
from resilient.system.signals.level import Damper
from resilient.system.signals.outlook import Outlook, Usage, usage
from resilient.system.signals.stepping import StepRules, Steps
from resilient.system.signals.trend import POINTS, Trend, theil_sen
from resilient.testing import ManualClock
from resilient.testing.loop import run

CLEAR, LOW, HIGH, CRITICAL = (
    SignalLevel.CLEAR,
    SignalLevel.LOW,
    SignalLevel.HIGH,
    SignalLevel.CRITICAL,
)
Points = Sequence[tuple[float, float]]


@pytest.fixture
def clock() -> ManualClock:
    """A clock of this test's own."""
    return ManualClock(1000)


@pytest.fixture
def mode(clock: ManualClock) -> SystemOperationMode:
    """A mode on that clock."""
    return SystemOperationMode(clock=clock)


def tick(mode: SystemOperationMode, clock: ManualClock, seconds: float = 1.0) -> None:
    """One look, with all that follows from it."""
    clock.advance(seconds)
    mode.evaluate()
    assert mode.flush(5)


# mode.md: 1 - clamp((pressure - scaling) / (full - scaling)), here with 0.8 and 1.
@pytest.mark.parametrize(
    ("used", "health", "level"),
    [
        (0, 1.0, CLEAR),
        (80, 1.0, CLEAR),
        (84, 0.8, LOW),
        (90, 0.5, HIGH),
        (91, 0.45, HIGH),
        (93, 0.35, CRITICAL),
        (100, 0.0, CRITICAL),
        (250, 0.0, CRITICAL),
    ],
)
def test_health_follows_the_pressure(
    mode: SystemOperationMode, used: float, health: float, level: SignalLevel
) -> None:
    """Linear between `scaling` and `full`, and never beyond 0 and 1."""
    pool = mode.saturation("pool", capacity=100, most=1, act_above=9, back_below=0)
    pool.set(used)
    mode.evaluate()
    said = pool.reading
    assert said.health == pytest.approx(health)
    assert (said.level, said.value) == (level, used / 100)


@settings(deadline=None)
@given(st.floats(0, 3), st.floats(0, 3))
def test_more_pressure_is_never_healthier(one: float, two: float) -> None:
    """Bounded and monotone."""
    mode = SystemOperationMode(clock=ManualClock())
    pool = mode.saturation("pool")
    found = []
    for used in sorted((one, two)):
        pool.set(used)
        mode.evaluate()
        found.append(pool.reading.health)
    assert all(health is not None and 0 <= health <= 1 for health in found)
    assert found == sorted(found, key=lambda health: -(health or 0.0))


def ramp(generator: random.Random, slope: float, noise: float, spikes: float) -> Points:
    """Five minutes of readings, one in ten seconds."""
    return [
        (
            10.0 * i,
            0.3
            + slope * 10 * i
            + generator.gauss(0, noise)
            + (generator.uniform(0.3, 0.7) if generator.random() < spikes else 0),
        )
        for i in range(POINTS)
    ]


def least_squares(points: Points, at: float) -> float:
    """The ordinary line, at an instant."""
    times, values = zip(*points, strict=True)
    slope, start = statistics.linear_regression(times, values)
    return start + slope * at


def holt(points: Points, at: float, alpha: float = 0.3, beta: float = 0.1) -> float:
    """Double exponential smoothing (Holt 1957), at an instant."""
    level, slope, last = points[0][1], (points[4][1] - points[0][1]) / points[4][0], 0.0
    for instant, value in points[1:]:
        before, step = level, instant - last
        level = alpha * value + (1 - alpha) * (level + slope * step)
        slope, last = beta * (level - before) / step + (1 - beta) * slope, instant
    return level + slope * (at - last)


@pytest.mark.parametrize(
    ("spikes", "better", "worse"), [(0.0, 1.15, 1.7), (0.05, 0.5, 0.5), (0.1, 0.4, 0.4)]
)
def test_the_line_that_spikes_do_not_bend(spikes: float, better: float, worse: float) -> None:
    """Why Theil-Sen: with normal noise it is all but as good as least squares, with spikes better.

    Root mean square error of the forecast five minutes ahead, over 300 ramps with a noise of 0.02.
    """
    generator, errors = random.Random(7), {"sen": 0.0, "squares": 0.0, "holt": 0.0}  # noqa: S311
    for _ in range(300):
        slope = generator.uniform(-0.001, 0.002)
        points, ahead = ramp(generator, slope, 0.02, spikes), 10.0 * (POINTS - 1) + 300
        truth = 0.3 + slope * ahead
        errors["sen"] += (theil_sen(points).value(ahead) - truth) ** 2
        errors["squares"] += (least_squares(points, ahead) - truth) ** 2
        errors["holt"] += (holt(points, ahead) - truth) ** 2
    off = {name: math.sqrt(error / 300) for name, error in errors.items()}
    assert off["sen"] < better * off["squares"]
    assert off["sen"] < worse * off["holt"]


@settings(deadline=None)
@given(
    st.floats(-0.01, 0.01),
    st.floats(0, 1),
    st.lists(st.floats(-1e3, 1e3), min_size=5, max_size=5),
    st.permutations(range(20)),
)
def test_a_quarter_of_outliers_bends_nothing(
    slope: float, start: float, odd: list[float], order: list[int]
) -> None:
    """Five of twenty points may be anything, wherever they are (Sen 1968: up to 29 %)."""
    points = [(float(i), start + slope * i) for i in range(20)]
    for value, place in zip(odd, order, strict=False):
        points[place] = (float(place), value)
    assert theil_sen(points).slope == pytest.approx(slope, abs=1e-9)


def test_the_trend_is_bounded() -> None:
    """However many readings there are: 32 points at most, and the line goes through them."""
    trend = Trend(300.0)
    for second in range(5000):
        trend.add(second * 0.5, second * 0.5 * 0.001)
    assert len(trend) <= POINTS + 2
    assert trend.line().slope == pytest.approx(0.001)
    assert trend.reach() <= 300 + 300 / POINTS


def test_it_never_looks_further_ahead_than_back() -> None:
    """Ten seconds of rise do not become five minutes of it."""
    outlook = Outlook(300.0, 1.0)
    assert [outlook_after(outlook, second).ahead for second in (0, 10, 20, 30)] == [0, 0, 0, 0]
    assert [outlook_after(outlook, second).ahead for second in (40, 50, 200)] == [40, 50, 200]
    for second in range(210, 2000, 10):
        outlook_after(outlook, second)
    assert outlook.at(2000).ahead == 300


def outlook_after(outlook: Outlook, second: float) -> Any:
    """One more reading."""
    outlook.add(Usage(second / 1000, 1.0), second)
    return outlook.at(second)


def test_another_capacity_is_another_trend() -> None:
    """A pool that was made larger has not become emptier by use."""
    outlook = Outlook(300.0, 1.0)
    for second in range(0, 300, 10):
        outlook.add(Usage(0.5 + second / 1000, 1.0), second)
    outlook.add(Usage(0.8, 2.0), 300)
    found = outlook.at(300)
    assert (found.pressure, found.expected, found.ahead, found.full_in) == (0.4, 0.4, 0, None)


# How early it acts: the pressure at which it does, on a ramp from 0.3, with a horizon of 300 s.
RAMPS = [
    (0.0005, 0.0, 0.64, 0.66),
    (0.0005, 0.03, 0.58, 0.70),
    (0.0001, 0.02, 0.74, 0.80),
    (0.002, 0.02, 0.50, 0.62),
]


@pytest.mark.parametrize(("slope", "noise", "least", "most"), RAMPS)
@pytest.mark.parametrize("seed", range(5))
def test_it_acts_before_80_percent_is_reached(
    slope: float, noise: float, least: float, most: float, seed: int
) -> None:
    """A forecast above 80 % makes it act ("Success and Failure States"), noise or none."""
    generator, outlook = random.Random(seed), Outlook(300.0, 1.0)  # noqa: S311  (a simulation)
    steps, second, pressure = Steps(StepRules()), 0, 0.3
    while not steps.taken:
        second += 1
        pressure = 0.3 + slope * second
        outlook.add(Usage(pressure + generator.gauss(0, noise), 1.0), second)
        steps.decide(outlook.at(second).highest, second)
    assert least <= pressure <= most


@pytest.mark.parametrize("noise", [0.02, 0.05])
def test_a_steady_load_makes_it_do_nothing(noise: float) -> None:
    """Two hours at 60 % with noise: a trend that is not there is not seen."""
    generator, outlook = random.Random(1), Outlook(300.0, 1.0)  # noqa: S311  (a simulation)
    for second in range(7200):
        wobble = max(-0.15, min(0.15, generator.gauss(0, noise)))
        outlook.add(Usage(0.6 + wobble, 1.0), second)
        assert outlook.at(second).highest < 0.8


def test_hysteresis_does_not_flap() -> None:
    """Around 80 % for an hour is one step; around 30 % for an hour is one step back."""
    generator, outlook = random.Random(2), Outlook(300.0, 1.0)  # noqa: S311  (a simulation)
    steps, taken = Steps(StepRules()), []
    for second in range(7200):
        pressure = (0.8 if second < 3600 else 0.3) + generator.gauss(0, 0.03)
        outlook.add(Usage(pressure, 1.0), second)
        taken.append(steps.decide(outlook.at(second).highest, second))
    assert [step for step in taken if step] == [1, -1]
    assert taken.index(1) < 10
    assert taken.index(-1) > 3600


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(SignalLevel), st.floats(0, 40)), max_size=60))
def test_levels_worsen_at_once_and_improve_slowly(
    looks: list[tuple[SignalLevel, float]],
) -> None:
    """Never better than what is seen; better than before only after a minute of being so."""
    damper, now, before, better = Damper(60.0), 0.0, CLEAR, math.inf
    for level, wait in looks:
        now += wait
        better = math.inf if level.rank >= before.rank else min(better, now)
        found = damper.take(level, now)
        assert found.rank >= level.rank
        assert (found.rank < before.rank) is (now - better >= 60)
        better = math.inf if found.rank < before.rank else better
        before = found


def test_an_improvement_waits_for_a_minute() -> None:
    """Sixty seconds without a relapse, exactly."""
    damper = Damper(60.0)
    said = [
        damper.take(level, now)
        for level, now in [(HIGH, 0), (CLEAR, 1), (LOW, 60.9), (CLEAR, 61), (HIGH, 62), (LOW, 121)]
    ]
    assert said == [HIGH, HIGH, HIGH, CLEAR, HIGH, HIGH]


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 100)), max_size=60), st.integers(1, 4))
def test_steps_keep_their_distance(looks: list[tuple[float, float]], most: int) -> None:
    """Never two within the pause, never fewer than none, never more than allowed, never between."""
    steps, now, last, taken = Steps(StepRules(most=most)), 0.0, -math.inf, 0
    for expected, wait in looks:
        now += wait
        step = steps.decide(expected, now)
        taken += step
        assert 0 <= taken == steps.taken <= most
        if step:
            assert now - last >= 60
            last = now
        assert step == 0 or (expected > 0.8 if step > 0 else expected < 0.3)


@pytest.mark.parametrize(("expected", "step"), [(0.8, 0), (0.801, 1)])
def test_the_upper_edge_is_exact(expected: float, step: int) -> None:
    """Above 80 %, not at it."""
    assert Steps(StepRules()).decide(expected, 0.0) == step


@pytest.mark.parametrize(("expected", "step"), [(0.3, 0), (0.299, -1)])
def test_the_lower_edge_is_exact(expected: float, step: int) -> None:
    """Below 30 %, not at it; and not within the pause."""
    steps = Steps(StepRules())
    steps.decide(1.0, 0.0)
    assert steps.decide(expected, 59.9) == 0
    assert steps.decide(expected, 60.0) == step


def filling(mode: SystemOperationMode, clock: ManualClock, pool: SaturationSignal) -> None:
    """To the brim."""
    pool.set(0.95)
    assert mode.flush(5)
    tick(mode, clock)


def test_steps_are_done_in_the_background(mode: SystemOperationMode, clock: ManualClock) -> None:
    """`act` and `back` get the reading, on another thread, once for each step."""
    calls: list[tuple[str, str, bool]] = []

    def note(what: str) -> Callable[[SignalReading], None]:
        def done(reading: SignalReading) -> None:
            own = threading.current_thread() is threading.main_thread()
            calls.append((what, reading.action, own))

        return done

    pool = mode.saturation("pool", act=note("up"), back=note("down"))
    filling(mode, clock, pool)
    assert calls == [("up", "act", False)]
    assert (pool.reading.level, pool.steps) == (CRITICAL, 1)
    for _ in range(200):
        pool.set(0.1)
        tick(mode, clock)
    assert calls == [("up", "act", False), ("down", "step back", False)]
    assert (pool.reading.level, pool.steps, pool.reading.action) == (CLEAR, 0, "")


def test_after_a_step_the_trend_begins_anew(mode: SystemOperationMode, clock: ManualClock) -> None:
    """What was before it says nothing of what comes."""
    seen: list[SignalChanged] = []
    told = subscribe(SignalChanged, seen.append)
    pool, ahead = mode.saturation("pool"), []
    for second in range(0, 600, 10):
        clock.advance(10)
        pool.set(0.3 + second * 0.001)
        mode.evaluate()
        assert mode.flush(5)
        assert pool.forecast is not None
        ahead.append((pool.steps, pool.forecast.ahead))
    first = [steps for steps, _ in ahead].index(1)
    told.cancel()
    assert [(one.action, "expected in" in one.detail) for one in seen[:1]] == [("act", True)]
    assert ahead[first - 1][1] > 200
    assert [reach for _, reach in ahead[first + 1 : first + 7]] == [0, 0, 0, 0, 40, 50]


def test_a_step_that_fails_is_undone_and_tried_again(
    mode: SystemOperationMode, clock: ManualClock
) -> None:
    """After the pause, and it is a reason meanwhile."""
    calls = []

    def grow(_: SignalReading) -> None:
        calls.append(clock.monotonic())
        if len(calls) < 3:
            raise OSError("no quota")

    pool = mode.saturation("pool", act=grow)
    for _ in range(130):
        filling(mode, clock, pool)
        mode.evaluate()
        shown = [text for text in mode.reasons if "no quota" in text]
        assert bool(shown) is (len(calls) < 3)
    assert [later - sooner for sooner, later in pairwise(calls)] == [60, 60]
    assert pool.steps == 1


def test_a_step_that_hangs_is_given_up(mode: SystemOperationMode, clock: ManualClock) -> None:
    """After `act_timeout`; it is not begun twice, and nobody waits for it."""
    release, calls = threading.Event(), []

    def grow(_: SignalReading) -> None:
        calls.append(1)
        release.wait(30)

    pool = mode.saturation("pool", act=grow, act_timeout=10)
    pool.set(0.95)
    mode.evaluate()
    while not calls:
        pass
    for _ in range(90):
        clock.advance(1)
        pool.set(0.95)
        mode.evaluate()
    assert (pool.steps, len(calls)) == (0, 1)
    assert any("FAILED: to act for pool" in text for text in mode.reasons)
    release.set()
    assert mode.flush(5)


def test_read_in_the_background(mode: SystemOperationMode, clock: ManualClock) -> None:
    """A function of the application's, with a capacity that may change."""
    state = [(5, 10)]
    pool = mode.saturation("pool", lambda: state[0])
    tick(mode, clock)
    mode.evaluate()
    assert pool.reading.value == 0.5
    state[0] = (12, 16)
    tick(mode, clock)
    mode.evaluate()
    assert (pool.reading.value, pool.reading.detail) == (0.75, "12 of 16 used (75%)")


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        (None, "None is no finite number"),
        ("7", "'7' is no finite number"),
        (True, "True is no finite number"),
        (math.nan, "nan is no finite number"),
        ((1, 0), "a capacity of 0 holds nothing"),
        ((1, 2, 3), "(1, 2, 3) is no finite number"),
    ],
)
def test_what_is_no_figure_is_dropped_with_a_reason(
    mode: SystemOperationMode, clock: ManualClock, bad: object, text: str
) -> None:
    """The last figure counts until it is old, then the component is BLIND."""
    found: list[Any] = [0.5]
    pool = mode.saturation("pool", lambda: found[0])
    tick(mode, clock)
    found[0] = bad
    tick(mode, clock)
    mode.evaluate()
    assert pool.reading.value == 0.5
    assert any(one.startswith("DROPPED: reading pool") and text in one for one in mode.reasons)
    for _ in range(3):
        tick(mode, clock)
    assert any(one.startswith("BLIND: pool") for one in mode.reasons)
    assert pool.reading.health is None
    found[0] = 0.5
    tick(mode, clock)
    assert mode.reasons == ()


def test_a_read_that_raises_is_blind(mode: SystemOperationMode, clock: ManualClock) -> None:
    """From the start too."""

    def broken() -> float:
        raise OSError("gone")

    mode.saturation("pool", broken)
    for _ in range(5):
        tick(mode, clock)
    assert any(one.startswith("BLIND: pool") for one in mode.reasons)
    assert any("DROPPED: reading pool raised OSError('gone')" in one for one in mode.reasons)


def test_a_read_that_hangs_is_asked_once(mode: SystemOperationMode, clock: ManualClock) -> None:
    """Its component is BLIND, the mode goes on, and when it ends it is asked again."""
    release, calls = threading.Event(), []

    def hang() -> float:
        calls.append(1)
        release.wait(30)
        return 0.5

    pool = mode.saturation("pool", hang, timeout=1)
    mode.evaluate()
    while not calls:
        pass
    for _ in range(20):
        clock.advance(1)
        mode.evaluate()
    assert len(calls) == 1
    assert any(one.startswith("BLIND: pool") for one in mode.reasons)
    assert any("DROPPED: reading pool" in one for one in mode.reasons)
    release.set()
    assert mode.flush(5)
    tick(mode, clock)
    assert (pool.reading.value, len(calls) > 1) == (0.5, True)
    assert mode.reasons == ()


def test_async_functions_run_on_their_loop() -> None:
    """Reads and steps that are coroutines run as tasks of the loop they were given in."""
    clock = ManualClock()

    async def main() -> tuple[float | None, list[str]]:
        loops: list[str] = []

        async def read() -> float:
            loops.append(str(id(asyncio.get_running_loop())))
            await asyncio.sleep(0.1)
            return 0.9

        async def grow(reading: SignalReading) -> None:
            await asyncio.sleep(1)
            loops.append(reading.action)

        mode = SystemOperationMode(clock=clock)
        async with mode:
            pool = mode.saturation("pool", read, act=grow)
            await asyncio.sleep(10)
            assert set(loops) == {str(id(asyncio.get_running_loop())), "act"}
            return pool.reading.value, [one for one in loops if one == "act"]

    assert run(main(), clock) == (0.9, ["act"])


def test_one_of_the_same_name_takes_its_place(
    mode: SystemOperationMode, clock: ManualClock
) -> None:
    """The first is not read any more."""
    asked: list[str] = []

    def reading(name: str) -> Callable[[], float]:
        def read() -> float:
            asked.append(name)
            return 0.1

        return read

    for name in ("one", "two"):
        mode.saturation("pool", reading(name))
    for _ in range(3):
        tick(mode, clock)
    assert asked.count("one") <= 1
    assert asked.count("two") >= 3
    assert len(mode.signals) == 1


def test_usage_is_a_figure_or_a_pair() -> None:
    """The pair says the capacity."""
    assert usage(5, 10.0).pressure == 0.5
    assert usage((5, 20), 10.0).pressure == 0.25


@pytest.mark.parametrize(
    ("more", "setting"),
    [
        ({"capacity": 0}, "capacity"),
        ({"scaling": -0.1}, "scaling"),
        ({"full": 0.8}, "full"),
        ({"horizon": 0}, "horizon"),
        ({"act_above": 0}, "act_above"),
        ({"back_below": 0.8}, "back_below"),
        ({"pause": 0}, "pause"),
        ({"most": 0}, "most"),
        ({"act": 5}, "act"),
        ({"back": "no"}, "back"),
        ({"every": 0}, "every"),
        ({"timeout": -1}, "timeout"),
        ({"act_timeout": 0}, "act_timeout"),
        ({"criticality": "vital"}, "criticality"),
    ],
)
def test_bad_settings_are_named(
    mode: SystemOperationMode, more: dict[str, Any], setting: str
) -> None:
    """At once, by `ConfigError`, and nothing is looked after then."""
    with pytest.raises(ConfigError) as caught:
        mode.saturation("pool", None, **more)
    assert caught.value.setting == setting
    assert mode.signals == ()


def test_setting_what_reads_for_itself(mode: SystemOperationMode) -> None:
    """Is a mistake, and so is what is no figure."""
    with pytest.raises(TypeError, match="reads for itself"):
        mode.saturation("a", lambda: 0.5).set(0.3)
    with pytest.raises(ValueError, match="no finite number"):
        mode.saturation("b").set(math.inf)
    with pytest.raises(ConfigError):
        mode.saturation("c", 5)  # type: ignore[arg-type]  # the mistake that is refused

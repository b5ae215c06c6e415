"""Laws of thresholds: the words, how long, when they end, and what the component is meanwhile."""

from __future__ import annotations

import gc
import os
import signal
import threading
import weakref
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilient import (
    ComponentFailed,
    ComponentRecovered,
    ConfigError,
    Event,
    Mode,
    SignalChanged,
    SignalLevel,
    SystemOperationMode,
    subscribe,
)
from resilient.system.signals.condition import Condition, Form, spell
from resilient.system.signals.level import level_of
from resilient.system.signals.watches import Figure
from resilient.system.signals.words import parse
from resilient.testing import ManualClock

COUNT, FIGURE, SILENCE = Form.COUNT, Form.FIGURE, Form.SILENCE
CLEAR, CRITICAL = SignalLevel.CLEAR, SignalLevel.CRITICAL


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


# The first four are the figures of "Failure Mode Analysis".
WORDS = [
    ("> 5 per hour", Condition(COUNT, 3600, ">", 5), {"above": 5, "per": "hour"}),
    ("> 90% for 60 s", Condition(FIGURE, 60, ">", 0.9), {"above": 0.9, "lasting": 60}),
    ("> 10 per minute", Condition(COUNT, 60, ">", 10), {"above": 10, "per": timedelta(minutes=1)}),
    ("silent for 30 s", Condition(SILENCE, 30), {"silent": 30}),
    (">5/h", Condition(COUNT, 3600, ">", 5), {"above": 5, "per": 3600}),
    ("  < 3 PER 10 min ", Condition(COUNT, 600, "<", 3), {"below": 3, "per": 600}),
    (">= 2 per 1.5 hours", Condition(COUNT, 5400, ">=", 2), None),
    ("<= 0 per day", Condition(COUNT, 86400, "<=", 0), None),
    ("> 0.5", Condition(FIGURE, 0, ">", 0.5), {"above": 0.5}),
    (">= 90 %", Condition(FIGURE, 0, ">=", 0.9), None),
    ("< -2.5 for 2 minutes", Condition(FIGURE, 120, "<", -2.5), {"below": -2.5, "lasting": 120}),
    ("silent for 2 h", Condition(SILENCE, 7200), {"silent": timedelta(hours=2)}),
]


@pytest.mark.parametrize(("words", "condition", "keywords"), WORDS)
def test_words_and_keywords_say_the_same(
    words: str, condition: Condition, keywords: dict[str, Any] | None
) -> None:
    """And what is printed is read back."""
    assert parse(words) == condition
    assert parse(str(condition)) == condition
    if keywords is not None:
        assert spell(**keywords) == condition


@settings(deadline=None)
@given(
    st.sampled_from([">", ">=", "<", "<="]),
    st.integers(1, 10**6),
    st.sampled_from([(COUNT, 1.0), (COUNT, 3600.0), (COUNT, 90.5), (FIGURE, 0.0), (FIGURE, 2.5)]),
)
def test_every_condition_is_read_back(sign: str, limit: int, kind: tuple[Form, float]) -> None:
    """`str` and `parse` are inverse to each other."""
    made = Condition(*kind, sign, float(limit))
    assert parse(str(made)) == made


@pytest.mark.parametrize(
    "words",
    [
        "",
        "5 per hour",
        "> per hour",
        "> 5 per fortnight",
        "> 5 per 0 s",
        "> 5 for",
        "> 5 per hour for 60 s",
        "> 90% per hour",
        "> -1 per hour",
        "< 0 per hour",
        ">= 0 per hour",
        "=> 5 per hour",
        "> 1e3 per hour",
        "> 5 per hour and more",
        "silent",
        "silent for 0 s",
        "quiet for 30 s",
        "> " + "9" * 400,
        "> nan",
        None,
        5,
    ],
)
def test_what_is_not_understood_is_refused_with_what_is(
    mode: SystemOperationMode, words: Any
) -> None:
    """The error shows the forms; so do keywords that say nothing, or two things."""
    with pytest.raises(ConfigError) as caught:
        parse(words)
    assert caught.value.setting == "when"
    for form in ("'> 5 per hour'", "'> 90% for 60 s'", "'silent for 30 s'"):
        assert form in str(caught.value)


@pytest.mark.parametrize(
    ("words", "more", "setting"),
    [
        (None, {}, "when"),
        (None, {"above": 1, "below": 0}, "when"),
        (None, {"above": 1, "silent": 3}, "when"),
        (None, {"above": "5"}, "above"),
        (None, {"above": True}, "above"),
        (None, {"below": float("nan")}, "below"),
        (None, {"above": 5, "per": "week"}, "per"),
        (None, {"above": 5, "per": 0}, "per"),
        (None, {"above": -1, "per": 5}, "when"),
        (None, {"above": 5, "per": "hour", "lasting": 3}, "lasting"),
        (None, {"silent": 5, "lasting": 3}, "lasting"),
        (None, {"silent": 0}, "silent"),
        ("> 5 per hour", {"above": 5}, "when"),
        ("> 5 per hour", {"read": lambda: 5}, "read"),
        ("silent for 5 s", {"read": lambda: 5}, "read"),
        ("> 5", {"read": 5}, "read"),
        ("> 5", {"every": 0}, "every"),
        ("> 5", {"health": 1}, "health"),
        ("> 5", {"health": -0.1}, "health"),
        ("> 5", {"severity": "dire"}, "severity"),
        ("> 5", {"severity": "high", "health": 0.2}, "severity"),
        ("> 5", {"criticality": "dire"}, "criticality"),
    ],
)
def test_bad_settings_are_named(
    mode: SystemOperationMode, words: str | None, more: dict[str, Any], setting: str
) -> None:
    """At once, by `ConfigError`, and nothing is looked after then."""
    with pytest.raises(ConfigError) as caught:
        mode.threshold("pool", words, **more)
    assert caught.value.setting == setting
    assert mode.signals == ()


def test_more_than_five_restarts_in_an_hour(mode: SystemOperationMode, clock: ManualClock) -> None:
    """The sixth within the hour crosses, and when the first is an hour old it is over.

    The figure is that of "Failure Mode Analysis". The component has failed meanwhile, so that a
    recovery may be bound to it.
    """
    seen: list[Event] = []
    told = [subscribe(kind, seen.append) for kind in (ComponentFailed, ComponentRecovered)]
    worker = mode.threshold("worker", "> 5 per hour", action="look at its last log lines")
    for number in range(6):
        assert not worker.crossed, number
        worker.mark()
        tick(mode, clock, 60)
    assert worker.crossed
    said = worker.reading
    assert (said.health, said.level, said.value, said.limit) == (0.3, CRITICAL, 6, 5)
    assert (said.detail, said.action) == ("6 in 3600 s", "look at its last log lines")
    assert [row.health for row in mode.explain().contributions] == [0.3]
    clock.advance(3600 - 360 - 1)
    mode.evaluate()
    assert worker.crossed
    tick(mode, clock)
    assert (worker.crossed, worker.reading.health, worker.reading.action) == (False, 1.0, "")
    assert mode.flush(5)
    for one in told:
        one.cancel()
    assert [type(one).__name__ for one in seen] == ["ComponentFailed", "ComponentRecovered"]


def test_the_mark_that_crosses_is_noticed_at_once(
    mode: SystemOperationMode, clock: ManualClock
) -> None:
    """Not only at the next look: the mode is told, on its own thread."""
    worker = mode.threshold("worker", "> 10 per minute")
    worker.mark(10)
    assert mode.flush(5)
    assert not worker.crossed
    worker.mark()
    assert mode.flush(5)
    assert worker.crossed


def test_marks_of_eight_threads_are_all_counted(mode: SystemOperationMode) -> None:
    """Exactly one less than the limit does not cross, the limit does."""
    worker = mode.threshold("worker", ">= 16000 per hour")
    start = threading.Barrier(8)

    def work() -> None:
        start.wait()
        for _ in range(2000):
            worker.mark()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    mode.evaluate()
    assert (worker.reading.value, worker.crossed) == (16_000, True)


def test_too_few_need_a_whole_period_first(mode: SystemOperationMode, clock: ManualClock) -> None:
    """Nothing is missed before there was time for it."""
    jobs = mode.threshold("jobs", "< 3 per 10 min")
    jobs.mark(2)
    tick(mode, clock, 599)
    assert jobs.reading.health is None
    tick(mode, clock)
    assert jobs.crossed
    jobs.mark(3)
    assert mode.flush(5)
    assert not jobs.crossed


# More than 90 % of the pool for 60 s ("Failure Mode Analysis"), read each second.
def test_a_figure_must_stay_beyond(mode: SystemOperationMode, clock: ManualClock) -> None:
    """59 s are not 60, one reading below begins anew, and one below ends it."""
    share = [0.95]
    pool = mode.threshold("pool", "> 90% for 60 s", read=lambda: share[0])

    def seconds(count: int) -> bool:
        for _ in range(count):
            tick(mode, clock)
        return pool.crossed

    assert not seconds(59)
    share[0] = 0.9
    assert not seconds(1)
    share[0] = 0.91
    assert not seconds(60)
    assert seconds(2)
    assert pool.reading.detail.startswith("0.91 and beyond for 6")
    assert (pool.reading.value, pool.reading.limit) == (0.91, 0.9)
    share[0] = 0.5
    assert not seconds(2)


def test_a_gap_is_not_beyond(mode: SystemOperationMode, clock: ManualClock) -> None:
    """While nothing can be read, nothing is known: BLIND, and the time begins anew."""
    found: list[float | None] = [0.95]
    pool = mode.threshold("pool", "> 90% for 30 s", read=lambda: found[0])
    for _ in range(20):
        tick(mode, clock)
    found[0] = None
    for _ in range(10):
        tick(mode, clock)
    assert any(one.startswith("BLIND: pool") for one in mode.reasons)
    assert any("None is no finite number" in one for one in mode.reasons)
    found[0] = 0.95
    for _ in range(30):
        tick(mode, clock)
    assert not pool.crossed
    for _ in range(2):
        tick(mode, clock)
    assert pool.crossed


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.1, 30), st.floats(0, 1)), min_size=1, max_size=50),
    st.floats(0, 60),
)
def test_crossed_exactly_while_it_has_lasted(
    looks: list[tuple[float, float]], lasting: float
) -> None:
    """Against the definition: beyond at each reading of so long, with no gap of 90 s."""
    watch, now, since = Figure(Condition(FIGURE, lasting, ">", 0.5), 90.0), 0.0, None
    for wait, value in looks:
        now += wait
        watch.take(value, now)
        since = None if value <= 0.5 else now if since is None else since
        assert watch.look(now).crossed is (since is not None and now >= since + lasting)
        assert watch.look(now + 90).crossed is None


def test_a_figure_by_hand(mode: SystemOperationMode, clock: ManualClock) -> None:
    """Noticed at once, also what came between two looks; it counts for 90 s, then it is IDLE."""
    lag = mode.threshold("lag", "> 30 for 10 s", severity="high")
    for value in (31, 29, 31):
        lag.set(value)
    tick(mode, clock, 9)
    assert not lag.crossed
    tick(mode, clock)
    assert (lag.crossed, lag.reading.health) == (True, 0.4)
    tick(mode, clock, 81)
    assert lag.reading.health is None
    assert [row.standing.name for row in mode.explain().contributions] == ["IDLE"]


def test_missed_heartbeats(mode: SystemOperationMode, clock: ManualClock) -> None:
    """Having been made is the first beat; the limit is exact; the next beat ends the silence."""
    seen: list[SignalChanged] = []
    told = subscribe(SignalChanged, seen.append)
    worker = mode.threshold("worker", "silent for 30 s", criticality="critical")
    tick(mode, clock, 29.9)
    assert not worker.crossed
    worker.mark()
    tick(mode, clock, 29.9)
    assert not worker.crossed
    tick(mode, clock, 0.1)
    assert worker.crossed
    assert worker.reading.detail == "last mark 30 s ago"
    assert [gate.component for gate in mode.explain().gates] == ["worker"]
    worker.mark()
    assert mode.flush(5)
    assert not worker.crossed
    told.cancel()
    assert [(one.kind, one.old, one.new) for one in seen] == [
        ("threshold silent for 30 s", CLEAR, CRITICAL),
        ("threshold silent for 30 s", CRITICAL, CLEAR),
    ]


def test_silence_is_evidence_until_it_ends(mode: SystemOperationMode, clock: ManualClock) -> None:
    """However long nobody looks, the last beat does not count for more than its 30 s."""
    worker = mode.threshold("worker", "silent for 30 s", criticality="critical")
    worker.mark()
    assert [one.until for one in worker.evidence(90.0)] == [pytest.approx(30)]
    mode.evaluate()
    tick(mode, clock, 3600)
    assert worker.crossed
    tick(mode, clock, 10)
    assert mode.current is Mode.EMERGENCY


def test_several_thresholds_of_one_component(mode: SystemOperationMode, clock: ManualClock) -> None:
    """Different conditions stand beside each other, the worst counts; the same one replaces."""
    one = mode.threshold("worker", "> 5 per hour", health=0.2)
    two = mode.threshold("worker", "silent for 30 s")
    three = mode.threshold("worker", "silent for 0.5 min")
    one.mark(6)
    tick(mode, clock, 30)
    assert [reading.kind for reading in mode.signals] == [
        "threshold > 5 per hour",
        "threshold silent for 30 s",
    ]
    assert (one.crossed, two.crossed, three.crossed) == (True, False, True)
    assert [row.health for row in mode.explain().contributions] == [0.2]


@pytest.mark.parametrize(
    ("severity", "health", "level"),
    [
        ("low", 0.9, "LOW"),
        ("MEDIUM", 0.7, "MEDIUM"),
        ("high", 0.4, "HIGH"),
        ("critical", 0, "CRITICAL"),
    ],
)
def test_severities_are_those_of_marks(
    mode: SystemOperationMode, severity: str, health: float, level: str
) -> None:
    """As `mode.mark_degraded` has them."""
    limit = mode.threshold("lag", "> 30", severity=severity)
    limit.set(31)
    assert mode.flush(5)
    assert (limit.reading.health, limit.reading.level.name) == (health, level)


@settings(deadline=None)
@given(st.floats(0, 1), st.floats(0, 1))
def test_levels_fall_with_health(one: float, two: float) -> None:
    """Worse health is never a better level, and CRITICAL is exactly what counts as failed."""
    worse, better = sorted((one, two))
    assert level_of(worse).rank >= level_of(better).rank
    assert (level_of(worse) is CRITICAL) is (worse < 0.4)


def test_what_does_not_fit_is_refused(mode: SystemOperationMode) -> None:
    """Marks for a figure, a figure for marks, and what is no number."""
    count, figure = mode.threshold("a", "> 5 per hour"), mode.threshold("b", "> 5")
    read = mode.threshold("c", "> 5", read=lambda: 1)
    for one in (figure, read):
        with pytest.raises(TypeError, match="compares a figure"):
            one.mark()
    for one in (count, read):
        with pytest.raises(TypeError, match="takes no figure"):
            one.set(1)
    with pytest.raises(ValueError, match="no finite number"):
        figure.set(float("nan"))


def test_a_signal_keeps_no_mode_alive(clock: ManualClock) -> None:
    """Who holds only the signal may go on marking."""
    mode = SystemOperationMode(clock=clock)
    count, rate = mode.threshold("a", "> 5 per hour"), mode.rate("b")
    reads = mode.saturation("c", lambda: 0.5)
    mode.evaluate()
    assert mode.flush(5)
    gone = weakref.ref(mode)
    mode.close()
    del mode
    gc.collect()
    assert gone() is None
    count.mark(10)
    rate.mark(10)
    assert reads.reading.name == "c"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_counts_from_nothing(mode: SystemOperationMode, clock: ManualClock) -> None:
    """Locks that another thread held at the fork are free, and nothing is missed or crossed."""
    many, few = mode.threshold("a", "> 5 per hour"), mode.threshold("b", "< 2 per minute")
    orders = mode.rate("c", baseline=100)
    many.mark(6)
    clock.advance(59)
    held: list[Any] = [many._lock, orders._lock, orders._tally._lock]
    for lock in held:
        lock.acquire()
    child = os.fork()
    if child == 0:
        signal.alarm(5)
        clock.advance(2)
        many.mark()
        orders.mark()
        mode.evaluate()
        said = [one.reading.health for one in (many, few, orders)]
        os._exit(0 if said == [1.0, None, None] else 1)
    for lock in held:
        lock.release()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    mode.evaluate()
    assert many.crossed


def test_one_line_for_each(mode: SystemOperationMode) -> None:
    """`mode.signals` prints well, unknown ones included."""
    mode.threshold("worker", "> 5 per hour").mark(6)
    mode.rate("orders")
    assert [str(reading) for reading in mode.signals] == [
        "orders  rate  UNKNOWN  0 in 60 s; learned from 0 of 10 windows",
        "worker  threshold > 5 per hour  CRITICAL  6 in 3600 s",
    ]

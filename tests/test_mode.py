"""Laws of the shared mode: what it hears, what it says, and what it costs to ask."""

from __future__ import annotations

import gc
import math
import os
import signal
import sys
import threading
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from resilient.core.hub import hub
from resilient.core.ports import CircuitHealth, Criticality
from resilient.errors import ConfigError
from resilient.events import CircuitOpened, CircuitState, FallbackUsed
from resilient.mode import Mode, SystemOperationMode, SystemState, default_mode
from resilient.testing import ManualClock
from tests.hands import HandClock


@dataclass(eq=False)
class Source:
    """A breaker as the mode sees it, set by hand."""

    name: str
    mode: object | None = None
    weight: float | None = None
    criticality: Criticality | None = None
    told: CircuitHealth = field(
        default_factory=lambda: CircuitHealth(CircuitState.CLOSED, 1.0, 20, 0, 20, age=0.0)
    )
    watched: int = 0

    def __post_init__(self) -> None:
        hub.register(self)

    def health(self) -> CircuitHealth:
        """What was set."""
        return self.told

    def watch_latency(self) -> None:
        """Count how often it was asked."""
        self.watched += 1

    def after_fork(self) -> None:
        """Nothing to forget."""

    def set_active(self, active: bool, /) -> None:  # noqa: FBT001
        """Nothing to switch."""

    def says(self, standing: float, **more: object) -> None:
        """Set what it says."""
        states = {1.0: CircuitState.CLOSED, 0.5: CircuitState.HALF_OPEN, 0.0: CircuitState.OPEN}
        account = {"calls": 20, "failures": 0, "recorded": 20, "age": 0.0} | more
        self.told = CircuitHealth(states[standing], standing, **account)  # type: ignore[arg-type]  # keywords by name

    def opens(self) -> None:
        """Open, and publish it as a breaker does."""
        self.says(0.0)
        hub.bus.publish(
            CircuitOpened(
                name=self.name,
                origin=id(self),
                old=CircuitState.CLOSED,
                new=CircuitState.OPEN,
                reason="5 failures",
                sequence=1,
                retry_after=60.0,
            )
        )


@pytest.fixture
def clock() -> HandClock:
    """A clock of this test's own."""
    return HandClock()


@pytest.fixture
def mode(clock: HandClock) -> Iterator[SystemOperationMode]:
    """A mode of this test's own."""
    made = SystemOperationMode(clock=clock)
    yield made
    made.close(0.2)


def test_it_starts_normal_and_says_that_nothing_is_known(mode: SystemOperationMode) -> None:
    """No evidence is score 100, with a reason."""
    assert (mode.current, mode.score, mode.severity) == (Mode.NORMAL, 100.0, 0.0)
    assert mode.state is SystemState.COMPLETE_SUCCESS
    assert mode.reasons[0].startswith("NO_EVIDENCE")


def test_a_critical_breaker_that_opens_is_known_at_the_next_read(mode: SystemOperationMode) -> None:
    """The tap marks the mode dirty; no time need pass."""
    db = Source("db", mode, criticality=Criticality.CRITICAL)
    assert mode.current is Mode.NORMAL
    db.opens()
    assert mode.current is Mode.EMERGENCY
    assert mode.history[-1].at == 2e9 + 100.0
    assert "db" in mode.reasons[0]


def test_an_opening_counts_from_its_own_instant(
    mode: SystemOperationMode, clock: HandClock
) -> None:
    """Read long after, the history is that of having read at once."""
    db = Source("db", mode, criticality=Criticality.CRITICAL)
    mode.evaluate()
    mode._soon.cancel()  # nobody evaluates in the background
    db.opens()
    clock.at += 500
    db.says(1.0)
    assert mode.current is Mode.EMERGENCY
    assert mode.history[0].at == 2e9 + 100.0


def test_listeners_hear_of_an_opening_though_nobody_reads(mode: SystemOperationMode) -> None:
    """The dispatcher evaluates on its own when a circuit changes."""
    heard = threading.Event()
    mode.on_change(lambda _: heard.set())
    db = Source("db", mode, criticality=Criticality.CRITICAL)
    mode.evaluate()
    db.opens()
    assert heard.wait(5)


def test_evidence_of_another_mode_is_not_ours(mode: SystemOperationMode, clock: HandClock) -> None:
    """A breaker of the same name that reports elsewhere neither counts nor trips."""
    other = SystemOperationMode(clock=clock)
    ours = Source("db", mode, criticality=Criticality.CRITICAL)
    theirs = Source("db", other, criticality=Criticality.CRITICAL)
    mode.evaluate()
    theirs.opens()
    assert mode.current is Mode.NORMAL
    assert other.current is Mode.EMERGENCY
    assert ours.told.standing == 1.0


def test_no_mode_named_means_the_default_one(mode: SystemOperationMode, clock: HandClock) -> None:
    """A policy without a mode feeds the default one and no other; asking makes none."""
    before = hub.swap_mode(None)
    try:
        source = Source("db")
        mode.evaluate()
        assert hub.swap_mode(mode) is None
        source.says(0.0)
        mode.evaluate()
        rows = {row.name: row for row in mode.explain().contributions}
        assert rows["db"].health == 0.0
        assert default_mode() is mode
    finally:
        hub.swap_mode(before)


def test_several_breakers_of_one_name_count_by_their_minimum(mode: SystemOperationMode) -> None:
    """One component, its worst signal."""
    sources = [Source("db", mode), Source("db", mode, weight=5.0)]
    sources[0].says(0.5)
    mode.evaluate()
    (row,) = mode.explain().contributions
    assert (row.health, row.signal, row.weight) == (0.5, "breaker", 5.0)


def test_what_is_declared_wins_over_what_breakers_say(mode: SystemOperationMode) -> None:
    """Weight and criticality of `component` beat those of a policy, each by itself."""
    source = Source("db", mode, weight=5.0, criticality=Criticality.LOW)
    mode.component("db", criticality="critical")
    (row,) = mode.explain().contributions
    assert (row.weight, row.criticality) == (5.0, Criticality.CRITICAL)
    mode.component("db", weight=7)
    (row,) = mode.explain().contributions
    assert (row.weight, row.criticality) == (7.0, Criticality.CRITICAL)
    assert source.watched == 0


def test_latency_is_watched_once_and_judged(mode: SystemOperationMode) -> None:
    """A target and a limit switch the histogram on, for breakers made later too."""
    mode.component("db", latency_target=0.1, latency_limit=0.5)
    source = Source("db", mode)
    source.says(1.0, p95=0.3)
    mode.evaluate()
    mode.evaluate()
    assert source.watched == 1
    (row,) = mode.explain().contributions
    assert (row.signal, row.health) == ("latency", pytest.approx(0.5))


def test_evidence_grows_old(mode: SystemOperationMode, clock: HandClock) -> None:
    """A closed breaker without calls for 90 s is idle; an open one is known for ever."""
    quiet, shut = Source("quiet", mode), Source("shut", mode)
    quiet.says(1.0, age=89.0)
    shut.says(0.0, age=89.0)
    assert [row.health for row in mode.explain().contributions] == [1.0, 0.0]
    quiet.says(1.0, age=91.0)
    shut.says(0.0, age=9000.0)
    clock.at += 2
    assert [row.health for row in mode.explain().contributions] == [None, 0.0]


def test_a_window_without_a_clock_is_fresh_when_it_counts(
    mode: SystemOperationMode, clock: HandClock
) -> None:
    """Where no age is told, a new outcome since the last look is taken as one of now."""
    source = Source("db", mode)
    source.says(1.0, age=None, recorded=0)
    assert mode.explain().contributions[0].health is None
    source.says(1.0, age=None, recorded=7)
    assert mode.explain().contributions[0].health == 1.0
    clock.at += 91
    assert mode.explain().contributions[0].health is None
    source.says(1.0, age=None, recorded=8)
    assert mode.explain().contributions[0].health == 1.0


def test_a_broken_source_harms_nobody(mode: SystemOperationMode) -> None:
    """What cannot be asked is named in the reasons, and the rest counts."""

    class Broken(Source):
        def health(self) -> CircuitHealth:
            raise LookupError(self.name)

    broken, well = Broken("broken", mode), Source("well", mode)
    assert mode.current is Mode.NORMAL
    assert broken.name
    assert any("DROPPED: asking broken" in reason for reason in mode.reasons)
    assert well.told.standing == 1.0


@pytest.mark.parametrize("works", [True, False])
def test_a_working_fallback_softens(mode: SystemOperationMode, *, works: bool) -> None:
    """A CRITICAL component whose calls a fallback answers gates as HIGH, and trips nothing."""
    db = Source("db", mode, criticality=Criticality.CRITICAL)
    mode.evaluate()
    for _ in range(5):
        source = "cache" if works else None
        used = FallbackUsed(
            name="f", source=source, freshness="stale", error="x", inside=("db", "r")
        )
        hub.bus.publish(used)
    db.opens()
    assert mode.current is (Mode.NORMAL if works else Mode.EMERGENCY)
    (gate,) = mode.explain().gates
    assert (gate.cap, gate.softened) == ((0.65, True) if works else (0.20, False))


def test_marks_hold_until_cleared_or_over(mode: SystemOperationMode, clock: HandClock) -> None:
    """The four severities, the time to live, and clearing."""
    for severity, health in (("low", 0.9), ("medium", 0.7), ("high", 0.4), ("critical", 0.0)):
        mode.mark_degraded("search", "reindexing", severity=severity, ttl=60)
        assert mode.explain().contributions[0].health == health
    assert mode.clear("search")
    assert not mode.clear("search")
    mode.mark_degraded("search", "reindexing", ttl=60)
    clock.at += 59
    assert mode.explain().contributions[0].health == 0.7
    clock.at += 1
    assert mode.explain().contributions == ()
    with pytest.raises(ConfigError, match="low, medium, high, critical"):
        mode.mark_degraded("search", "x", severity="awful")


def test_metrics_count_with_their_weights(mode: SystemOperationMode) -> None:
    """A weighted score over declared figures."""
    for name, weight, value in (("delivery", 0.3, 0.9), ("latency", 0.2, 0.5), ("errors", 0.5, 1)):
        mode.metric(name, weight=weight).set(value)
    assert mode.explain().mean == pytest.approx(0.3 * 0.9 + 0.2 * 0.5 + 0.5)


def test_a_metric_that_promised_to_report_and_fell_silent_is_blind(
    mode: SystemOperationMode, clock: HandClock
) -> None:
    """One that promised nothing is idle."""
    mode.metric("kept", expect_every=100).set(1.0)
    mode.metric("never", expect_every=10)
    mode.metric("free").set(1.0)
    clock.at += 150
    assert [row.standing.name for row in mode.explain().contributions] == ["IDLE", "KNOWN", "BLIND"]
    assert any(reason.startswith("BLIND: never") for reason in mode.reasons)


def test_a_score_function_runs_elsewhere_and_may_fail(
    mode: SystemOperationMode, clock: HandClock
) -> None:
    """It never runs on the caller's thread; what it raises drops the evidence, with a reason."""
    threads: list[str] = []

    def score() -> float:
        threads.append(threading.current_thread().name)
        return 1 / (len(threads) - 2) ** 2

    metric = mode.metric("figure", score=score)
    mode.evaluate()
    assert mode.flush()
    assert metric.value == 1.0
    clock.at += 1
    mode.evaluate()
    assert mode.flush()
    assert any("figure raised ZeroDivisionError" in reason for reason in mode.reasons)
    assert set(threads) == {"resilient-dispatcher"}


def test_a_score_function_that_hangs_delays_nobody(
    mode: SystemOperationMode, clock: HandClock
) -> None:
    """Calls, transitions and other listeners go on; the metric is asked once, not piled up."""
    release, asked, heard = threading.Event(), [], threading.Event()

    def hang() -> float:
        asked.append(1)
        release.wait(10)
        return 1.0

    try:
        mode.metric("figure", score=hang)
        mode.on_change(lambda _: heard.set())
        for _ in range(5):
            clock.at += 1
            mode.evaluate()
        mode.trip("drill")
        assert mode.current is Mode.EMERGENCY
        assert heard.wait(5)
    finally:
        release.set()
        assert mode.flush(5)
    assert len(asked) == 1


def test_a_score_function_may_map_what_is_set(mode: SystemOperationMode) -> None:
    """A function of one value is given what was set, in order, off the caller's thread."""
    lag = mode.metric("lag", score=lambda seconds: 1 - seconds / 30)
    lag.set(15.0)
    assert mode.flush()
    assert lag.value == pytest.approx(0.5)
    with pytest.raises(TypeError, match="must take nothing"):
        mode.metric("bad", score=lambda a, b: a + b)
    with pytest.raises(TypeError, match="nothing can be set"):
        mode.metric("asks", score=lambda: 1.0).set(1.0)


def test_not_a_number_is_no_evidence(mode: SystemOperationMode) -> None:
    """NaN drops the evidence; beyond 0..1 is clamped."""
    metric = mode.metric("figure")
    metric.set(1.0000001)
    assert metric.value == 1.0
    metric.set(math.nan)
    assert metric.value is None
    assert mode.explain().contributions[0].health is None


def test_trips_hold_and_local_ones_take_us_out_of_rotation(
    mode: SystemOperationMode, clock: HandClock
) -> None:
    """An open breaker never makes us unready; a local trip does, and nothing makes us dead."""
    db = Source("db", mode, criticality=Criticality.CRITICAL)
    mode.evaluate()
    db.opens()
    assert mode.ready()
    mode.trip("draining", local=True, ttl=60)
    assert not mode.ready()
    assert mode.live()
    clock.at += 60
    assert mode.ready()
    mode.trip("disk")
    assert mode.untrip("disk")
    assert not mode.untrip("disk")


def test_force_and_release(mode: SystemOperationMode, clock: HandClock) -> None:
    """An override beats all, names its owner, and is released by that owner or by anybody."""
    mode.force("degraded", reason="migration", ttl=3600, owner="ops")
    assert mode.current is Mode.DEGRADED
    assert "OVERRIDE: DEGRADED forced by ops: migration" in mode.reasons[0]
    assert not mode.release(owner="dev")
    assert mode.release(owner="ops")
    assert not mode.release()
    mode.force(Mode.EMERGENCY, reason="drill", ttl=10)
    clock.at += 10
    assert mode.explain().override is None
    assert mode.current is Mode.EMERGENCY
    clock.at += 300
    assert mode.current is Mode.NORMAL


def test_severity_grows_within_the_mode(mode: SystemOperationMode, clock: HandClock) -> None:
    """0 in NORMAL, and never on the wrong side of the edge of EMERGENCY."""
    begins = 1 - 0.50 / 0.85
    mode.metric("figure").set(0.6)
    clock.at += 80
    assert mode.current is Mode.DEGRADED
    assert mode.severity == pytest.approx(1 - 0.6 / 0.85, abs=1e-3)
    mode.force(Mode.EMERGENCY, reason="drill")
    assert mode.severity == pytest.approx(begins)
    mode.force(Mode.NORMAL, reason="drill")
    assert mode.severity == 0.0


def test_select_follows_the_mode(mode: SystemOperationMode) -> None:
    """What is not given is that of the next better mode."""
    told = []
    for wanted in Mode:
        mode.force(wanted, reason="drill")
        told.append(
            (
                mode.select(normal=1, degraded=4, emergency=9),
                mode.select(normal=1, emergency=9),
                mode.select(normal=1, degraded=4),
                mode.select(normal=1),
            )
        )
    assert told == [(1, 1, 1, 1), (4, 1, 4, 1), (9, 9, 4, 1)]


def test_statistics(mode: SystemOperationMode, clock: HandClock) -> None:
    """Time in each mode adds up; detection is from the first bad evidence, recovery to NORMAL."""
    mode.mark_degraded("db", "down", severity="critical")
    clock.at += 60
    mode.evaluate()
    mode.clear("db")
    clock.at += 1000
    told = mode.statistics()
    first, last = mode.history[0], mode.history[-1]
    assert [change.sequence for change in mode.history] == [1, 2, 3]
    assert sum(told.time_in.values()) == pytest.approx(1060)
    assert told.incidents == 1
    assert told.mean_time_to_detect == pytest.approx(first.at - 2e9 - 100, abs=1e-5)
    assert told.mean_time_to_recover == pytest.approx(last.at - first.at, abs=1e-5)


def test_a_fresh_value_is_read_without_evaluating(
    mode: SystemOperationMode, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within the interval, and with nothing new, reading asks nobody."""
    assert mode.current is Mode.NORMAL
    monkeypatch.setattr(mode, "_bring_up_to_date", lambda: pytest.fail("evaluated"))
    clock.at += 0.99
    assert mode.current is Mode.NORMAL


def test_a_reader_does_not_wait_for_an_evaluation() -> None:
    """While another thread evaluates, the last value is given."""
    mode = SystemOperationMode()
    mode._lock.acquire()
    try:
        mode._touch()
        assert mode.current is Mode.NORMAL
        assert mode.score == 100.0
    finally:
        mode._lock.release()


def test_what_happens_during_an_evaluation_is_not_lost(mode: SystemOperationMode) -> None:
    """Evidence that arrives while it runs leaves the value stale, so the next reader looks."""

    class Busy(Source):
        asked = 0

        def health(self) -> CircuitHealth:
            self.asked += 1
            if self.asked == 1:
                mode._touch()
            return self.told

    busy = Busy("db", mode)
    assert mode.current is Mode.NORMAL
    assert mode.current is Mode.NORMAL
    assert mode.current is Mode.NORMAL
    assert busy.asked == 2


def test_asking_in_the_middle_of_an_evaluation_does_not_deadlock(
    mode: SystemOperationMode,
) -> None:
    """A source that reads the mode, or forces it, is answered; the command is obeyed later."""

    class Curious(Source):
        asked: tuple[object, ...] = ()

        def health(self) -> CircuitHealth:
            if not self.asked:
                self.asked = (mode.current, mode.evaluate(), mode.explain().mode, mode.reasons)
                mode.force("degraded", reason="from within")
            return self.told

    curious = Curious("db", mode)
    mode.evaluate()
    assert curious.asked[:3] == (Mode.NORMAL,) * 3
    assert mode.current is Mode.DEGRADED


def test_the_bus_holds_the_mode_only_weakly(clock: HandClock) -> None:
    """A mode that nobody holds goes away, and its taps with it."""
    gc.collect()
    taps = len(hub.bus._taps)
    made = SystemOperationMode(clock=clock)
    made.on_change(print)
    made.metric("figure", score=lambda: 1.0)
    made.evaluate()
    gone = weakref.ref(made)
    hub.dispatcher.flush(5)
    del made
    gc.collect()
    assert gone() is None
    assert len(hub.bus._taps) == taps


def test_many_threads_at_once(mode: SystemOperationMode) -> None:
    """Readers, evaluators and hands at once: sequences have no gap and no double."""
    heard: list[int] = []
    mode.on_change(lambda change: heard.append(change.sequence))
    barrier = threading.Barrier(6)

    def work(index: int) -> None:
        barrier.wait()
        for turn in range(50):
            mode.force(list(Mode)[(index + turn) % 3], reason="drill")
            assert isinstance(mode.current, Mode)
            mode.explain()

    threads = [threading.Thread(target=work, args=(index,)) for index in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert mode.flush(10)
    assert heard == list(range(1, len(heard) + 1))
    assert len(heard) == mode.history[-1].sequence


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_has_a_mode_that_works(mode: SystemOperationMode) -> None:
    """A lock that another thread held at the fork is not held in the child."""
    mode._lock.acquire()
    child = os.fork()
    if child == 0:
        signal.alarm(5)
        mode.trip("in the child")
        os._exit(0 if mode.current is Mode.EMERGENCY else 1)
    mode._lock.release()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert mode.current is Mode.NORMAL


@pytest.mark.parametrize(
    "bad",
    [
        {"weight": 0},
        {"weight": math.inf},
        {"criticality": "vital"},
        {"depends_on": ["db"]},
        {"latency_target": 1.0},
        {"latency_target": 1.0, "latency_limit": 1.0},
    ],
    ids=str,
)
def test_bad_declarations_are_refused(mode: SystemOperationMode, bad: dict[str, object]) -> None:
    """When given, naming the setting."""
    with pytest.raises(ConfigError) as refused:
        mode.component("db", **bad)  # type: ignore[arg-type]  # wrong on purpose
    assert refused.value.setting in {*bad, "latency_limit"}


def test_a_swapped_clock_makes_no_jump(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mode on the system clock goes on where it was when the clock gets another source."""
    from resilient.clock import system_clock  # noqa: PLC0415  (only this test swaps it)

    made = SystemOperationMode()
    made.force("emergency", reason="drill", ttl=50)
    hand = HandClock()
    system_clock.follow(hand)
    try:
        assert made.current is Mode.EMERGENCY
        hand.at += 49
        assert made.explain().override is not None
        hand.at += 2
        assert made.explain().override is None
    finally:
        system_clock.reset()
    assert made.current is Mode.EMERGENCY
    assert sys.version_info >= (3, 11)


def test_a_report_that_nobody_looked_at_has_happened() -> None:
    """A minute at 0 is an outage, whether or not anybody looked before the next report."""
    clock = ManualClock()
    mode = SystemOperationMode(clock=clock)
    figure = mode.metric("figure")
    figure.set(0.0)
    clock.advance(60)
    figure.set(1.0)
    (change,) = mode.history
    assert (change.new, round(change.at, 2)) == (Mode.EMERGENCY, 2.65)


@pytest.mark.parametrize("name", ["", None, 3, ("db",)])
def test_what_is_no_name_is_refused_before_anybody_reads_the_mode(
    mode: SystemOperationMode, name: Any
) -> None:
    """One that cannot be sorted among the others would make every later look fail."""
    gives = (mode.component, mode.metric, lambda name: mode.mark_degraded(name, "ill"))
    for give in gives:
        with pytest.raises(ConfigError, match="name"):
            give(name)
    mode.component("db")
    assert mode.current is Mode.NORMAL
    assert [row.name for row in mode.explain().contributions] == ["db"]


@pytest.mark.parametrize(
    ("value", "kept"), [(10**400, 1.0), (-(10**400), 0.0), (math.inf, 1.0), (0.25, 0.25)]
)
def test_a_metric_takes_any_number(mode: SystemOperationMode, value: float, kept: float) -> None:
    """Clamped, however large; it must not fail where the application reports it."""
    metric = mode.metric("queue")
    metric.set(value)
    assert metric.value == kept


@pytest.mark.parametrize("value", ["full", None, []])
def test_a_metric_refuses_what_is_no_number(mode: SystemOperationMode, value: Any) -> None:
    """By a `TypeError` that names it."""
    with pytest.raises(TypeError, match="'queue' takes a number"):
        mode.metric("queue").set(value)


@pytest.mark.parametrize("value", [math.nan, 5, None, 10**400])
def test_bad_thresholds_are_named(value: Any) -> None:
    """Also what is no sequence at all."""
    with pytest.raises(ConfigError, match="thresholds"):
        SystemOperationMode(thresholds=value)


@pytest.mark.parametrize("setting", ["tau", "flap_limit", "return_normal", "minimum_calls"])
def test_a_number_that_no_float_can_hold_is_refused(setting: str) -> None:
    """As any other that is not finite."""
    given: dict[str, Any] = {setting: 10**400}
    with pytest.raises(ConfigError, match=setting):
        SystemOperationMode(**given)

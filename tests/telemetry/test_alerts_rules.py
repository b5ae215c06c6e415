"""What is told and what is held back, as tables: no thread, no clock but the numbers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec
import pytest

from resilient import (
    CircuitChanged,
    CircuitClosed,
    CircuitHalfOpened,
    CircuitOpened,
    CircuitOverridden,
    CircuitState,
    ConfigError,
    Event,
    Mode,
    ModeChange,
    RetryGaveUp,
    Severity,
    SystemState,
    TargetEjected,
    TargetReturned,
    alerts,
)
from resilient.events import ComponentFailed, ComponentRecovered
from resilient.system.degradation.events import FeatureSwitched
from resilient.system.probes.probe import ProbeChanged, ProbeStatus
from resilient.system.recoveries.stage import RecoveryChanged, RecoveryStage
from resilient.system.signals.level import SignalLevel
from resilient.system.signals.reading import SignalChanged
from resilient.telemetry.alerting.alert import LONGEST, alert_of
from resilient.telemetry.alerting.held import SUMMARY
from resilient.telemetry.alerting.kinds import DEFAULT, kinds_of, subject_of, wanted
from resilient.telemetry.alerting.rules import KEPT, AlertRules
from resilient.telemetry.severities import words

CLOSED, OPEN, HALF = CircuitState.CLOSED, CircuitState.OPEN, CircuitState.HALF_OPEN
NORMAL, DEGRADED, EMERGENCY = Mode.NORMAL, Mode.DEGRADED, Mode.EMERGENCY


class DiskLow(Event, frozen=True, kw_only=True):
    """An application's own event."""

    @property
    def severity(self) -> Severity:
        """Worth an alert."""
        return Severity.ERROR


class DiskFine(Event, frozen=True, kw_only=True):
    """What ends it."""


def opened(name: str = "db", key: object = None) -> CircuitOpened:
    """A breaker gave up."""
    return CircuitOpened(
        name=name, old=CLOSED, new=OPEN, reason="5 in a row", sequence=1, key=key, retry_after=60
    )


def closed(name: str = "db", key: object = None) -> CircuitClosed:
    """A breaker is well."""
    return CircuitClosed(name=name, old=HALF, new=CLOSED, reason="1 of 1", sequence=2, key=key)


def half(name: str = "db") -> CircuitHalfOpened:
    """A breaker tries."""
    return CircuitHalfOpened(name=name, old=OPEN, new=HALF, reason="time", sequence=3)


def forced(name: str = "db") -> CircuitOverridden:
    """A breaker was forced."""
    return CircuitOverridden(
        name=name, old=CLOSED, new=CircuitState.FORCED_OPEN, reason="by hand", sequence=1
    )


def change(old: Mode, new: Mode, name: str = "system") -> ModeChange:
    """The mode moved."""
    return ModeChange(
        name=name,
        old=old,
        new=new,
        score=40.0,
        state=SystemState.CASCADE_FAILURE,
        reasons=("db is down", "and more"),
        sequence=1,
    )


def sick(name: str = "db") -> ComponentFailed:
    """A component failed."""
    return ComponentFailed(name=name, mode="system", health=0.1, signal="breaker")


def well(name: str = "db") -> ComponentRecovered:
    """A component is back."""
    return ComponentRecovered(name=name, mode="system", health=0.9, seconds=30)


def ejected(target: str) -> TargetEjected:
    """A target is passed over."""
    return TargetEjected(name="db", target=target, seconds=30)


def gave_up(name: str) -> RetryGaveUp:
    """A retry gave up."""
    return RetryGaveUp(name=name, attempts=3, seconds=1, reason="no attempts left", error="x")


def probed(new: ProbeStatus) -> ProbeChanged:
    """A probe changed its mind."""
    return ProbeChanged(name="db", mode="system", old=None, new=new, detail="", seconds=0.1)


def signalled(kind: str, new: SignalLevel) -> SignalChanged:
    """A signal changed its level."""
    return SignalChanged(
        name="db", mode="m", kind=kind, old=new, new=new, value=1, limit=2, detail=""
    )


def recovering(new: RecoveryStage) -> RecoveryChanged:
    """A recovery went on."""
    return RecoveryChanged(
        name="db",
        mode="system",
        old=RecoveryStage.IDLE,
        new=new,
        attempt=1,
        of=5,
        next_in=None,
        error="",
        seconds=1.0,
    )


class Step(NamedTuple):
    """At this instant, this happens; these are told, each as kind and how many were held back."""

    at: float
    event: Event | None
    told: Sequence[tuple[str, int]] = ()


UP, DOWN = ("circuit_closed", 0), ("circuit_opened", 0)
MODE = ("mode_change", 0)

TABLES: dict[str, tuple[dict[str, Any], list[Step]]] = {
    "the same thing is told once in 300 s, and the next one says how many were held back": (
        {},
        [
            Step(0, opened(), [DOWN]),
            Step(10, opened()),
            Step(299.9, opened()),
            Step(300, opened(), [("circuit_opened", 2)]),
            Step(599.9, opened()),
            Step(600, opened(), [("circuit_opened", 1)]),
        ],
    ),
    "another name, another key or another state is another thing": (
        {"on": (CircuitChanged, ModeChange)},
        [
            Step(0, opened("a"), [DOWN]),
            Step(0, opened("b"), [DOWN]),
            Step(0, opened("a", key="eu"), [DOWN]),
            Step(1, opened("a", key="eu")),
            Step(1, forced("a"), [("circuit_overridden", 0)]),
            Step(2, change(NORMAL, DEGRADED), [MODE]),
            Step(3, change(DEGRADED, EMERGENCY), [MODE]),
            Step(4, change(NORMAL, DEGRADED)),
            Step(4, change(NORMAL, DEGRADED, name="other"), [MODE]),
        ],
    ),
    "the end of what was told is told, though it is only INFO, and begins anew": (
        {},
        [
            Step(0, opened(), [DOWN]),
            Step(1, opened()),
            Step(2, half()),
            Step(3, closed(), [("circuit_closed", 1)]),
            Step(4, closed()),
            Step(5, opened(), [DOWN]),
            Step(6, closed(), [UP]),
        ],
    ),
    "the end of what was not told is not worth a word": (
        {"on": alerts.when(CircuitOpened, only=lambda event: event.name != "cache")},
        [
            Step(0, closed()),
            Step(1, opened("cache")),
            Step(2, closed("cache")),
            Step(3, opened("db"), [DOWN]),
            Step(4, closed("cache")),
            Step(5, closed("db", key="eu")),
            Step(6, closed("db"), [UP]),
        ],
    ),
    "a mode has ended its trouble when it is NORMAL, not on the way": (
        {"on": ModeChange},
        [
            Step(0, change(NORMAL, EMERGENCY), [MODE]),
            Step(40, change(EMERGENCY, DEGRADED)),
            Step(60, change(DEGRADED, EMERGENCY)),
            Step(80, change(EMERGENCY, DEGRADED)),
            Step(99, change(DEGRADED, NORMAL), [("mode_change", 1)]),
        ],
    ),
    "only the mode that was asked for, and its end": (
        {"on": alerts.when(ModeChange, to="emergency")},
        [
            Step(0, change(NORMAL, DEGRADED)),
            Step(1, change(DEGRADED, NORMAL)),
            Step(2, change(NORMAL, EMERGENCY), [MODE]),
            Step(3, change(EMERGENCY, DEGRADED)),
            Step(4, change(DEGRADED, NORMAL), [MODE]),
        ],
    ),
    "components, targets and forced circuits have ends, too": (
        {"on": (ComponentFailed, TargetEjected, CircuitOverridden)},
        [
            Step(0, sick(), [("component_failed", 0)]),
            Step(1, ejected("a"), [("target_ejected", 0)]),
            Step(1, ejected("b"), [("target_ejected", 0)]),
            Step(2, forced(), [("circuit_overridden", 0)]),
            Step(3, well(), [("component_recovered", 0)]),
            Step(4, TargetReturned(name="db", target="b"), [("target_returned", 0)]),
            Step(5, closed(), [UP]),
            Step(6, TargetReturned(name="db", target="b")),
        ],
    ),
    "probes, signals, recoveries and switches tell of both sides in one type": (
        {"on": (ProbeChanged, SignalChanged, FeatureSwitched)},
        [
            Step(0, probed(ProbeStatus.HEALTHY)),
            Step(1, probed(ProbeStatus.FAILED), [("probe_changed", 0)]),
            Step(2, signalled("rate", SignalLevel.CRITICAL), [("signal_changed", 0)]),
            Step(3, signalled("trend", SignalLevel.CLEAR)),
            Step(4, signalled("rate", SignalLevel.CLEAR), [("signal_changed", 0)]),
            Step(5, probed(ProbeStatus.HEALTHY), [("probe_changed", 0)]),
            Step(6, FeatureSwitched(name="x", enabled=False), [("feature_switched", 0)]),
            Step(7, FeatureSwitched(name="x", enabled=True), [("feature_switched", 0)]),
            Step(8, FeatureSwitched(name="x", enabled=True)),
        ],
    ),
    "a recovery that gave up is over when its component is well, whoever brought it back": (
        {"on": RecoveryChanged, "at_least": Severity.ERROR},
        [
            Step(0, recovering(RecoveryStage.WAITING)),
            Step(1, recovering(RecoveryStage.GAVE_UP), [("recovery_changed", 0)]),
            Step(2, recovering(RecoveryStage.IDLE), [("recovery_changed", 0)]),
            Step(3, recovering(RecoveryStage.IDLE)),
        ],
    ),
    "an application says itself what ends its events": (
        {"on": alerts.when(DiskLow, until=DiskFine)},
        [
            Step(0, DiskFine(name="var")),
            Step(1, DiskLow(name="var"), [("disk_low", 0)]),
            Step(2, DiskFine(name="tmp")),
            Step(3, DiskFine(name="var"), [("disk_fine", 0)]),
            Step(4, DiskFine(name="var")),
        ],
    ),
    "each kind has the threshold it was given, or that of all": (
        {"on": (alerts.when(RetryGaveUp, at_least="error"), CircuitOpened, DiskLow)},
        [
            Step(0, gave_up("x")),
            Step(1, DiskLow(name="var"), [("disk_low", 0)]),
            Step(2, sick()),
        ],
    ),
    "nothing below the threshold": (
        {"on": (RetryGaveUp, CircuitOpened), "at_least": Severity.ERROR},
        [Step(0, gave_up("x")), Step(1, opened(), [DOWN])],
    ),
    "INFO asked for is told without trouble before it": (
        {"on": CircuitChanged, "at_least": Severity.INFO},
        [
            Step(0, half(), [("circuit_half_opened", 0)]),
            Step(1, closed(), [UP]),
            Step(2, closed("other"), [UP]),
            Step(3, closed("other"), [UP]),
        ],
    ),
    "dedupe=0 tells everything": (
        {"dedupe": 0},
        [Step(0, opened(), [DOWN]), Step(0, opened(), [DOWN])],
    ),
    "2 at once and one more each 5 s; the rest as one alert as soon as there is room": (
        {"rate": 2, "per": 10},
        [
            Step(0, opened("a"), [DOWN]),
            Step(0, opened("b"), [DOWN]),
            Step(0, opened("c")),
            Step(1, opened("d")),
            Step(4.9, None),
            Step(5, None, [(SUMMARY, 2)]),
            Step(5, opened("e")),
            Step(10, opened("f"), [(SUMMARY, 1)]),
            Step(15, None, [(SUMMARY, 1)]),
            Step(99, None),
            Step(99, opened("g"), [DOWN]),
        ],
    ),
    "with room for both, the summary comes before what is newer": (
        {"rate": 2, "per": 10},
        [
            Step(0, opened("a"), [DOWN]),
            Step(0, opened("b"), [DOWN]),
            Step(0, opened("c")),
            Step(20, opened("d"), [(SUMMARY, 1), DOWN]),
        ],
    ),
    "what the rate held back is not told again alone, but its end is": (
        {"rate": 1, "per": 10},
        [
            Step(0, opened("a"), [DOWN]),
            Step(1, opened("b")),
            Step(10, None, [(SUMMARY, 1)]),
            Step(11, opened("b")),
            Step(20, closed("b"), [("circuit_closed", 1)]),
        ],
    ),
}


def rules_with(**settings: Any) -> AlertRules:
    """Rules with the defaults of `alerts.send`, but breakers."""
    given: dict[str, Any] = {"on": CircuitOpened, "at_least": Severity.WARNING, "dedupe": 300}
    given |= {"rate": 10, "per": 60, "now": 0.0, **settings}
    return AlertRules(kinds_of(given.pop("on")), given.pop("at_least"), **given)


def play(rules: AlertRules, steps: Iterable[Step]) -> list[list[tuple[str, int]]]:
    """What is told at each step."""
    made = [
        rules.due(at, "NORMAL") if event is None else rules.decide(event, at, "NORMAL")
        for at, event, _ in steps
    ]
    return [[(alert.kind, alert.suppressed) for alert in each] for each in made]


@pytest.mark.parametrize(("settings", "steps"), TABLES.values(), ids=TABLES.keys())
def test_what_is_told(settings: dict[str, Any], steps: list[Step]) -> None:
    """Each row is one instant; what is told there and how many were held back before it."""
    assert play(rules_with(**settings), steps) == [list(step.told) for step in steps]


def test_every_event_is_told_or_counted() -> None:
    """Of n events worth an alert, what was not told is in a summary or in `suppressed`."""
    rules = rules_with(rate=3, per=60, dedupe=0)
    told = [a for n in range(100) for a in rules.decide(opened(str(n % 7)), n * 0.5, None)]
    told += rules.due(1e6, None)
    alone = [alert for alert in told if alert.kind != SUMMARY]
    assert sum(a.suppressed for a in told) == rules.suppressed
    assert len(alone) + rules.suppressed == 100
    assert 3 <= len(told) <= 3 + 100 * 0.5 / 20 + 1


@pytest.mark.parametrize("gap", [0.0, 0.3, 1.0, 7.0])
def test_never_more_than_the_rate(gap: float) -> None:
    """In any time t at most ``rate + t * rate / per`` alerts, summaries included."""
    rules = rules_with(rate=4, per=20, dedupe=0)
    times = [n * gap for n in range(200) for _ in rules.decide(opened(), n * gap, None)]
    for first in range(len(times)):
        for last in range(first, len(times)):
            assert last - first + 1 <= 4 + (times[last] - times[first]) / 5 + 1e-6


def test_a_summary_names_the_worst_the_kinds_and_the_latest() -> None:
    """A tired reader sees first what the whole system does, then how many of what kind."""
    rules = rules_with(on=(CircuitOpened, RetryGaveUp, ModeChange), rate=1, per=10)
    events = [opened("z"), gave_up("x"), opened("a"), change(NORMAL, EMERGENCY), opened("b")]
    for event in events:
        rules.decide(event, 0.0, "NORMAL")
    (summary,) = rules.due(10, "EMERGENCY")
    assert summary.severity is Severity.ERROR
    assert summary.mode == "EMERGENCY"
    assert summary.title == (
        "4 alerts not told: more than 1 in 10 s; "
        "the worst: system: mode NORMAL -> EMERGENCY (db is down)"
    )
    assert summary.details["kinds"] == {"retry_gave_up": 1, "circuit_opened": 2, "mode_change": 1}
    assert [title.split(":")[0] for title in summary.details["latest"]] == ["x", "a", "system", "b"]


def test_what_did_not_arrive_is_summed_up_when_the_channel_works() -> None:
    """Failed alerts, and failed summaries of others, are counted once each and told later."""
    rules = rules_with(rate=1, per=10)
    for alert in rules.decide(opened("a"), 0, None):
        rules.failed(alert)
    rules.decide(opened("b"), 1, None)
    rules.decide(opened("c"), 2, None)
    assert rules.wait(2) == 8
    for alert in rules.due(10, None):
        rules.failed(alert)
    assert rules.due(1000, None) == []
    assert rules.wait(1000) is None
    rules.works()
    (summary,) = rules.due(1000, None)
    assert summary.details["kinds"] == {"circuit_opened": 3}
    assert summary.title.startswith("3 alerts not told: they could not be delivered; the worst: a")
    rules.works()
    assert rules.due(2000, None) == []


def test_the_memory_is_bounded_and_forgets_nothing_in_silence() -> None:
    """1000 things are known; the repetitions of one that is forgotten are in the next summary."""
    rules = rules_with(rate=10_000, per=1)
    rules.decide(opened("first"), 0, None)
    rules.decide(opened("first"), 0, None)
    told = [alert for number in range(KEPT) for alert in rules.decide(opened(str(number)), 1, None)]
    assert len(rules._told) == KEPT
    (summary,) = [alert for alert in told + rules.due(2, None) if alert.kind == SUMMARY]
    assert summary.details["kinds"] == {"duplicate": 1}
    assert summary.details["latest"] == ["circuit:first: 1 more of the same"]


def test_a_filter_that_raises_hides_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """An error in the application's function is logged, and the event is told."""
    rules = rules_with(on=alerts.when(CircuitOpened, only=lambda event: event.nonsense))
    assert play(rules, [Step(0, opened())]) == [[DOWN]]
    assert "filter of an alert raised" in caplog.text


def test_an_alert_travels_as_json() -> None:
    """Event to record to JSON and back; what JSON does not know is told by its repr."""

    class Odd:
        def __repr__(self) -> str:
            return "odd one"

    event = opened(key=("eu", Odd()))
    alert = alert_of(event, "circuit:db", mode="NORMAL", suppressed=3)
    assert msgspec.json.decode(alert.json(), type=alerts.Alert) == msgspec.structs.replace(
        alert, details={**alert.details, "key": ["eu", "odd one"]}
    )
    found = json.loads(alert.json())
    assert found["details"]["key"] == ["eu", "odd one"]
    assert found["details"]["new"] == "OPEN"
    assert "error" not in found["details"]
    assert (found["severity"], found["suppressed"], found["recovered"]) == ("error", 3, False)
    assert found["time"].endswith("Z")
    with pytest.raises(AttributeError):
        alert.title = "another"  # type: ignore[misc]  # it is frozen, which is the law


@pytest.mark.parametrize(
    ("event", "title", "subject"),
    [
        (opened("db"), "db: circuit opened (5 in a row)", "circuit:db"),
        (closed("db", "eu"), "db: circuit closed (1 of 1)", "circuit:db:eu"),
        (change(NORMAL, DEGRADED), "system: mode NORMAL -> DEGRADED (db is down)", "mode:system"),
        (sick(), "db: component failed", "component:db:system"),
        (well(), "db: component recovered", "component:db:system"),
        (gave_up("f"), "f: retry gave up (no attempts left)", "retry_gave_up:f"),
        (opened("x" * 300), "x" * (LONGEST - 3) + "...", "circuit:" + "x" * 300),
    ],
)
def test_titles_and_subjects(event: Event, title: str, subject: str) -> None:
    """One line for a person, and one key that trouble and recovery share."""
    assert alert_of(event, "", mode=None).title == title
    assert subject_of(event, kinds_of(DEFAULT)) == subject


def test_a_value_that_refuses_to_be_shown_spoils_no_alert() -> None:
    """A `repr` that raises is replaced by the name of the type."""

    class Rude:
        def __repr__(self) -> str:
            raise RuntimeError

    assert alert_of(opened(key=Rude()), "", mode=None).details["key"] == "Rude"


@pytest.mark.parametrize(
    ("on", "types"),
    [
        (DEFAULT, {ModeChange, ComponentFailed, ComponentRecovered}),
        (CircuitOpened, {CircuitOpened, CircuitClosed}),
        ((CircuitChanged, CircuitOpened), {CircuitChanged}),
        ((Event, ModeChange), {Event}),
        (alerts.when(DiskLow, until=DiskFine), {DiskLow, DiskFine}),
        (RetryGaveUp, {RetryGaveUp}),
    ],
)
def test_what_is_listened_to(on: Any, types: set[type[Event]]) -> None:
    """The kinds and what ends them, each once: no event reaches an alert twice."""
    assert sorted(map(str, wanted(kinds_of(on)))) == sorted(map(str, types))


@pytest.mark.parametrize(
    ("make", "setting"),
    [
        (lambda: alerts.when(CircuitOpened, to="emergency"), "to"),
        (lambda: alerts.when(ModeChange, to="panic"), "to"),
        (lambda: alerts.when(int), "event"),  # type: ignore[arg-type]  # refused at runtime too
        (lambda: alerts.when(ModeChange, at_least="loud"), "at_least"),
        (lambda: alerts.when(ModeChange, only=3), "only"),  # type: ignore[arg-type]  # as above
        (lambda: alerts.when(ModeChange, until=3), "until"),  # type: ignore[arg-type]  # as above
        (lambda: kinds_of(()), "on"),
        (lambda: kinds_of((CircuitOpened, "x")), "on"),
        (lambda: kinds_of(None), "on"),
    ],
)
def test_bad_conditions_are_refused(make: Any, setting: str) -> None:
    """By the name of the setting, when they are given."""
    with pytest.raises(ConfigError) as refused:
        make()
    assert refused.value.setting == setting


@pytest.mark.parametrize(
    ("name", "between", "found"),
    [("ModeChange", "_", "mode_change"), ("Event", "_", "event"), ("DiskLow", " ", "disk low")],
)
def test_words(name: str, between: str, found: str) -> None:
    """The name of a type as words."""
    assert words(name, between) == found

"""Alerts on their way: from an event of the bus to a channel, whatever other channels do."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

import resilient
from resilient import (
    CircuitBreaker,
    CircuitOpened,
    ConfigError,
    ModeChange,
    Severity,
    SystemOperationMode,
    alerts,
    breaker,
)
from resilient.core.hub import hub
from resilient.telemetry.alerting.held import SUMMARY
from resilient.testing import Resilience

WAIT = 30.0
"""Seconds until a test that hangs is given up."""

ELSEWHERE = SystemOperationMode("elsewhere")
"""Where circuits of these tests report to: other tests have nothing to do with them."""


class Keep(list[alerts.Alert]):
    """A channel that keeps its alerts, and waits or fails when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.may_go = threading.Event()
        self.may_go.set()
        self.reached = threading.Event()
        self.error: BaseException | None = None

    def __repr__(self) -> str:
        return "<kept>"

    def send(self, alert: alerts.Alert) -> None:
        """Take one."""
        self.reached.set()
        assert self.may_go.wait(WAIT)
        if self.error is not None:
            raise self.error
        self.append(alert)

    @property
    def names(self) -> list[str]:
        """Whom they were about."""
        return [alert.name for alert in self]


Send = Callable[..., alerts.Alerts]


@pytest.fixture
def send() -> Iterator[Send]:
    """`alerts.send` for opened circuits, undone at the end."""
    made: list[alerts.Alerts] = []

    def start(channel: alerts.Channel, **settings: Any) -> alerts.Alerts:
        made.append(alerts.send(channel, **{"on": CircuitOpened, **settings}))
        return made[-1]

    yield start
    for each in made:
        each.cancel()
    assert resilient.shutdown(WAIT)


def open_circuits(*names: str) -> list[CircuitBreaker]:
    """Breakers that have just opened."""
    made = [breaker(name, mode=ELSEWHERE) for name in names]
    for each in made:
        each.open()
    return made


def test_an_outage_and_its_end(resilience: Resilience, send: Send) -> None:
    """Mode and component by default: what failed, what the mode became, and that it is over."""
    kept = Keep()
    pager = alerts.send(kept)
    gate = breaker("payments", failure_threshold=1, criticality="critical")
    with pytest.raises(ConnectionError):
        gate.call(_raise, ConnectionError("down"))
    resilience.mode.evaluate()
    assert pager.flush(WAIT)
    assert {(a.kind, a.name, a.severity) for a in kept} == {
        ("mode_change", "system", Severity.ERROR),
        ("component_failed", "payments", Severity.WARNING),
    }
    assert {a.mode for a in kept} == {"EMERGENCY"}
    gate.close()
    for _ in range(200):
        gate.call(abs, 1)
        resilience.clock.advance(1)
        resilience.mode.evaluate()
    assert pager.flush(WAIT)
    assert {(a.kind, a.name) for a in kept if a.recovered} == {
        ("mode_change", "system"),
        ("component_recovered", "payments"),
    }
    assert len(kept) == 4
    assert pager.sent == 4
    pager.cancel()


def _raise(error: Exception) -> None:
    raise error


@pytest.mark.usefixtures("resilience")
def test_an_alert_of_the_mode_it_was_given(send: Send) -> None:
    """``mode=`` names whose mode the alerts show; by default it is the default mode."""
    mode = SystemOperationMode("other")
    mode.force("degraded", reason="drill")
    mine, theirs = Keep(), Keep()
    first, second = send(mine, mode=mode), send(theirs)
    open_circuits("a")
    assert first.flush(WAIT)
    assert second.flush(WAIT)
    assert [alert.mode for alert in mine] == ["DEGRADED"]
    assert [alert.mode for alert in theirs] == ["NORMAL"]
    mode.close()


@pytest.mark.usefixtures("resilience")
def test_a_channel_that_hangs_delays_no_call_and_no_other_channel(send: Send) -> None:
    """While one waits, calls are answered, another channel and other listeners hear everything."""
    stuck, fine = Keep(), Keep()
    heard: list[CircuitOpened] = []
    stuck.may_go.clear()
    blocked, other = send(stuck, rate=100), send(fine, rate=100)
    listener = resilient.subscribe(CircuitOpened, heard.append)
    names = [str(number) for number in range(50)]
    open_circuits("first")
    assert stuck.reached.wait(WAIT)
    open_circuits(*names)
    assert other.flush(WAIT)
    assert fine.names == ["first", *names]
    assert stuck == []
    stuck.may_go.set()
    assert blocked.flush(WAIT)
    assert stuck.names == ["first", *names]
    listener.cancel()
    assert len(heard) == 51


@pytest.mark.usefixtures("resilience")
def test_what_does_not_fit_is_counted_and_summed_up(send: Send) -> None:
    """A channel that hangs holds `limit` alerts; those beyond are told in one, when it is back."""
    stuck = Keep()
    stuck.may_go.clear()
    pager = send(stuck, rate=100, limit=5)
    open_circuits("first")
    assert stuck.reached.wait(WAIT)
    for number in range(20):
        open_circuits(str(number))
        _decided(pager)
    stuck.may_go.set()
    assert pager.flush(WAIT)
    assert pager.flush(WAIT)
    assert stuck.names == ["first", "0", "1", "2", "3", "4", "alerts"]
    assert stuck[-1].suppressed == 15
    assert (pager.sent, pager.failed) == (7, 0)
    assert pager.dropped >= 15  # the summary, too, if there was no room yet


def _decided(pager: alerts.Alerts) -> None:
    """Wait until the rules have looked at everything."""
    with hub.dispatcher.changed:
        assert hub.dispatcher.changed.wait_for(lambda: pager._decider.idle, WAIT)


@pytest.mark.usefixtures("resilience")
def test_a_channel_that_raises_is_counted_logged_and_made_good(
    send: Send, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is lost in silence: the failure is in the log, and in a summary when it works."""
    kept = Keep()
    pager = send(kept)
    kept.error = ConnectionError("no route")
    open_circuits("a", "b")
    assert pager.flush(WAIT)
    assert (pager.sent, pager.failed) == (0, 2)
    assert "'a: circuit opened (set to open by hand)' not delivered by <kept>" in caplog.text
    assert "ConnectionError: no route" in caplog.text
    kept.error = None
    open_circuits("c")
    assert pager.flush(WAIT)
    assert pager.flush(WAIT)
    assert [(a.name, a.suppressed) for a in kept] == [("c", 0), ("alerts", 2)]
    assert kept[1].details["latest"][0].startswith("a: circuit opened")


@pytest.mark.usefixtures("resilience")
def test_a_channel_that_exits_ends_nobody(send: Send) -> None:
    """`SystemExit` in a channel is one more failure."""
    kept = Keep()
    pager = send(kept)
    kept.error = SystemExit(3)
    open_circuits("a")
    assert pager.flush(WAIT)
    kept.error = None
    open_circuits("b")
    assert pager.flush(WAIT)
    assert (pager.failed, kept.names[0]) == (1, "b")


def test_the_rate_on_the_clock_of_the_mode(
    resilience: Resilience, send: Send, caplog: pytest.LogCaptureFixture
) -> None:
    """Time is injected; what is held back is announced in the log at once, and told in its time."""
    kept = Keep()
    pager = send(kept, rate=2, per=60)
    open_circuits("a", "b", "c", "d")
    assert pager.flush(WAIT)
    assert kept.names == ["a", "b"]
    assert "alerts to <kept> are more than their rate" in caplog.text
    resilience.clock.advance(30)
    assert pager.flush(WAIT)
    assert [(a.kind, a.suppressed) for a in kept[2:]] == [(SUMMARY, 2)]
    assert (pager.sent, pager.suppressed) == (3, 2)


def test_a_summary_comes_by_itself(send: Send) -> None:
    """Nothing else need happen: on the machine's clock a timer sees to it."""
    kept = Keep()
    send(kept, rate=1, per=0.2)
    done = threading.Event()

    class Until:
        def send(self, alert: alerts.Alert) -> None:
            kept.append(alert)
            if alert.kind == SUMMARY:
                done.set()

    send(Until(), rate=1, per=0.2)
    open_circuits("a", "b")
    assert done.wait(WAIT)


@pytest.mark.usefixtures("resilience")
def test_closing_tells_what_is_held_back(send: Send) -> None:
    """`close` sends the last summary whatever the rate, waits, and cancels."""
    kept = Keep()
    pager = send(kept, rate=1, per=3600)
    open_circuits("a", "b", "c")
    assert pager.close(WAIT)
    assert [(a.kind, a.suppressed) for a in kept] == [("circuit_opened", 0), (SUMMARY, 2)]
    open_circuits("d")
    assert pager.flush(WAIT)
    assert len(kept) == 2


def test_closing_waits_no_longer_than_it_may(send: Send) -> None:
    """A channel that hangs: False after the time that was given, and the rest is cancelled."""
    stuck = Keep()
    stuck.may_go.clear()
    pager = send(stuck)
    open_circuits("a", "b")
    assert stuck.reached.wait(WAIT)
    assert not pager.close(0.05)
    stuck.may_go.set()
    assert resilient.shutdown(WAIT)
    assert stuck.names == ["a"]


@pytest.mark.usefixtures("resilience")
def test_shutdown_delivers_what_is_queued(send: Send) -> None:
    """`resilient.shutdown` waits for channels, too."""
    kept = Keep()
    send(kept, rate=100)
    open_circuits(*map(str, range(30)))
    assert resilient.shutdown(WAIT)
    assert len(kept) == 30


@pytest.mark.usefixtures("resilience")
def test_shutdown_tells_what_is_held_back(send: Send) -> None:
    """What the rate would have told later is told in a last summary; the alerting goes on."""
    kept = Keep()
    send(kept, rate=1, per=3600)
    open_circuits("a", "b", "c")
    assert resilient.shutdown(WAIT)
    assert [(a.kind, a.suppressed) for a in kept] == [("circuit_opened", 0), (SUMMARY, 2)]


def test_cancelling_ends_the_timer(send: Send) -> None:
    """No thread of an alarm is left behind."""
    pager = send(Keep(), rate=1, per=3600)
    open_circuits("a", "b")
    assert pager.flush(WAIT)
    assert [t for t in threading.enumerate() if t.name == "resilient-alerts"] != []
    pager.cancel()
    assert [t for t in threading.enumerate() if t.name == "resilient-alerts"] == []


@pytest.mark.usefixtures("resilience")
def test_a_channel_does_not_alert_about_itself(send: Send) -> None:
    """What the channel's own policies publish is no alert, neither here nor elsewhere."""

    class Guarded(Keep):
        def __init__(self) -> None:
            super().__init__()
            self.breaker = breaker("pager", failure_threshold=1, mode=ELSEWHERE)

        def send(self, alert: alerts.Alert) -> None:
            self.breaker.call(_raise, ConnectionError("dead"))

    guarded, other = Guarded(), Keep()
    first, second = send(guarded), send(other)
    open_circuits("db")
    assert first.flush(WAIT)
    assert second.flush(WAIT)
    assert guarded.breaker.state is resilient.CircuitState.OPEN
    assert other.names == ["db"]
    assert (first.failed, first.suppressed) == (1, 0)


class Loud:
    """An async channel."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.loops: set[int] = set()
        self.gate = breaker("async pager", failure_threshold=1, mode=ELSEWHERE)

    async def send(self, alert: alerts.Alert) -> None:
        """Suspend, and take it, or fail behind a breaker of its own."""
        await asyncio.sleep(0)
        self.loops.add(id(asyncio.get_running_loop()))
        self.names.append(alert.name)
        if alert.name == "bad":
            with self.gate:
                raise ConnectionError


async def test_an_async_channel_runs_on_the_loop_it_was_given_on(send: Send) -> None:
    """In order, on the caller's loop; its failures are counted, its own circuits no alert."""
    loud = Loud()
    pager = send(loud)
    open_circuits("a", "bad", "c")
    assert await asyncio.to_thread(pager.flush, WAIT)
    assert await asyncio.to_thread(pager.flush, WAIT)
    assert loud.names == ["a", "bad", "c", "alerts"]
    assert loud.loops == {id(asyncio.get_running_loop())}
    assert (pager.sent, pager.failed) == (3, 1)


def test_an_async_channel_without_a_loop_gets_one_of_ours(send: Send) -> None:
    """A program with threads only may have one."""
    loud = Loud()
    pager = send(loud)
    open_circuits("a", "bad", "c")
    assert pager.flush(WAIT)
    assert pager.flush(WAIT)
    assert loud.names == ["a", "bad", "c", "alerts"]
    assert (pager.sent, pager.failed) == (3, 1)


def test_an_alert_that_its_loop_took_along_is_counted(
    send: Send, caplog: pytest.LogCaptureFixture
) -> None:
    """The loop is closed while an alert is under way: it failed, and the next one is delivered."""

    class Slow:
        def __init__(self) -> None:
            self.names: list[str] = []
            self.begun = threading.Event()

        async def send(self, alert: alerts.Alert) -> None:
            self.begun.set()
            if alert.name == "a":
                await asyncio.sleep(WAIT)
            self.names.append(alert.name)

    slow = Slow()

    async def application() -> alerts.Alerts:
        pager = send(slow)
        open_circuits("a")
        assert await asyncio.to_thread(slow.begun.wait, WAIT)
        return pager

    pager = asyncio.run(application())
    open_circuits("b")
    assert pager.flush(WAIT)
    assert pager.flush(WAIT)
    assert slow.names == ["b", "alerts"]
    assert pager.failed == 1
    assert "not delivered" in caplog.text


@pytest.mark.usefixtures("resilience")
def test_alerts_as_lines_of_the_log(send: Send) -> None:
    """Title, level and fields; what is empty is left out."""
    lines: list[dict[str, Any]] = []

    def keep(logger: object, method: str, line: Any) -> Any:
        lines.append({**line, "level": method})
        raise structlog.DropEvent

    logger = structlog.wrap_logger(None, processors=[keep], wrapper_class=None)
    pager = send(alerts.log(logger))
    (gate,) = open_circuits("db")
    gate.close()
    assert pager.flush(WAIT)
    first, second = lines
    assert first["event"] == "db: circuit opened (set to open by hand)"
    assert (first["level"], first["component"], first["kind"]) == ("error", "db", "circuit_opened")
    assert first["details"]["new"] == "OPEN"
    assert not {"recovered", "suppressed"} & first.keys()
    assert (second["level"], second["recovered"]) == ("info", True)


def test_many_threads_and_nothing_is_lost(send: Send) -> None:
    """Each event is told, held back, or dropped: the counts add up."""
    kept = Keep()
    pager = send(kept, rate=20, per=0.5)

    def trouble(number: int) -> None:
        for each in range(10):
            open_circuits(f"{number}-{each}")
            open_circuits(f"{number}-{each}")

    threads = [threading.Thread(target=trouble, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert pager.close(WAIT)
    alone = [alert for alert in kept if alert.kind != SUMMARY]
    summed = sum(alert.suppressed for alert in kept if alert.kind == SUMMARY)
    assert len(alone) + summed == 8 * 10
    assert pager.sent == len(kept)
    assert (pager.failed, pager.dropped) == (0, 0)
    assert pager.suppressed == summed + 8 * 10


@pytest.mark.parametrize(
    ("settings", "setting"),
    [
        ({"channel": print}, "channel"),
        ({"channel": Keep}, "channel"),
        ({"on": "ModeChange"}, "on"),
        ({"at_least": "loud"}, "at_least"),
        ({"at_least": None}, "at_least"),
        ({"dedupe": -1}, "dedupe"),
        ({"rate": 0}, "rate"),
        ({"per": 0}, "per"),
        ({"limit": 0}, "limit"),
        ({"mode": "normal"}, "mode"),
        ({"clock": time}, "clock"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], setting: str) -> None:
    """When they are given, by name, and nothing listens."""
    with pytest.raises(ConfigError) as refused:
        alerts.send(**{"channel": Keep(), **settings})
    assert refused.value.setting == setting


def test_the_handle_says_how_it_stands(send: Send) -> None:
    """For a person who looks."""
    pager = send(Keep(), on=ModeChange)
    assert repr(pager) == "<Alerts to <kept>: 0 sent, 0 suppressed, 0 failed, 0 dropped>"


class Torn(resilient.Event, frozen=True, kw_only=True):
    """An event whose texts are not what JSON or one line has."""

    error: str
    seen: dict[str, list[str]]

    @property
    def severity(self) -> Severity:
        """It matters."""
        return Severity.ERROR


class Encoding(list[bytes]):
    """A channel that makes JSON of its alerts, as a webhook and a command do."""

    def send(self, alert: alerts.Alert) -> None:
        """Take one."""
        self.append(alert.json())


def test_a_name_that_is_no_utf8_keeps_no_alert_from_arriving(send: Send) -> None:
    """Python has such names of files as texts with halves of characters in them."""
    kept = Encoding()
    pager = send(kept, on=Torn)
    name = "/srv/caf\udce9"
    resilient.publish(Torn(name=name, error=f"no such file: {name}", seen={name: [name, "é"]}))
    assert pager.flush(WAIT)
    assert pager.failed == 0
    (found,) = map(json.loads, kept)
    assert found["name"] == "/srv/caf?"
    assert found["details"]["seen"] == {"/srv/caf?": ["/srv/caf?", "é"]}


def test_a_title_is_one_line(send: Send) -> None:
    """It becomes the subject of a mail; what has more lines is whole in the details."""
    kept = Keep()
    pager = send(kept, on=Torn)
    resilient.publish(Torn(name="db", error="first\r\nBcc: me\n\n  third", seen={}))
    assert pager.flush(WAIT)
    assert kept[0].title == "db: torn (first Bcc: me third)"
    assert kept[0].details["error"] == "first\r\nBcc: me\n\n  third"


def test_a_filter_that_exits_is_a_filter_that_raises(
    send: Send, caplog: pytest.LogCaptureFixture
) -> None:
    """The event is told then, whatever was raised."""

    def leave(event: Torn) -> bool:
        raise SystemExit(event.name)

    kept = Keep()
    pager = send(kept, on=alerts.when(Torn, only=leave))
    resilient.publish(Torn(name="db", error="", seen={}))
    assert pager.flush(WAIT)
    assert kept.names == ["db"]
    assert "the filter of an alert raised" in caplog.text

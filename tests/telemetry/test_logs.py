"""Every event as one line of structlog, written elsewhere, and only if somebody asked."""

from __future__ import annotations

import importlib
import pkgutil
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

import resilient
from resilient import breaker, enable_logs, fallback, retry, timeout
from resilient.telemetry.severities import words
from tests.policies.scripted import Script

WAIT = 30.0
"""Seconds until a test that hangs is given up."""


class Lines(list[dict[str, Any]]):
    """A structlog logger that keeps its lines."""

    def __init__(self) -> None:
        super().__init__()
        self.logger = structlog.wrap_logger(None, processors=[self._keep], wrapper_class=None)

    def _keep(self, logger: object, method: str, line: Any) -> Any:
        self.append({**line, "level": method})
        raise structlog.DropEvent

    def of(self, event: str) -> list[dict[str, Any]]:
        """The lines of one kind of event."""
        assert resilient.shutdown(WAIT)
        return [line for line in self if line["event"] == event]


@pytest.fixture
def lines() -> Lines:
    """Where the lines go."""
    return Lines()


@pytest.fixture
def log(lines: Lines) -> Iterator[Callable[..., Any]]:
    """`enable_logs` into `lines`, undone at the end."""
    made: list[Any] = []

    def enable(severity: Any = "debug", logger: Any = None) -> Any:
        made.append(enable_logs(severity, logger=lines.logger if logger is None else logger))
        return made[-1]

    yield enable
    for subscription in made:
        subscription.cancel()
    resilient.shutdown(WAIT)


def circuits(lines: Iterable[Any]) -> list[dict[str, Any]]:
    """Lines of circuits alone; a mode that another test made may have its say, too."""
    return [line for line in lines if line["event"].startswith("circuit_")]


def open_circuit(name: str) -> resilient.CircuitBreaker:
    """A breaker that has just opened because of one failure."""
    gate = breaker(name, failure_threshold=1)
    with pytest.raises(ConnectionError):
        gate.call(Script(ConnectionError("down")))
    return gate


def test_quiet_until_asked(capsys: pytest.CaptureFixture[str]) -> None:
    """Without `enable_logs` nothing is written anywhere."""
    with capture_logs() as captured:
        open_circuit("quiet")
        resilient.shutdown(WAIT)
    assert captured == []
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("resilience")
def test_each_event_is_one_line(log: Any, lines: Lines) -> None:
    """The kind as the message, the policy's name bound, every field under its own name."""
    log()
    gate = open_circuit("payments")
    with pytest.raises(resilient.CircuitOpenError):
        gate.call(Script(1))
    (failed,) = lines.of("call_failed")
    assert failed["policy"] == "payments"
    assert failed["level"] == "debug"
    assert "down" in failed["error"]
    (opened,) = lines.of("circuit_opened")
    assert opened["policy"] == "payments"
    assert opened["level"] == "error"
    assert (opened["old"], opened["new"]) == ("CLOSED", "OPEN")
    assert opened["retry_after"] == 60
    assert opened["sequence"] == 1
    assert "down" in opened["error"]
    assert opened["reason"]
    (rejected,) = lines.of("call_rejected")
    assert rejected["policy"] == "payments"
    assert rejected["retry_after"] == 60


@pytest.mark.usefixtures("resilience")
def test_every_kind_of_event_has_its_line(log: Any, lines: Lines) -> None:
    """Retries, fallbacks, timeouts, circuits: with their own level and numbers."""
    log()
    with pytest.raises(ConnectionError):
        retry(on=OSError, attempts=2, wait=0.5).call(Script(ConnectionError("down")))
    fallback("instead").call(Script(ConnectionError("down")))
    release = threading.Event()
    with pytest.raises(resilient.CallTimeoutError):
        timeout(0.001, thread=True).call(release.wait)
    release.set()
    gate = open_circuit("orders")
    gate.half_open()
    gate.close()
    gate.force_open()
    expected: dict[str, tuple[str, dict[str, Any]]] = {
        "retry_scheduled": ("info", {"attempt": 1, "wait": 0.5}),
        "retry_gave_up": ("warning", {"attempts": 2}),
        "fallback_used": ("info", {"source": "default", "freshness": "default"}),
        "call_timed_out": ("warning", {"seconds": pytest.approx(0.001)}),
        "circuit_half_opened": ("info", {"policy": "orders", "new": "HALF_OPEN"}),
        "circuit_closed": ("info", {"policy": "orders", "new": "CLOSED"}),
        "circuit_overridden": ("warning", {"policy": "orders", "new": "FORCED_OPEN"}),
    }
    for event, (level, details) in expected.items():
        (line,) = lines.of(event)
        assert line["level"] == level
        assert {name: line[name] for name in details} == details
        assert line["policy"]
        assert "name" not in line
        assert None not in line.values()


@pytest.mark.parametrize(
    ("severity", "events"),
    [
        ("debug", {"circuit_opened", "circuit_closed", "circuit_overridden", "call_failed"}),
        ("info", {"circuit_opened", "circuit_closed", "circuit_overridden"}),
        ("INFO", {"circuit_opened", "circuit_closed", "circuit_overridden"}),
        (resilient.Severity.INFO, {"circuit_opened", "circuit_closed", "circuit_overridden"}),
        ("warning", {"circuit_opened", "circuit_overridden"}),
        ("Error", {"circuit_opened"}),
        (resilient.Severity.ERROR, {"circuit_opened"}),
    ],
)
def test_what_matters_less_is_left_out(
    log: Any, lines: Lines, severity: Any, events: set[str]
) -> None:
    """Events of at least that severity, by name in any case or as a member."""
    log(severity)
    gate = open_circuit("filtered")
    gate.close()
    gate.disable()
    assert resilient.shutdown(WAIT)
    ours = [line for line in lines if line["event"].startswith(("call_", "circuit_"))]
    assert {line["event"] for line in ours if line["policy"] == "filtered"} == events


def test_info_and_the_configured_logger_are_the_default() -> None:
    """Configuring structlog configures these lines too."""
    with capture_logs() as captured:
        subscription = enable_logs()
        try:
            gate = open_circuit("default")
            gate.close()
            assert resilient.shutdown(WAIT)
        finally:
            subscription.cancel()
    ours = [line for line in circuits(captured) if line["policy"] == "default"]
    assert [line["event"] for line in ours] == ["circuit_opened", "circuit_closed"]
    assert [line["log_level"] for line in ours] == ["error", "info"]


@pytest.mark.parametrize("bad", ["loud", "", None, 5, True, ["info"], resilient.Mode.NORMAL])
def test_a_severity_that_is_none_is_refused(bad: Any) -> None:
    """`ConfigError` that names all of them."""
    with pytest.raises(resilient.ConfigError) as caught:
        enable_logs(bad)
    assert caught.value.setting == "severity"
    assert caught.value.value is bad
    for severity in resilient.Severity:
        assert severity.value in caught.value.allowed


def test_cancel_ends_it(log: Any, lines: Lines) -> None:
    """And leaves other subscriptions alone."""
    first = log()
    log()
    open_circuit("both")
    assert len([line for line in lines.of("circuit_opened") if line["policy"] == "both"]) == 2
    first.cancel()
    open_circuit("one")
    assert len([line for line in lines.of("circuit_opened") if line["policy"] == "one"]) == 1


def test_lines_come_in_the_order_of_the_events(log: Any, lines: Lines) -> None:
    """Also 100 of them."""
    log("info")
    gate = breaker("order")
    for _ in range(100):
        gate.open()
        gate.close()
    assert resilient.shutdown(WAIT)
    ours = [line["sequence"] for line in circuits(lines) if line["policy"] == "order"]
    assert ours == list(range(1, 201))


def test_a_processor_that_raises_changes_no_call(
    log: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """What it raises is contained, and later events are still offered to it."""
    seen: list[str] = []

    def fails(logger: object, method: str, line: Any) -> Any:
        seen.append(line["event"])
        raise LookupError

    log(logger=structlog.wrap_logger(None, processors=[fails]))
    gate = open_circuit("raising")
    with pytest.raises(resilient.CircuitOpenError):
        gate.call(Script(1))
    gate.close()
    assert gate.call(Script("yes")) == "yes"
    assert resilient.shutdown(WAIT)
    assert {"circuit_opened", "circuit_closed"} <= set(seen)
    assert "raised" in caplog.text


def test_a_processor_that_hangs_changes_no_call(log: Any) -> None:
    """Calls go on, and lines that do not fit are dropped and counted."""
    release, hanging = threading.Event(), threading.Event()

    def hangs(logger: object, method: str, line: Any) -> Any:
        hanging.set()
        release.wait(WAIT)
        raise structlog.DropEvent

    subscription = log(logger=structlog.wrap_logger(None, processors=[hangs]))
    gate = open_circuit("hanging")
    assert hanging.wait(WAIT)
    gate.close()
    assert gate.call(Script("yes")) == "yes"
    for _ in range(1000):
        gate.open()
        gate.close()
    assert gate.call(Script("yes")) == "yes"
    assert subscription.dropped >= 1000
    release.set()
    assert resilient.shutdown(WAIT)


def test_plain_logging_objects_do() -> None:
    """Anything with structlog's `bind` and the methods of the levels."""
    told: list[tuple[str, str, dict[str, Any]]] = []

    class Logger:
        def __init__(self, **bound: Any) -> None:
            self.bound = bound

        def bind(self, **bound: Any) -> Logger:
            return Logger(**self.bound, **bound)

        def __getattr__(self, level: str) -> Any:
            return lambda event, **details: told.append((level, event, self.bound))

    subscription = enable_logs(logger=Logger(app="shop"))
    try:
        open_circuit("bound")
        assert resilient.shutdown(WAIT)
    finally:
        subscription.cancel()
    assert ("error", "circuit_opened", {"app": "shop", "policy": "bound"}) in told


class Parcel(resilient.Event, frozen=True, kw_only=True):
    """An event of an application, with fields that structlog has too."""

    event: str
    policy: str
    self: str
    weight: float


def test_a_field_may_be_called_anything(log: Any, lines: Lines) -> None:
    """What would collide with the line's own words is written beside them; numbers are rounded."""
    log()
    resilient.publish(Parcel(name="p1", event="lost", policy="express", self="me", weight=2.54321))
    (line,) = lines.of("parcel")
    assert line == {
        "event": "parcel",
        "policy": "p1",
        "event_": "lost",
        "policy_": "express",
        "self_": "me",
        "weight": 2.543,
        "level": "info",
    }


def kinds() -> set[str]:
    """Every kind of event that the library has, as its log calls it."""
    for module in pkgutil.walk_packages(resilient.__path__, "resilient."):
        if module.name.startswith(("resilient.system.", "resilient.policies.")):
            importlib.import_module(module.name)
    found, waiting = set(), [resilient.Event]
    while waiting:
        waiting += (more := waiting.pop().__subclasses__())
        found |= {each for each in more if each.__module__.startswith("resilient.")}
    return {words(each.__name__) for each in found if not each.__subclasses__()}


def test_the_page_lists_every_kind() -> None:
    """Whoever meets a line in a log finds it there."""
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "logs.md").read_text("utf-8")
    assert {kind for kind in kinds() if f"`{kind}`" not in page} == set()

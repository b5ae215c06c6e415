"""Alerts to a real HTTP server that answers, fails, hangs, drips, and goes away."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

import resilient
from resilient import (
    CircuitOpened,
    CircuitOpenError,
    CircuitState,
    ConfigError,
    Severity,
    SystemOperationMode,
    alerts,
    breaker,
)
from resilient.telemetry.alerting.webhook_channel import MAX_DELAY, SIGNATURE
from resilient.testing import ManualClock

WAIT = 30.0
"""Seconds until a test that hangs is given up."""

ELSEWHERE = SystemOperationMode("elsewhere")


def alert(name: str = "db") -> alerts.Alert:
    """Something to send."""
    return alerts.Alert(kind="drill", name=name, severity=Severity.ERROR, title=f"{name} is down")


class Hook(ThreadingHTTPServer):
    """Answers with the statuses it is given, then with 204. `bodies` and `heads` are what came."""

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.script: list[int | Callable[[Handler], None]] = []
        self.headers: dict[str, str] = {}
        self.bodies: list[bytes] = []
        self.heads: list[Any] = []
        self.over = threading.Event()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it is, with a secret path."""
        return f"http://127.0.0.1:{self.server_address[1]}/s3cret?team=a"

    @property
    def names(self) -> list[str]:
        """Whom the alerts were about."""
        return [json.loads(body)["name"] for body in self.bodies]

    def end(self) -> None:
        """Stop, and free the port."""
        self.over.set()
        self.shutdown()
        self._thread.join()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    """One request to a `Hook`."""

    server: Hook
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Keep what came, and answer."""
        self.server.heads.append((self.path, dict(self.headers)))
        self.server.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        answer = self.server.script.pop(0) if self.server.script else 204
        if callable(answer):
            answer(self)
            return
        self.send_response(answer)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the name it is given)
        """Say nothing."""


def hang(handler: Handler) -> None:
    """Answer nothing until the test is over."""
    handler.server.over.wait(WAIT)


def drip(handler: Handler) -> None:
    """Answer with a byte now and then: each is in time, the head of the answer never is."""
    with suppress(OSError):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not handler.server.over.wait(0.05):
            handler.wfile.write(b"x")


def cut(handler: Handler) -> None:
    """End the connection without an answer."""
    handler.close_connection = True


@pytest.fixture
def hook() -> Iterator[Hook]:
    """A server on a free port."""
    server = Hook()
    yield server
    server.end()


def threads_of_posts() -> list[threading.Thread]:
    """Those that are left behind when a limit of time fires."""
    return [t for t in threading.enumerate() if t.name.startswith("resilient-timeout-_Post")]


def test_an_alert_is_posted_as_json(hook: Hook) -> None:
    """The whole record, the path with its query, headers of one's own, and no signature unasked."""
    alerts.webhook(hook.url, headers={"Authorization": "Bearer x"}).send(alert())
    assert json.loads(hook.bodies[0]) == json.loads(hook.bodies[0]) | {
        "name": "db",
        "kind": "drill",
    }
    ((path, head),) = hook.heads
    assert path == "/s3cret?team=a"
    assert head["Content-Type"] == "application/json"
    assert head["Authorization"] == "Bearer x"
    assert SIGNATURE not in head


@pytest.mark.parametrize("secret", ["key", b"key"])
def test_a_signature_can_be_verified(hook: Hook, secret: str | bytes) -> None:
    """HMAC-SHA256 of the very bytes of the body, as hexadecimal (RFC 2104, FIPS 180-4)."""
    alerts.webhook(hook.url, secret=secret).send(alert())
    expected = hmac.new(b"key", hook.bodies[0], hashlib.sha256).hexdigest()
    assert hook.heads[0][1][SIGNATURE] == f"sha256={expected}"


def test_the_body_may_be_another(hook: Hook) -> None:
    """What a receiver wants to have, such as one text."""
    alerts.webhook(hook.url, body=lambda given: {"text": given.title}).send(alert())
    assert json.loads(hook.bodies[0]) == {"text": "db is down"}


@pytest.mark.parametrize(
    ("answers", "tries", "delivered"),
    [
        ([], 1, True),
        ([500], 2, True),
        ([503, 502, 408], 4, True),
        ([429, 425], 3, True),
        ([cut], 2, True),
        ([500, 500, 500, 500], 4, False),
        ([404], 1, False),
        ([400], 1, False),
        ([301], 1, False),
    ],
)
def test_what_is_tried_again(hook: Hook, answers: list[Any], tries: int, delivered: bool) -> None:  # noqa: FBT001  (a table)
    """Trouble of the server and lost connections, up to 4 attempts; a refusal is final."""
    hook.script[:] = answers
    channel = alerts.webhook(hook.url, clock=ManualClock())
    if delivered:
        channel.send(alert())
    else:
        with pytest.raises(Exception, match=str(answers[-1])):
            channel.send(alert())
    assert hook.names == ["db"] * tries


@pytest.mark.parametrize(("asked", "waited"), [("7", 7), ("3600", MAX_DELAY), ("nonsense", 0)])
def test_retry_after_is_heeded(hook: Hook, asked: str, waited: float) -> None:
    """429 says when (RFC 9110, 10.2.3): no sooner, but never later than 30 s."""
    hook.script[:] = [429]
    hook.headers["Retry-After"] = asked
    clock = ManualClock()
    alerts.webhook(hook.url, wait=0, clock=clock).send(alert())
    assert clock.monotonic() == waited
    assert len(hook.bodies) == 2


def free_port() -> int:
    """A port where nobody is."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def test_a_dead_port_opens_the_breaker_which_heals_later() -> None:
    """After 5 refused connections alerts fail at once; when the time is over, one may try."""
    port, clock = free_port(), ManualClock()
    channel = alerts.webhook(f"http://127.0.0.1:{port}/", attempts=5, wait=0, clock=clock)
    with pytest.raises(ConnectionRefusedError):
        channel.send(alert("a"))
    assert channel.breaker.state is CircuitState.OPEN
    with pytest.raises(CircuitOpenError):
        channel.send(alert("b"))
    server = Hook(port)
    try:
        with pytest.raises(CircuitOpenError):
            channel.send(alert("c"))
        clock.advance(30)
        channel.send(alert("d"))
        assert channel.breaker.state is CircuitState.CLOSED
        assert server.names == ["d"]
    finally:
        server.end()


@pytest.mark.parametrize("misdeed", [hang, drip])
def test_a_server_that_hangs_costs_its_time_and_no_thread(hook: Hook, misdeed: Any) -> None:
    """The limit is on the whole attempt, however many bytes come; its thread ends soon after."""
    hook.script[:] = [misdeed]
    with pytest.raises(TimeoutError):
        alerts.webhook(hook.url, attempts=1, timeout=0.2).send(alert())
    for thread in threads_of_posts():
        thread.join(WAIT)
        assert not thread.is_alive()
    assert not hook.over.is_set()


def test_a_server_that_hangs_delays_no_call_and_no_other_channel(hook: Hook) -> None:
    """Calls are answered and another webhook hears everything while the first one waits."""
    other = Hook()
    hook.script[:] = [hang]
    stuck = alerts.send(alerts.webhook(hook.url, timeout=WAIT), on=CircuitOpened)
    fine = alerts.send(alerts.webhook(other.url), on=CircuitOpened)
    try:
        gates = [breaker(name, mode=ELSEWHERE) for name in "abc"]
        for gate in gates:
            gate.open()
        assert fine.flush(WAIT)
        assert other.names == ["a", "b", "c"]
        assert stuck.sent == 0
        hook.over.set()
        assert stuck.flush(WAIT)
        assert hook.names == ["a", "a", "b", "c"]
    finally:
        stuck.cancel()
        fine.cancel()
        other.end()
    assert resilient.shutdown(WAIT)


def test_alerts_arrive_in_order_though_some_are_tried_again(hook: Hook) -> None:
    """The next one waits for the one before."""
    hook.script[:] = [500, 500, 204, 503]
    pager = alerts.send(alerts.webhook(hook.url, wait=0), on=CircuitOpened)
    gates = [breaker(name, mode=ELSEWHERE) for name in "abc"]
    for gate in gates:
        gate.open()
    assert pager.flush(WAIT)
    assert hook.names == ["a", "a", "a", "b", "b", "c"]
    assert (pager.sent, pager.failed) == (3, 0)
    pager.cancel()


@pytest.mark.usefixtures("resilience")
def test_a_webhook_is_no_component_and_no_alert() -> None:
    """Its breaker opens, and no mode and no other channel hears of it; afterwards it catches up."""
    port = free_port()
    told: list[alerts.Alert] = []

    class Keep:
        def send(self, alert: alerts.Alert) -> None:
            told.append(alert)

    channel = alerts.webhook(f"http://127.0.0.1:{port}/", attempts=5, wait=0)
    everything = (resilient.Event,)
    pager = alerts.send(channel, on=CircuitOpened)
    other = alerts.send(Keep(), on=everything, at_least="debug")
    gate = breaker("db", mode=ELSEWHERE)
    gate.open()
    assert pager.flush(WAIT)
    assert channel.breaker.state is CircuitState.OPEN
    mode = resilient.default_mode()
    mode.evaluate()
    assert channel.breaker.name not in [each.name for each in mode.explain().contributions]
    assert other.flush(WAIT)
    assert {each.name for each in told} == {"db"}
    assert (pager.sent, pager.failed) == (0, 1)
    server = Hook(port)
    channel.breaker.close()
    gate.close()
    assert pager.flush(WAIT)
    assert pager.flush(WAIT)
    server.end()
    assert server.names == ["db", "alerts"]
    assert json.loads(server.bodies[1])["details"]["kinds"] == {"circuit_opened": 1}
    pager.cancel()
    other.cancel()


@pytest.mark.parametrize(
    ("settings", "setting"),
    [
        ({"url": "hooks.example/x"}, "url"),
        ({"url": "ftp://hooks.example/x"}, "url"),
        ({"url": "http://"}, "url"),
        ({"url": "http://hooks.example:99999/"}, "url"),
        ({"url": "http://user:pass@hooks.example/"}, "url"),
        ({"url": "http://hooks.example/a b"}, "url"),
        ({"url": "http://hooks.example/\r\nX: y"}, "url"),
        ({"url": "http://h\u00f6oks.example/"}, "url"),
        ({"url": None}, "url"),
        ({"secret": ""}, "secret"),
        ({"secret": 3}, "secret"),
        ({"headers": {"X": "a\r\nb"}}, "headers"),
        ({"headers": {"": "a"}}, "headers"),
        ({"headers": {"X": 3}}, "headers"),
        ({"headers": ["X"]}, "headers"),
        ({"body": 3}, "body"),
        ({"timeout": 0}, "timeout"),
        ({"attempts": 0}, "attempts"),
        ({"wait": -1}, "wait"),
        ({"reset_timeout": 0}, "reset_timeout"),
        ({"clock": 3}, "clock"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], setting: str) -> None:
    """When they are given, by name; a secret is not repeated."""
    with pytest.raises(ConfigError) as refused:
        alerts.webhook(**{"url": "http://hooks.example/s3cret", **settings})
    assert refused.value.setting == setting
    assert "pass" not in str(refused.value)


def test_secrets_are_not_shown() -> None:
    """The path of a webhook often is one; the host is enough to find it."""
    channel = alerts.webhook("https://hooks.example:8443/s3cret", secret="key")  # noqa: S106  (none)
    assert repr(channel) == "<webhook to hooks.example>"
    assert "s3cret" not in channel.breaker.name

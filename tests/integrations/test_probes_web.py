"""Laws of the probe of a web server: a real one, good, bad, slow, and speaking TLS."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from resilient import probes
from resilient.errors import ConfigError
from resilient.integrations.probes import web

LONG = 10.0
"""Seconds; a test that took so long would have failed."""
SOON = 0.2
"""Seconds that something which never answers is given."""


PAPERS = Path(__file__).parent / "tls.pem"
"""A key and a certificate for 127.0.0.1 that nobody but its holder has signed."""


class Answers(BaseHTTPRequestHandler):
    """Answers as its path says."""

    server: Site

    def do_GET(self) -> None:
        """``/status/500``, ``/silent``, ``/drips``, ``/drips/headers``, or anything else."""
        self.server.seen.append((self.path, self.headers))
        head, _, rest = self.path.lstrip("/").partition("/")
        if head == "silent":
            self.server.let_go.wait(LONG)
            return
        if head == "drips" and rest == "headers":
            self._drip(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 10_000)
            return
        status = int(rest) if head == "status" else 200
        body = b"all is well \xc3\xa9"
        self.send_response(status)
        if head == "moved":
            self.send_header("Location", "/status/500")
        self.send_header("Content-Length", "1000" if head == "drips" else str(len(body)))
        self.end_headers()
        if head == "drips":
            self._drip(b"x" * 1000)
        else:
            self.wfile.write(body)

    do_HEAD = do_POST = do_GET  # noqa: N815  (their names there)

    def _drip(self, data: bytes) -> None:
        """A byte now and then, each well within any time limit for one."""
        try:
            for byte in data:
                self.wfile.write(bytes([byte]))
                if self.server.let_go.wait(SOON / 10):
                    return
        except OSError:
            self.server.hung_up.set()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (its name there)
        """Silence."""


class Site(ThreadingHTTPServer):
    """A server that remembers what it was asked."""

    daemon_threads = False
    block_on_close = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.seen: list[tuple[str, Any]] = []
        self.let_go = threading.Event()
        self.hung_up = threading.Event()

    def url(self, path: str = "/") -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_port}{path}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who hangs up is no error."""


@pytest.fixture
def site() -> Iterator[Site]:
    """A server that runs."""
    with Site() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield made
        finally:
            made.let_go.set()
            made.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("path", "settings"),
    [
        ("/", {}),
        ("", {}),
        ("/status/204", {}),
        ("/moved", {"expect": 200}),
        ("/status/301", {}),
        ("/status/399", {}),
        ("/status/500", {"expect": 500}),
        ("/status/404", {"expect": (200, 404)}),
        ("/", {"contains": "all is well"}),
        ("/", {"contains": "é"}),
        ("/", {"contains": b"well"}),
        ("/", {"method": "HEAD"}),
        ("/", {"method": "POST"}),
    ],
)
def test_what_is_expected_is_well(site: Site, path: str, settings: dict[str, Any]) -> None:
    """Status by default 200 to 399; a redirect is an answer, and is not followed."""
    probes.http(site.url(path), timeout=LONG, **settings)()
    assert len(site.seen) == 1


@pytest.mark.parametrize(
    ("path", "settings", "words"),
    [
        ("/status/500", {}, "HTTP 500, not 200 to 399"),
        ("/status/404", {}, "HTTP 404, not 200 to 399"),
        ("/", {"expect": (301, 302)}, "HTTP 200, not 301 or 302"),
        ("/", {"expect": 204}, "HTTP 200, not 204"),
        ("/", {"contains": "sorry"}, "HTTP 200 without b'sorry'"),
    ],
)
def test_another_answer_is_a_failure_that_says_which(
    site: Site, path: str, settings: dict[str, Any], words: str
) -> None:
    """The detail of a reading is what a tired engineer reads."""
    with pytest.raises(probes.WrongAnswerError, match=words):
        probes.http(site.url(path), timeout=LONG, **settings)()


@pytest.mark.parametrize("path", ["/silent", "/drips", "/drips/headers"])
def test_one_that_takes_too_long_is_given_up_as_a_whole(site: Site, path: str) -> None:
    """Also if each byte comes in good time: the limit is for all of it."""
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        probes.http(site.url(path), contains="y", timeout=SOON)()
    assert SOON * 0.9 <= time.monotonic() - began < LONG


def test_the_connection_is_closed_after_a_failure(site: Site) -> None:
    """The server sees it."""
    with pytest.raises(TimeoutError):
        probes.http(site.url("/drips"), contains="y", timeout=SOON)()
    assert site.hung_up.wait(LONG)


def test_headers_query_and_host_are_sent(site: Site) -> None:
    """As they were given."""
    probes.http(site.url("/a?b=c#d"), headers={"Authorization": "Bearer x"}, timeout=LONG)()
    ((path, headers),) = site.seen
    assert path == "/a?b=c"
    assert headers["Authorization"] == "Bearer x"
    assert headers["Host"] == f"127.0.0.1:{site.server_port}"


def test_a_port_that_goes_without_saying_is_not_said(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some servers know their host only without it."""
    monkeypatch.setattr(web, "_PORTS", {"http": site.server_port})
    probes.http("http://127.0.0.1/", timeout=LONG)()
    assert site.seen[0][1]["Host"] == "127.0.0.1"


def test_nobody_there_is_a_failure(site: Site) -> None:
    """Refused."""
    url = site.url()
    site.shutdown()
    site.server_close()
    with pytest.raises(ConnectionRefusedError):
        probes.http(url, timeout=LONG)()


def test_an_answer_that_is_no_http_is_a_failure() -> None:
    """Something listens, and says something else."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def grumble() -> None:
            accepted, _ = listener.accept()
            with accepted:
                accepted.recv(1000)
                accepted.sendall(b"220 mail.example ready\r\n")

        thread = threading.Thread(target=grumble)
        thread.start()
        with pytest.raises(http.client.BadStatusLine):
            probes.http(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=LONG)()
        thread.join()


@pytest.fixture
def safe(site: Site) -> Site:
    """A server that speaks TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(PAPERS)
    site.socket = context.wrap_socket(site.socket, server_side=True)
    return site


def test_https_is_spoken_with_whom_the_context_trusts(safe: Site) -> None:
    """Its answer is read as any other."""
    trusting = ssl.create_default_context(cafile=PAPERS)
    url = safe.url().replace("http:", "https:")
    probes.http(url, contains="well", context=trusting, timeout=LONG)()
    assert len(safe.seen) == 1


def test_a_certificate_that_nobody_vouches_for_is_a_failure(safe: Site) -> None:
    """The default context checks it; nothing is asked then."""
    with pytest.raises(ssl.SSLCertVerificationError):
        probes.http(safe.url().replace("http:", "https:"), timeout=LONG)()
    assert safe.seen == []


def test_a_handshake_that_is_not_answered_is_given_up() -> None:
    """Who listens says nothing at all."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            probes.http(f"https://127.0.0.1:{silent.getsockname()[1]}", timeout=SOON)()
        assert SOON * 0.9 <= time.monotonic() - began < LONG


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("url", "ftp://a"),
        ("url", "a.example"),
        ("url", "http://"),
        ("url", "http://user:word@a"),
        ("url", "http://a:99999"),
        ("url", "http://[a"),
        ("url", 7),
        ("expect", ()),
        ("expect", 99),
        ("expect", [200, 600]),
        ("expect", None),
        ("method", ""),
        ("method", "GET\r\nX: y"),
        ("headers", {"X": "y\r\nZ: z"}),
        ("headers", {"X": 1}),
        ("contains", 7),
        ("timeout", 0),
    ],
)
def test_bad_settings_are_refused_by_name(setting: str, value: object) -> None:
    """When the probe is made."""
    given: dict[str, Any] = {"url": "http://a", setting: value}
    with pytest.raises(ConfigError) as caught:
        probes.http(given.pop("url"), **given)
    assert caught.value.setting == setting


@pytest.mark.parametrize(
    "given",
    [
        {"url": "http://a/b c"},
        {"url": "http://a/\u00fc"},
        {"url": "http://a", "headers": {"X": "\u2603"}},
    ],
)
def test_what_could_never_be_sent_is_refused_when_the_probe_is_made(given: dict[str, Any]) -> None:
    """Not at three in the morning, as a failure of the server."""
    with pytest.raises(ConfigError, match="what HTTP can carry"):
        probes.http(**given)

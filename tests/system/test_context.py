"""Every answer says where it comes from, how good it is, since when, and why."""

from __future__ import annotations

import gc
import http.client
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

import resilient
from resilient import (
    Freshness,
    Mode,
    Outcome,
    Quality,
    ResponseContext,
    SystemOperationMode,
    fallback,
    feature,
    stale,
)
from resilient.testing import ManualClock

CLOCK_AT = 1_800_000_000.0


def mode_at(current: Mode) -> tuple[SystemOperationMode, ManualClock]:
    """A mode that stands there, and its clock."""
    clock = ManualClock()
    mode = SystemOperationMode(clock=clock)
    if current is not Mode.NORMAL:
        mode.force(current, reason="a test")
    return mode, clock


FRESH, STALE, DEFAULT = Freshness
ANSWERS: list[Any] = [None, *(Outcome("x", freshness=each) for each in Freshness)]
FAILED: Outcome[Any] = Outcome(error=OSError("down"))
# Per mode: with no outcome, a fresh one, a stale one, a default, an error.
QUALITIES = {
    Mode.NORMAL: ["full", "full", "reduced", "minimal", "minimal"],
    Mode.DEGRADED: ["reduced", "reduced", "reduced", "minimal", "minimal"],
    Mode.EMERGENCY: ["minimal"] * 5,
}


@pytest.mark.parametrize("current", Mode)
def test_the_quality_is_the_worst_of_mode_and_answer(current: Mode) -> None:
    """And a freeze makes of a full answer a reduced one."""
    mode, _ = mode_at(current)
    found = [mode.context(outcome).quality.value for outcome in [*ANSWERS, FAILED]]
    assert found == QUALITIES[current]
    mode.freeze("restoring")
    least = "minimal" if current is Mode.EMERGENCY else "reduced"
    assert mode.context().quality.value == least


def test_when_all_is_well_there_is_little_to_say() -> None:
    """NORMAL and no outcome: no reasons, no source, the time of now."""
    mode, clock = mode_at(Mode.NORMAL)
    clock.advance(5)
    assert mode.context() == ResponseContext(
        mode=Mode.NORMAL,
        score=100,
        quality=Quality.FULL,
        reasons=(),
        source=None,
        freshness=None,
        at=clock.time(),
    )


def test_an_answer_says_where_it_comes_from_and_why() -> None:
    """A stale answer: its source, the time it was got, the error passed over, and the mode's."""
    mode, clock = mode_at(Mode.DEGRADED)
    broken = False

    @fallback(stale(mode=mode, clock=clock))
    def price(zone: str) -> float:
        if broken:
            raise ConnectionError(f"no route to {zone}")
        return 12.5

    price("zone-7")
    began, broken = clock.time(), True
    clock.advance(90)
    found = mode.context(resilient.outcome(price, "zone-7"))
    assert (found.mode, found.source, found.freshness) == (Mode.DEGRADED, "stale", STALE)
    assert (found.quality, found.at) == (Quality.REDUCED, began)
    assert found.reasons[:2] == (
        "ConnectionError: no route to zone-7",
        "OVERRIDE: DEGRADED forced: a test",
    )


def test_a_feature_that_is_shut_says_so() -> None:
    """In the words of the refusal."""
    mode, clock = mode_at(Mode.DEGRADED)

    @feature("tips", otherwise=[], mode=mode, clock=clock, probe_every=None)
    def suggest() -> list[str]:
        return ["a book"]

    found = mode.context(resilient.outcome(suggest))
    assert found.reasons[0] == (
        "FeatureUnavailableError: tips: not in DEGRADED: it serves down to NORMAL"
    )
    assert (found.source, found.quality) == ("default", Quality.MINIMAL)


def test_an_error_whose_words_fail_has_a_name() -> None:
    """An application's exception may refuse in any way."""

    class RudeError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    mode, _ = mode_at(Mode.NORMAL)
    assert mode.context(Outcome(error=RudeError())).reasons == ("RudeError",)
    assert mode.context(Outcome(error=LookupError())).reasons == ("LookupError",)


def test_it_does_not_evaluate_for_every_answer() -> None:
    """The reasons of the mode are those of its last evaluation, the very tuple, and no older."""
    mode, clock = mode_at(Mode.EMERGENCY)
    assert mode.context().reasons == mode.reasons
    assert mode._why(Mode.EMERGENCY) is mode._why(Mode.EMERGENCY)
    mode.freeze("restoring")
    assert any("restoring" in reason for reason in mode.context().reasons)
    mode.thaw()
    assert not any("restoring" in reason for reason in mode.context().reasons)
    mode.mark_degraded("db", "reindexing", severity="critical")
    clock.advance(1)
    assert any("reindexing" in reason for reason in mode.context().reasons)


def test_headers_and_body() -> None:
    """All of it, as headers and as plain data; what is unknown is left out of the headers."""
    context = ResponseContext(
        mode=Mode.DEGRADED,
        score=71.6,
        quality=Quality.REDUCED,
        reasons=("ConnectionError: down", "db 0.00 by breaker: -28.4"),
        source="archive",
        freshness=STALE,
        at=CLOCK_AT,
    )
    assert context.headers() == {
        "X-System-Mode": "degraded",
        "X-System-Score": "72",
        "X-Response-Quality": "reduced",
        "X-Response-Source": "archive",
        "X-Response-Freshness": "stale",
        "X-Response-At": "2027-01-15T08:00:00Z",
        "X-Response-Reason": "ConnectionError: down; db 0.00 by breaker: -28.4",
    }
    assert "X-Response-Reason" not in context.headers(reasons=False)
    plain = context.as_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert plain == {
        "mode": "degraded",
        "score": 71.6,
        "quality": "reduced",
        "reasons": ["ConnectionError: down", "db 0.00 by breaker: -28.4"],
        "source": "archive",
        "freshness": "stale",
        "at": CLOCK_AT,
    }
    bare = mode_at(Mode.NORMAL)[0].context().headers()
    assert list(bare) == ["X-System-Mode", "X-System-Score", "X-Response-Quality", "X-Response-At"]


def with_words(*reasons: str, source: str = "call") -> dict[str, str]:
    """Headers of a context that says so."""
    return ResponseContext(
        mode=Mode.EMERGENCY,
        score=0,
        quality=Quality.MINIMAL,
        reasons=reasons,
        source=source,
        freshness=FRESH,
        at=CLOCK_AT,
    ).headers()


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("down\r\nSet-Cookie: admin=1", "down Set-Cookie: admin=1"),
        ("a\n\n\tb", "a b"),
        ("a\x00b\x1b[31mc\x7f", "a?b?[31mc?"),
        ("gr\u00f6\u00dfer", "gr\\xf6\\xdfer"),
        ("line\u2028break\x85here", "line break here"),
        ("\udcff", "\\udcff"),
        ("x" * 256, "x" * 256),
        ("x" * 257, "x" * 253 + "..."),
        ("\u00f6" * 100, "\\xf6" * 63 + "\\..."),
    ],
)
def test_no_reason_breaks_out_of_its_header(words: str, shown: str) -> None:
    """Line breaks of any alphabet, control characters, what is not ASCII, what is too long."""
    assert with_words(words)["X-Response-Reason"] == shown
    assert with_words(source=words)["X-Response-Source"] == shown


@given(st.lists(st.text(), max_size=5), st.text())
def test_headers_are_always_safe(reasons: list[str], source: str) -> None:
    """Whatever errors and sources are called: printable, on one line, short, not empty."""
    for name, value in with_words(*reasons, source=source).items():
        assert re.fullmatch(r"X(-[A-Z][a-z]+)+", name)
        assert re.fullmatch(r"[!-~]([ -~]*[!-~])?", value)
        assert len(value) <= 256


class Answering(BaseHTTPRequestHandler):
    """Sends whatever headers the test has put down."""

    sent: ClassVar[dict[str, str]] = {}

    def do_GET(self) -> None:
        """One answer."""
        self.send_response(200)
        for name, value in self.sent.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    """A real HTTP server on a free port."""
    made = HTTPServer(("127.0.0.1", 0), Answering)
    thread = threading.Thread(target=made.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def test_a_real_client_reads_what_a_real_server_sent(server: HTTPServer) -> None:
    """The very headers, and none that a reason tried to add."""
    Answering.sent = with_words(
        "down\r\nX-Evil: 1", "gr\u00f6\u00dfer", source="archive\r\n\r\nbody"
    )
    client = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    client.request("GET", "/")
    answer = client.getresponse()
    got = dict(answer.getheaders())
    assert answer.read() == b""
    client.close()
    assert {name: got.get(name) for name in Answering.sent} == Answering.sent
    assert "X-Evil" not in got


def test_a_context_keeps_nothing_alive() -> None:
    """It is words and numbers: no error, no frame, no mode."""
    mode, _ = mode_at(Mode.NORMAL)
    error = OSError("down")
    context = mode.context(Outcome(error=error))
    assert error not in gc.get_referents(context)
    assert all(isinstance(reason, str) for reason in context.reasons)

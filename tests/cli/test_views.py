"""Both views show how things stand; the plain one needs nothing that is optional."""

from __future__ import annotations

import importlib
import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from resilient.cli.demo import run
from resilient.cli.demo.tally import Note, Span, Tally
from resilient.cli.demo.views import PlainView
from resilient.errors import MissingExtraError

OPTIONS = run.Options(seconds=45, rate=40, report=Path("report.html"), seed=1, plain=False)


def test_the_plain_view_writes_a_line(tally: Tally) -> None:
    """Time, fault, the last second of both services, mode, score and circuits."""
    stream = io.StringIO()
    tally.status = {
        "mode": "DEGRADED",
        "score": 60.2,
        "circuits": {"upstream": "open"},
        "features": {"suggestions": "shut"},
    }
    tally.faults[0].end = None
    with PlainView(stream) as view:
        view.update(tally, 8.0)
    line = stream.getvalue()
    assert line.count("\n") == 1
    for words in ("8 s  upstream killed", "bare: ", " failed | protected: ", " database",
                  "DEGRADED  60 upstream=open off: suggestions"):  # fmt: skip
        assert words in line


def test_the_plain_view_says_when_nobody_answered() -> None:
    """Before the first answers there is nothing to count."""
    stream = io.StringIO()
    PlainView(stream).update(Tally(45, 40, 1), 0.0)
    assert "bare: no answer | protected: no answer" in stream.getvalue()


@pytest.mark.parametrize("width", [60, 80, 150])
def test_the_live_view_fits_its_terminal(
    width: int, tell: Callable[[float], Tally], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It draws every part within the width there is."""
    rich_console = pytest.importorskip("rich.console")
    live = importlib.import_module("resilient.cli.demo.live")
    monkeypatch.setenv("COLUMNS", str(width))
    tally = tell(45)
    tally.notes.append(Note(40.0, "alert", "upstream: component failed", bad=True))
    tally.features["suggestions"].append(Span("shut", 40.5))
    tally.status = {
        "mode": "EMERGENCY",
        "score": 21.0,
        "reasons": ["upstream is gone"],
        "circuits": {"upstream": "open", "database": "half-open"},
        "features": {"suggestions": "shut"},
        "probes": {"upstream": "failed: ConnectionRefusedError", "database": "healthy"},
        "recoveries": ["database: waiting, attempt 1 of 10 in 1 s", "upstream: idle"],
    }
    console = rich_console.Console(file=io.StringIO(), width=width)
    console.print(live.screen(tally, 30.0, width))
    drawn = console.file.getvalue()
    assert max(map(len, drawn.splitlines())) <= width
    for words in (
        "bare service",
        "EMERGENCY",
        "score 21",
        "upstream is gone",
        "half-open",
        "suggestions shut",
        "upstream failed: Conn",
        "recovery of database: waiting",
        "alert: upstream: component failed",
        "feature suggestions is off",
    ):
        assert words in drawn


def test_without_rich_the_live_view_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the demo goes on with plain lines."""
    monkeypatch.setitem(sys.modules, "rich.console", None)
    monkeypatch.delitem(sys.modules, "resilient.cli.demo.live", raising=False)
    with pytest.raises(MissingExtraError, match=r"pip install 'resilient-mode\[demo\]'"):
        importlib.import_module("resilient.cli.demo.live")
    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdout", screen)
    assert isinstance(run._view(OPTIONS), PlainView)
    assert "resilient-mode[demo]" in screen.getvalue()


def test_without_a_terminal_the_view_is_plain() -> None:
    """Nobody watches a pipe."""
    assert isinstance(run._view(OPTIONS), PlainView)

"""The command line says early and clearly what it does not accept."""

from __future__ import annotations

from pathlib import Path

import pytest

from resilient.cli import app
from resilient.cli.demo import run
from resilient.cli.demo.loader import Record
from resilient.cli.demo.tally import Tally


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "the following arguments are required: command"),
        (["dance"], "invalid choice: 'dance'"),
        (["demo", "--seconds", "9"], "'9' is not allowed; give seconds from 10 to 55"),
        (["demo", "--seconds", "nan"], "'nan' is not allowed"),
        (["demo", "--seconds", "soon"], "'soon' is not allowed"),
        (["demo", "--rate", "0"], "'0' is not allowed; give requests per second from 5 to 200"),
        (["demo", "--rate", "inf"], "'inf' is not allowed"),
        (["demo", "--seed", "-1"], "'-1' is not allowed; give a whole number"),
        (["demo", "--seed", "1.5"], "'1.5' is not allowed"),
        (["demo", "--report", ""], "'' is not allowed; give the path of a file"),
        (["demo", "--report", "."], "'.' is not allowed; give the path of a file"),
        (["demo", "--report", "no/such/place.html"], "the directory 'no/such' does not exist"),
    ],
)
def test_refuses_bad_arguments(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bad argument ends with status 2 and words that name the value and what is allowed."""
    with pytest.raises(SystemExit) as exit_info:
        app.main(arguments)
    assert exit_info.value.code == 2
    assert words in capsys.readouterr().err


def test_refuses_a_report_that_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A minute of demo is not run for a report that cannot be written."""
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(SystemExit):
        app.main(["demo", "--report", str(tmp_path / "report.html")])
    assert "it cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["demo", "--help"], ["--version"]])
def test_help_and_version(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Help and version go to standard output and end well."""
    with pytest.raises(SystemExit) as exit_info:
        app.main(arguments)
    assert exit_info.value.code == 0
    assert "resilient" in capsys.readouterr().out


def test_the_version_is_unknown_where_nothing_is_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A source tree that was never installed still answers."""
    monkeypatch.setattr(app, "DISTRIBUTION", "no-such-distribution")
    assert app.version() == "unknown"


@pytest.mark.parametrize(
    ("kinds", "status"),
    [
        ([], 1),
        (["live", "live"], 0),
        (["live", "database", "default"], 0),
        (["live", "error"], 1),
        (["live", "late"], 1),
    ],
)
def test_the_status_is_the_protected_services(
    kinds: list[str], status: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """0 only if it answered, and everything in time, whatever became of the bare one."""
    tally = Tally(45, 40, 1)
    tally.record([Record("bare", 0.5, 1.0, "error")])
    for kind in kinds:
        tally.record([Record("protected", 0.5, 0.01, kind)])
    options = run.Options(45, 40, tmp_path / "report.html", 1, plain=True)
    assert run._conclude(tally, options) == status
    assert "report.html" in capsys.readouterr().out
    assert options.report.exists()

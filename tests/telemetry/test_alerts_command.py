"""Alerts to a real program: what it reads, how it fails, and how it is ended."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from resilient import CallTimeoutError, ConfigError, Severity, alerts

ALERT = alerts.Alert(kind="drill", name="me", severity=Severity.ERROR, title="a drill")
WAIT = 30.0
"""Seconds until a test that hangs is given up."""


def python(script: str, *args: object) -> list[str]:
    """A program that runs `script`."""
    return [sys.executable, "-c", script, *map(str, args)]


def test_the_program_reads_the_alert(tmp_path: Path) -> None:
    """JSON on standard input, and the end of it; the arguments as they are, through no shell."""
    out = tmp_path / "out"
    script = "import sys; open(sys.argv[1], 'w').write(sys.stdin.read() + sys.argv[2])"
    alerts.command(python(script, out, " $HOME;")).send(ALERT)
    body, _, rest = out.read_text("utf-8").rpartition("}")
    assert json.loads(body + "}") == json.loads(ALERT.json())
    assert rest == " $HOME;"


def test_a_program_that_reads_nothing_is_fine() -> None:
    """Megabytes of details do not get stuck in a pipe."""
    big = alerts.Alert(
        kind="drill", name="me", severity=Severity.INFO, title="x", details={"x": "y" * 2_000_000}
    )
    alerts.command(python("pass"), timeout=WAIT).send(big)


def test_an_exit_status_is_reported_with_what_was_said() -> None:
    """Other than 0: an error with the status and the end of the complaint."""
    script = "import sys; sys.stderr.write('x' * 9999 + 'no such team'); sys.exit(3)"
    with pytest.raises(ChildProcessError, match=r"ended with 3: x+no such team$") as failed:
        alerts.command(python(script)).send(ALERT)
    assert len(str(failed.value)) < 700


def test_a_program_that_is_not_there_is_reported() -> None:
    """As Python says it."""
    with pytest.raises(FileNotFoundError):
        alerts.command(["/nowhere/page"]).send(ALERT)


def test_a_program_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    """After `timeout` nobody of the group is left who could hold the other end of this pipe."""
    fifo = tmp_path / "alive"
    os.mkfifo(fifo)
    script = 'exec 9>"$1"; sleep 600 & echo both >&9; wait'
    with os.fdopen(os.open(fifo, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as alive:
        with pytest.raises(CallTimeoutError):
            alerts.command(["/bin/sh", "-c", script, "sh", str(fifo)], timeout=2).send(ALERT)
        os.set_blocking(alive.fileno(), True)
        assert alive.readall() == b"both\n"


def test_a_child_left_behind_holds_nobody_up() -> None:
    """A program that ends with 0 and leaves a child with its pipes open has delivered."""
    script = (
        "import subprocess, sys\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(2)'])\n"
    )
    alerts.command(python(script), timeout=WAIT).send(ALERT)


@pytest.mark.parametrize(
    ("argv", "settings", "setting"),
    [
        ("page --team x", {}, "argv"),
        ([], {}, "argv"),
        ([""], {}, "argv"),
        (["page", 3], {}, "argv"),
        (["pa\0ge"], {}, "argv"),
        (None, {}, "argv"),
        (["page"], {"timeout": 0}, "timeout"),
    ],
)
def test_bad_settings_are_refused(argv: Any, settings: dict[str, Any], setting: str) -> None:
    """When they are given, by name."""
    with pytest.raises(ConfigError) as refused:
        alerts.command(argv, **settings)
    assert refused.value.setting == setting


def test_its_arguments_are_not_shown() -> None:
    """They may be secrets, and the channel is named in logs."""
    assert repr(alerts.command(["page", "--token", "s3cret"])) == "<command page>"

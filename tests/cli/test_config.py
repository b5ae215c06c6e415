"""``resilient config`` in a process of its own, with real files and a real environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import resilient
from resilient.core.defaults import SETTINGS

SOURCES = str(Path(resilient.__file__).parent.parent)
SCRIPT = """
import resilient

early = resilient.breaker("payments")
configuration = resilient.configure()
late = resilient.breaker("search")
for one in (early, late):
    print(one.rules.failure_threshold, one.rules.reset_timeout)
open("resilient.toml", "w").write("[breaker]\\nreset_timeout = 5")
print(*configuration.reload())
print(early.rules.failure_threshold, early.rules.reset_timeout)
"""


def run(
    *arguments: str, cwd: Path, environ: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run Python there, with nothing in the environment that it does not need."""
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**kept, "PYTHONPATH": SOURCES, **(environ or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def command(
    *arguments: str, cwd: Path, environ: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ``resilient config``."""
    return run("-m", "resilient", "config", *arguments, cwd=cwd, environ=environ)


def test_every_setting_is_printed_with_its_origin(tmp_path: Path) -> None:
    """A line each: name, value, where that is from."""
    file = tmp_path / "resilient.toml"
    file.write_text('[breaker]\nreset_timeout = 2.5\n[bulkhead."a.b"]\nlimit = 4\n')
    done = command(cwd=tmp_path, environ={"RETRY_MAX_ATTEMPTS": "5"})
    assert (done.returncode, done.stderr) == (0, "")
    first, *lines = done.stdout.splitlines()
    assert first == f"# file {file}"
    rows = {name: rest.split(None, 1) for name, rest in (line.split(None, 1) for line in lines)}
    assert rows.keys() == {each.dotted for each in SETTINGS} | {'bulkhead."a.b".limit'}
    assert rows["breaker.reset_timeout"] == ["2.5", f"file {file}"]
    assert rows['bulkhead."a.b".limit'] == ["4", f"file {file}"]
    assert rows["retry.attempts"] == ["5", "environment variable RETRY_MAX_ATTEMPTS"]
    assert rows["mode.thresholds"] == ["95,85,70,50,25", "default"]
    assert len({line.rstrip().rfind("default") for line in lines if line.endswith("default")}) == 1


def test_as_json(tmp_path: Path) -> None:
    """The same for programs, without the passwords of addresses."""
    (tmp_path / "app.toml").write_text('[cache]\nredis_url = "redis://me:secret@cache"')
    done = command("--json", "--path", "app.toml", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    file = str(tmp_path / "app.toml")
    assert found["file"] == file
    assert found["settings"]["cache.redis_url"] == {
        "value": "redis://me:***@cache",
        "origin": f"file {file}",
    }
    assert found["settings"]["breaker.failure_rate"] == {"value": None, "origin": "default"}
    assert len(found["settings"]) == len(SETTINGS)


@pytest.mark.parametrize(
    ("toml", "environ", "words"),
    [
        ("[breaker]\nreset_timeout = 0\n[retry]\nattempt = 1", {},
         ["breaker.reset_timeout=0: allowed is seconds > 0 (from file ",
          "and retry.attempt=1: allowed is a setting of [retry]: did you mean attempts?"]),
        ("[breaker", {}, ["a file of TOML in UTF-8 (", "resilient.toml"]),
        ("", {"QUEUE_WORKER_COUNT": "few"},
         ["queue.worker_count='few': allowed is a whole number >= 1",
          "(from environment variable QUEUE_WORKER_COUNT)"]),
        ("", {"RESILIENT_CONFIG": "gone.toml"},
         ["gone.toml", "(from environment variable RESILIENT_CONFIG)"]),
    ],
)  # fmt: skip
def test_what_is_not_allowed_ends_with_status_2(
    toml: str, environ: dict[str, str], words: list[str], tmp_path: Path
) -> None:
    """Every problem is a line on standard error, and nothing is printed."""
    (tmp_path / "resilient.toml").write_text(toml)
    done = command(cwd=tmp_path, environ=environ)
    assert (done.returncode, done.stdout) == (2, "")
    assert all(word in done.stderr for word in words)
    assert all(line.startswith("resilient config: ") for line in done.stderr.splitlines())


def test_a_program_follows_files_and_environment(tmp_path: Path) -> None:
    """Breakers made before and after `configure`, and after a file has changed."""
    (tmp_path / "pyproject.toml").write_text(
        "[tool.resilient.breaker]\nreset_timeout = 30\nfailure_threshold = 9\n"
        "[tool.resilient.breaker.payments]\nreset_timeout = 10\n"
    )
    done = run(
        "-c", SCRIPT, cwd=tmp_path, environ={"RESILIENT_CIRCUIT_BREAKER_FAILURE_THRESHOLD": "3"}
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["3 10.0", "3 30.0", "breaker.reset_timeout", "3 5.0"]


def test_reading_settings_is_not_in_the_way_of_importing(tmp_path: Path) -> None:
    """Who does not configure loads no reader of files."""
    script = "import resilient, sys; resilient.breaker('db'); print(*sorted(sys.modules))"
    loaded = run("-c", script, cwd=tmp_path).stdout.split()
    assert "resilient.core.defaults" in loaded
    assert not {"tomllib", "resilient.config.configuration", "resilient.config.files"} & set(loaded)


COMMAND = [sys.executable, "-m", "resilient", "config"]


def test_a_reader_that_has_seen_enough(tmp_path: Path) -> None:
    """``resilient config | head -1`` says what it was asked for, and nothing of broken pipes."""
    process = subprocess.Popen(
        COMMAND, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    complaints = process.stderr.read()
    process.stderr.close()
    assert (process.wait(60), complaints) == (0, "")


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_terminal_that_knows_only_ascii(form: list[str], tmp_path: Path) -> None:
    """A name that it cannot show is shown by its numbers."""
    (tmp_path / "resilient.toml").write_text('[breaker."größe"]\nwindow = 3\n', "utf-8")
    environ = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [*COMMAND, *form], cwd=tmp_path, env=environ, capture_output=True, text=True, check=True
    )
    assert ("gr\\u00f6" if form else "gr\\xf6") in done.stdout
    assert done.stderr == ""

"""The whole demo, in real processes on real sockets."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/environ").exists(), reason="finds the demo's processes through /proc"
)

MARK = "RESILIENT_DEMO_TEST"
CHILDREN = 5
PATIENCE = 20.0


class Demo:
    """One run of the demo. Every process of it inherits a mark, by which it is found."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        self.mark = f"{MARK}={uuid.uuid4()}"
        self.report = directory / "report.html"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "resilient", "demo", "--plain", "--report", str(self.report),
             *arguments],
            env={**os.environ, "TMPDIR": str(directory), MARK: self.mark.partition("=")[2]},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def alive(self) -> set[int]:
        """Return the process ids of the demo, children included, zombies left out."""
        found = set()
        for environ in Path("/proc").glob("[0-9]*/environ"):
            try:
                if self.mark.encode() in environ.read_bytes().split(b"\0"):
                    found.add(int(environ.parent.name))
            except OSError:
                continue
        return found

    def started(self) -> None:
        """Wait for the first line of the view, which is written when every process is up."""
        assert self.process.stdout is not None
        assert any("| protected:" in line for line in iter(self.process.stdout.readline, ""))
        assert len(self.alive() - {self.process.pid}) == CHILDREN

    def gone(self) -> bool:
        """Wait until no process of the demo is left."""
        until = time.monotonic() + PATIENCE
        while self.alive() and time.monotonic() < until:
            time.sleep(0.05)
        return not self.alive()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Demo]]:
    """Start a demo with some arguments; it is ended after the test, whatever came of it."""
    started: list[Demo] = []

    def begin(*arguments: str) -> Demo:
        started.append(Demo(tmp_path, *arguments))
        return started[-1]

    yield begin
    for demo in started:
        for pid in demo.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        demo.process.communicate()


def cmdline(pid: int) -> bytes:
    """Return the command line of a process."""
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def test_the_protected_service_answers_everything(
    start: Callable[..., Demo], tmp_path: Path
) -> None:
    """Through every fault: the bare service fails, the protected one does not; nothing is left."""
    demo = start("--seconds", "12", "--rate", "30")
    out, err = demo.process.communicate(timeout=60)
    assert demo.process.returncode == 0, out + err
    found = re.search(
        r"the bare service failed (\d+) of (\d+) requests, the protected one 0 of \2\.", out
    )
    assert found is not None, out
    assert int(found[1]) > 0
    assert demo.gone()
    assert not [path for path in tmp_path.iterdir() if path != demo.report]
    page = ET.fromstring(demo.report.read_text())  # noqa: S314  (just written by us)
    data = json.loads(page.findtext(".//script") or "")
    assert {"NORMAL", "DEGRADED"} <= {change["new"] for change in data["changes"]}
    assert {"live", "database", "default"} <= set(data["arms"]["protected"]["kinds"])
    assert {"on", "shut"} <= {span["what"] for span in data["features"]["suggestions"]}
    assert {"healthy", "failed"} <= {span["what"] for span in data["probes"]["upstream"]}
    assert {"normal", "degraded"} <= set(data["headers"])
    assert data["incidents"]
    assert all(found["availability"] == 1 for found in data["incidents"])
    # Only whoever reopens its database can write again: the recovery of the protected one does.
    assert set(data["arms"]["bare"]["course"]["11"]) == {"error"}
    assert data["scores"][-1][1] > 85
    assert data["arms"]["protected"]["attempts"] < data["arms"]["bare"]["attempts"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_every_process(
    start: Callable[..., Demo], tmp_path: Path, number: signal.Signals
) -> None:
    """Ctrl-C leaves no process and no file, and says so without a traceback."""
    demo = start()
    demo.started()
    demo.process.send_signal(number)
    _, err = demo.process.communicate(timeout=PATIENCE)
    assert demo.process.returncode == 128 + number
    assert err == "resilient demo: stopped; every process of it has ended\n"
    assert demo.gone()
    assert not list(tmp_path.iterdir())


def test_the_children_end_when_the_parent_is_killed(start: Callable[..., Demo]) -> None:
    """Even if the parent had no chance to end them."""
    demo = start()
    demo.started()
    demo.process.kill()
    demo.process.communicate(timeout=PATIENCE)
    assert demo.gone()


def test_a_child_that_is_lost_ends_the_demo(start: Callable[..., Demo]) -> None:
    """A process that nobody asked to end is named, and the others are ended."""
    demo = start()
    demo.started()
    [upstream] = [pid for pid in demo.alive() if b"upstream" in cmdline(pid)]
    os.kill(upstream, signal.SIGKILL)
    _, err = demo.process.communicate(timeout=PATIENCE)
    assert demo.process.returncode == 3
    assert "the process 'upstream' ended with status -9" in err
    assert demo.gone()

"""Laws of the probes of a machine: its disks, its memory, and the limits around a process."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from resilient import probes
from resilient.errors import ConfigError
from resilient.mode import Mode, SystemOperationMode
from resilient.system.probes.probe import ProbeStatus
from resilient.testing import ManualClock

HEALTHY, DEGRADED, _, FAILED = ProbeStatus
GIB = 1 << 30


@pytest.mark.parametrize(
    ("degraded_below", "failed_below", "status"),
    [(0.0, 0.0, HEALTHY), (1.0, 0.0, DEGRADED), (1.0, 1.0, FAILED)],
)
def test_a_real_disk_is_judged_by_what_is_free(
    tmp_path: Path, degraded_below: float, failed_below: float, status: ProbeStatus
) -> None:
    """The one that the temporary directory is on: neither full nor empty."""
    room = probes.disk(tmp_path, degraded_below=degraded_below, failed_below=failed_below)
    found = room()
    assert found.status is status
    assert " % free of " in found.detail


def test_free_is_what_a_user_may_take(tmp_path: Path) -> None:
    """As df counts: what is kept for the superuser is neither used nor free."""
    (tmp_path / "some").write_bytes(b"x")
    total, used, free = shutil.disk_usage(tmp_path)
    files = os.statvfs(tmp_path)
    shares = [free / (used + free)]
    if files.f_files:
        shares.append(files.f_favail / files.f_files)
    words = probes.disk(tmp_path)().detail
    assert abs(float(words.split(" ")[0]) - min(shares) * 100) < 1
    assert total > used


@pytest.mark.parametrize(
    ("space", "files", "status", "detail"),
    [
        ((40 * GIB, 36 * GIB, 4 * GIB), (1000, 900), HEALTHY, "10.0 % free of 40 GiB"),
        ((40 * GIB, 37 * GIB, 3 * GIB), (1000, 900), DEGRADED, "7.5 % free of 40 GiB"),
        ((40 * GIB, 38 * GIB, 2 * GIB), (1000, 900), DEGRADED, "5.0 % free of 40 GiB"),
        ((40 * GIB, 39 * GIB, 1 * GIB), (1000, 900), FAILED, "2.5 % free of 40 GiB"),
        ((40 * GIB, 0, 40 * GIB), (1000, 99), DEGRADED, "9.9 % free of 1000 files"),
        ((40 * GIB, 0, 40 * GIB), (1000, 0), FAILED, "0.0 % free of 1000 files"),
        ((40 * GIB, 0, 40 * GIB), (0, 0), HEALTHY, "100.0 % free of 40 GiB"),
        ((0, 0, 0), (0, 0), FAILED, "0.0 % free of 0 B"),
    ],
)
def test_levels_of_a_disk(
    monkeypatch: pytest.MonkeyPatch,
    space: tuple[int, int, int],
    files: tuple[int, int],
    status: ProbeStatus,
    detail: str,
) -> None:
    """Below 10 % degraded, below 5 % failed; the scarcer of space and files decides."""
    counted = os.statvfs_result((0, 0, 0, 0, 0, files[0], 0, files[1], 0, 0))
    room = probes.disk("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: space)
    monkeypatch.setattr(os, "statvfs", lambda path: counted)
    found = room()
    assert (found.status, found.detail) == (status, detail)


def test_a_path_that_is_not_there_is_a_failure(tmp_path: Path) -> None:
    """It was not mounted, say."""
    with pytest.raises(FileNotFoundError):
        probes.disk(tmp_path / "gone")()


def test_this_machines_memory_is_read() -> None:
    """Something is used, and not all of it."""
    found = probes.memory(degraded_above=1, failed_above=1)()
    assert found.status is HEALTHY
    share, rest = found.detail.split(" % of ")
    assert 0 < float(share) < 100
    assert "B used" in rest
    assert probes.memory(degraded_above=1e-9, failed_above=1e-9)().status is FAILED


class Machine:
    """Files as Linux shows them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("proc/meminfo", "MemTotal: 16777216 kB\nMemFree: 1 kB\nMemAvailable: 8388608 kB")

    def write(self, path: str, text: str) -> None:
        """Write one of them."""
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text + "\n", "ascii")

    def group(self, path: str, limit: str, usage: int, cache: int = 0) -> None:
        """A control group, version 2."""
        place = f"sys/fs/cgroup{path}"
        self.write(f"{place}/memory.max", limit)
        self.write(f"{place}/memory.current", str(usage))
        self.write(f"{place}/memory.stat", f"anon 5\ninactive_file {cache}\nactive_file 7")

    def old_group(self, path: str, limit: int, usage: int, cache: int = 0) -> None:
        """A control group, version 1."""
        place = f"sys/fs/cgroup/memory{path}"
        self.write(f"{place}/memory.limit_in_bytes", str(limit))
        self.write(f"{place}/memory.usage_in_bytes", str(usage))
        self.write(f"{place}/memory.stat", f"inactive_file 1\ntotal_inactive_file {cache}")

    def use(self) -> tuple[ProbeStatus | str, str]:
        """What the probe says."""
        found = probes.memory(root=str(self.root))()
        return found.status, found.detail


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """One of 16 GiB, of which half is available."""
    return Machine(tmp_path)


GROUP = " (the limit of a control group)"


@pytest.mark.parametrize(
    ("available", "status", "detail"),
    [
        (800, HEALTHY, "20.0 % of 0.977 MiB used"),
        (151, HEALTHY, "84.9 % of 0.977 MiB used"),
        (150, DEGRADED, "85.0 % of 0.977 MiB used"),
        (51, DEGRADED, "94.9 % of 0.977 MiB used"),
        (50, FAILED, "95.0 % of 0.977 MiB used"),
        (0, FAILED, "100.0 % of 0.977 MiB used"),
    ],
)
def test_levels_of_memory(
    machine: Machine, available: int, status: ProbeStatus, detail: str
) -> None:
    """From 85 % degraded, from 95 % failed; available, not free, is what counts."""
    machine.write("proc/meminfo", f"MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: {available} kB")
    assert machine.use() == (status, detail)


def test_the_limit_of_a_container_counts(machine: Machine) -> None:
    """Its root is the group itself; the file cache that nobody reads is not held."""
    machine.write("proc/self/cgroup", "0::/")
    machine.group("", str(GIB), usage=GIB, cache=GIB // 4)
    assert machine.use() == (HEALTHY, "75.0 % of 1 GiB used" + GROUP)


def test_the_tightest_of_the_groups_above_counts(machine: Machine) -> None:
    """A service in a slice that has a limit of its own."""
    machine.write("proc/self/cgroup", "0::/shop.slice/web.service")
    machine.group("/shop.slice", str(GIB), usage=GIB * 97 // 100)
    machine.group("/shop.slice/web.service", "max", usage=GIB // 2)
    assert machine.use() == (FAILED, "97.0 % of 1 GiB used" + GROUP)


@pytest.mark.parametrize("limit", ["max", str(64 * GIB), "9223372036854771712", "0", "?"])
def test_a_group_without_a_limit_below_the_machine_does_not_count(
    machine: Machine, limit: str
) -> None:
    """Then the machine is what there is."""
    machine.write("proc/self/cgroup", "0::/web")
    machine.group("/web", limit, usage=15 * GIB)
    assert machine.use() == (HEALTHY, "50.0 % of 16 GiB used")


@pytest.mark.parametrize("path", ["/docker/4711", ""])
def test_groups_of_version_1_count(machine: Machine, path: str) -> None:
    """Also in a container, where the path is the machine's and the root is the group."""
    machine.write("proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/docker/4711\n0::/")
    machine.old_group(path, GIB, usage=GIB, cache=GIB // 10)
    assert machine.use() == (DEGRADED, "90.0 % of 1 GiB used" + GROUP)


def test_a_machine_without_groups_is_read(machine: Machine) -> None:
    """Nothing is asked of files that are not there."""
    assert machine.use() == (HEALTHY, "50.0 % of 16 GiB used")


@pytest.mark.parametrize("text", ["", "MemTotal: 1 kB", "MemTotal: 1\nMemAvailable: much"])
def test_a_system_that_is_no_linux_is_refused(tmp_path: Path, text: str) -> None:
    """When the probe is made, in words that say what is missing."""
    if text:
        Machine(tmp_path).write("proc/meminfo", text)
    with pytest.raises(ConfigError, match="/proc/meminfo") as caught:
        probes.memory(root=str(tmp_path))
    assert caught.value.setting == "root"


def test_memory_that_runs_out_takes_the_process_out_of_rotation(machine: Machine) -> None:
    """From 95 % on: EMERGENCY and not ready, as long as it lasts; then back."""
    clock = ManualClock()
    mode = SystemOperationMode(clock=clock)
    used = probes.memory(root=str(machine.root))
    mode.probe("memory", used, interval=5, jitter=0, trips=True)

    def look(after: float) -> tuple[Mode, bool]:
        for _ in range(round(after)):
            clock.advance(1)
            mode.evaluate()
            assert mode.flush()
        return mode.current, mode.ready()

    assert look(1) == (Mode.NORMAL, True)
    machine.write("proc/self/cgroup", "0::/")
    machine.group("", str(GIB), usage=GIB * 96 // 100)
    assert look(5) == (Mode.EMERGENCY, False)
    machine.group("", str(GIB), usage=GIB // 2)
    assert look(5)[1]
    assert look(120) == (Mode.NORMAL, True)
    mode.close()


@pytest.mark.parametrize(
    ("setting", "make"),
    [
        ("path", lambda: probes.disk("")),
        ("path", lambda: probes.disk(7)),  # type: ignore[arg-type]  # wrong on purpose
        ("degraded_below", lambda: probes.disk("/", degraded_below=10)),
        ("failed_below", lambda: probes.disk("/", failed_below=-0.1)),
        ("failed_below", lambda: probes.disk("/", degraded_below=0.1, failed_below=0.2)),
        ("degraded_above", lambda: probes.memory(degraded_above=85)),
        ("failed_above", lambda: probes.memory(failed_above=0)),
        ("failed_above", lambda: probes.memory(degraded_above=0.9, failed_above=0.8)),
    ],
)
def test_bad_settings_are_refused_by_name(setting: str, make: Callable[[], Any]) -> None:
    """When the probe is made."""
    with pytest.raises(ConfigError) as caught:
        make()
    assert caught.value.setting == setting

"""Is memory running out?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from resilient.errors import ConfigError
from resilient.integrations.probes.answers import Levels, percent, size
from resilient.policies.match import positive
from resilient.system.probes.probe import ProbeResult

__all__ = ["memory"]


class _Group(NamedTuple):
    """Where a version of control groups is mounted, and what its files are called."""

    mount: str
    limit: str
    usage: str
    cache: str


_V1 = _Group("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_V2 = _Group("", "memory.max", "memory.current", "inactive_file")


class _Use(NamedTuple):
    share: float
    total: int
    whose: str


def memory(
    *,
    degraded_above: float = 0.85,
    failed_above: float = 0.95,
    root: str = "/",
) -> Callable[[], ProbeResult]:
    """Make a probe that looks how much memory is used: of the machine, and of the control group.

    Parameters: `degraded_above`, `failed_above`, shares in [0, 1] from which on it is worse;
    defaults 0.85 and 0.95. `root`, where `proc` and `sys` are, if elsewhere.

    Of the machine's memory and the limits of the control groups (version 2 or 1) that this process
    is in, the one that is scarcest decides. What the kernel would give back at once counts as free:
    for a machine what it calls available, for a group the file cache that nobody reads. One reading
    is enough: it needs no `failed_after`.

    Works on Linux. Raises `ConfigError`, also where there is no ``/proc/meminfo``.

    Example::

        mode.probe("memory", probes.memory(), interval=5, trips=True)
    """
    levels = Levels.of(
        positive("degraded_above", degraded_above, most=1),
        positive("failed_above", failed_above, most=1),
    )
    base = Path(root)
    try:
        _of_machine(base)
    except (OSError, LookupError, ValueError) as error:
        raise ConfigError("root", root, "where /proc/meminfo of a Linux is") from error

    def used() -> ProbeResult:
        share, total, whose = max((_of_machine(base), *_of_groups(base)))
        return ProbeResult(levels.judge(share), f"{percent(share)} of {size(total)} used{whose}")

    return used


def _of_machine(base: Path) -> _Use:
    lines = (base / "proc/meminfo").read_text("ascii").splitlines()
    figures = {name: rest.split() for name, _, rest in (line.partition(":") for line in lines)}
    total, free = (int(figures[name][0]) * 1024 for name in ("MemTotal", "MemAvailable"))
    return _Use(1 - free / total, total, "")


def _of_groups(base: Path) -> Iterator[_Use]:
    try:
        lines = (base / "proc/self/cgroup").read_text("utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        number, controllers, path = line.split(":", 2)
        group = _V2 if number == "0" else _V1
        if group is _V2 or "memory" in controllers.split(","):
            # Where the path is that of the machine and this is a container, it is not there; what
            # is mounted is then the container's own group.
            inside = PurePosixPath(path.lstrip("/"))
            for step in (inside, *inside.parents):
                yield from _of_group(base / "sys/fs/cgroup" / group.mount / step, group)


def _of_group(place: Path, group: _Group) -> Iterator[_Use]:
    """How much of its limit is used, if it has one."""
    try:
        limit = (place / group.limit).read_text("ascii").strip()
        usage = int((place / group.usage).read_text("ascii"))
        stat = (place / "memory.stat").read_text("ascii").splitlines()
    except (OSError, ValueError):  # it is not there, or it has just gone
        return
    if not limit.isdigit() or limit == "0":
        return  # "max"; in version 1 it is a number that no machine has
    figures = dict(line.split(None, 1) for line in stat if " " in line)
    held = max(usage - int(figures.get(group.cache, 0)), 0)
    yield _Use(held / int(limit), int(limit), " (the limit of a control group)")

"""Is there room on the disk?"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable

from resilient.errors import ConfigError
from resilient.integrations.probes.answers import path_of, percent, size
from resilient.policies.match import positive
from resilient.system.probes.probe import ProbeResult, ProbeStatus

__all__ = ["disk"]


def disk(
    path: str | os.PathLike[str], *, degraded_below: float = 0.10, failed_below: float = 0.05
) -> Callable[[], ProbeResult]:
    """Make a probe that looks how much is free on the file system that `path` is on.

    Parameters: `degraded_below`, `failed_below`, shares of it in [0, 1]; defaults 0.10 and 0.05.
    What is free is what a user without privileges may still take. Where a file system counts its
    files (inodes), the scarcer of the two decides. One reading is enough: it needs no
    `failed_after`.

    Raises `ConfigError`. The probe raises `OSError` if there is no such path.

    Example::

        mode.probe("disk", probes.disk("/var/lib/shop"), interval=30)
    """
    place = path_of(path)
    degraded = positive("degraded_below", degraded_below, most=1, zero=True)
    failed = positive("failed_below", failed_below, most=1, zero=True)
    if failed > degraded:
        raise ConfigError("failed_below", failed_below, f"at most degraded_below, {degraded:g}")

    def room() -> ProbeResult:
        share, what = min(_space(place), _files(place))
        status = ProbeStatus.DEGRADED if share < degraded else ProbeStatus.HEALTHY
        if share < failed:
            status = ProbeStatus.FAILED
        return ProbeResult(status, f"{percent(share)} free of {what}")

    return room


def _space(path: str) -> tuple[float, str]:
    total, used, free = shutil.disk_usage(path)
    return free / max(used + free, 1), size(total)


def _files(path: str) -> tuple[float, str]:
    if not hasattr(os, "statvfs"):  # Windows
        return math.inf, ""
    found = os.statvfs(path)
    if not found.f_files:  # it makes room for files as they come
        return math.inf, ""
    return found.f_favail / found.f_files, f"{found.f_files} files"

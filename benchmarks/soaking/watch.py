"""What must not grow: memory, tasks, threads, descriptors."""

from __future__ import annotations

import asyncio
import gc
import os
import statistics
import threading
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Growth", "Sample", "growth", "sample"]

_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at the process: `at` in seconds since the start, `memory` resident, in bytes."""

    at: float
    memory: int
    objects: int
    tasks: int
    threads: int
    descriptors: int


def sample(at: float) -> Sample:
    """Look now, after a collection, so that only what is held counts."""
    gc.collect()
    return Sample(
        at=at,
        memory=int(Path("/proc/self/statm").read_text("ascii").split()[1]) * _PAGE,
        objects=len(gc.get_objects()),
        tasks=_tasks(),
        threads=threading.active_count(),
        descriptors=len(os.listdir("/proc/self/fd")),  # noqa: PTH208  (names only)
    )


def _tasks() -> int:
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:
        return 0


@dataclass(frozen=True, slots=True)
class Growth:
    """Medians of a minute after the warm-up, and of the last one; and their ratio less one."""

    before: float
    after: float

    @property
    def share(self) -> float:
        """0.02 is 2 % more."""
        return self.after / self.before - 1


def growth(samples: list[Sample], what: str, warm_up: float, width: float = 60.0) -> Growth:
    """Compare the first `width` seconds after `warm_up` with the last `width` seconds.

    Raises `ValueError` if the samples are too few for that.
    """
    end = samples[-1].at
    if end - warm_up < 2 * width:
        message = f"{end:g} s are too few for a warm-up of {warm_up:g} s and twice {width:g} s"
        raise ValueError(message)
    before = [getattr(each, what) for each in samples if warm_up <= each.at < warm_up + width]
    after = [getattr(each, what) for each in samples if each.at >= end - width]
    return Growth(statistics.median(before), statistics.median(after))

"""How a call is timed: subjects interleaved in one process, medians of per-round ratios.

Every subject gets its own copy of the timing loop, because CPython specialises a loop's
instructions to what the loop has called before. Each round times every subject once, beginning
with another one each time, so that a busy moment of the machine falls on all of them. The garbage
collector is off inside the timed loop, and runs between rounds over what is new since the first.
Processor time is measured where its clock is fine enough, so that a neighbour who takes the core
does no harm.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat
from statistics import median, quantiles
from types import FunctionType
from typing import Any, cast

__all__ = ["Effort", "Ratio", "Timings", "measure", "measure_async", "ratio"]

# The time this thread spends on a processor: what other programs take meanwhile is not counted.
_FINE = time.get_clock_info("thread_time").resolution <= 1e-6  # noqa: PLR2004  (a microsecond)
_clock = time.thread_time_ns if _FINE else time.perf_counter_ns

SyncLoop = Callable[[Callable[..., Any], int], int]
AsyncLoop = Callable[[Callable[..., Any], int], Awaitable[int]]


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure: `rounds`, and the seconds that one subject takes in one round."""

    rounds: int = 41
    slice_seconds: float = 0.006


@dataclass(frozen=True, slots=True)
class Timings:
    """Nanoseconds per call, one figure per round."""

    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle round."""
        return median(self.rounds)


@dataclass(frozen=True, slots=True)
class Ratio:
    """The median of per-round ratios, and the middle half of them."""

    value: float
    low: float
    high: float


def ratio(ours: Timings, reference: Timings, less: Timings | None = None) -> Ratio:
    """Compare two subjects round by round; `less` is subtracted from both of them first."""
    base = less.rounds if less is not None else tuple(repeat(0.0, len(ours.rounds)))
    each = [
        (mine - own) / max(theirs - own, 1e-9)
        for mine, theirs, own in zip(ours.rounds, reference.rounds, base, strict=True)
    ]
    low, _, high = quantiles(each, n=4)
    return Ratio(median(each), low, high)


def _returning(fn: Callable[..., Any], n: int) -> int:
    rounds = repeat(None, n)
    start = _clock()
    for _ in rounds:
        fn(1)
    return _clock() - start


def _raising(fn: Callable[..., Any], n: int) -> int:
    rounds = repeat(None, n)
    start = _clock()
    for _ in rounds:
        try:
            fn(1)
        except Exception:
            pass
    return _clock() - start


async def _returning_async(fn: Callable[..., Any], n: int) -> int:
    rounds = repeat(None, n)
    start = _clock()
    for _ in rounds:
        await fn(1)
    return _clock() - start


async def _raising_async(fn: Callable[..., Any], n: int) -> int:
    rounds = repeat(None, n)
    start = _clock()
    for _ in rounds:
        try:
            await fn(1)
        except Exception:
            pass
    return _clock() - start


def _own_copy(loop: Any) -> Any:
    """Copy `loop` with bytecode that nothing has specialised yet."""
    function = cast("FunctionType", loop)
    return FunctionType(function.__code__.replace(), function.__globals__, function.__name__)


@contextmanager
def _set_aside() -> Iterator[None]:
    """Let collections pass over all that is there already: libraries by the thousand objects."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextmanager
def _no_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _iterations(spent: int, tried: int, effort: Effort) -> int:
    """How many calls fill one slice, when `tried` calls took `spent` nanoseconds."""
    return max(20, int(effort.slice_seconds * 1e9 * tried / max(spent, 1)))


def _rotated(names: list[str], by: int) -> list[str]:
    by %= len(names)
    return names[by:] + names[:by]


def measure(
    subjects: Mapping[str, Callable[..., Any]], *, raises: bool, effort: Effort
) -> dict[str, Timings]:
    """Time sync `subjects`; with `raises` every call ends in an exception that the loop catches."""
    loops: dict[str, SyncLoop] = {
        name: _own_copy(_raising if raises else _returning) for name in subjects
    }
    counts: dict[str, int] = {}
    for name, fn in subjects.items():
        loops[name](fn, 300)
        counts[name] = _iterations(loops[name](fn, 100), 100, effort)
    spent: dict[str, list[float]] = {name: [] for name in subjects}
    with _set_aside():
        for number in range(effort.rounds):
            with _no_collection():
                for name in _rotated(list(subjects), number):
                    taken = loops[name](subjects[name], counts[name])
                    spent[name].append(taken / counts[name])
    return {name: Timings(tuple(rounds)) for name, rounds in spent.items()}


async def measure_async(
    subjects: Mapping[str, Callable[..., Any]], *, raises: bool, effort: Effort
) -> dict[str, Timings]:
    """Time async `subjects` in the running loop, awaiting each call in this very task."""
    loops: dict[str, AsyncLoop] = {
        name: _own_copy(_raising_async if raises else _returning_async) for name in subjects
    }
    counts: dict[str, int] = {}
    for name, fn in subjects.items():
        await loops[name](fn, 300)
        counts[name] = _iterations(await loops[name](fn, 100), 100, effort)
    spent: dict[str, list[float]] = {name: [] for name in subjects}
    with _set_aside():
        for number in range(effort.rounds):
            with _no_collection():
                for name in _rotated(list(subjects), number):
                    taken = await loops[name](subjects[name], counts[name])
                    spent[name].append(taken / counts[name])
    return {name: Timings(tuple(rounds)) for name, rounds in spent.items()}

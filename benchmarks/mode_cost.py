"""What the mode itself costs: an evaluation by number of components, and a fresh read."""

from __future__ import annotations

import gc
from collections.abc import Callable

import references
from _measure import Effort, measure

from resilient import CircuitBreaker, SystemOperationMode, breaker
from resilient.testing import ManualClock

__all__ = ["SIZES", "evaluations", "reading"]

SIZES = (1, 10, 100, 1000)


def evaluations(effort: Effort) -> dict[int, float]:
    """Microseconds of one `mode.evaluate()`, by number of components.

    Each component is a breaker that has seen 25 calls, so that its success rate counts as well.
    """
    return {size: _evaluation(size, effort) / 1000 for size in SIZES}


def _evaluation(size: int, effort: Effort) -> float:
    clock = ManualClock()
    mode = SystemOperationMode(clock=clock)
    guards = [_used(f"component {number}", mode, clock) for number in range(size)]
    timings = measure({"evaluate": lambda _: mode.evaluate()}, raises=False, effort=effort)
    assert len(mode.explain().contributions) == size  # noqa: S101  (else something else was timed)
    del guards
    gc.collect()
    return timings["evaluate"].median


def _used(name: str, mode: SystemOperationMode, clock: ManualClock) -> CircuitBreaker:
    guard = breaker(name, mode=mode, clock=clock)
    for _ in range(25):
        guard.call(_same, 1)
    return guard


def reading(effort: Effort) -> tuple[float, float]:
    """Nanoseconds of `mode.current` when nothing is new, and of a bare wrapper's call beside it."""
    mode = SystemOperationMode(interval=3600)
    subjects: dict[str, Callable[..., object]] = {
        "current": lambda _: mode.current,
        "nothing": lambda _: None,
        "wrapper": references.wrapper(_same),
    }
    timings = measure(subjects, raises=False, effort=effort)
    return timings["current"].median - timings["nothing"].median, timings["wrapper"].median


def _same(value: int) -> int:
    return value

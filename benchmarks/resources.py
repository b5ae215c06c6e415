"""The rows that are no time of one call: threads, memory, import."""

from __future__ import annotations

import gc
import itertools
import multiprocessing
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from statistics import median
from typing import Any

import references
from _measure import Effort, Timings, ratio
from _result import Result
from ours import OURS
from peers import PEERS

__all__ = ["RESOURCE_ROWS"]

Fn = Callable[..., Any]

_THREADS = 8
_CALLS = 25
_REQUIRED = "tenacity, pybreaker, cachetools, structlog, msgspec"
_USED = "breaker, retry, timeout, fallback, pipeline, SystemOperationMode"


# threads ------------------------------------------------------------------------------------


def _nap(order: int) -> int:
    time.sleep(0.001)
    return order


def _seconds_for_all(fn: Fn) -> float:
    """Let all threads call `fn`, starting together; return how long the last one took."""
    barrier = threading.Barrier(_THREADS + 1)

    def work() -> None:
        barrier.wait()
        for _ in range(_CALLS):
            fn(1)

    workers = [threading.Thread(target=work) for _ in range(_THREADS)]
    for worker in workers:
        worker.start()
    barrier.wait()
    start = time.perf_counter()
    for worker in workers:
        worker.join()
    return time.perf_counter() - start


def threads(effort: Effort, *, with_peers: bool) -> Result:
    """Throughput of eight threads that sleep 1 ms in one breaker, against unprotected."""
    subjects: dict[str, Fn] = {"reference": _nap, "ours": OURS["breaker"](_nap)}
    missing: dict[str, str] = {}
    for peer in PEERS if with_peers else ():
        if peer.situation == "breaker-sync":
            try:
                subjects[peer.name] = peer.build(_nap)
            except ImportError as error:
                missing[peer.name] = f"missing: {error}"
    spent: dict[str, list[float]] = {name: [] for name in subjects}
    for _ in range(effort.rounds):
        for name, fn in subjects.items():
            spent[name].append(_seconds_for_all(fn))
    calls = _THREADS * _CALLS
    rate = {name: calls / median(each) for name, each in spent.items()}
    ours, unprotected = spent["ours"], spent["reference"]
    return Result(
        id="threads",
        what="8 threads x 1 ms of sleep through one breaker",
        target=0.98,
        ours=rate["ours"],
        reference=rate["reference"],
        reference_name="unprotected",
        # Throughput against throughput is time against time, turned round.
        ratio=ratio(Timings(tuple(unprotected)), Timings(tuple(ours))),
        peers={name: rate[name] for name in rate if name not in ("ours", "reference")},
        missing=missing,
        unit="calls/s",
        at_least=True,
    )


# memory -------------------------------------------------------------------------------------


class _Clock:
    """A clock that stands still until it is told otherwise, so that every bucket is used."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float, /) -> None:
        self.now += seconds

    async def sleep_async(self, seconds: float, /) -> None:
        self.now += seconds


def _fail(order: object) -> int:
    raise ConnectionError("down")


def _traffic(call: Fn, argument: object, clock: _Clock) -> None:
    """Three successes and one failure in each of the ten buckets of a window of 30 s."""
    for _ in range(10):
        for fn in (references.answer, references.answer, _fail, references.answer):
            try:
                call(fn, argument)
            except ConnectionError:
                pass
        clock.now += 3.0


def _bytes_each(make: Callable[[int], object], count: int) -> float:
    """Traced bytes per object, over `count` objects; what they share counts almost nothing."""
    keep: list[object] = [None] * count
    for number in range(5):
        make(-1 - number)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(count):
            keep[number] = make(number)
        gc.collect()
        return (tracemalloc.get_traced_memory()[0] - before) / count
    finally:
        tracemalloc.stop()


def _breaker_settings(clock: _Clock) -> dict[str, Any]:
    return {
        "failure_threshold": 50,
        "failure_rate": 0.9,
        "window": 30,
        "slow_call_duration": 1.0,
        "clock": clock,
    }


def _our_breaker(count: int) -> float:
    import resilient

    clock = _Clock()
    names = {number: f"breaker-{number}" for number in range(-5, count)}

    def make(number: int) -> object:
        made = resilient.breaker(names[number], **_breaker_settings(clock))
        _traffic(made.call, number, clock)
        return made

    return _bytes_each(make, count)


def _our_key(count: int) -> float:
    import resilient

    clock = _Clock()
    keys = {number: f"host-{number}" for number in range(-5, count)}
    made = resilient.breaker("keyed", key=str, key_ttl=10**9, **_breaker_settings(clock))

    def make(number: int) -> object:
        _traffic(made.call, keys[number], clock)
        return None

    return _bytes_each(make, count)


def _interlock(count: int) -> float:
    import interlock

    clock = _Clock()
    config = interlock.Config(
        failure_rate_threshold=0.9,
        minimum_number_of_calls=20,
        slow_call_duration_threshold=1.0,
        window_type=interlock.WindowType.TIME_BASED,
        window_size=30,
    )
    names = {number: f"breaker-{number}" for number in range(-5, count)}

    def make(number: int) -> object:
        made = interlock.CircuitBreaker(name=names[number], config=config, clock=clock)
        _traffic(made.call, number, clock)
        return made

    return _bytes_each(make, count)


def _in_fresh_process(fn: Callable[[int], float], count: int) -> float:
    """Measure where no earlier row has left anything behind."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(fn, count).result()


def _memory(
    row: str, what: str, target: float, ours: Callable[[int], float], *, with_peers: bool
) -> Result:
    missing: dict[str, str] = {}
    peers: dict[str, float] = {}
    mine = _in_fresh_process(ours, 300)
    if with_peers:
        try:
            peers["interlock-cb"] = _in_fresh_process(_interlock, 300)
        except ImportError as error:
            missing["interlock-cb"] = f"missing: {error}"
    return Result(
        id=row,
        what=what,
        target=1.0,
        ours=mine,
        reference=target,
        reference_name="target",
        ratio=ratio(Timings((mine,) * 2), Timings((target,) * 2)),
        peers=peers,
        missing=missing,
        unit="B",
        note="after traffic with failures in every bucket",
    )


def memory_breaker(effort: Effort, *, with_peers: bool) -> Result:
    """Bytes of one breaker with a time window of ten buckets."""
    del effort
    what = "memory of one breaker, time window of 10 buckets"
    return _memory("memory-breaker", what, 1024, _our_breaker, with_peers=with_peers)


def memory_key(effort: Effort, *, with_peers: bool) -> Result:
    """Bytes of one more key of a keyed breaker."""
    del effort
    what = "memory of one more key of a keyed breaker"
    return _memory("memory-key", what, 512, _our_key, with_peers=with_peers)


# import -------------------------------------------------------------------------------------


def _process(code: str) -> float:
    start = time.perf_counter_ns()
    command = [sys.executable, "-c", code]
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603
    return float(time.perf_counter_ns() - start)


def _imports(row: str, what: str, target: float | None, code: str, effort: Effort) -> Result:
    codes = {"ours": code, "reference": f"import {_REQUIRED}", "bare": "pass"}
    for each in codes.values():
        _process(each)  # once, so that bytecode is written and files are in the cache
    spent: dict[str, list[float]] = {name: [] for name in codes}
    orders = itertools.cycle([list(codes), list(reversed(codes))])
    for order in itertools.islice(orders, min(effort.rounds, 31)):
        for name in order:
            spent[name].append(_process(codes[name]))
    times = {name: Timings(tuple(each)) for name, each in spent.items()}
    net = ratio(times["ours"], times["reference"], times["bare"]).value
    return Result(
        id=row,
        what=what,
        target=target,
        ours=times["ours"].median,
        reference=times["reference"].median,
        reference_name="its five packages",
        ratio=ratio(times["ours"], times["reference"]),
        peers={},
        missing={},
        note=f"whole processes; without Python's own start the ratio is {net:.2f}",
    )


def importing(effort: Effort, *, with_peers: bool) -> Result:
    """`import resilient` against importing its required packages."""
    del with_peers
    return _imports("import", "`import resilient`", 1.3, "import resilient", effort)


def importing_used(effort: Effort, *, with_peers: bool) -> Result:
    """The import of what a small program uses."""
    del with_peers
    code = f"from resilient import {_USED}"
    return _imports("info-import-used", f"`{code}`", None, code, effort)


RESOURCE_ROWS: dict[str, Callable[..., Result]] = {
    "threads": threads,
    "memory-breaker": memory_breaker,
    "memory-key": memory_key,
    "import": importing,
    "info-import-used": importing_used,
}

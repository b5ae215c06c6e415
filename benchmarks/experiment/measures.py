"""What is read off a record. Pure: numbers in, numbers out.

A call belongs to the second in which it was made, however long it took. So the goodput of a second
is the number of calls made in it that were answered, and its share of the calls made in it carries
no noise of the arrivals.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from .record import CallRecord, End, Record

__all__ = [
    "Measures",
    "Series",
    "amplification",
    "measure",
    "per_second",
    "quantile",
    "recovery",
    "series",
    "share",
    "wasted",
]

RECOVERED = 0.86
"""Share of the offered load that is answered by a system that has recovered."""
SECONDS = 5
"""For how long it has to be."""
WASTE_AFTER = 30.0
"""Wasted work is counted from the beginning of the trigger to so many seconds after its end, so
that the length of the observation does not matter."""


@dataclass(frozen=True, slots=True)
class Series:
    """Per second of a run: calls offered, calls answered, attempts made."""

    offered: list[int]
    good: list[int]
    attempts: list[int]


@dataclass(frozen=True, slots=True)
class Measures:
    """What `benchmarks/README.md` explains. Shares are in [0, 1]; `None`: there was nothing.

    `recovery` is in seconds; infinity is "never". Latencies are of answered calls made during the
    trigger, in seconds. `extra` is attempts per call during the trigger.
    """

    steady: float | None
    trigger: float | None
    after: float | None
    amplification: float
    recovery: float
    wasted: float | None
    false_rejections: float | None
    critical: float | None
    sheddable: float | None
    healthy_lost: float | None
    p50: float | None
    p99: float | None
    p999: float | None
    extra: float | None
    lag: float = 0.0


def per_second(times: Iterable[float], until: float) -> list[int]:
    """How many of `times` fall into each whole second before `until`."""
    counts = [0] * int(until)
    for time in times:
        if 0 <= time < len(counts):
            counts[int(time)] += 1
    return counts


def series(record: Record) -> Series:
    """The record, second by second."""
    calls, until = record.calls, record.until
    return Series(
        offered=per_second((call.at for call in calls), until),
        good=per_second((call.at for call in calls if call.end is End.GOOD), until),
        attempts=per_second(record.attempts, until),
    )


def recovery(offered: Sequence[int], good: Sequence[int], end: int, within: float) -> float:
    """Seconds after `end` from which on goodput stays high; infinity if that is not `within`.

    High is at least 86 % of what was offered, for five seconds in a row. A second in which nothing
    was offered is as good as it can be.
    """
    high = [served >= RECOVERED * asked for asked, served in zip(offered, good, strict=True)]
    for second in range(end, len(high) - SECONDS + 1):
        if second - end > within:
            break
        if all(high[second : second + SECONDS]):
            return float(second - end)
    return math.inf


def amplification(attempts: Sequence[int], offered: Callable[[float], float], begin: int) -> float:
    """The most attempts in any second from `begin` on, over the load offered in it."""
    return max(
        (count / offered(begin + after) for after, count in enumerate(attempts[begin:])),
        default=0.0,
    )


def wasted(completions: Iterable[tuple[float, bool]], begin: float, end: float) -> float | None:
    """The share of requests finished from `begin` to `end` that nobody waited for any more."""
    return share(not wanted for at, wanted in completions if begin <= at < end)


def share(hits: Iterable[bool]) -> float | None:
    """How many of `hits` are true; `None` if there are none at all."""
    found = list(hits)
    return sum(found) / len(found) if found else None


def quantile(values: Iterable[float], q: float) -> float | None:
    """The smallest value that at least a share `q` of `values` does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(q * len(ordered)) - 1)] if ordered else None


def measure(record: Record) -> Measures:
    """Everything that is asked of a run."""
    scenario = record.scenario
    steady = _made(record, scenario.warm_up, scenario.begin)
    during = _made(record, scenario.begin, scenario.end)
    after = _made(record, scenario.end, record.until - scenario.patience)
    counts = series(record)
    latencies = [call.seconds for call in during if call.end is End.GOOD]
    asked = sum(scenario.begin <= at < scenario.end for at in record.attempts)
    marked = scenario.trigger.sheddable is not None
    return Measures(
        steady=_good(steady),
        trigger=_good(during),
        after=_good(after),
        amplification=amplification(counts.attempts, scenario.offered, int(scenario.begin)),
        recovery=recovery(counts.offered, counts.good, int(scenario.end), scenario.observe),
        wasted=wasted(record.completions, scenario.begin, scenario.end + WASTE_AFTER),
        false_rejections=share(call.end is End.REJECTED for call in steady),
        critical=_good(call for call in during if not call.sheddable) if marked else None,
        sheddable=_good(call for call in during if call.sheddable) if marked else None,
        healthy_lost=_lost(steady, during) if scenario.trigger.condition.sick_keys else None,
        p50=quantile(latencies, 0.5),
        p99=quantile(latencies, 0.99),
        p999=quantile(latencies, 0.999),
        extra=asked / len(during) if during else None,
        lag=quantile(record.lags, 0.99) or 0.0,
    )


def _made(record: Record, begin: float, end: float) -> list[CallRecord]:
    """The calls made from `begin` to `end`."""
    return [call for call in record.calls if begin <= call.at < end]


def _good(calls: Iterable[CallRecord]) -> float | None:
    return share(call.end is End.GOOD for call in calls)


def _lost(steady: Iterable[CallRecord], during: Iterable[CallRecord]) -> float | None:
    """How much of the healthy keys' goodput went with the sick ones."""
    before = _good(call for call in steady if not call.sick)
    then = _good(call for call in during if not call.sick)
    return None if not before or then is None else max(0.0, 1 - then / before)

"""The rows of the table that time one call: what is compared with what, and the target."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import references
from _measure import Effort, Ratio, Timings, measure, measure_async, ratio
from ours import OURS, asyncio_timeout
from peers import PEERS, tenacity_retry, tenacity_retry_async

__all__ = ["CALL_ROWS", "CallRow", "Result", "measure_row"]

Fn = Callable[..., Any]
Build = Callable[[Fn], Fn]


@dataclass(frozen=True, slots=True)
class CallRow:
    """One row. `target` is the greatest allowed ratio, `None` for a row that only informs.

    `ours` names the subject and `peers` the situation of the others; they and `reference` are
    built around what `fn` makes.
    With `trips`, subjects are failed until they reject; with `answers`, each is asked once and
    must give back what it was given. With `net`, the cost of the function alone is taken from
    both sides.
    """

    id: str
    what: str
    target: float | None
    ours: str
    reference: Build
    reference_name: str = "wrapper"
    fn: Callable[[], Fn] = lambda: references.answer
    is_async: bool = False
    peers: str = ""
    trips: bool = False
    answers: bool = True
    net: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """A row that was measured: what the table prints."""

    id: str
    what: str
    target: float | None
    ours: float | None
    reference: float | None
    reference_name: str
    ratio: Ratio | None
    peers: dict[str, float]
    missing: dict[str, str]
    unit: str = "ns"
    at_least: bool = False
    note: str = ""

    @property
    def passed(self) -> bool | None:
        """Whether the target is met; `None` without a target or a measurement."""
        if self.target is None or self.ratio is None:
            return None
        if self.at_least:
            return self.ratio.value >= self.target
        return self.ratio.value <= self.target

    @property
    def best_peer(self) -> tuple[str, float] | None:
        """The best of the others."""
        if not self.peers:
            return None
        pick = max if self.at_least else min
        name = pick(self.peers, key=lambda peer: self.peers[peer])
        return name, self.peers[name]


def _bare(fn: Fn) -> Fn:
    del fn
    return references.bare_raise


def _bare_async(fn: Fn) -> Fn:
    del fn
    return references.bare_raise_async


def _broken(order: int) -> int:
    raise ConnectionError(order)


async def _broken_async(order: int) -> int:
    raise ConnectionError(order)


def _a(fn: Fn) -> Callable[[], Fn]:
    return lambda: fn


_S, _A = references.wrapper, references.wrapper_async
_answer_async = _a(references.answer_async)

CALL_ROWS: list[CallRow] = [
    CallRow(
        "breaker-closed-sync",
        "breaker closed: window, slow calls, metrics",
        2.5,
        "breaker",
        _S,
        peers="breaker-sync",
    ),
    CallRow(
        "breaker-closed-async",
        "breaker closed: window, slow calls, metrics, async",
        2.0,
        "breaker",
        _A,
        fn=_answer_async,
        is_async=True,
        peers="breaker-async",
    ),
    CallRow(
        "breaker-open-sync",
        "breaker open, rejecting",
        2.5,
        "breaker",
        _bare,
        "bare raise",
        fn=_a(_broken),
        peers="breaker-sync",
        trips=True,
    ),
    CallRow(
        "breaker-open-async",
        "breaker open, rejecting, async",
        2.5,
        "breaker",
        _bare_async,
        "bare raise",
        fn=_a(_broken_async),
        is_async=True,
        peers="breaker-async",
        trips=True,
    ),
    CallRow("retry-first-sync", "retry, first try succeeds", 1.3, "retry", _S, peers="retry-sync"),
    CallRow(
        "retry-first-async",
        "retry, first try succeeds, async",
        1.3,
        "retry",
        _A,
        fn=_answer_async,
        is_async=True,
        peers="retry-async",
    ),
    CallRow(
        "retry-once-sync",
        "retry, one failure, then success, no sleep",
        0.15,
        "retry",
        tenacity_retry,
        "tenacity",
        fn=references.flaky,
        peers="retry-sync",
    ),
    CallRow(
        "retry-once-async",
        "retry, one failure, then success, no sleep, async",
        0.15,
        "retry",
        tenacity_retry_async,
        "tenacity",
        fn=references.flaky_async,
        is_async=True,
        peers="retry-async",
    ),
    CallRow(
        "timeout-suspends",
        "timeout, the awaitable suspends (cost added to it)",
        0.5,
        "timeout",
        asyncio_timeout,
        "asyncio.timeout",
        fn=_a(references.suspend),
        is_async=True,
        peers="timeout-async",
        net=True,
        note="the time of the awaitable alone is taken from every figure",
    ),
    CallRow(
        "timeout-ready",
        "timeout, the awaitable does not suspend",
        0.2,
        "timeout",
        asyncio_timeout,
        "asyncio.timeout",
        fn=_answer_async,
        is_async=True,
        peers="timeout-async",
    ),
    CallRow(
        "stack4-sync",
        "fallback + retry + breaker + bulkhead, success",
        4.0,
        "stack4",
        _S,
        peers="stack4-sync",
    ),
    CallRow(
        "stack4-async",
        "fallback + retry + breaker + bulkhead, success, async",
        3.0,
        "stack4",
        _A,
        fn=_answer_async,
        is_async=True,
        peers="stack4-async",
    ),
    CallRow(
        "stack-sync",
        "fallback + retry + breaker, success",
        4.0,
        "stack",
        _S,
        peers="stack-sync",
        note="the target is that of the stack with a bulkhead",
    ),
    CallRow(
        "stack-async",
        "fallback + retry + breaker, success, async",
        3.0,
        "stack",
        _A,
        fn=_answer_async,
        is_async=True,
        peers="stack-async",
    ),
    CallRow(
        "mode-current",
        "reading `mode.current`, nothing to bring up to date",
        1.0,
        "mode",
        _S,
        answers=False,
        note="read in a function of one line, whose call is included",
    ),
    CallRow("info-fallback-sync", "fallback, not needed", None, "fallback", _S),
    CallRow(
        "info-fallback-async",
        "fallback, not needed, async",
        None,
        "fallback",
        _A,
        fn=_answer_async,
        is_async=True,
    ),
    CallRow("info-breaker-keyed", "breaker closed, one circuit per key", None, "breaker-keyed", _S),
    CallRow("info-breaker-watched", "breaker closed, latency watched", None, "breaker-watched", _S),
    CallRow("info-breaker-block", "`with breaker:`", None, "breaker-block", _S),
    CallRow(
        "info-breaker-block-async",
        "`async with breaker:`",
        None,
        "breaker-block-async",
        _A,
        fn=_answer_async,
        is_async=True,
    ),
    CallRow("info-breaker-call", "`breaker.call(fn, 1)`", None, "breaker-call", _S),
]


def _tripped(guarded: Fn) -> Fn:
    """Fail `guarded` until it must reject."""
    for _ in range(30):
        try:
            guarded(1)
        except Exception:
            pass
    return guarded


async def _tripped_async(guarded: Fn) -> Fn:
    for _ in range(30):
        try:
            await guarded(1)
        except Exception:
            pass
    return guarded


def _builders(row: CallRow) -> dict[str, Build]:
    found: dict[str, Build] = {"ours": OURS[row.ours], "reference": row.reference}
    for peer in PEERS:
        if peer.situation == row.peers and peer.name != row.reference_name:
            found[peer.name] = peer.build
    return found


def _build(row: CallRow, with_peers: bool) -> tuple[dict[str, Fn], dict[str, str]]:
    """Build the subjects of `row`; also say which could not be built, and why."""
    subjects: dict[str, Fn] = {}
    missing: dict[str, str] = {}
    for name, build in _builders(row).items():
        if not with_peers and name not in ("ours", "reference"):
            continue
        try:
            subjects[name] = build(row.fn())
        except ImportError as error:
            missing[name] = f"missing: {error}"
        except AttributeError as error:
            missing[name] = f"not there yet: {error}"
    if row.net:
        subjects["function"] = row.fn()
    return subjects, missing


async def _run_async(
    row: CallRow, effort: Effort, with_peers: bool
) -> tuple[dict[str, Timings], dict[str, str]]:
    subjects, missing = _build(row, with_peers)
    for name, guarded in subjects.items():
        if row.trips and name != "reference":
            await _tripped_async(guarded)
        elif row.answers and not row.trips:
            _expect(name, await guarded(1))
    return await measure_async(subjects, raises=row.trips, effort=effort), missing


def _run_sync(
    row: CallRow, effort: Effort, with_peers: bool
) -> tuple[dict[str, Timings], dict[str, str]]:
    subjects, missing = _build(row, with_peers)
    for name, guarded in subjects.items():
        if row.trips and name != "reference":
            _tripped(guarded)
        elif row.answers and not row.trips:
            _expect(name, guarded(1))
    return measure(subjects, raises=row.trips, effort=effort), missing


def _expect(name: str, answer: object) -> None:
    if answer != 1:
        message = f"{name} answered {answer!r}, so it is not what the row wants to time"
        raise AssertionError(message)


def measure_row(row: CallRow, effort: Effort, *, with_peers: bool = True) -> Result:
    """Measure one row in this process."""
    if row.is_async:
        times, missing = asyncio.run(_run_async(row, effort, with_peers))
    else:
        times, missing = _run_sync(row, effort, with_peers)
    base = times.get("function")
    less = base.median if base else 0.0
    ours, reference = times.get("ours"), times.get("reference")
    return Result(
        id=row.id,
        what=row.what,
        target=row.target,
        ours=ours.median - less if ours else None,
        reference=reference.median - less if reference else None,
        reference_name=row.reference_name,
        ratio=ratio(ours, reference, base) if ours and reference else None,
        peers={
            name: timings.median - less
            for name, timings in times.items()
            if name not in ("ours", "reference", "function")
        },
        missing=missing,
        note=row.note,
    )

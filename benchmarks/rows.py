"""The rows of the table that time one call: what is compared with what, and the target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import references
from ours import OURS, asyncio_timeout
from peers import tenacity_retry, tenacity_retry_async

__all__ = ["CALL_ROWS", "CallRow"]

Fn = Callable[..., Any]
Build = Callable[[Fn], Fn]


@dataclass(frozen=True, slots=True)
class CallRow:
    """One row. `target` is the greatest allowed ratio, `None` for a row that only informs.

    `ours` names the subject and `peers` the situation of the others; they and `reference` are
    built around what `fn` makes.
    With `trips`, subjects are failed until they reject; with `raises`, calls fail; with `answers`,
    each is asked once and must give back what it was given. With `net`, the cost of the function
    alone is taken from both sides.
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
    raises: bool = False
    answers: bool = True
    net: bool = False
    note: str = ""


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


def _itself(fn: Fn) -> Fn:
    return fn


_S, _A = references.wrapper, references.wrapper_async
_answer_async = _a(references.answer_async)


def _async(row: str, what: str, target: float | None, ours: str, **more: Any) -> CallRow:
    """A row about a coroutine function that never suspends."""
    reference = more.pop("reference", _A)
    fn = more.pop("fn", _answer_async)
    return CallRow(row, what, target, ours, reference, fn=fn, is_async=True, **more)


def _both(
    row: str,
    what: str,
    ours: str,
    peers: str = "",
    targets: tuple[float | None, float | None] = (None, None),
) -> list[CallRow]:
    """The row of a ``def``, and that of an ``async def``, beside the wrappers."""
    sync_peers, async_peers = (f"{peers}-sync", f"{peers}-async") if peers else ("", "")
    return [
        CallRow(f"{row}-sync", what, targets[0], ours, _S, peers=sync_peers),
        _async(f"{row}-async", f"{what}, async", targets[1], ours, peers=async_peers),
    ]


_TARGETS: list[CallRow] = [
    *_both(
        "breaker-closed",
        "breaker closed: window, slow calls, metrics",
        "breaker",
        "breaker",
        (2.5, 2.0),
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
    _async(
        "breaker-open-async",
        "breaker open, rejecting, async",
        2.5,
        "breaker",
        reference=_bare_async,
        reference_name="bare raise",
        fn=_a(_broken_async),
        peers="breaker-async",
        trips=True,
    ),
    *_both("retry-first", "retry, first try succeeds", "retry", "retry", (1.3, 1.3)),
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
    _async(
        "retry-once-async",
        "retry, one failure, then success, no sleep, async",
        0.15,
        "retry",
        reference=tenacity_retry_async,
        reference_name="tenacity",
        fn=references.flaky_async,
        peers="retry-async",
    ),
    _async(
        "timeout-suspends",
        "timeout, the awaitable suspends (cost added to it)",
        0.5,
        "timeout",
        reference=asyncio_timeout,
        reference_name="asyncio.timeout",
        fn=_a(references.suspend),
        peers="timeout-async",
        net=True,
        note="the time of the awaitable alone is taken from every figure",
    ),
    _async(
        "timeout-ready",
        "timeout, the awaitable does not suspend",
        0.2,
        "timeout",
        reference=asyncio_timeout,
        reference_name="asyncio.timeout",
        peers="timeout-async",
    ),
    *_both(
        "stack4",
        "fallback + retry + breaker + bulkhead, success",
        "stack4",
        "stack4",
        (4.0, 3.0),
    ),
    _async(
        "stack5-async",
        "the same four and a deadline, success, async",
        1.2,
        "stack5",
        reference=asyncio_timeout,
        reference_name="asyncio.timeout",
        peers="stack5-async",
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
]

_POLICIES: list[CallRow] = [
    *_both("info-stack", "fallback + retry + breaker, success", "stack", "stack"),
    *_both("info-fallback", "fallback, not needed", "fallback"),
    *_both("info-bulkhead", "bulkhead, slots free", "bulkhead", "bulkhead"),
    *_both("info-rate-limit", "rate limit, tokens left", "rate-limit", "rate-limit"),
    *_both("info-adaptive-limit", "adaptive limit, below it", "adaptive-limit"),
    *_both("info-throttle", "throttle, nothing shed", "throttle"),
    *_both("info-retry-budget", "retry with a budget, first try succeeds", "retry-budget"),
    *_both("info-failover", "failover, the first target answers", "failover"),
    *_both("info-criticality", "criticality, marking a call", "criticality"),
    *_both("info-mode-gate", "mode gate, the mode is NORMAL", "mode-gate"),
    *_both("info-deadline", "deadline", "deadline"),
    *[
        _async(
            f"info-{ours}",
            what,
            None,
            ours,
            reference=asyncio_timeout,
            reference_name="asyncio.timeout",
        )
        for ours, what in (
            ("hedge", "hedge after a delay, not needed, async"),
            ("hedge-quantile", "hedge after a quantile, not needed, async"),
        )
    ],
    _async(
        "info-timeout-quantile",
        "timeout by a quantile, the awaitable does not suspend",
        None,
        "timeout-quantile",
        reference=OURS["timeout"],
        reference_name="timeout(5)",
    ),
    CallRow("info-protect-sync", "`protect(name)`, success", None, "protect", _S),
    *[
        _async(
            f"info-{ours}-async",
            what,
            None,
            ours,
            reference=asyncio_timeout,
            reference_name="asyncio.timeout",
            peers="stack5-async",
        )
        for ours, what in (
            ("protect", "`protect(name)`, success, async"),
            ("protect-all", "`protect` with criticality, fallback, rate and limit, async"),
        )
    ],
]

_DETAILS: list[CallRow] = [
    CallRow(
        "info-breaker-failing",
        "breaker closed, the call fails",
        None,
        "breaker-counting",
        _itself,
        "the function",
        fn=_a(_broken),
        raises=True,
    ),
    CallRow("info-breaker-keyed", "breaker closed, one circuit per key", None, "breaker-keyed", _S),
    CallRow("info-breaker-watched", "breaker closed, latency watched", None, "breaker-watched", _S),
    CallRow("info-breaker-block", "`with breaker:`", None, "breaker-block", _S),
    _async("info-breaker-block-async", "`async with breaker:`", None, "breaker-block-async"),
    CallRow("info-breaker-call", "`breaker.call(fn, 1)`", None, "breaker-call", _S),
]

CALL_ROWS = [*_TARGETS, *_POLICIES, *_DETAILS]

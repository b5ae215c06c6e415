"""The rows of the table that time one call: what is compared with what, and the target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import references
from ours import asyncio_timeout
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

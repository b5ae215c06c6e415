"""What is protected in the benchmarks, and what a protected call is compared with."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Any

__all__ = [
    "answer",
    "answer_async",
    "bare_raise",
    "bare_raise_async",
    "flaky",
    "flaky_async",
    "suspend",
    "wrapper",
    "wrapper_async",
]

Fn = Callable[..., Any]


def answer(order: int) -> int:
    """The cheapest call there is: what is measured is what surrounds it."""
    return order


async def answer_async(order: int) -> int:
    """As `answer`, and never suspends."""
    return order


async def suspend(order: int) -> int:
    """Suspend once, for one turn of the event loop."""
    await asyncio.sleep(0)
    return order


def flaky() -> Fn:
    """Make a function whose every first call fails and every second one answers."""
    failed = False

    def call(order: int) -> int:
        nonlocal failed
        failed = not failed
        if failed:
            raise ConnectionError("down")
        return order

    return call


def flaky_async() -> Fn:
    """The async twin of `flaky`."""
    call = flaky()

    async def call_async(order: int) -> Any:
        return call(order)

    return call_async


def wrapper(fn: Fn) -> Fn:
    """Wrap `fn` in the least that any decorator does that looks at exceptions."""

    @functools.wraps(fn)
    def wrapped(*a: Any, **k: Any) -> Any:
        try:
            return fn(*a, **k)
        except Exception:
            raise

    return wrapped


def wrapper_async(fn: Fn) -> Fn:
    """The async twin of `wrapper`."""

    @functools.wraps(fn)
    async def wrapped(*a: Any, **k: Any) -> Any:
        try:
            return await fn(*a, **k)
        except Exception:
            raise

    return wrapped


def bare_raise(order: int) -> int:
    """Raise a fresh exception."""
    raise RuntimeError("closed for today")


async def bare_raise_async(order: int) -> int:
    """Raise a fresh exception from a coroutine."""
    raise RuntimeError("closed for today")

"""What kind of callable is this, and can it be protected at all?"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import CoroutineType, FunctionType
from typing import Any

_GENERATOR = inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR

__all__ = ["gives_coroutine", "is_async_callable", "label", "refuse_coroutine"]


def is_async_callable(fn: Callable[..., Any]) -> bool:
    """Whether calling `fn` gives a coroutine.

    Raises `TypeError`, saying what to do instead, for what cannot be protected: what cannot be
    called, classes, generator and async-generator functions.
    """
    if type(fn) is FunctionType and not fn.__dict__:
        flags = fn.__code__.co_flags
        if not flags & _GENERATOR:
            return bool(flags & inspect.CO_COROUTINE)
    inner = _unwrap(fn)
    if isinstance(inner, type) or not callable(inner):
        message = f"only functions and methods can be protected, not {fn!r}"
        raise TypeError(message)
    if inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner):
        prefix = "async " if inspect.isasyncgenfunction(inner) else ""
        message = (
            f"{label(fn)} is {'an async' if prefix else 'a'} generator function: its body runs "
            "after the call has returned, so nothing would be protected. Put "
            f"`{prefix}with breaker:` around the code that consumes it instead"
        )
        raise TypeError(message)
    return inspect.iscoroutinefunction(inner)


def gives_coroutine(fn: Callable[..., Any]) -> bool:
    """Whether calling `fn` gives a coroutine, whatever `fn` is."""
    return inspect.iscoroutinefunction(_unwrap(fn))


def label(fn: Callable[..., Any]) -> str:
    """A name for `fn` in messages."""
    inner = _unwrap(fn)
    return getattr(inner, "__qualname__", None) or type(inner).__qualname__


def refuse_coroutine(fn: Callable[..., Any], result: object) -> None:
    """Raise `TypeError` if a ``def`` returned a coroutine: created is not succeeded."""
    if type(result) is CoroutineType:
        result.close()
        message = (
            f"{label(fn)} is a def that returned a coroutine: it has not run yet, so it cannot be "
            "judged. Protect the async def itself, or make this one an async def that awaits it"
        )
        raise TypeError(message)


def _unwrap(fn: Any) -> Any:
    """Look through partials, bound methods and callable objects."""
    while True:
        if isinstance(fn, functools.partial):
            fn = fn.func
        elif inspect.ismethod(fn):
            fn = fn.__func__
        elif inspect.isroutine(fn) or isinstance(fn, type) or not callable(fn):
            return fn
        elif inspect.ismethod(method := getattr(fn, "__call__", None)):  # noqa: B004
            fn = method
        else:
            return fn

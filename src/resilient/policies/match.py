"""What counts: exception classes, tuples of them, or a predicate."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import msgspec

from resilient.core.inspection import gives_coroutine
from resilient.errors import ConfigError, Rejected

__all__ = [
    "Catch",
    "Matcher",
    "function",
    "jittered",
    "matcher",
    "named",
    "names_rejection",
    "needed",
    "optional",
    "positive",
    "whole",
]

Matcher = Callable[[Exception], bool]
Catch = type[Exception] | tuple[type[Exception], ...] | Matcher
_ALLOWED = "an Exception class, a tuple of them, or a function of the exception, not async"
_FUNCTION = "a function that is not async"


def matcher(setting: str, catch: object) -> Matcher:
    """Turn `catch` into a predicate.

    Raises `ConfigError`, naming `setting`, for anything else; exceptions outside `Exception`, such
    as `KeyboardInterrupt` and `asyncio.CancelledError`, are never judged and so refused here.

    Example::

        matcher("on", (OSError, ValueError))(OSError())  # True
    """
    if catch is Exception:
        return _every
    if catch == ():
        return _none
    if isinstance(catch, type | tuple):
        classes = catch if isinstance(catch, tuple) else (catch,)
        for cls in classes:
            if not (isinstance(cls, type) and issubclass(cls, Exception)):
                raise ConfigError(setting, cls, _ALLOWED)
        return lambda error: isinstance(error, classes)
    predicate = function(setting, catch, _ALLOWED)
    return lambda error: bool(predicate(error))


def _every(error: Exception) -> bool:
    del error
    return True


def _none(error: Exception) -> bool:
    del error
    return False


def names_rejection(catch: object) -> bool:
    """Whether `catch` names a class of rejections; ``on=Exception`` does not."""
    names = catch if isinstance(catch, tuple) else (catch,)
    return any(isinstance(name, type) and issubclass(name, Rejected) for name in names)


def function(setting: str, value: object, allowed: str = _FUNCTION) -> Any:
    """Check a function that is not async; a coroutine would count as true, whatever it gives.

    Raises `ConfigError`.
    """
    if not callable(value) or gives_coroutine(value):
        raise ConfigError(setting, value, allowed)
    return value


def optional(check: Callable[..., Any], setting: str, value: object) -> Any:
    """`value` as `check` reads it, or `None` if it is `None`."""
    return None if value is None else check(setting, value)


def named(value: object) -> str:
    """Check a name. Raises `ConfigError` unless it is a string that is not empty."""
    if not (isinstance(value, str) and value):
        raise ConfigError("name", value, "a string that is not empty")
    return value


def needed(allowed: str, section: str, setting: str, name: str) -> str:
    """What is `allowed` where nothing was given, and where it may be given."""
    key = msgspec.json.encode(name).decode()
    return f"{allowed}, as {setting}= or in the settings: [{section}.{key}] {setting} = ..."


def whole(setting: str, value: object, *, least: int = 1) -> int:
    """Check a whole number >= `least`. Raises `ConfigError`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(setting, value, f"a whole number >= {least}")
    return value


def positive(
    setting: str, value: object, *, most: float = float("inf"), zero: bool = False
) -> float:
    """Check a number in (0, `most`], or [0, `most`] if `zero`. Raises `ConfigError`."""
    least = ">= 0" if zero else "> 0"
    allowed = f"a number {least}" + ("" if most == float("inf") else f" and <= {most:g}")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(setting, value, allowed)
    if not 0 <= value <= min(most, sys.float_info.max) or (value == 0 and not zero):
        raise ConfigError(setting, value, allowed)
    return float(value)


def jittered(value: object) -> float:
    """Check the share of a wait by which it may be shorter or longer: at least 0, and below 1.

    Raises `ConfigError`.
    """
    share = positive("jitter", value, zero=True)
    if share >= 1:
        raise ConfigError("jitter", value, "a number >= 0 and < 1")
    return share

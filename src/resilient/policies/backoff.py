"""How long to wait between attempts."""

from __future__ import annotations

import datetime
import inspect
import random
from collections.abc import Callable
from typing import Any

from resilient.clock import Clock, Duration, seconds
from resilient.errors import ConfigError
from resilient.policies.match import function, positive

__all__ = ["Wait", "asked_wait", "backoff", "waiter"]

WAIT_ALLOWED = "seconds, a function (attempt, error) -> seconds, or a tenacity wait"

Wait = Callable[[int, Exception], float]
"""A function of the number of the attempt that failed, and its error, giving seconds."""


def backoff(
    initial: Duration = 0.1,
    *,
    factor: float = 2.0,
    cap: Duration = 2.0,
    jitter: bool = True,
    draw: Callable[[float, float], float] = random.uniform,
) -> Wait:
    """Exponential backoff: up to ``initial * factor**(n - 1)`` seconds after attempt n.

    At most `cap`. With `jitter` the wait is drawn evenly from 0 to that bound, so that callers who
    failed together do not come back together ("full jitter": Brooker, "Exponential Backoff And
    Jitter", AWS Architecture Blog, 2015).

    Parameters: `initial` and `cap` in seconds, `factor` >= 1, `draw` for tests.
    Raises `ConfigError`.

    Example::

        retry(on=ConnectionError, wait=backoff(0.5, cap=30))
    """
    first = seconds("initial", initial)
    most = seconds("cap", cap)
    if positive("factor", factor) < 1:
        raise ConfigError("factor", factor, "a number >= 1")
    function("draw", draw, "a function of two numbers, giving one between them")

    def wait(attempt: int, error: Exception) -> float:
        del error
        try:
            bound = min(most, first * factor ** (attempt - 1))
        except OverflowError:
            bound = most
        return draw(0.0, bound) if jitter else bound

    return wait


def waiter(wait: Duration | Wait | None) -> Wait:
    """Read the setting `wait` of a retry. Raises `ConfigError`."""
    if wait is None:
        return backoff()
    if callable(wait):
        return _two_arguments(function("wait", wait, WAIT_ALLOWED))
    try:
        fixed = seconds("wait", wait, zero=True)
    except ConfigError:
        raise ConfigError("wait", wait, WAIT_ALLOWED) from None
    return lambda _, __: fixed


def _two_arguments(wait: Wait) -> Wait:
    try:
        inspect.signature(wait).bind(1, Exception())
    except TypeError:
        raise ConfigError("wait", wait, WAIT_ALLOWED) from None
    except ValueError:
        return wait  # it does not tell its parameters
    return wait


def asked_wait(error: Exception, clock: Clock) -> float | None:
    """The seconds that `error` itself asks to wait, or `None`.

    Read from an attribute ``retry_after``, or from the ``Retry-After`` header of an attribute
    ``response``: seconds, or an HTTP date (RFC 9110, section 10.2.3), which is held against the
    response's own ``Date`` if it has one.
    """
    try:
        asked, headers = _hints(error)
    except Exception:  # noqa: BLE001  (a hint that cannot be read is no hint)
        return None
    if asked is None:
        return None
    if isinstance(asked, datetime.timedelta):
        asked = asked.total_seconds()
    try:
        wait = float(asked)
    except OverflowError:
        return None
    except (TypeError, ValueError):
        wait = _until(asked, headers, clock)
    return wait if 0 <= wait < float("inf") else None


def _hints(error: Exception) -> tuple[Any, Any]:
    """What `error` asks for, and the headers of its response."""
    asked = getattr(error, "retry_after", None)
    headers = getattr(getattr(error, "response", None), "headers", None)
    if asked is None and headers is not None:
        asked = headers.get("Retry-After")
    return asked, headers


def _until(asked: object, headers: Any, clock: Clock) -> float:
    """Seconds until an HTTP date; -1 if it is none."""
    from email.utils import parsedate_to_datetime  # noqa: PLC0415  (seldom needed)

    try:
        then = parsedate_to_datetime(str(asked)).timestamp()
    except (TypeError, ValueError, OverflowError):
        return -1.0
    try:
        now = parsedate_to_datetime(headers.get("Date")).timestamp()
    except (TypeError, ValueError, AttributeError, OverflowError):
        now = clock.time()
    return max(0.0, then - now)

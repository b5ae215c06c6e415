"""Every event as a structlog event. Quiet until `enable_logs` is called."""

from __future__ import annotations

from enum import Enum
from typing import Any

import structlog

from resilient.core.hub import subscribe
from resilient.events import Event, Severity, Subscription
from resilient.telemetry.severities import rank, severity_of, words

__all__ = ["enable_logs", "write"]

_TAKEN = {"event", "policy", "self"}
_UNSAID = {"name", "at", "origin"}


def enable_logs(severity: Severity | str = Severity.INFO, *, logger: Any = None) -> Subscription:
    """Log every event of at least `severity`, bound with the policy's name.

    Lines are written by the dispatcher, never on a caller's call; a log processor that raises or
    hangs changes no call. `logger` is a structlog logger (default: ``structlog.get_logger()``),
    so configuring structlog configures these logs too.

    Returns a subscription; its ``cancel()`` switches logging off again.
    Raises `ConfigError` unless `severity` is a `Severity` or its name.

    Example::

        resilient.enable_logs("warning")
    """
    least = rank(severity_of("severity", severity))
    target = structlog.get_logger() if logger is None else logger

    def log(event: Event) -> None:
        if rank(event.severity) >= least:
            write(target, event)

    return subscribe(Event, log)


def write(logger: Any, event: Event) -> None:
    """Write one event: its kind as the message, its name as ``policy``, its fields as they are.

    Numbers are rounded to a thousandth, and ``origin`` is left out: it means something only to a
    program. A field called ``policy``, or what structlog calls its own, gets an underscore.
    """
    details = {
        f"{field}_" if field in _TAKEN else field: _plain(getattr(event, field))
        for field in event.__struct_fields__
        if field not in _UNSAID
    }
    method = getattr(logger.bind(policy=event.name), event.severity.value)
    method(words(type(event).__name__), **{k: v for k, v in details.items() if v is not None})


def _plain(value: object) -> object:
    if isinstance(value, float):
        return round(value, 3)
    return value.name if isinstance(value, Enum) else value

"""What happens, told to the outside: logs and alerts."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    """Load `alerts` when it is named; the logs alone do without it."""
    if name != "alerts":
        message = f"module 'resilient.telemetry' has no attribute {name!r}"
        raise AttributeError(message)
    return import_module("resilient.telemetry.alerts")

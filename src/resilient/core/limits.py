"""The end of a call that took too long."""

from __future__ import annotations

from resilient.core.hub import hub
from resilient.errors import CallTimeoutError
from resilient.events import CallTimedOut

__all__ = ["timed_out"]


def timed_out(name: str, seconds: float) -> CallTimeoutError:
    """The error of a limit that has fired, told to the bus."""
    if hub.bus.wants(CallTimedOut):
        hub.bus.publish(CallTimedOut(name=name, seconds=seconds))
    return CallTimeoutError(name, seconds)

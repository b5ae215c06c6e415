"""What an event says about whether a component is there."""

from __future__ import annotations

from enum import Enum

from resilient.events import (
    CircuitChanged,
    CircuitState,
    ComponentFailed,
    ComponentRecovered,
)

__all__ = ["Turn", "turn_of"]

_SHUT = (CircuitState.OPEN, CircuitState.FORCED_OPEN)


class Turn(Enum):
    """GONE: its breaker refuses calls. ILL: it has failed, and calls go on. BACK: calls flow."""

    GONE = "gone"
    ILL = "ill"
    BACK = "back"


def turn_of(event: CircuitChanged | ComponentFailed | ComponentRecovered) -> Turn | None:
    """Read an event; `None` if it says nothing about the whole component.

    A breaker that closes after it was only disabled, or only counting, had let calls pass.
    """
    if isinstance(event, ComponentFailed):
        return Turn.ILL
    if isinstance(event, ComponentRecovered):
        return Turn.BACK
    if event.key is not None:
        return None
    if event.new in _SHUT:
        return Turn.GONE
    had_shut = event.old in (*_SHUT, CircuitState.HALF_OPEN)
    return Turn.BACK if event.new is CircuitState.CLOSED and had_shut else None

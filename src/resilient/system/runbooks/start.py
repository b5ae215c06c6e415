"""Reads what may start a runbook."""

from __future__ import annotations

from collections.abc import Callable

from resilient.errors import ConfigError
from resilient.system.runbooks.condition import Condition
from resilient.system.runbooks.crew import Hire
from resilient.system.runbooks.step import wants_context
from resilient.system.runbooks.trigger import (
    Cascading,
    Entering,
    Failing,
    Never,
    Returning,
    Trigger,
)
from resilient.system.states import Mode

__all__ = ["Start", "started_by"]

Start = Mode | str | Failing | Callable[[], object]
"""A mode or its name, ``"cascade"``, ``failure_of(...)``, or a function of no argument."""

_ALLOWED = "a Mode or its name, 'cascade', failure_of(...), or a function of no argument"


def started_by(
    on: Start | None, every: float, hire: Hire, told: Callable[[object], None]
) -> Trigger | Condition:
    """What `on` means. Raises `ConfigError`.

    Parameters: `every`, seconds between questions to a function; `hire`, the mode's way of making
    an errand; `told`, who is to hear that the answer is a new one.
    """
    if on is None:
        return Never()
    if isinstance(on, Failing):
        return on
    if on == "cascade":
        return Cascading()
    if isinstance(on, Mode) or (isinstance(on, str) and on.upper() in Mode.__members__):
        mode = Mode.of(on, "on")
        return Returning() if mode is Mode.NORMAL else Entering(mode)
    if callable(on) and wants_context(on) is False:
        return Condition(on, every, hire, told)
    raise ConfigError("on", on, _ALLOWED)

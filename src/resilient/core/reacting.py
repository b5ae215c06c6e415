"""How a policy asks the mode how to work. Nobody asks while all goes well."""

from __future__ import annotations

from typing import Any

from resilient.core.hub import hub
from resilient.core.ports import ReactingMode, Reaction
from resilient.errors import ConfigError

__all__ = ["AS_USUAL", "obeyed", "reaction_of"]

AS_USUAL = Reaction()
"""Where there is no mode, or one that asks for nothing."""


def reaction_of(mode: ReactingMode | None) -> Reaction:
    """What `mode` asks for now, or the default mode if there is one already; none is made.

    Example::

        if reaction_of(None).hedging:
            start_another()
    """
    asked: Any = hub.made_mode if mode is None else mode
    found: Reaction | None = getattr(asked, "reaction", None)
    return AS_USUAL if found is None else found


def obeyed(mode: Any) -> ReactingMode | None:
    """Check a mode that is to be obeyed; one that knows no reactions changes nothing.

    Raises `ConfigError`.
    """
    # By the type: to ask the mode itself would bring it up to date.
    known = (hasattr(type(mode), word) for word in ("reaction", "evaluate"))
    if mode is not None and not any(known):
        raise ConfigError("mode", mode, "a SystemOperationMode, or None for the default one")
    found: ReactingMode | None = mode
    return found

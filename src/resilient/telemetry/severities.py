"""How much things matter, in order, and their names as words."""

from __future__ import annotations

import re

from resilient.errors import ConfigError
from resilient.events import Severity

__all__ = ["rank", "severity_of", "words"]

_RANK = {severity: number for number, severity in enumerate(Severity)}


def rank(severity: Severity) -> int:
    """0 for DEBUG, and one more for each that matters more.

    Example::

        rank(Severity.ERROR) > rank(Severity.WARNING)
    """
    return _RANK[severity]


def severity_of(setting: str, value: Severity | str) -> Severity:
    """Read a member or its name, in either case. Raises `ConfigError`, naming `setting`.

    Example::

        severity_of("at_least", "warning") is Severity.WARNING
    """
    try:
        return Severity(value.lower() if isinstance(value, str) else value)
    except ValueError:
        names = ", ".join(each.value for each in Severity)
        raise ConfigError(setting, value, f"one of {names}") from None


def words(name: str, between: str = "_") -> str:
    """``CircuitOpened`` as ``circuit_opened``.

    Example::

        words("ModeChange", " ")  # "mode change"
    """
    return re.sub(r"(?<=.)(?=[A-Z])", between, name).lower()

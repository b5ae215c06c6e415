"""Settings that name a criticality, or give each one a share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from resilient.core.ports import Criticality
from resilient.errors import ConfigError
from resilient.policies.match import positive

__all__ = ["leveled", "shares"]


def leveled(setting: str, value: Any) -> Criticality:
    """Read a criticality or its name. Raises `ConfigError`."""
    try:
        return Criticality.of(value)
    except ConfigError as error:
        raise ConfigError(setting, value, error.allowed) from None


def shares(setting: str, value: object, *, zero: bool = False) -> dict[Criticality, float]:
    """Read a mapping of criticalities to shares in (0, 1], or [0, 1) if `zero`.

    Raises `ConfigError`.
    """
    allowed = "a mapping of criticalities, or their names, to shares in "
    allowed += "[0, 1)" if zero else "(0, 1]"
    if not isinstance(value, Mapping):
        raise ConfigError(setting, value, allowed)
    found = {}
    for level, share in value.items():
        found[leveled(setting, level)] = positive(setting, share, most=1, zero=zero)
        if zero and share == 1:
            raise ConfigError(setting, share, allowed)
    return found

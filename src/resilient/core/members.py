"""Members of an enumeration, or their names: what settings take for either."""

from __future__ import annotations

from enum import Enum
from typing import TypeVar

from resilient.errors import ConfigError

__all__ = ["member"]

E = TypeVar("E", bound=Enum)


def member(kind: type[E], value: object, setting: str) -> E:
    """Read a member of `kind` or its name, in either case.

    Raises `ConfigError`, which names `setting`, for anything else.
    """
    if isinstance(value, kind):
        return value
    if isinstance(value, str) and value.upper() in kind.__members__:
        return kind[value.upper()]
    raise ConfigError(setting, value, "one of " + ", ".join(kind.__members__))

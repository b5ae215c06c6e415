"""What one setting is: its name and default, and how a value of it is read."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any

import msgspec

from resilient.errors import ConfigError

__all__ = ["Kind", "Setting", "masked", "number", "seconds", "text", "whole"]

_SECRET = re.compile(r"passw|secret|token|credential|api_?key", re.IGNORECASE)
"""What a name has in it whose value is nobody's business. No setting of ours is called so."""

NONE = "none"
"""What a file or an environment variable writes for `None`: TOML has no word for it."""


class Kind(msgspec.Struct, frozen=True):
    """What values are allowed: their `type` for msgspec, and the same in `words`."""

    type: Any
    words: str
    none: bool = False
    duration: bool = False


def whole(least: int = 1, *, none: bool = False) -> Kind:
    """Whole numbers."""
    return Kind(Annotated[int, msgspec.Meta(ge=least)], f"a whole number >= {least}", none)


def number(
    least: float = 0, most: float | None = None, *, zero: bool = False, none: bool = False
) -> Kind:
    """Numbers from `least` to `most`; without 0 unless `zero`."""
    above = not (zero or least)
    edge = msgspec.Meta(gt=least, le=most) if above else msgspec.Meta(ge=least, le=most)
    words = f"a number {'>' if above else '>='} {least:g}"
    bound = "" if most is None else f" and <= {most:g}"
    return Kind(Annotated[float, edge], words + bound, none)


def seconds(*, zero: bool = False, none: bool = False) -> Kind:
    """Lengths of time."""
    sign = ">=" if zero else ">"
    edge = msgspec.Meta(ge=0) if zero else msgspec.Meta(gt=0)
    return Kind(Annotated[float, edge], f"seconds {sign} 0", none, duration=True)


def text(words: str, pattern: str = ".") -> Kind:
    """Texts in which `pattern` is found, or none."""
    return Kind(Annotated[str, msgspec.Meta(pattern=pattern)], words, none=True)


def masked(value: object, name: str = "") -> object:
    """`value` as it may be shown: an address without its password, no value of a secret's `name`.

    Example::

        masked("redis://me:secret@cache/0")  # "redis://me:***@cache/0"
        masked({"password": "secret"})  # {"password": "***"}
    """
    if _SECRET.search(name):
        return "***"
    if isinstance(value, Mapping):
        return {each: masked(one, str(each)) for each, one in value.items()}
    if isinstance(value, list):
        return [masked(one) for one in value]
    if not isinstance(value, str):
        return value
    return re.sub(r"(://[^/@]*?:).*@|([?&]password=)[^&]*", _mask, value)


def _mask(found: re.Match[str]) -> str:
    return f"{found[1]}***@" if found[1] else f"{found[2]}***"


class Setting(msgspec.Struct, frozen=True):
    """One row of the table in `resilient.core.defaults`.

    `section` and `name`; `default`; `kind`; `purpose`, in words; `variable`, the environment name
    that it had before there was a prefix, if it had one.
    """

    section: str
    name: str
    default: Any
    kind: Kind
    purpose: str
    variable: str = ""

    @property
    def dotted(self) -> str:
        """``section.name``."""
        return f"{self.section}.{self.name}"

    @property
    def allowed(self) -> str:
        """What values it may have, in words."""
        return f"{self.kind.words}, or {NONE}" if self.kind.none else self.kind.words

    def read(self, value: Any, *, lax: bool = False) -> Any:
        """`value` as the setting has it; a text that stands for something else only if `lax`.

        Raises `ValueError` for what is not allowed.
        """
        if self.kind.none and (value is None or (isinstance(value, str) and value == NONE)):
            return None
        if isinstance(value, timedelta) and self.kind.duration:
            value = value.total_seconds()
        elif isinstance(value, os.PathLike):
            value = os.fspath(value)
        if lax and self.kind.type == tuple[float, ...]:
            value = [each.strip() for each in value.split(",")]
        try:
            found = msgspec.convert(value, self.kind.type, strict=not lax)
        except msgspec.MsgspecError as error:
            raise ValueError(str(error)) from None
        if isinstance(found, float) and not math.isfinite(found):
            message = "not finite"
            raise ValueError(message)
        return found

    def refusal(self, value: Any, origin: str, dotted: str | None = None) -> ConfigError:
        """The error for a value that is not allowed."""
        return ConfigError(dotted or self.dotted, masked(value), self.allowed, origin)

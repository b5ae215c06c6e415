"""When a threshold is crossed, as data, and by keywords."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from resilient.clock import Duration, seconds
from resilient.errors import ConfigError
from resilient.system.signals.reader import figure

__all__ = ["ALLOWED", "UNITS", "Condition", "Form", "checked", "spell"]

ALLOWED = (
    "'> 5 per hour' or '< 3 per 10 min' (counts marks), '> 90% for 60 s' or '>= 0.5' (compares a "
    "figure), or 'silent for 30 s'; with > >= < <= and s, min, h, day"
)

UNITS = {"s": 1.0, "second": 1.0, "min": 60.0, "minute": 60.0, "h": 3600.0, "hour": 3600.0}
UNITS["day"] = 86400.0
NAMES = {1.0: "second", 60.0: "minute", 3600.0: "hour", 86400.0: "day"}

COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


class Form(Enum):
    """What is compared: how many marks in a time, a figure, or the time since the last mark."""

    COUNT = "count"
    FIGURE = "figure"
    SILENCE = "silence"


@dataclass(frozen=True, slots=True)
class Condition:
    """When a threshold is crossed. `seconds`: per, for, or silent for how long.

    Example::

        Condition(Form.COUNT, 3600.0, ">", 5.0)  # more than 5 per hour
    """

    form: Form
    seconds: float
    sign: str = ">"
    limit: float = 0.0

    def __str__(self) -> str:
        """In words that `parse` reads back, unless a figure needs an exponent."""
        if self.form is Form.SILENCE:
            return f"silent for {self.seconds:.15g} s"
        head = f"{self.sign} {self.limit:.15g}"
        if self.form is Form.COUNT:
            return f"{head} per {NAMES.get(self.seconds) or f'{self.seconds:.15g} s'}"
        return f"{head} for {self.seconds:.15g} s" if self.seconds else head

    def holds(self, value: float) -> bool:
        """Whether `value` is beyond the limit."""
        return COMPARE[self.sign](value, self.limit)


def checked(made: Condition, given: object) -> Condition:
    """Refuse what could never, or would always, be so. Raises `ConfigError`."""
    least = 1 if made.sign in {"<", ">="} else 0
    idle = made.form is Form.COUNT and made.limit < least
    timeless = made.form is not Form.FIGURE and not made.seconds
    if idle or timeless or not (math.isfinite(made.limit) and math.isfinite(made.seconds)):
        raise ConfigError("when", given, ALLOWED)
    return made


def spell(
    *,
    above: float | None = None,
    below: float | None = None,
    per: Duration | str | None = None,
    lasting: Duration | None = None,
    silent: Duration | None = None,
) -> Condition:
    """The same by keywords. Raises `ConfigError`.

    Example::

        spell(above=5, per="hour")  # more than 5 per hour
    """
    given = {"above": above, "below": below, "silent": silent}
    chosen = [name for name, value in given.items() if value is not None]
    if len(chosen) != 1:
        raise ConfigError("when", chosen or None, "words, or one of above=, below= and silent=")
    if silent is not None:
        _nothing("silent", per=per, lasting=lasting)
        return Condition(Form.SILENCE, seconds("silent", silent))
    sign, limit = (">", above) if above is not None else ("<", below)
    try:
        number = figure(limit)
    except ValueError:
        raise ConfigError(chosen[0], limit, "a finite number") from None
    if per is None:
        length = 0.0 if lasting is None else seconds("lasting", lasting)
        return Condition(Form.FIGURE, length, sign, number)
    _nothing("per", lasting=lasting)
    return checked(Condition(Form.COUNT, _period(per), sign, number), number)


def _period(per: Duration | str) -> float:
    if not isinstance(per, str):
        return seconds("per", per)
    if per not in UNITS:
        raise ConfigError("per", per, "seconds > 0, a timedelta, or one of " + ", ".join(UNITS))
    return UNITS[per]


def _nothing(beside: str, **others: object) -> None:
    for setting, value in others.items():
        if value is not None:
            raise ConfigError(setting, value, f"nothing beside {beside}=")

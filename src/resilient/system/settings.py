"""What may be set about the mode, checked when it is given."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from itertools import pairwise

from resilient.errors import ConfigError

__all__ = ["DEFAULTS", "Settings"]

THRESHOLDS = (95.0, 85.0, 70.0, 50.0, 25.0)
"""Least scores of the six states but the last, best first."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Every constant of the mode. Seconds unless said otherwise; scores from 0 to 100.

    Fields: `thresholds`, least scores of the states, strictly falling; `return_normal` and
    `return_degraded`, the score at which NORMAL and DEGRADED may be entered again; `tau`, time
    constant of the smoothing; `confirm_worse`, how long the score must lack 22 points to an
    edge, or longer if it lacks less; `confirm_degraded` and `confirm_normal`, how long it must stay
    past one to improve; `dwell`, how long a mode is kept before it improves;
    `flap_window`, `flap_half_life` and `flap_limit`, the damping of relapses; `fresh_for`, the age
    at which evidence is dropped; `minimum_calls`, outcomes before a rate counts;
    `cascade_window`, how close failures must follow to be one cascade; `blind_after`, how long
    blindness may last.

    Raises `ConfigError` naming the setting, its value and what is allowed.

    Example::

        Settings(tau=5.0).tau
    """

    thresholds: tuple[float, ...] = THRESHOLDS
    return_normal: float = 90.0
    return_degraded: float = 62.0
    tau: float = 2.5
    confirm_worse: float = 2.65
    confirm_degraded: float = 38.0
    confirm_normal: float = 48.0
    dwell: float = 30.0
    flap_window: float = 900.0
    flap_half_life: float = 900.0
    flap_limit: float = 7.0
    fresh_for: float = 90.0
    minimum_calls: int = 20
    cascade_window: float = 30.0
    blind_after: float = 120.0

    def __post_init__(self) -> None:
        self._check_numbers()
        self._check_thresholds()
        self._check_bands()

    def _check_numbers(self) -> None:
        may_be_zero = {"confirm_worse", "confirm_degraded", "confirm_normal", "dwell", "flap_limit"}
        for field in fields(self):
            if field.name == "thresholds":
                continue
            value = getattr(self, field.name)
            least = 0 if field.name in may_be_zero else None
            if not _is_number(value) or value < 0 or (value == 0 and least is None):
                sign = ">" if least is None else ">="
                raise ConfigError(field.name, value, f"a finite number {sign} 0")

    def _check_thresholds(self) -> None:
        given: object = self.thresholds
        allowed = "five numbers, strictly falling, below or at 100 and above 0"
        if not isinstance(given, tuple) or len(given) != len(THRESHOLDS):
            raise ConfigError("thresholds", given, allowed)
        if not all(_is_number(one) and 0 < one <= 100 for one in given):  # noqa: PLR2004
            raise ConfigError("thresholds", given, allowed)
        if any(upper <= lower for upper, lower in pairwise(given)):
            raise ConfigError("thresholds", given, allowed)

    def _check_bands(self) -> None:
        _, normal, _, degraded, _ = self.thresholds
        if not normal <= self.return_normal <= 100:  # noqa: PLR2004  (the best score)
            raise ConfigError("return_normal", self.return_normal, f"{normal:g} to 100")
        if not degraded <= self.return_degraded <= self.return_normal:
            allowed = f"{degraded:g} to {self.return_normal:g}"
            raise ConfigError("return_degraded", self.return_degraded, allowed)


def _is_number(value: object) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return abs(value) <= sys.float_info.max  # also of a whole number that no float can hold


DEFAULTS = Settings()

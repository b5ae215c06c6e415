"""How the protected service is set, and how that differs from the defaults."""

from __future__ import annotations

import inspect
from dataclasses import asdict, dataclass

from resilient import SystemOperationMode, breaker

__all__ = ["FLAP_LIMIT", "Quick"]

FLAP_LIMIT = 1.0
"""Relapses that slow an improvement down: the script has two of them in a minute."""

_WORDS = {
    "tau": "smoothing of the score",
    "confirm_worse": "confirmation before the mode worsens",
    "confirm_degraded": "confirmation before EMERGENCY improves",
    "confirm_normal": "confirmation before DEGRADED improves",
    "dwell": "least time in a mode",
    "reset_timeout": "wait of an open circuit",
}


@dataclass(frozen=True, slots=True)
class Quick:
    """Time constants, in seconds, for a story of less than a minute.

    By default a mode is kept for 30 s at least; an outage of the story is over in less than 10.
    """

    tau: float = 0.5
    confirm_worse: float = 0.5
    confirm_degraded: float = 1.2
    confirm_normal: float = 1.2
    dwell: float = 1.5
    reset_timeout: float = 1.0

    @classmethod
    def at(cls, pace: float) -> Quick:
        """Return the settings of a run that is `pace` times as long as the script."""
        return cls(**{name: round(pace * value, 2) for name, value in asdict(cls()).items()})

    def words(self) -> dict[str, str]:
        """Say what was set, and what the library's defaults are."""
        usual = {
            **inspect.signature(SystemOperationMode).parameters,
            **inspect.signature(breaker).parameters,
        }
        said = {
            words: f"{getattr(self, name):g} s instead of {usual[name].default:g} s"
            for name, words in _WORDS.items()
        }
        limit = usual["flap_limit"].default
        return {**said, "damping of relapses": f"at most {FLAP_LIMIT:g} instead of {limit:g}"}

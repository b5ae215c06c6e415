"""How the protected service is set, and how that differs from the defaults."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from resilient.core.defaults import SECTIONS

__all__ = ["FLAP_LIMIT", "Quick"]

FLAP_LIMIT = 1.0
"""Relapses that slow an improvement down: the script has two of them in a minute."""

_WORDS = {
    "tau": ("mode", "smoothing of the score"),
    "confirm_worse": ("mode", "confirmation before the mode worsens"),
    "confirm_degraded": ("mode", "confirmation before EMERGENCY improves"),
    "confirm_normal": ("mode", "confirmation before DEGRADED improves"),
    "dwell": ("mode", "least time in a mode"),
    "reset_timeout": ("breaker", "wait of an open circuit"),
}
_ASKED = {"probe_every": (10, "time between two questions of a probe"),
          "recover_after": (30, "wait before an attempt of a recovery")}  # fmt: skip


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
    probe_every: float = 0.5
    recover_after: float = 1.5

    @classmethod
    def at(cls, pace: float) -> Quick:
        """Return the settings of a run that is `pace` times as long as the script."""
        return cls(**{name: round(pace * value, 2) for name, value in asdict(cls()).items()})

    def words(self) -> dict[str, str]:
        """Say what was set, and what the library's defaults are."""
        said = {
            words: f"{getattr(self, name):g} s instead of {SECTIONS[section][name].default:g} s"
            for name, (section, words) in _WORDS.items()
        }
        for name, (default, words) in _ASKED.items():
            said[words] = f"{getattr(self, name):g} s instead of {default:g} s"
        usual = SECTIONS["mode"]["flap_limit"].default
        return {**said, "damping of relapses": f"at most {FLAP_LIMIT:g} instead of {usual:g}"}

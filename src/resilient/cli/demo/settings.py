"""How the protected service is set, and how that differs from the defaults."""

from __future__ import annotations

from dataclasses import asdict, dataclass

__all__ = ["Quick"]

USUAL = {
    "tau": ("smoothing of the score", 3.0),
    "confirm_worse": ("confirmation before the mode worsens", 3.0),
    "confirm_better": ("confirmation before it improves", 30.0),
    "dwell": ("least time in a mode", 30.0),
    "reset_timeout": ("wait of an open circuit", 60.0),
}
"""What each setting is, and the library's default in seconds."""


@dataclass(frozen=True, slots=True)
class Quick:
    """Time constants, in seconds, for a story of less than a minute.

    By default a mode is kept for 30 s at least; an outage of the story is over in less than 10.
    """

    tau: float = 0.5
    confirm_worse: float = 0.5
    confirm_better: float = 1.2
    dwell: float = 1.5
    reset_timeout: float = 1.0

    @classmethod
    def at(cls, pace: float) -> Quick:
        """Return the settings of a run that is `pace` times as long as the script."""
        return cls(**{name: pace * value for name, value in asdict(cls()).items()})

    def words(self) -> dict[str, str]:
        """Say what was set, and what is usual."""
        return {
            words: f"{getattr(self, name):.2g} s instead of {default:g} s"
            for name, (words, default) in USUAL.items()
        }

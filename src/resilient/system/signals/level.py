"""How bad a signal is, and how that is kept from wobbling."""

from __future__ import annotations

from enum import Enum

from resilient.core.members import member

__all__ = ["Damper", "SignalLevel", "level_of"]


class SignalLevel(Enum):
    """How bad a signal is, best first.

    Members: `CLEAR`, nothing to do; `LOW`, `MEDIUM`, `HIGH`; `CRITICAL`, the component counts as
    failed.
    """

    CLEAR = "clear"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 for CLEAR up to 4 for CRITICAL."""
        return _RANKS[self]

    @classmethod
    def of(cls, value: SignalLevel | str, setting: str = "level") -> SignalLevel:
        """Read a member or its name, in either case. Raises `ConfigError`, naming `setting`.

        Example::

            SignalLevel.of("high") is SignalLevel.HIGH
        """
        return member(cls, value, setting)


_RANKS = {level: rank for rank, level in enumerate(SignalLevel)}


def level_of(health: float) -> SignalLevel:
    """The level of a health from 0 to 1.

    It agrees with the steps of an anomaly (0.75, 0.5, 0.25) and with manual marks (0.9, 0.7, 0.4,
    0); CRITICAL begins below 0.4, where a component counts as failed.

    Example::

        level_of(0.3)  # SignalLevel.CRITICAL
    """
    if health >= 1:
        return SignalLevel.CLEAR
    if health > 0.75:  # noqa: PLR2004  (see the docstring)
        return SignalLevel.LOW
    if health > 0.5:  # noqa: PLR2004
        return SignalLevel.MEDIUM
    return SignalLevel.HIGH if health >= 0.4 else SignalLevel.CRITICAL  # noqa: PLR2004


class Damper:
    """Lets a level worsen at once, and improve only after it was better for `hold` seconds.

    Example::

        damper = Damper(60.0)
        damper.take(SignalLevel.HIGH, 0.0)  # HIGH, and so it stays ...
        damper.take(SignalLevel.CLEAR, 1.0)  # ... for 60 s more
    """

    def __init__(self, hold: float) -> None:
        self.level = SignalLevel.CLEAR
        self._hold = hold
        self._since: float | None = None

    def take(self, level: SignalLevel, now: float) -> SignalLevel:
        """Take what is seen now; return what counts."""
        if level.rank >= self.level.rank:
            self.level, self._since = level, None
            return level
        self._since = now if self._since is None else self._since
        if now - self._since >= self._hold:
            self.level, self._since = level, None
        return self.level

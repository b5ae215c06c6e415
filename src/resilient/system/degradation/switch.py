"""A switch that is thrown by hand, and may come back by itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from resilient.clock import Clock, Duration, seconds
from resilient.errors import ConfigError
from resilient.system.degradation.standing import FeatureState, Standing

__all__ = ["Switch", "worded"]


class _Off(NamedTuple):
    reason: str
    until: float


class Switch:
    """On, unless somebody has said otherwise. Each change replaces one attribute, so no lock.

    Attribute: `off`, not `None` since it was thrown, until it is found to be back.

    Example::

        switch = Switch(ManualClock())
        switch.disable("wrong prices", ttl=60)
    """

    def __init__(self, clock: Clock) -> None:
        self.off: _Off | None = None
        self._clock = clock

    def disable(self, reason: str, ttl: Duration | None = None) -> None:
        """Throw it, for `ttl` seconds if that is given. Raises `ConfigError`."""
        left = math.inf if ttl is None else seconds("ttl", ttl)
        self.off = _Off(worded(reason), self._clock.monotonic() + left)

    def enable(self) -> bool:
        """Put it back; False if it was not thrown."""
        had = self.standing() is not None
        self.off = None
        return had

    def standing(self) -> Standing | None:
        """What it says now; `None` while it is on."""
        off = self.off
        if off is None:
            return None
        left = off.until - self._clock.monotonic()
        if left <= 0:
            self.off = None
            return None
        ends_in = None if left == math.inf else left
        return Standing(FeatureState.DISABLED, f"switched off: {off.reason}", ends_in)

    def snapshot(self) -> dict[str, Any] | None:
        """Plain data: the reason and the seconds left."""
        off, now = self.off, self.standing()
        return None if off is None or now is None else {"reason": off.reason, "left": now.ends_in}

    def restore(self, data: Mapping[str, Any] | None) -> None:
        """Take over a `snapshot`. Raises `ConfigError` or `KeyError` or `TypeError`."""
        if data is None:
            self.off = None
        else:
            self.disable(data["reason"], data["left"])


def worded(reason: object) -> str:
    """Check a reason. Raises `ConfigError` unless it is a string that is not empty."""
    if not (isinstance(reason, str) and reason):
        raise ConfigError("reason", reason, "a string that is not empty")
    return reason

"""Other settings for a mode that lives."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from resilient.clock import seconds
from resilient.system.decision.component import Component
from resilient.system.decision.engine import Engine
from resilient.system.operation import Operation
from resilient.system.settings import Settings

__all__ = ["Tuned", "Tuning", "tuned"]

Tuned = tuple[Settings, float]
"""The constants of the decision, and the seconds between two evaluations."""

_MAY_BE_ZERO = {"confirm_worse", "confirm_degraded", "confirm_normal", "dwell"}
_NO_DURATIONS = {
    *("thresholds", "return_normal", "return_degraded", "flap_limit", "minimum_calls", "interval"),
}


def tuned(settings: Mapping[str, Any], given: Collection[str] = ()) -> Tuned:
    """Read the settings of a mode, by name, whether `given` or not. Raises `ConfigError`.

    Example::

        tuned({**asdict(Settings()), "interval": 1.0})
    """
    del given
    read: dict[str, Any] = {
        name: value if name in _NO_DURATIONS else seconds(name, value, zero=name in _MAY_BE_ZERO)
        for name, value in settings.items()
    }
    interval = read.pop("interval")
    return Settings(**read), seconds("interval", interval)


class Tuning(Operation):
    """A mode that takes other settings."""

    def obey(self, made: Tuned, /) -> None:
        """Decide by these settings from now on: score, mode, evidence and history stay.

        What has already lasted counts: if a confirmation asked for 30 s and now asks for 10, one
        that has run for 20 is complete.
        """
        settings, self.interval = made
        self._settings = self._ledger.settings = settings

        def take(engine: Engine, found: Mapping[str, Component]) -> None:
            del found
            engine.take(settings)

        # As a command, because it must be obeyed at its instant; but nobody evaluates here.
        self._inbox.append((self._time.now(), take))
        self._touch()

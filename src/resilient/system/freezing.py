"""A freeze: features shut by hand, for a limited time; and the list of features."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, cast

from resilient.clock import Duration, seconds
from resilient.core.hub import hub
from resilient.errors import ConfigError
from resilient.system.employing import Employing
from resilient.system.feature_desk import FeatureDesk
from resilient.system.standing import FeatureStatus, Frozen
from resilient.system.switch import worded
from resilient.system.timeline import Timeline
from resilient.system.view import Job, View

__all__ = ["Freeze", "Freezing"]

FREEZE = 300.0
"""Seconds, as in the procedure for a cascade of 000_d50087dca9911c40.txt."""


class Freeze(Job):
    """One freeze: a reason among those of the mode, until it ends by itself."""

    kind = "freeze"

    def __init__(
        self,
        reason: str,
        features: tuple[str, ...] | None,
        ttl: float,
        time: Timeline,
        over: Callable[[Job], object],
    ) -> None:
        self._reason = reason
        self._features = features
        self._time = time
        self._until = time.now() + ttl
        self._at = time.clock.time()
        self._over = over

    def holds(self) -> Frozen | None:
        """What is frozen now; `None` once it has ended."""
        left = self._until - self._time.now()
        if left <= 0:
            return None
        return Frozen(reason=self._reason, features=self._features, at=self._at, ends_in=left)

    def poll(self, view: View, /) -> None:
        """Be forgotten when it is over."""
        if view.now >= self._until:
            self._over(self)

    def due(self) -> float:
        """When it ends, so that the reason goes with it."""
        return math.inf if self.holds() is None else self._until

    def notices(self) -> tuple[str, ...]:
        """What is frozen, why, and for how long."""
        held = self.holds()
        return () if held is None else (str(held),)


class Freezing(Employing):
    """The part of the mode that knows its features."""

    def __init__(self, *given: Any) -> None:
        self._freeze: Freeze | None = None
        super().__init__(*given)

    def freeze(
        self, reason: str, ttl: Duration = FREEZE, features: Iterable[str] | None = None
    ) -> None:
        """Shut features for a limited time, whatever the mode: all of this mode, or those named.

        What they answer meanwhile is theirs to say (`resilient.feature`); no call passes to look.
        The freeze is a reason of the mode and ends by itself. A later one takes its place.

        Parameters: `ttl` in seconds, by default 300 (000_d50087dca9911c40.txt); there is no freeze
        without an end. Raises `ConfigError`.

        Example::

            mode.freeze("orders are being restored", ttl=600, features=["checkout"])
        """
        named, limit = _names(features), seconds("ttl", ttl)
        made = Freeze(worded(reason), named, limit, self._time, self._ledger.dismiss)
        self._freeze = made
        self._employ(made)

    def thaw(self) -> bool:
        """End the freeze; False if there is none.

        Example::

            mode.thaw()
        """
        freeze, self._freeze = self._freeze, None
        if freeze is None or not self._ledger.dismiss(freeze):
            return False
        self._touch()
        self._refresh()
        return True

    @property
    def frozen(self) -> Frozen | None:
        """The freeze that holds now; cheap enough to read on every call.

        Example::

            if mode.frozen is not None:
                print(mode.frozen.reason, mode.frozen.ends_in)
        """
        freeze = self._freeze
        return None if freeze is None else freeze.holds()

    @property
    def features(self) -> tuple[FeatureStatus, ...]:
        """Every feature that obeys this mode, by name: its state, and why.

        Example::

            for found in mode.features:
                print(found)
        """
        found = [one for one in hub.reporting_to(self) if isinstance(one, FeatureDesk)]
        return tuple(one.status for one in sorted(found, key=lambda desk: desk.name))


def _names(given: Iterable[str] | None) -> tuple[str, ...] | None:
    if given is None:
        return None
    names = (given,) if isinstance(given, str) else tuple(given)
    if not names or not all(isinstance(name, str) and name for name in cast("Any", names)):
        raise ConfigError("features", given, "names of features, or None for all of them")
    return names

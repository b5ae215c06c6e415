"""Freezing features by hand, for a limited time; and the list of features."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from resilient.clock import Duration, seconds
from resilient.core.hub import hub
from resilient.errors import ConfigError
from resilient.system.degradation.desk import FeatureDesk
from resilient.system.degradation.freeze import Freeze
from resilient.system.degradation.standing import FeatureStatus, Frozen
from resilient.system.degradation.switch import worded
from resilient.system.employing import Employing

__all__ = ["Freezing"]

FREEZE = 300.0
"""Seconds, as in the procedure for a cascade of "Success and Failure States"."""


_KEY = (Freeze.kind, Freeze.name)


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

        Parameters: `ttl` in seconds, by default 300 ("Success and Failure States"); there is no
        freeze without an end; `features` by name. A name that no feature has yet is frozen too, in
        case one is made in time; the reason tells which. Raises `ConfigError`.

        Example::

            mode.freeze("orders are being restored", ttl=600, features=["checkout"])
        """
        named, limit = _names(features), seconds("ttl", ttl)
        known = {desk.name for desk in self._desks()}
        unknown = tuple(name for name in named or () if name not in known)
        over = self._ledger.dismiss
        made = Freeze(self.name, worded(reason), named, limit, self._time, over, unknown)
        self._employ(made)
        self._follow()
        made.begun()

    def thaw(self) -> bool:
        """End the freeze; False if there is none.

        Example::

            mode.thaw()
        """
        freeze, had = self._freeze, self.frozen is not None
        if freeze is not None:
            freeze.end()
            self._follow()
            self._touch()
            self._refresh()
        return had

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
        return tuple(one.status for one in sorted(self._desks(), key=lambda desk: desk.name))

    def _follow(self) -> None:
        """Keep the freeze that the table of jobs has: of two at once the same one for both."""
        while (held := self._ledger.jobs.get(_KEY)) is not self._freeze:
            self._freeze = cast("Freeze | None", held)

    def _desks(self) -> list[FeatureDesk]:
        return [one for one in hub.reporting_to(self) if isinstance(one, FeatureDesk)]


def _names(given: Iterable[str] | None) -> tuple[str, ...] | None:
    if given is None:
        return None
    names = (given,) if isinstance(given, str) else tuple(given)
    if not names or not all(isinstance(name, str) and name for name in cast("Any", names)):
        raise ConfigError("features", given, "names of features, or None for all of them")
    return names

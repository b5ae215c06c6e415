"""What somebody did to features by hand, as events."""

from __future__ import annotations

from resilient.events import Event, Severity

__all__ = ["FeatureSwitched", "FreezeChanged"]


class FeatureSwitched(Event, frozen=True, kw_only=True):
    """A feature was disabled, or enabled again, by hand.

    Fields: `name`, that of the feature; `enabled`; `reason` and `seconds`, of a `disable`: why, and
    for how long, `None` if it does not end by itself.

    Example::

        resilient.subscribe(FeatureSwitched, lambda event: page(event.name, event.reason))
    """

    enabled: bool
    reason: str | None = None
    seconds: float | None = None

    @property
    def severity(self) -> Severity:
        """Somebody's hand is on the switch."""
        return Severity.INFO if self.enabled else Severity.WARNING


class FreezeChanged(Event, frozen=True, kw_only=True):
    """Features of a mode were frozen, or are so no longer.

    Fields: `name`, that of the mode; `frozen`; `reason`; `features`, the names, `None` for all;
    `seconds`, how long it is to last or, when it is over, how long it lasted.

    Example::

        resilient.subscribe(FreezeChanged, print)
    """

    frozen: bool
    reason: str
    features: tuple[str, ...] | None
    seconds: float

    @property
    def severity(self) -> Severity:
        """Users are refused things on purpose."""
        return Severity.WARNING if self.frozen else Severity.INFO

"""What one may ask of a feature, and do to it by hand."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, Protocol

from resilient.clock import Clock, Duration, seconds
from resilient.core.gate import Gate
from resilient.core.hub import hub
from resilient.errors import ConfigError
from resilient.policies.match import whole
from resilient.system.degradation.events import FeatureSwitched
from resilient.system.degradation.standing import (
    FeatureState,
    FeatureStatus,
    Frozen,
    Standing,
    standing,
)
from resilient.system.degradation.switch import Switch
from resilient.system.states import Mode

__all__ = ["FeatureDesk", "ModeSource"]


class ModeSource(Protocol):
    """A mode, as far as a feature needs to know it."""

    @property
    def current(self) -> Mode:
        """Where it stands."""
        ...

    @property
    def frozen(self) -> Frozen | None:
        """What is frozen."""
        ...


class FeatureDesk(Gate):
    """The state of a feature. Attributes: `name`; `down_to`; `rejected`, calls it has not made."""

    def __init__(self, name: str, down_to: Mode, mode: ModeSource | None, clock: Clock) -> None:
        self.name = name
        self.down_to = down_to
        self.mode = mode
        self.clock = clock
        self.rejected = 0
        self._switch = Switch(clock)
        self._probed: float | None = None
        self._lock = threading.RLock()  # reentrant: a finaliser may come back

    @property
    def enabled(self) -> bool:
        """Whether it serves now: not shut by the mode, not frozen, not switched off by hand.

        Example::

            show_banner = not recommendations.enabled
        """
        return not hub.active or self._standing().state is FeatureState.ON

    @property
    def status(self) -> FeatureStatus:
        """Where it stands, and why.

        Example::

            recommendations.status.reason  # 'not in DEGRADED: it serves down to NORMAL'
        """
        state, reason, ends_in = self._standing()
        return FeatureStatus(
            name=self.name,
            state=state,
            reason=reason,
            down_to=self.down_to,
            ends_in=ends_in,
            refused=self.rejected,
        )

    def disable(self, reason: str, ttl: Duration | None = None) -> None:
        """Switch it off by hand, whatever the mode: until `enable`, or for `ttl` seconds.

        Raises `ConfigError` for a bad `ttl`, or without a reason.

        Example::

            recommendations.disable("wrong prices", ttl=3600)
        """
        self._switch.disable(reason, ttl)
        self._tell(reason, None if ttl is None else seconds("ttl", ttl))

    def enable(self) -> bool:
        """Take `disable` back; the mode and a freeze still hold. False if it was not disabled.

        Example::

            recommendations.enable()
        """
        had = self._switch.enable()
        if had:
            self._tell(None, None)
        return had

    def reset(self) -> None:
        """Begin anew: no refusals counted, and the next call that the mode would refuse passes.

        What was switched off by hand stays so.
        """
        with self._lock:
            self._probed = None
            self.rejected = 0

    def snapshot(self) -> dict[str, Any]:
        """Plain data to `restore` from."""
        return {"rejected": self.rejected, "disabled": self._switch.snapshot()}

    def restore(self, data: Mapping[str, Any]) -> None:
        """Take over a `snapshot`. Raises `ConfigError` for anything else."""
        try:
            rejected = whole("rejected", data["rejected"], least=0)
            self._switch.restore(data["disabled"])
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError("snapshot", data, "what snapshot() of a feature returned") from error
        self.reset()
        self.rejected = rejected

    def set_active(self, active: bool, /) -> None:  # noqa: FBT001  (a switch is a boolean)
        """Nothing to do: whoever asks to be admitted looks at the switch first."""

    def after_fork(self) -> None:
        """A fresh lock."""
        super().after_fork()
        self._lock = threading.RLock()

    def _tell(self, reason: str | None, left: float | None) -> None:
        """Publish that it was disabled for that reason, or that it was enabled."""
        event = FeatureSwitched(name=self.name, enabled=reason is None, reason=reason, seconds=left)
        hub.bus.publish(event)

    def _source(self) -> ModeSource | None:
        found: ModeSource | None = self.mode or hub.mode
        return found

    def _standing(self) -> Standing:
        mode, disabled = self._source(), self._switch.standing()
        if mode is None:
            return disabled or Standing(FeatureState.ON)
        return standing(self.name, self.down_to, mode.current, mode.frozen, disabled)

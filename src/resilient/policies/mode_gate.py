"""A gate that the mode of the system shuts for the less critical calls."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, Protocol

from resilient.clock import Clock, Duration, chosen, seconds
from resilient.core.gate import Gate
from resilient.core.hub import hub
from resilient.core.importance import importance, rank
from resilient.core.outcome import Outcome
from resilient.core.ports import Criticality
from resilient.errors import ConfigError, FeatureUnavailableError
from resilient.policies.levels import leveled
from resilient.policies.match import named, optional, whole

__all__ = ["ModeGate", "mode_gate"]


class _Current(Protocol):
    """What a mode stands at: NORMAL, DEGRADED or EMERGENCY, with ranks 0, 1, 2."""

    @property
    def name(self) -> str:
        """In words."""
        ...

    @property
    def rank(self) -> int:
        """A greater one is worse."""
        ...


class ModeSource(Protocol):
    """A mode, as far as the gate needs to know it."""

    @property
    def current(self) -> _Current:
        """Where it stands."""
        ...


class ModeGate(Gate):
    """Refuses the less critical calls while the system is not well. Made by `mode_gate`."""

    swift = True

    def __init__(  # noqa: PLR0913  (its settings, checked by `mode_gate`)
        self,
        name: str,
        mode: ModeSource | None,
        degraded: Criticality | None,
        emergency: Criticality | None,
        probe_every: float,
        clock: Clock,
    ) -> None:
        self.name = name
        self.mode = mode
        self.clock = clock
        self.rejected = 0
        self._sheds = (None, degraded, emergency)
        self._probe_every = probe_every
        self._probed: float | None = None
        self._calm: object = None
        self._lock = threading.RLock()  # reentrant: a finaliser may come back
        hub.register(self)

    def at_once(self, /, *args: Any, **kwargs: Any) -> object | None:
        """Leave, if the mode is one in which nobody is refused."""
        del args, kwargs
        mode = self.mode or hub.mode
        current = None if mode is None else mode.current
        if current is self._calm:
            return self
        if current is None or self._sheds[current.rank] is None:
            self._calm = current
            return self
        return None

    def succeeded(self, permit: object, /) -> None:
        """Nothing is counted."""

    def admit(self, /, *args: Any, **kwargs: Any) -> object:
        """Leave, or a new `FeatureUnavailableError`, which is not raised."""
        if not hub.active:  # a block has no line that looks
            return self
        permit = self.at_once(*args, **kwargs)
        if permit is not None:
            return permit
        mode = self.mode or hub.mode
        current, level = mode.current, importance()
        least = self._sheds[current.rank]
        if least is None or rank(level) < rank(least) or self._probes():
            return self
        return self._refused(current.name, level)

    def settle(self, permit: object, outcome: Outcome[Any] | None) -> None:
        """Nothing is counted."""

    def describe(self) -> str:
        """One line for `pipeline.describe()`."""
        shed = ", ".join(
            f"{least.name} and below in {name}"
            for name, least in zip(("DEGRADED", "EMERGENCY"), self._sheds[1:], strict=True)
            if least is not None
        )
        return f"mode gate({self.name!r}): sheds {shed or 'nothing'}"

    def reset(self) -> None:
        """Begin anew: no refusals counted, and the next call that would be refused passes."""
        self._probed = None
        self.rejected = 0

    def snapshot(self) -> dict[str, int]:
        """Plain data to `restore` from."""
        return {"rejected": self.rejected}

    def restore(self, data: Mapping[str, int]) -> None:
        """Take over a `snapshot`. Raises `ConfigError` for anything else."""
        try:
            rejected = whole("rejected", data["rejected"], least=0)
        except (KeyError, TypeError, ValueError) as error:
            allowed = "what snapshot() of a mode gate returned"
            raise ConfigError("snapshot", data, allowed) from error
        self.reset()
        self.rejected = rejected

    def set_active(self, active: bool, /) -> None:  # noqa: FBT001  (a switch is a boolean)
        """Nothing to do: whoever asks to be admitted looks at the switch first."""

    def after_fork(self) -> None:
        """A fresh lock."""
        super().after_fork()
        self._lock = threading.RLock()

    def _probes(self) -> bool:
        """Whether this call passes so that the dependency is still seen."""
        with self._lock:
            now = self.clock.monotonic()
            if self._probed is not None and now < self._probed + self._probe_every:
                self.rejected += 1
                return False
            self._probed = now
            return True

    def _refused(self, mode: str, level: Criticality) -> FeatureUnavailableError:
        reason = f"calls of criticality {level.name} are shed in {mode}"
        self.announce(reason)
        return FeatureUnavailableError(self.name, None, reason, mode)


def mode_gate(  # noqa: PLR0913  (every setting of the gate, all but the name optional)
    name: str,
    *,
    mode: ModeSource | None = None,
    degraded: Criticality | str | None = Criticality.LOW,
    emergency: Criticality | str | None = Criticality.MEDIUM,
    probe_every: Duration = 10.0,
    clock: Clock | None = None,
) -> ModeGate:
    """Refuse the less critical calls while the system is not well.

    * `name`: what errors and events call it.
    * `mode`: the `SystemOperationMode` to obey; by default the default one.
    * `degraded`, `emergency`: in that mode, calls of this `Criticality` and below are refused with
      `FeatureUnavailableError`; `None` refuses nobody. A call that is not marked (see
      `resilient.criticality`) counts as HIGH and is refused only if that is asked for.
    * `probe_every`: once in so many seconds a call passes that would be refused. Otherwise a
      dependency that only unimportant calls use would never be seen to be well again.

    Raises `ConfigError` naming the setting, its value and what is allowed.

    Example::

        @mode_gate("recommendations")
        @criticality("low")  # too late: the mark has to be outside of the gate
        def wrong() -> None: ...

        @criticality("low")
        @mode_gate("recommendations")
        def suggest(user: int) -> list[str]: ...
    """
    if mode is not None and not hasattr(mode, "current"):
        raise ConfigError("mode", mode, "a SystemOperationMode, or None for the default one")
    return ModeGate(
        named(name),
        mode,
        optional(leveled, "degraded", degraded),
        optional(leveled, "emergency", emergency),
        seconds("probe_every", probe_every),
        chosen(clock),
    )

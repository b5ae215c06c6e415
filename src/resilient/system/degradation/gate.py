"""The gate of a feature: who passes, and what answers for who does not."""

from __future__ import annotations

from typing import Any

from resilient.clock import Clock
from resilient.core.hub import hub
from resilient.core.outcome import Outcome
from resilient.core.policy import Policy
from resilient.errors import FeatureUnavailableError
from resilient.policies.alternatives import read
from resilient.policies.fallback import Fallback
from resilient.system.degradation.desk import FeatureDesk, ModeSource
from resilient.system.degradation.standing import FeatureState
from resilient.system.states import Mode

__all__ = ["Feature", "Otherwise"]


class Otherwise(Fallback):
    """What answers for a feature that does not serve; no other error is its business."""

    def __init__(self, feature: str, answer: object) -> None:
        def refused(error: Exception) -> bool:
            return isinstance(error, FeatureUnavailableError) and error.name == feature

        super().__init__((read(answer),), refused)

    def covers(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Nobody: calls that were not made show of no component that it can be done without."""
        del names
        return ()

    def describe(self) -> str:
        """One line for `pipeline.describe()`."""
        return super().describe().replace("fallback", "otherwise", 1)


class Feature(FeatureDesk):
    """A part of the application that the mode may shut. Made by `resilient.feature`.

    Attributes: `name`; `down_to`; `rejected`, how many calls it has not made.
    """

    swift = True

    def __init__(  # noqa: PLR0913  (its settings, checked by `feature`)
        self,
        name: str,
        down_to: Mode,
        answer: Otherwise | None,
        mode: ModeSource | None,
        probe_every: float | None,
        clock: Clock,
    ) -> None:
        super().__init__(name, down_to, mode, clock)
        self._answer = answer
        self._probe_every = probe_every
        self._calm: object = None
        hub.register(self)

    def layers(self) -> tuple[Policy, ...]:
        """Itself and, around it, what answers instead."""
        return (self,) if self._answer is None else (self._answer, self)

    def at_once(self, /, *args: Any, **kwargs: Any) -> object | None:
        """Leave, if neither the mode nor anybody's hand holds the feature back."""
        del args, kwargs
        mode = self.mode or hub.mode
        if mode is None or self._switch.off is not None or mode.frozen is not None:
            return None
        current = mode.current
        if current is self._calm:
            return self
        if current.rank <= self.down_to.rank:
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
        state, reason, ends_in = self._standing()
        if state is FeatureState.ON or self._passes(state):
            return self
        self.announce(reason, ends_in)
        mode = self._source()
        shown = None if mode is None else mode.current.name
        return FeatureUnavailableError(self.name, ends_in, reason, shown)

    def settle(self, permit: object, outcome: Outcome[Any] | None) -> None:
        """Nothing is counted."""

    def enter(self) -> Any:
        """Begin a block. Raises `TypeError` if there is an answer: nothing answers for a block."""
        self._refuse_block()
        return super().enter()

    async def enter_async(self) -> Any:
        """As `enter`, for ``async with``."""
        self._refuse_block()
        return await super().enter_async()

    def describe(self) -> str:
        """One line for `pipeline.describe()`."""
        return f"feature({self.name!r}): serves down to {self.down_to.name}"

    def _passes(self, state: FeatureState) -> bool:
        """Whether this call passes so that the dependency is still seen; else count it."""
        every = self._probe_every if state is FeatureState.SHUT else None
        with self._lock:
            now = self.clock.monotonic()
            if every is None or (self._probed is not None and now < self._probed + every):
                self.rejected += 1
                return False
            self._probed = now
            return True

    def _refuse_block(self) -> None:
        if self._answer is not None:
            message = (
                f"feature {self.name!r} has an answer for when it is shut, and a block cannot be "
                "answered for: decorate a function, or make the feature without `otherwise`"
            )
            raise TypeError(message)

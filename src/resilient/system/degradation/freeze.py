"""One freeze: what is frozen, until when, and what is told of it."""

from __future__ import annotations

import math
from collections.abc import Callable

from resilient.core.hub import hub
from resilient.system.degradation.events import FreezeChanged
from resilient.system.degradation.standing import Frozen
from resilient.system.timeline import Timeline
from resilient.system.view import Job, View

__all__ = ["Freeze"]


class Freeze(Job):
    """A reason among those of the mode called `mode`, until it ends by itself.

    Parameters: `over` forgets it, and says whether it was still known; `unknown` are names of
    `features` that are none.

    Example::

        Freeze("system", "restoring", None, 300.0, Timeline(), ledger.dismiss).holds()
    """

    kind = "freeze"

    def __init__(  # noqa: PLR0913  (a record, filled in one place)
        self,
        mode: str,
        reason: str,
        features: tuple[str, ...] | None,
        ttl: float,
        time: Timeline,
        over: Callable[[Job], bool],
        unknown: tuple[str, ...] = (),
    ) -> None:
        self._mode = mode
        self._reason = reason
        self._features = features
        self._ttl = ttl
        self._time = time
        self._until = time.now() + ttl
        self._at = time.clock.time()
        self._over = over
        self._unknown = unknown

    def holds(self) -> Frozen | None:
        """What is frozen now; `None` once it has ended."""
        left = self._until - self._time.now()
        if left <= 0:
            return None
        return Frozen(
            reason=self._reason,
            features=self._features,
            at=self._at,
            ends_in=left,
            unknown=self._unknown,
        )

    def begun(self) -> None:
        """Publish that it holds from now on."""
        self._tell(self._ttl, frozen=True)

    def end(self) -> None:
        """Have it forgotten, and publish that; once, whoever comes first."""
        if self._over(self):
            left = max(0.0, self._until - self._time.now())
            self._tell(self._ttl - left, frozen=False)

    def poll(self, view: View, /) -> None:
        """End when it is time."""
        if view.now >= self._until:
            self.end()

    def due(self) -> float:
        """When it ends, so that the reason goes with it."""
        return math.inf if self.holds() is None else self._until

    def notices(self) -> tuple[str, ...]:
        """What is frozen, why, and for how long."""
        held = self.holds()
        return () if held is None else (str(held),)

    def _tell(self, seconds: float, *, frozen: bool) -> None:
        event = FreezeChanged(
            name=self._mode,
            frozen=frozen,
            reason=self._reason,
            features=self._features,
            seconds=seconds,
        )
        hub.bus.publish(event)

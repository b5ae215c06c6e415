"""What became of the mode so far: changes, time in each mode, times to detect and to recover."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from resilient.system.states import Mode, ModeChange

if TYPE_CHECKING:
    from collections.abc import Mapping

    from resilient.system.decision.steady import Transition

__all__ = ["History", "Statistics"]

KEPT = 1000
"""Changes that are remembered."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """Times in seconds since the mode was made.

    Fields: `time_in`, by mode; `incidents`, how often NORMAL was left by evidence or a trip;
    `mean_time_to_detect`, from the first evidence that called for it to leaving NORMAL;
    `mean_time_to_recover`, from leaving NORMAL to being back, over the incidents that ended. Both
    are `None` while there is nothing to average. What `force` did counts as time only.

    Example::

        mode.statistics().time_in[Mode.EMERGENCY]
    """

    time_in: Mapping[Mode, float]
    incidents: int
    mean_time_to_detect: float | None
    mean_time_to_recover: float | None


class History:
    """Keeps the last 1000 changes and the sums over all of them.

    Example::

        history = History(now=0.0)
        history.statistics(now=5.0).time_in[Mode.NORMAL]  # 5.0
    """

    def __init__(self, now: float) -> None:
        self.changes: deque[ModeChange] = deque(maxlen=KEPT)
        self._time_in = dict.fromkeys(Mode, 0.0)
        self._mode = Mode.NORMAL
        self._since = now
        self._left_at: float | None = None
        self.incident = 0
        self._incidents = 0
        self._detections = 0
        self._detecting = 0.0
        self._recoveries = 0
        self._recovering = 0.0

    def note(self, transition: Transition) -> None:
        """Add one change to the sums."""
        self._time_in[self._mode] += transition.at - self._since
        self._mode, self._since = transition.new, transition.at
        if transition.old is Mode.NORMAL:
            self.incident += 1
        if transition.cause == "forced":
            self._left_at = None
        elif transition.old is Mode.NORMAL:
            self._left(transition)
        elif transition.new is Mode.NORMAL and self._left_at is not None:
            self._recoveries += 1
            self._recovering += transition.at - self._left_at
            self._left_at = None

    def statistics(self, now: float) -> Statistics:
        """The sums up to `now`."""
        time_in = dict(self._time_in)
        time_in[self._mode] += now - self._since
        detect = self._detecting / self._detections if self._detections else None
        recover = self._recovering / self._recoveries if self._recoveries else None
        return Statistics(MappingProxyType(time_in), self._incidents, detect, recover)

    def _left(self, transition: Transition) -> None:
        self._incidents += 1
        self._left_at = transition.at
        if transition.onset is not None:
            self._detections += 1
            self._detecting += transition.at - transition.onset

"""How the share of calls grows after a recovery: pure decisions."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Ramp"]


class Ramp(NamedTuple):
    """From a share of `first` to all, within `over` seconds.

    Example::

        Ramp(over=60.0, first=0.1).share(30.0)  # 0.5
    """

    over: float
    first: float

    def share(self, elapsed: float) -> float:
        """The share of calls to admit so many seconds after the start.

        It is the weight that Envoy's slow start mode gives an endpoint with an ``aggression`` of 1,
        its default: the share of the time that has passed, but no less than `first`.
        """
        return min(1.0, max(self.first, elapsed / self.over))

    def wait(self, elapsed: float) -> float:
        """Seconds after which a call that is refused now should be tried again.

        Told the end of the ramp, all would come back at one instant. With ``over * s * (1 - s)`` at
        a share of s, those of one second, 1 - s of its calls, are spread over 2 (1 - s) seconds:
        they come back at half the rate of the calls, evenly, until the ramp ends.
        """
        share = self.share(elapsed)
        return self.over * share * (1 - share)

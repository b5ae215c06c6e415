"""A rate that is compared with what it usually is."""

from __future__ import annotations

from collections.abc import Mapping

from resilient.system.signals.baseline import Baseline, BaselineRules
from resilient.system.signals.deviation import deviation
from resilient.system.signals.level import SignalLevel, level_of
from resilient.system.signals.signal import Found, Signal, Ties
from resilient.system.signals.tally import ONE, Tally, marks

__all__ = ["ACTIONS", "RateSignal"]

ACTIONS = {
    SignalLevel.MEDIUM: "watch it, and look at what changed",
    SignalLevel.HIGH: "find out why now, before it becomes an outage",
    SignalLevel.CRITICAL: "act: fail over, shed load or roll back",
}
"""What is recommended at each level, unless the application says something else."""


class RateSignal(Signal):
    """Made by `mode.rate`. `mark` counts; the mode compares.

    Example::

        orders = mode.rate("orders", window=60)
        orders.mark()
    """

    kind = "rate"

    def __init__(
        self,
        name: str,
        ties: Ties,
        rules: BaselineRules,
        window: float,
        actions: Mapping[SignalLevel, str],
    ) -> None:
        self.window = window
        self._tally = Tally(window)
        self._usual = Baseline(rules, window)
        self._actions = actions
        self._end = ties.now() + window
        self._full = False
        super().__init__(name, ties)

    @property
    def baseline(self) -> float | None:
        """Events that are usual in a window; `None` while that is being learned.

        Example::

            orders.baseline
        """
        return self._usual.expected

    def mark(self, n: int = 1) -> None:
        """Count `n` events now. Cheap, exact for any number of threads, and never waits.

        Raises `TypeError` if `n` is no whole number, `ValueError` if it is below 0 or above 2**53.

        Example::

            orders.mark()
        """
        self._tally.add(n if n is ONE else marks(n), self._ties.now())

    def look(self, now: float) -> Found:
        """Compare the last `window` seconds with the baseline, and learn from a full window."""
        count = self._tally.count(now)
        expected = self._usual.expected
        if now >= self._end:
            self._full = True
            self._usual.close(count, now)
            # What was in windows that nobody looked at is forgotten: the next one begins now.
            late = now - self._end
            self._end = now + self.window - (late if late < self.window else 0.0)
        seen = f"{count} in {self.window:g} s"
        if expected is None or not self._full:
            return Found(None, count, expected, f"{seen}; {self._progress()}")
        least = self._usual.rules.minimum_expected
        if expected < least:
            few = f"{seen}, {expected:.3g} expected: fewer than {least:g} say nothing"
            return Found(None, count, expected, few)
        health = self._usual.rules.judge(count, expected)
        sign = "-" if count < expected else "+"
        percent = f"{sign}{deviation(count, expected):.0%}"
        detail = f"{seen}, {expected:.4g} expected ({percent})"
        return Found(health, count, expected, detail, action=self._advice(health))

    def due(self) -> float:
        """The end of the present window."""
        return self._end

    def after_fork(self) -> None:
        """The child has counted nothing."""
        super().after_fork()
        self._tally.after_fork()
        self._full, self._end = False, self._ties.now() + self.window

    def _advice(self, health: float) -> str:
        return self._actions.get(level_of(health), "")

    def _progress(self) -> str:
        if self._usual.expected is not None:
            return "the first window has not ended"
        return f"learned from {self._usual.seen} of {self._usual.rules.warm_up} windows"

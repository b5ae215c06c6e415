"""When a circuit opens, for how long, and what it takes to close again."""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Callable

import msgspec

from resilient.policies.trials import Trials
from resilient.policies.window import Counts, CountWindow, TimeWindow, Window

__all__ = ["FREE_THREADED", "Rules"]

FREE_THREADED = not getattr(sys, "_is_gil_enabled", lambda: True)()
"""On a free-threaded build an increment is no longer atomic, so every count takes the lock."""


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """A breaker's settings as decisions; checked by `resilient.breaker`, which explains them."""

    name: str
    failure_threshold: int | None
    failure_rate: float | None
    slow_call_duration: float | None
    slow_call_rate: float | None
    minimum_calls: int
    window_seconds: float | None
    window_calls: int
    reset_timeout: float
    reset_backoff: float
    max_reset_timeout: float
    reset_jitter: float
    half_open_calls: int
    half_open_success_rate: float
    half_open_timeout: float
    straight: bool = True
    random: Callable[[], float] = random.random

    def new_window(self, now: float) -> Window:
        """An empty window."""
        if self.window_seconds is None:
            return CountWindow(self.window_calls)
        return TimeWindow(self.window_seconds, now)

    def fit(self, window: Window, now: float) -> None:
        """Bring a window that was made by other rules to this length; what it holds stays."""
        if isinstance(window, TimeWindow) and self.window_seconds is not None:
            window.resize(self.window_seconds, now)

    def new_trials(self) -> Trials:
        """Empty trial places."""
        return Trials(self.half_open_calls, self.half_open_success_rate, self.half_open_timeout)

    @property
    def slow_limit(self) -> float:
        """The longest call that is not slow, in seconds."""
        return math.inf if self.slow_call_duration is None else self.slow_call_duration

    def is_slow(self, took: float) -> bool:
        """Slow is longer than the limit."""
        return took > self.slow_limit

    def must_look(self, streak: int, counts: Counts) -> bool:
        """Whether even a plain success may change more than a count.

        It ends a streak; and it may bring the calls up to the minimum at which a rate is known.
        Beyond that a success only lowers the rates until old outcomes leave the window.
        """
        if streak or FREE_THREADED:
            return True
        return bool(counts.failures or counts.slow) and counts.calls < self.minimum_calls

    def rates(self, counts: Counts) -> tuple[float | None, float | None]:
        """Failure rate and slow rate; `None` while there are too few calls."""
        if not counts.calls or counts.calls < self.minimum_calls:
            return None, None
        return counts.failures / counts.calls, counts.slow / counts.calls

    def verdict(self, streak: int, counts: Counts) -> str | None:
        """Why the circuit must open now; `None` if it need not."""
        if self.failure_threshold is not None and streak >= self.failure_threshold:
            return f"{streak} failure{'s' * (streak > 1)} in a row"
        failing, slow = self.rates(counts)
        if failing is None or slow is None:
            return None
        if self.failure_rate is not None and failing >= self.failure_rate:
            return f"{counts.failures} of {counts.calls} calls failed ({failing:.0%})"
        if (
            self.slow_call_duration is not None
            and self.slow_call_rate is not None
            and slow >= self.slow_call_rate
        ):
            return f"{counts.slow} of {counts.calls} calls were slow ({slow:.0%})"
        return None

    def open_time(self, openings: int) -> float:
        """Seconds to stay open, after `openings` openings since the circuit was last closed."""
        try:
            grown = self.reset_timeout * self.reset_backoff**openings
        except OverflowError:
            grown = math.inf
        base = min(grown, max(self.max_reset_timeout, self.reset_timeout))
        return base * (1 + self.reset_jitter * (2 * self.random() - 1))

    def describe(self) -> str:
        """The criteria in words."""
        criteria = []
        if self.failure_threshold is not None:
            criteria.append(f"{self.failure_threshold} failures in a row")
        if self.failure_rate is not None:
            criteria.append(f"{self.failure_rate:.0%} failing of >= {self.minimum_calls} calls")
        if self.slow_call_duration is not None and self.slow_call_rate is not None:
            slow = f"slower than {self.slow_call_duration:g} s"
            criteria.append(f"{self.slow_call_rate:.0%} of >= {self.minimum_calls} calls {slow}")
        opens = " or ".join(criteria)
        return f"opens on {opens}; {self.reset_timeout:g} s open" if opens else "only counts"

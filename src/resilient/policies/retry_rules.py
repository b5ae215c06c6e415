"""Whether to try again, and after how long: pure decisions."""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from resilient.clock import Clock
from resilient.core.deadline import remaining
from resilient.core.serial import serial
from resilient.errors import ConfigError, Rejected
from resilient.policies.backoff import WAIT_ALLOWED, Wait, asked_wait, waiter
from resilient.policies.match import function, matcher, optional

__all__ = [
    "Delay",
    "GiveUp",
    "Labelled",
    "RetryRules",
    "Run",
    "Strategy",
    "delay",
    "stopper",
    "strategy",
    "wait_strategy",
]


class Labelled(Protocol):
    """What is retried: a guarded function, or a block."""

    @property
    def label(self) -> str:
        """Its name in messages and events."""
        ...


class Run:
    """One retried call so far. `began` is when it began, or if not `measured`, when it failed."""

    __slots__ = ("attempts", "began", "mark", "measured", "now", "of", "waits")

    def __init__(self, of: Labelled, mark: int, began: float, *, measured: bool = True) -> None:
        self.of = of
        self.mark = mark
        self.began = began
        self.measured = measured
        self.now = began
        self.attempts = 0
        self.waits: list[float] = []


class GiveUp(msgspec.Struct, frozen=True):
    """Why there is no further attempt. `matched` is false for an error that is none of ours."""

    reason: str
    matched: bool = True


_NOT_OURS = GiveUp("not retried", matched=False)

Strategy = Callable[[Run, Exception | None, Any], bool]
"""Whether to try again after this error, or after this value if there is no error."""
Stop = Callable[[Run, Exception | None, float], bool]
"""Whether to stop now, if the next wait were this long."""
Delay = Callable[[Run, Exception | None, Any], float]


class RetryRules(msgspec.Struct, frozen=True, kw_only=True):
    """A retry's settings as decisions; checked by `resilient.retry`, which explains them."""

    again: Strategy
    wait: Delay
    stop: Stop | None
    attempts: int | None
    max_delay: float | None
    names_rejections: bool
    retry_exhausted: bool
    retry_after: Callable[[Exception], float | None] | None
    clock: Clock

    def decide(self, run: Run, error: Exception | None, value: object = None) -> float | GiveUp:
        """Seconds to wait before the next attempt, or why there is none."""
        if not self._matches(run, error, value):
            return _NOT_OURS
        if self.attempts is not None and run.attempts >= self.attempts:
            return GiveUp("no attempts left")
        wait = self._wait(run, error, value)
        if isinstance(wait, GiveUp):
            return wait
        if self.stop is not None and self.stop(run, error, wait):
            return GiveUp("the stop strategy said so")
        return _fitting(wait)

    def _matches(self, run: Run, error: Exception | None, value: object) -> bool:
        if error is not None:
            if isinstance(error, Rejected) and not self.names_rejections:
                return False
            if not self.retry_exhausted and serial.younger(error, run.mark):
                return False
        return self.again(run, error, value)

    def _wait(self, run: Run, error: Exception | None, value: object) -> float | GiveUp:
        wait = self.wait(run, error, value)
        if math.isnan(wait):
            return GiveUp("the wait is no number")
        wait = max(0.0, wait)
        asked = None if error is None else self._asked(error)
        if isinstance(error, Rejected):
            if asked is None:
                return GiveUp("nobody knows when the rejection ends")
            if self.max_delay is not None and asked > self.max_delay:
                return GiveUp(f"the rejection lasts longer than max_delay ({asked:.3g} s)")
        wait = max(wait, asked or 0.0)
        return wait if self.max_delay is None else min(wait, self.max_delay)

    def _asked(self, error: Exception) -> float | None:
        if self.retry_after is not None and not isinstance(error, Rejected):
            return self.retry_after(error)
        return asked_wait(error, self.clock)


def _tenacity() -> Any:
    """The bridge, if anybody loaded tenacity; without that, nothing can be one of its objects."""
    if "tenacity" not in sys.modules:
        return None
    from resilient.policies import tenacity_bridge  # noqa: PLC0415  (see above)

    return tenacity_bridge


def strategy(on: Any, on_result: Callable[[Any], bool] | None) -> tuple[Strategy, bool]:
    """Read `on` and `on_result`; the second value says whether good results are judged too.

    Raises `ConfigError`.
    """
    optional(function, "on_result", on_result)
    bridge = _tenacity()
    if bridge is not None and bridge.is_strategy(on):
        foreign = _foreign(bridge, on)
        judged = bridge.judges_results(on) or on_result is not None

        def ask(run: Run, error: Exception | None, value: object) -> bool:
            wanted = on_result is not None and error is None and bool(on_result(value))
            return wanted or foreign(run, error, value, 0.0)

        return ask, judged
    if bridge is not None and (bridge.is_wait(on) or bridge.is_stop(on)):
        raise ConfigError("on", on, "exception classes, a predicate, or a tenacity retry strategy")
    matches = matcher("on", on)

    def again(run: Run, error: Exception | None, value: object) -> bool:
        del run
        if error is None:
            return on_result is not None and bool(on_result(value))
        return matches(error)

    return again, on_result is not None


def stopper(stop: Any) -> tuple[Stop | None, bool]:
    """Read `stop`; the second value says whether it needs to know when the call began.

    Raises `ConfigError`.
    """
    if stop is None:
        return None, False
    bridge = _tenacity()
    if bridge is None or not bridge.is_stop(stop):
        raise ConfigError("stop", stop, "a tenacity stop, such as tenacity.stop_after_delay(10)")
    foreign = _foreign(bridge, stop)
    return lambda run, error, wait: foreign(run, error, None, wait), bridge.needs_time(stop)


def wait_strategy(wait: Any) -> Delay:
    """Read `wait`. Raises `ConfigError`."""
    bridge = _tenacity()
    if bridge is not None and bridge.is_wait(wait):
        foreign = _foreign(bridge, wait)
        return lambda run, error, value: float(foreign(run, error, value, 0.0))
    if isinstance(wait, type) or (
        bridge is not None and (bridge.is_stop(wait) or bridge.is_strategy(wait))
    ):
        raise ConfigError("wait", wait, WAIT_ALLOWED)
    return delay(waiter(wait))


def delay(wait: Wait) -> Delay:
    """A function of attempt and error as a function of our run."""
    return lambda run, error, _: float(wait(run.attempts, error or _NO_ERROR))


def _fitting(wait: float) -> float | GiveUp:
    """`wait`, if it ends at all, and before the deadline."""
    if not wait < threading.TIMEOUT_MAX:
        return GiveUp("the wait has no end")
    left = remaining()
    if left is not None and wait >= left:
        return GiveUp(f"a wait of {wait:.3g} s does not fit the {left:.3g} s left")
    return wait


_NO_ERROR = Exception("the result asked for another attempt")


def _foreign(bridge: Any, strategy: Callable[[Any], Any]) -> Callable[..., Any]:
    """A tenacity strategy as a function of our run."""

    def ask(run: Run, error: Exception | None, value: object, upcoming: float) -> Any:
        attempted = bridge.Attempted(run.attempts, error, value)
        return strategy(
            bridge.state(
                attempted,
                attempt=run.attempts,
                began=run.began,
                now=run.now,
                idle=sum(run.waits),
                upcoming=upcoming,
            )
        )

    return ask

"""The gate of a slow start."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Mapping
from typing import Any

from resilient.clock import Clock
from resilient.core.gate import Gate
from resilient.core.hub import hub
from resilient.core.outcome import Outcome
from resilient.errors import ConfigError, ThrottledError
from resilient.events import CircuitChanged, ComponentFailed, ComponentRecovered
from resilient.policies.match import positive, whole
from resilient.policies.ramp import Ramp
from resilient.policies.returning import Turn, turn_of

__all__ = ["SlowStart"]

_ROUNDING = 1e-9
"""Sums of shares are a little off; ten tenths are one call."""


class SlowStart(Gate):
    """Admits a growing share of calls after a recovery. Made by `resilient.slow_start`.

    `rejected` counts the calls that it has turned away since it was made.
    """

    swift = True

    def __init__(self, name: str, ramp: Ramp, clock: Clock) -> None:
        self.name = name
        self.ramp = ramp
        self.clock = clock
        self.rejected = 0
        self._began: float | None = None
        self._due = 0.0
        self._ill = True  # as far as is known: the first recovery counts
        self._closed: set[int] = set()
        """Breakers that have closed, by their origin, and not opened again."""
        self._lock = threading.RLock()  # reentrant: a finaliser may come back
        _listen(self)
        hub.register(self)

    # The policy

    def at_once(self, /, *_: Any, **__: Any) -> object | None:
        """Leave, as long as nothing has just come back."""
        return self if self._began is None else None

    def succeeded(self, permit: object, /) -> None:
        """Nothing is counted."""

    def admit(self, /, *_: Any, **__: Any) -> object:
        """Leave, or a new `ThrottledError`, which is not raised."""
        if not hub.active:  # a block has no line that looks
            return self
        with self._lock:
            elapsed = self._elapsed()
            if elapsed is None:
                return self
            self._due += self.ramp.share(elapsed)
            if self._due >= 1 - _ROUNDING:
                self._due = max(0.0, self._due - 1)
                return self
            self.rejected += 1
        return self._refused(elapsed)

    def settle(self, permit: object, outcome: Outcome[Any] | None) -> None:
        """Nothing is counted."""

    def describe(self) -> str:
        """One line for `pipeline.describe()`."""
        over, first = self.ramp
        return f"slow start({self.name!r}): from {first:.0%} to all in {over:g} s after a recovery"

    # The surface

    @property
    def share(self) -> float:
        """The share of calls that is admitted now; 1 if nothing has just come back.

        Example::

            if payments_start.share < 1:
                page.add_banner("still warming up")
        """
        with self._lock:
            elapsed = self._elapsed()
        return 1.0 if elapsed is None else self.ramp.share(elapsed)

    def start(self) -> None:
        """Begin now, from the first share: after a deployment, say, with caches that are cold.

        Example::

            payments_start.start()
        """
        with self._lock:
            self._begin(self.clock.monotonic(), 1 - self.ramp.first)

    def reset(self) -> None:
        """Admit everybody until the next recovery, and forget the calls turned away."""
        with self._lock:
            self._began, self._ill = None, True
            self._closed.clear()
            self.rejected = 0

    def snapshot(self) -> dict[str, Any]:
        """Plain data to `restore` from: calls turned away, and where it stands."""
        with self._lock:
            return {"rejected": self.rejected, "elapsed": self._elapsed(), "due": self._due}

    def restore(self, data: Mapping[str, Any]) -> None:
        """Take over a `snapshot`, as if made now. Raises `ConfigError` for anything else."""
        try:
            rejected = whole("rejected", data["rejected"], least=0)
            due = positive("due", data["due"], most=1, zero=True)
            elapsed = data["elapsed"]
            elapsed = None if elapsed is None else positive("elapsed", elapsed, zero=True)
        except (KeyError, TypeError, ValueError) as error:
            allowed = "what snapshot() of a slow start returned"
            raise ConfigError("snapshot", data, allowed) from error
        self.reset()
        self.rejected = rejected
        if elapsed is not None:
            with self._lock:
                self._begin(self.clock.monotonic() - elapsed, due)

    def set_active(self, active: bool, /) -> None:  # noqa: FBT001  (a switch is a boolean)
        """Nothing to do: whoever asks to be admitted looks at the switch first."""

    def after_fork(self) -> None:
        """A fresh lock."""
        super().after_fork()
        self._lock = threading.RLock()

    def heard(self, event: CircuitChanged | ComponentFailed | ComponentRecovered) -> None:
        """Take up news of a component; those of others are none of its business."""
        if event.name != self.name:
            return
        turn = turn_of(event)
        with self._lock:
            if turn is Turn.GONE and not self._all_gone(event):
                turn = Turn.ILL
            if turn is Turn.GONE:
                # Its breaker refuses by itself, and the calls that try it must get through.
                self._began, self._ill = None, True
            elif turn is Turn.ILL:
                self._ill = True
            elif turn is Turn.BACK:
                if isinstance(event, CircuitChanged):
                    self._closed.add(event.origin)
                if self._ill:
                    self.start()

    def _all_gone(self, event: CircuitChanged | ComponentFailed | ComponentRecovered) -> bool:
        """Whether no other breaker of that name lets through what the ramp holds back."""
        if isinstance(event, CircuitChanged):
            self._closed.discard(event.origin)
        return not self._closed

    def _begin(self, at: float, due: float) -> None:
        self._began, self._due, self._ill = at, due, False

    def _elapsed(self) -> float | None:
        """Seconds since the start, `None` if it is over; the caller holds the lock."""
        if self._began is None:
            return None
        elapsed = max(0.0, self.clock.monotonic() - self._began)
        if elapsed >= self.ramp.over:
            self._began = None
            return None
        return elapsed

    def _refused(self, elapsed: float) -> ThrottledError:
        share, wait = self.ramp.share(elapsed), self.ramp.wait(elapsed)
        reason = f"back for {elapsed:.3g} s of {self.ramp.over:g} s: {share:.0%} of calls are made"
        self.announce(reason, wait)
        return ThrottledError(self.name, wait, reason)


def _listen(gate: SlowStart) -> None:
    """Tap the bus, holding the gate only weakly."""
    me = weakref.ref(gate)

    def heard(event: CircuitChanged | ComponentFailed | ComponentRecovered) -> None:
        if (living := me()) is not None:
            living.heard(event)

    for event_type in (CircuitChanged, ComponentFailed, ComponentRecovered):
        remove: Callable[[], None] = hub.bus.tap(event_type, heard)
        weakref.finalize(gate, remove).atexit = False

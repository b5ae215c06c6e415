"""Conditions that the mode can answer by itself: quiet, no component failed, no call failed."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable

from resilient.core.hub import hub
from resilient.events import CallFailed
from resilient.system.checklist.requirement import Requirement
from resilient.system.ledger import Ledger
from resilient.system.states import Mode
from resilient.system.view import View

__all__ = ["NoCallFailed", "NoComponentFailed", "Quiet"]


class Quiet(Requirement):
    """Made by `mode.require_quiet`: nobody is repairing anything."""

    def __init__(self, to: Mode | None, now: Callable[[], float], ledger: Ledger) -> None:
        super().__init__("no recovery or runbook is at work", 0.0, to, now)
        self._ledger = ledger

    def missing(self, now: float) -> str:
        """Who is at work."""
        del now
        jobs = self._ledger.jobs.values()
        busy = [f"{job.kind} of {job.name}" for job in jobs if getattr(job, "busy", False)]
        return ", ".join(busy)


class NoComponentFailed(Requirement):
    """Made by `mode.require_no_failure`."""

    def __init__(self, hold: float, to: Mode | None, now: Callable[[], float]) -> None:
        super().__init__(f"no component failed for {hold:g} s", hold, to, now)
        self._last = (-math.inf, "")

    def poll(self, view: View, /) -> None:
        """Note what has failed."""
        super().poll(view)
        if failed := view.failed():
            self._last = (view.now, ", ".join(failed))

    def missing(self, now: float) -> str:
        """Who failed, and how long ago."""
        return _ago(self._last, self.hold, now)

    def due(self) -> float:
        """When it has lasted."""
        return _lasts(self._last, self.hold, self.now())


class NoCallFailed(Requirement):
    """Made by `mode.require_no_error`: hears of every call that a breaker counts as failed."""

    def __init__(self, hold: float, to: Mode | None, now: Callable[[], float]) -> None:
        super().__init__(f"no call failed for {hold:g} s", hold, to, now)
        self._failed: dict[str, float] = {}
        self._last = (-math.inf, "")
        me = weakref.ref(self)

        def failed(event: CallFailed) -> None:
            if (job := me()) is not None:
                job._failed[event.name] = job.now()  # noqa: SLF001  (of this class)

        weakref.finalize(self, hub.bus.tap(CallFailed, failed)).atexit = False

    def poll(self, view: View, /) -> None:
        """Take note of the calls that failed, if they are of components of this mode."""
        super().poll(view)
        while self._failed:
            name, at = self._failed.popitem()
            if name in view.components and at > self._last[0]:
                self._last = (at, name)

    def missing(self, now: float) -> str:
        """Which call failed, and how long ago."""
        return _ago(self._last, self.hold, now)

    def due(self) -> float:
        """When it has lasted."""
        return _lasts(self._last, self.hold, self.now())


def _ago(last: tuple[float, str], hold: float, now: float) -> str:
    at, who = last
    return f"{who} failed {now - at:.0f} s ago" if now - at < hold else ""


def _lasts(last: tuple[float, str], hold: float, now: float) -> float:
    over = last[0] + hold
    return over if over > now else math.inf

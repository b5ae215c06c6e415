"""How long does an event loop keep its callbacks waiting?"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from resilient.clock import Duration, seconds
from resilient.core.dispatch import running_loop
from resilient.errors import ConfigError
from resilient.integrations.probes.answers import Levels
from resilient.system.probes.probe import ProbeResult

if TYPE_CHECKING:
    import asyncio

__all__ = ["loop_lag"]

PATIENCE = 0.5
"""Seconds that one question waits; a loop that takes longer is asked on by the next one."""


class _Beat:
    """Something the loop is to do as soon as it gets round to it."""

    def __init__(self) -> None:
        # Real time: whether a thread is stuck is no matter of an injected clock.
        self.sent = time.monotonic()
        self.taken = 0.0
        self.done = threading.Event()

    def take(self) -> None:
        """The loop got round to it."""
        self.taken = time.monotonic()
        self.done.set()

    def lag(self) -> float:
        """Seconds that it took, or has taken up to now."""
        return (self.taken if self.done.is_set() else time.monotonic()) - self.sent


def loop_lag(
    loop: asyncio.AbstractEventLoop | None = None,
    *,
    degraded_above: Duration = 0.1,
    failed_above: Duration = 1.0,
) -> Callable[[], ProbeResult]:
    """Make a probe that sees how long an event loop keeps its callbacks waiting.

    Parameters: `loop`, the one that runs where this is called, if none is given; `degraded_above`
    and `failed_above`, seconds from which on it is worse. Defaults 0.1 and 1.

    It is a sync probe: it runs on a thread of the library's, asks the loop for a sign, and waits
    for it at most half a second, so the probe's `timeout` must be longer than that. A sign that has
    not come is waited for again at the next question: to notice a lag of a second within two, ask
    every second. One reading is enough: it needs no `failed_after`.

    Raises `ConfigError`, also if no loop is given and none runs here. The probe raises
    `RuntimeError` when the loop is closed.

    Example::

        mode.probe("event loop", probes.loop_lag(), interval=1, trips=True)
    """
    home = running_loop() if loop is None else loop
    if home is None or not callable(getattr(home, "call_soon_threadsafe", None)):
        raise ConfigError("loop", loop, "an event loop, or none where one runs")
    levels = Levels.of(
        seconds("degraded_above", degraded_above), seconds("failed_above", failed_above)
    )
    patience = min(PATIENCE, levels.failed + 0.001)
    beat = _Beat()
    beat.done.set()

    def lag() -> ProbeResult:
        nonlocal beat
        if beat.done.is_set():
            sent = _Beat()
            home.call_soon_threadsafe(sent.take)
            beat = sent
        came = beat.done.wait(patience)
        found = beat.lag()
        detail = f"lag {found:.3g} s" if came else f"no sign for {found:.3g} s"
        return ProbeResult(levels.judge(found), detail)

    return lag

"""Between the bus and a channel: two queues, and the clock that wakes a summary."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress

from resilient.clock import Duration, seconds
from resilient.core.hub import hub
from resilient.events import Event
from resilient.mode import ModeChange, SystemOperationMode
from resilient.system.timeline import Timeline
from resilient.telemetry.alerting.alert import Alert, Channel
from resilient.telemetry.alerting.carrier import Carrier, sending
from resilient.telemetry.alerting.rules import AlertRules

__all__ = ["Alerts"]

_TICK, _WORKS, _LAST = "tick", "works", "last"
"""What the deciding queue is told beside events: look at the time, the channel works, the end."""

_log = logging.getLogger("resilient")


class Alerts:
    """Alerts on their way to one channel. Made by `resilient.alerts.send`."""

    def __init__(
        self,
        channel: Channel,
        rules: AlertRules,
        time: Timeline,
        *,
        limit: int,
        mode: SystemOperationMode | None,
    ) -> None:
        self._channel = channel
        self._rules = rules
        self._time = time
        self._mode = mode
        self._taps: list[Callable[[], None]] = []
        self._alarm: threading.Timer | None = None
        self._cancelled = False
        self._holding = False
        # One listener decides and never waits; the other is the channel's, however slow that is.
        self._decider = hub.dispatcher.listener(self._decide, limit=limit)
        self._carrier = Carrier(channel, limit=limit, tell=self._heard_back)
        hub.register_parting(self)

    def __repr__(self) -> str:
        """The channel and the counts."""
        return (
            f"<Alerts to {self._channel!r}: {self.sent} sent, {self.suppressed} suppressed, "
            f"{self.failed} failed, {self.dropped} dropped>"
        )

    @property
    def sent(self) -> int:
        """Alerts that the channel took."""
        return self._carrier.sent

    @property
    def failed(self) -> int:
        """Alerts for which the channel raised."""
        return self._carrier.failed

    @property
    def suppressed(self) -> int:
        """Events held back as repetitions or by the rate; the latter are in a summary."""
        return self._rules.suppressed

    @property
    def dropped(self) -> int:
        """Events and alerts that did not fit into a queue."""
        return self._decider.dropped + self._carrier.listener.dropped

    def listen(self, taps: Iterable[Callable[[], None]]) -> None:
        """Know how to stop hearing."""
        self._taps.extend(taps)

    def hear(self, event: Event) -> None:
        """Take an event from the bus, with its instant; never waits."""
        if not sending.get():
            self._note(event)

    def cancel(self) -> None:
        """Stop alerting; what is queued or held back is not delivered.

        Example::

            pager.cancel()
        """
        self._cancelled = True
        for remove in self._taps:
            remove()
        self._decider.cancel()
        self._carrier.listener.cancel()
        self._silence()

    def flush(self, timeout: Duration = 5.0) -> bool:
        """Wait until the channel had everything that is due; False if `timeout` seconds passed.

        What the rate holds back waits for its time. Not for a coroutine of the loop on which an
        async channel runs: ``await asyncio.to_thread(pager.flush)``.

        Example::

            assert pager.flush(1.0)
        """
        limit = seconds("timeout", timeout, zero=True)
        self._note(_TICK)
        changed = hub.dispatcher.changed
        with changed:
            return changed.wait_for(
                lambda: self._decider.idle and self._carrier.listener.idle, limit
            )

    def close(self, timeout: Duration = 1.0) -> bool:
        """Tell what the rate holds back in one last alert, as `flush`, and `cancel`.

        Returns False if `timeout` seconds passed before all was delivered.

        Example::

            atexit.register(pager.close)
        """
        self._note(_LAST)
        done = self.flush(timeout)
        self.cancel()
        return done

    def part(self) -> None:
        """Tell what the rate holds back: `resilient.shutdown` delivers it."""
        self._silence()
        self._note(_LAST)

    def _silence(self) -> None:
        """Stop the alarm, if one is set."""
        alarm, self._alarm = self._alarm, None
        if alarm is not None:
            alarm.cancel()
            alarm.join()

    def _heard_back(self, failed: Alert | None) -> None:
        self._note(_WORKS if failed is None else failed)

    def _note(self, what: Event | Alert | str) -> None:
        self._decider.offer((self._time.now(), what))

    def _decide(self, item: tuple[float, Event | Alert | str]) -> None:
        """Deal with an event, with an alert that did not arrive, or with the time."""
        at, what = item
        for alert in self._made(at, what):
            if not self._carrier.offer(alert):
                self._rules.failed(alert)
        wait = self._rules.wait(at)
        if wait is not None and not self._holding:
            _log.warning(
                "alerts to %r are more than their rate: held back, summed up", self._channel
            )
        self._holding = wait is not None
        if wait is not None and not self._time.injected:
            self._set_alarm(wait)

    def _made(self, at: float, what: Event | Alert | str) -> list[Alert]:
        """The alerts to deliver now."""
        if isinstance(what, Alert):
            self._rules.failed(what)
            return []
        if what == _WORKS:
            self._rules.works()
        if isinstance(what, Event):
            return self._rules.decide(what, at, self._mode_now(what))
        return self._rules.due(at, self._mode_now(), rest=what == _LAST)

    def _mode_now(self, event: Event | None = None) -> str | None:
        if isinstance(event, ModeChange):
            return event.new.name
        mode: SystemOperationMode | None = hub.mode if self._mode is None else self._mode
        return None if mode is None else mode.current.name

    def _set_alarm(self, wait: float) -> None:
        """Look again in `wait` seconds: perhaps nothing else happens that would make us look."""
        if self._alarm is not None and self._alarm.is_alive():
            return
        alarm = threading.Timer(wait, self._ring)
        alarm.daemon = True
        alarm.name = "resilient-alerts"
        with suppress(RuntimeError):  # no thread is to be had: the next event makes us look
            alarm.start()
            self._alarm = alarm
        if self._cancelled:
            alarm.cancel()

    def _ring(self) -> None:
        self._alarm = None
        self._note(_TICK)

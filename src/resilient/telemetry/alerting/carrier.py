"""Giving alerts to a channel, one after the other, and noticing how that went."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any

from resilient.core.dispatch import running_loop
from resilient.core.hub import hub
from resilient.core.inspection import gives_coroutine
from resilient.telemetry.alerting.alert import Alert, Channel

__all__ = ["Carrier", "sending"]

sending: ContextVar[bool] = ContextVar("resilient_sending_alerts", default=False)
"""Whether this is a channel at work: what its own policies publish is worth no alert."""

_log = logging.getLogger("resilient")


class Carrier:
    """The queue of one channel, and its turn on the dispatcher.

    `sent` and `failed` count; `failing` is whether something did not arrive since something did.
    `tell` is called with each alert that did not arrive, and with `None` when the channel works
    again.

    Example::

        Carrier(channel, limit=1000, tell=print).offer(alert)
    """

    def __init__(
        self, channel: Channel, *, limit: int, tell: Callable[[Alert | None], object]
    ) -> None:
        self.sent = 0
        self.failed = 0
        self.failing = False
        self.listener = hub.dispatcher.listener(self._carry, limit=limit)
        self.listener.loop = running_loop() if gives_coroutine(channel.send) else None
        self._channel = channel
        self._tell = tell

    def offer(self, alert: Alert) -> bool:
        """Queue `alert`; False if the queue is full. Never waits."""
        before = self.listener.dropped
        self.listener.offer(alert)
        fits = self.listener.dropped == before
        self.failing = self.failing or not fits
        return fits

    def _carry(self, alert: Alert) -> object:
        """Give one alert to the channel; for an async one, the coroutine that does."""
        token = sending.set(True)
        try:
            result = self._channel.send(alert)
            if inspect.iscoroutine(result):
                return self._finish(result, alert)
        except BaseException as error:  # noqa: BLE001  (nobody else is there to catch it)
            self._missed(alert, error)
        else:
            self._arrived()
        finally:
            sending.reset(token)
        return None

    async def _finish(self, sent: Coroutine[Any, Any, object], alert: Alert) -> None:
        sending.set(True)  # in a task of its own
        try:
            await sent
        except BaseException as error:
            self._missed(alert, error)
            if not isinstance(error, Exception):
                raise
        else:
            self._arrived()

    def _arrived(self) -> None:
        self.sent += 1
        if self.failing:
            self.failing = False
            self._tell(None)

    def _missed(self, alert: Alert, why: BaseException) -> None:
        self.failed += 1
        self.failing = True
        words = f"{type(why).__name__}: {why}"
        _log.warning("alert %r not delivered by %r: %s", alert.title, self._channel, words)
        self._tell(alert)

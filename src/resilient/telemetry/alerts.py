"""Alerts: events that somebody should hear of, sent where they are heard.

::

    from resilient import CircuitOpened, ModeChange, alerts

    alerts.send(alerts.webhook("https://hooks.example/x"), on=(ModeChange, CircuitOpened))

What is told and what is held back is decided in `resilient.telemetry.alerting.rules`. Each channel
has a queue and a turn of its own on the dispatcher, so one that hangs delays neither calls nor
another.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from resilient.clock import Clock, Duration, seconds
from resilient.core.hub import hub
from resilient.errors import ConfigError
from resilient.events import Event, Severity
from resilient.mode import SystemOperationMode, default_mode
from resilient.policies.match import whole
from resilient.system.timeline import Timeline
from resilient.telemetry.alerting.alert import Alert, Channel
from resilient.telemetry.alerting.command import command
from resilient.telemetry.alerting.kinds import DEFAULT, Kind, kinds_of, wanted, when
from resilient.telemetry.alerting.log import log
from resilient.telemetry.alerting.rules import AlertRules
from resilient.telemetry.alerting.sender import Alerts
from resilient.telemetry.alerting.webhook import webhook
from resilient.telemetry.severities import severity_of

__all__ = ["Alert", "Alerts", "Channel", "Kind", "command", "log", "send", "webhook", "when"]


def send(  # noqa: PLR0913  (all but the first are keywords)
    channel: Channel,
    *,
    on: type[Event] | Kind | Iterable[type[Event] | Kind] = DEFAULT,
    at_least: Severity | str = Severity.WARNING,
    dedupe: Duration = 300.0,
    rate: int = 10,
    per: Duration = 60.0,
    mode: SystemOperationMode | None = None,
    limit: int = 1000,
    clock: Clock | None = None,
) -> Alerts:
    """Tell `channel` of events, as alerts, from now on.

    Parameters, with times in seconds or as `timedelta`:

    * `channel`: `log`, `webhook`, `command`, or an object of yours with ``send(alert)``, sync or
      async; an async one runs on the loop that runs now, else on one of the library's own;
    * `on`: types of event, or `when` with a condition; default: `ModeChange` and `ComponentFailed`.
      What ends them is told too: mode NORMAL, component recovered, circuit closed;
    * `at_least`: the least severity, except of the end of something that was told;
    * `dedupe`: the same thing in the same state is told once in this time (0: always); the next
      alert about it says how many were held back;
    * `rate` and `per`: at most so many alerts at once, one more each ``per / rate`` seconds; the
      rest is summed up in one alert as soon as there is room;
    * `mode`: whose mode the alerts show (default: the default mode); `limit`: of the queue;
      `clock`: the machine's by default. The defaults are this library's own choice.

    Returns an `Alerts` with ``cancel()``, ``flush()`` and its counts. Raises `ConfigError`.

    Example::

        pager = alerts.send(alerts.webhook(url), on=when(ModeChange, to="emergency"), dedupe=900)
        pager.cancel()
    """
    if isinstance(channel, type) or not callable(getattr(channel, "send", None)):
        raise ConfigError("channel", channel, "an object with send(alert), such as alerts.log()")
    if not (mode is None or isinstance(cast("object", mode), SystemOperationMode)):
        raise ConfigError("mode", mode, "a SystemOperationMode, or None for the default one")
    kinds, time = kinds_of(on), Timeline(clock)
    if mode is None:
        default_mode()  # without a mode nobody makes events of evidence
    rules = AlertRules(
        kinds,
        severity_of("at_least", at_least),
        dedupe=seconds("dedupe", dedupe, zero=True),
        rate=whole("rate", rate),
        per=seconds("per", per),
        now=time.now(),
    )
    made = Alerts(channel, rules, time, limit=whole("limit", limit), mode=mode)
    made.listen([hub.bus.tap(event, made.hear) for event in wanted(kinds)])
    return made

"""Alerts as lines of the log."""

from __future__ import annotations

from typing import Any

import structlog

from resilient.telemetry.alerting.alert import Alert

__all__ = ["LogChannel", "log"]


class LogChannel:
    """Writes each alert as one structlog event. Made by `log`."""

    def __init__(self, logger: Any) -> None:
        self._logger = logger

    def send(self, alert: Alert, /) -> None:
        """Write one line at the alert's severity: its title, and what else it has as fields."""
        fields = {
            "kind": alert.kind,
            "component": alert.name,
            "mode": alert.mode,
            "recovered": alert.recovered or None,
            "suppressed": alert.suppressed or None,
            "details": alert.details or None,
        }
        given = {name: value for name, value in fields.items() if value is not None}
        getattr(self._logger, alert.severity.value)(alert.title, **given)


def log(logger: Any = None) -> LogChannel:
    """Send alerts to the log; DEBUG to ERROR are its levels.

    `logger` is a structlog logger (default: ``structlog.get_logger()``).

    Example::

        alerts.send(alerts.log())
    """
    return LogChannel(structlog.get_logger() if logger is None else logger)

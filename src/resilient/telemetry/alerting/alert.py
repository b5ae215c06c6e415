"""An alert: one frozen record, made from any event, that travels as JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import Enum
from typing import Any, Protocol

import msgspec

from resilient.core.copies import brief
from resilient.events import Event, Severity
from resilient.telemetry.severities import words

__all__ = ["Alert", "Channel", "alert_of"]

LONGEST = 200
"""Characters of a title."""

_WHY = ("reason", "reasons", "error", "detail")


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """What a channel is given.

    Fields: `kind`, of event, such as ``circuit_opened``; `name`, of the component, policy or mode;
    `severity`; `title`, one line for a person; `key`, the same for the trouble and its recovery,
    for receivers that group by one; `recovered`, that the trouble told before is over; `time`, of
    the event, in UTC; `mode`, the system's mode when the alert was made; `suppressed`, how many
    like it were held back since the last one; `details`, the event's own fields as plain data.

    Example::

        Alert(kind="drill", name="me", severity=Severity.INFO, title="a drill").json()
    """

    kind: str
    name: str
    severity: Severity
    title: str
    key: str = ""
    recovered: bool = False
    time: datetime = msgspec.field(default_factory=lambda: datetime.now(UTC))
    mode: str | None = None
    suppressed: int = 0
    details: dict[str, Any] = {}

    def json(self) -> bytes:
        """The alert as JSON; the severity as its name, the time as in RFC 3339.

        Example::

            json.loads(alert.json())["title"]
        """
        return msgspec.json.encode(self)


class Channel(Protocol):
    """Where alerts go. Write your own: one method, sync or ``async``.

    What it raises counts as an alert that was not delivered. It is called on a thread of the
    library's, or as a coroutine on the loop that ran at `send`; one alert at a time, in order.

    Example::

        class Pager:
            async def send(self, alert: Alert) -> None:
                await client.post("/page", content=alert.json())
    """

    def send(self, alert: Alert, /) -> object:
        """Deliver one alert; raise if that failed."""
        ...


def alert_of(event: Event, key: str, *, mode: str | None, **more: Any) -> Alert:
    """The alert for `event`; `more` are other fields of the alert.

    What JSON does not know is told by its `repr`, and halves of characters, as in names of files
    that are no UTF-8, by question marks: no such thing shall keep an alert from arriving.

    Example::

        alert_of(event, "circuit:payments", mode="NORMAL", suppressed=3)
    """
    details = {
        field: _whole(_plain(getattr(event, field)))
        for field in event.__struct_fields__
        if field not in {"name", "at", "origin"}
    }
    lasted = more.pop("lasted", None)
    if lasted is not None:
        details["lasted"] = lasted
    return Alert(
        kind=words(type(event).__name__),
        name=_whole(event.name),
        severity=more.pop("severity", event.severity),
        title=_title(event, details),
        key=_whole(key),
        time=datetime.fromtimestamp(event.at, UTC),
        mode=mode,
        details={name: value for name, value in details.items() if value is not None},
        **more,
    )


def _title(event: Event, details: dict[str, Any]) -> str:
    """``payments: circuit opened (5 failures in a row)``."""
    what = words(type(event).__name__, " ")
    if what.endswith("change") and {"old", "new"} <= details.keys():
        what = f"{what.removesuffix(' change')} {details['old']} -> {details['new']}"
    why = next((found for field in _WHY if (found := details.get(field))), "")
    text = f"{event.name}: {what}" + (
        f" ({why[0] if isinstance(why, list | tuple) else why})" * bool(why)
    )
    text = " ".join(_whole(text).split())  # an error may have many lines, a title has one
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def _plain(value: object) -> Any:
    if isinstance(value, Enum):
        return value.name
    try:
        return msgspec.to_builtins(value, str_keys=True, enc_hook=brief)
    except Exception:  # noqa: BLE001  (an application's value may refuse in any way)
        return brief(value)


def _whole(value: Any) -> Any:
    """Plain data as UTF-8 can have it."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode(errors="replace").decode()
    if isinstance(value, dict):
        return {_whole(key): _whole(each) for key, each in value.items()}
    return [_whole(each) for each in value] if isinstance(value, list | tuple) else value

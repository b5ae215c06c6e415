"""Which events are worth an alert, which of them end one, and what they are about."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from resilient.errors import ConfigError
from resilient.events import (
    CircuitChanged,
    CircuitClosed,
    CircuitOpened,
    CircuitOverridden,
    ComponentFailed,
    ComponentRecovered,
    Event,
    Severity,
    TargetEjected,
    TargetReturned,
)
from resilient.policies.match import function, optional
from resilient.system.states import Mode, ModeChange
from resilient.telemetry.severities import severity_of, words

__all__ = ["DEFAULT", "Kind", "kinds_of", "recovers", "state_of", "subject_of", "wanted", "when"]

DEFAULT = (ModeChange, ComponentFailed)
"""What alerts are about if nothing is said: whatever the evidence, each thing once."""

Pairs = tuple[tuple[type[Event], type[Event]], ...]
_PAIRS: Pairs = (
    (CircuitOpened, CircuitClosed),
    (CircuitOverridden, CircuitClosed),
    (ComponentFailed, ComponentRecovered),
    (TargetEjected, TargetReturned),
)
_WELL = frozenset({"NORMAL", "HEALTHY", "CLEAR", "SUCCEEDED", "IDLE"})
"""What a mode, a probe, a signal and a recovery have become when there is nothing left to do."""

_PARTS = ("mode", "target", "kind", "trigger", "key")
"""Fields that tell one thing from another of the same name."""

_FAMILIES: dict[type[Event], str] = {CircuitChanged: "circuit", ModeChange: "mode"}
_FAMILIES.update(dict.fromkeys((ComponentFailed, ComponentRecovered), "component"))
_FAMILIES.update(dict.fromkeys((TargetEjected, TargetReturned), "target"))


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of event and what it takes to be told. Made by `when`, which explains it."""

    event: type[Event]
    at_least: Severity | None
    only: Callable[[Any], bool] | None
    to: Mode | None
    until: type[Event] | None


def when(
    event: type[Event],
    *,
    at_least: Severity | str | None = None,
    only: Callable[[Any], bool] | None = None,
    to: Mode | str | None = None,
    until: type[Event] | None = None,
) -> Kind:
    """Say more closely when `event` is worth an alert, for ``send(..., on=when(...))``.

    Parameters: `at_least`, a severity of its own; `only`, a function of the event that is true for
    those to be told (it runs in the background; if it raises, the event is told); `to`, for
    `ModeChange`, the mode that is entered; `until`, the event of the same name that ends what
    `event` began, where the library does not know it. Raises `ConfigError`.

    Example::

        alerts.when(CircuitOpened, only=lambda event: event.name == "payments")
        alerts.when(ModeChange, to="emergency")
        alerts.when(DiskLow, until=DiskFine)
    """
    if to is not None and _event("event", event) is not ModeChange:
        raise ConfigError("to", to, "None, unless the event is ModeChange")
    return Kind(
        event=_event("event", event),
        at_least=None if at_least is None else severity_of("at_least", at_least),
        only=optional(function, "only", only),
        to=None if to is None else Mode.of(to, "to"),
        until=optional(_event, "until", until),
    )


def kinds_of(on: object) -> tuple[Kind, ...]:
    """Read the setting `on`. Raises `ConfigError`."""
    many = tuple(on) if isinstance(on, Iterable) else (on,)
    if not many:
        raise ConfigError("on", on, "at least one type of event")
    return tuple(each if isinstance(each, Kind) else when(_event("on", each)) for each in many)


def _event(setting: str, value: Any) -> type[Event]:
    if isinstance(value, type) and issubclass(value, Event):
        return value
    raise ConfigError(setting, value, "a type of event, such as CircuitOpened")


def wanted(kinds: tuple[Kind, ...]) -> list[type[Event]]:
    """The types to listen to: those of `kinds` and what ends them; none that another includes."""
    asked = {kind.event for kind in kinds} | {kind.until for kind in kinds if kind.until}
    asked |= {end for begin, end in _PAIRS if any(issubclass(begin, kind.event) for kind in kinds)}
    return [each for each in asked if not any(base in asked for base in each.__mro__[1:])]


def recovers(event: Event, kinds: tuple[Kind, ...]) -> bool:
    """Whether `event` says that something is well again."""
    if getattr(getattr(event, "new", None), "name", None) in _WELL:
        return True
    if getattr(event, "enabled", None) is True or getattr(event, "frozen", None) is False:
        return True
    ends = (*(end for _, end in _PAIRS), *(kind.until for kind in kinds if kind.until))
    return isinstance(event, ends)


def subject_of(event: Event, kinds: tuple[Kind, ...]) -> str:
    """What `event` is about: the same for trouble and recovery, such as ``circuit:payments``."""
    own = (k.event for k in kinds if k.until and isinstance(event, (k.event, k.until)))
    kind = next(own, type(event))
    family = next((name for t, name in _FAMILIES.items() if issubclass(kind, t)), None)
    parts = (getattr(event, field, None) for field in _PARTS)
    more = [str(part) for part in parts if part is not None]
    return ":".join([family or words(kind.__name__), event.name, *more])


def state_of(event: Event) -> str:
    """What it is now, where its type does not say all."""
    new = getattr(event, "new", "")
    return f"{type(event).__name__} {getattr(new, 'name', new)}"

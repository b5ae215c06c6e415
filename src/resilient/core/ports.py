"""What one part of the library may ask of another without knowing it."""

from __future__ import annotations

from enum import Enum
from typing import Protocol, runtime_checkable

import msgspec

from resilient.errors import ConfigError
from resilient.events import CircuitState

__all__ = ["CircuitHealth", "Criticality", "HealthSource", "ModePort"]


class Criticality(Enum):
    """How much the system needs a component or a call. The value is the default weight."""

    CRITICAL = 8
    HIGH = 4
    MEDIUM = 2
    LOW = 1

    @classmethod
    def of(cls, value: Criticality | str) -> Criticality:
        """Read a member or its name, in either case.

        Raises `ConfigError` for anything else.

        Example::

            Criticality.of("high") is Criticality.HIGH
        """
        if isinstance(value, cls):
            return value
        if isinstance(value, str) and value.upper() in cls.__members__:
            return cls[value.upper()]
        raise ConfigError("criticality", value, "one of " + ", ".join(cls.__members__))


class CircuitHealth(msgspec.Struct, frozen=True):
    """What a breaker tells when it is asked.

    `standing` is 1 for closed, 0.5 for half open, 0 for open, the mean over the circuits of a
    keyed breaker, and `None` when the breaker says nothing (disabled, counting only).
    `calls` and `failures` are those of the window now; `recorded` counts the outcomes since the
    window was last cleared; `age` is the seconds since the last outcome, `None` if that is unknown;
    `p95` is the 95th percentile of the latency in seconds, `None` unless it is watched.
    """

    state: CircuitState
    standing: float | None
    calls: int
    failures: int
    recorded: int
    age: float | None = None
    p95: float | None = None
    last_error: str | None = None


@runtime_checkable
class ModePort(Protocol):
    """What a policy may be given as its mode: an object that can be brought up to date."""

    @property
    def name(self) -> str:
        """Shown in events."""
        ...

    def evaluate(self) -> object:
        """Bring everything up to date now."""
        ...


@runtime_checkable
class HealthSource(Protocol):
    """A policy that has evidence about the component it is named after."""

    @property
    def name(self) -> str:
        """The component."""
        ...

    @property
    def mode(self) -> object | None:
        """The mode it reports to; `None` for the default one."""
        ...

    @property
    def weight(self) -> float | None:
        """Weight of the component, if the policy was given one."""
        ...

    @property
    def criticality(self) -> Criticality | None:
        """Criticality of the component, if the policy was given one."""
        ...

    def health(self) -> CircuitHealth:
        """Tell what is known now. Cheap, never waits, runs no user code."""
        ...

    def watch_latency(self) -> None:
        """Keep a latency histogram from now on."""
        ...

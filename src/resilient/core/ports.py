"""What one part of the library may ask of another without knowing it."""

from __future__ import annotations

import math
from enum import Enum
from typing import Protocol, runtime_checkable

import msgspec

from resilient.core.members import member
from resilient.errors import ConfigError
from resilient.events import CircuitState

__all__ = ["CircuitHealth", "Criticality", "HealthSource", "ModePort", "ReactingMode", "Reaction"]


FLOATS = 1e308
"""A whole number that is greater than all floats cannot be multiplied by one."""


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
        return member(cls, value, "criticality")


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


class Reaction(msgspec.Struct, frozen=True, kw_only=True):
    """What the library's own parts do in one mode.

    * `retries`: how much of a retry budget may be used, its reserve included: from 0 to 1, all;
    * `hedging`: whether further attempts may be started beside a first one;
    * `stale`: by what the age is multiplied up to which a stale answer will do; may be infinite;
    * `drain`: the share of their usual pace at which background queues are worked off.

    Raises `ConfigError` naming the setting, its value and what is allowed.

    Example::

        Reaction(retries=0.5, hedging=False, stale=4.0, drain=0.25)
    """

    retries: float = 1.0
    hedging: bool = True
    stale: float = 1.0
    drain: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what is out of range."""
        for setting, least, most in (("retries", 0, 1), ("stale", 1, math.inf), ("drain", 0, 1)):
            value = getattr(self, setting)
            numeric = isinstance(value, int | float) and not isinstance(value, bool)
            if not (numeric and least <= value <= most and (value <= FLOATS or value == math.inf)):
                raise ConfigError(setting, value, f"a number from {least} to {most}")
        if not isinstance(self.hedging, bool):
            raise ConfigError("hedging", self.hedging, "True or False")


@runtime_checkable
class ReactingMode(Protocol):
    """A mode that tells the parts of the library how to work now."""

    @property
    def reaction(self) -> Reaction | None:
        """What to do in the present mode; `None` if nobody is to react."""
        ...


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

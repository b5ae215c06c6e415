"""Whether a feature serves, and why not: the decision alone."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from resilient.system.states import Mode

__all__ = ["FeatureState", "FeatureStatus", "Frozen", "Standing", "standing"]


class FeatureState(Enum):
    """Where a feature stands.

    Members: `ON`; `SHUT` by the mode, which opens it again; `FROZEN` by `mode.freeze`, which ends
    by itself; `DISABLED` by hand.
    """

    ON = "on"
    SHUT = "shut"
    FROZEN = "frozen"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureStatus:
    """One line of `mode.features`.

    Fields: `name`; `state`; `reason`, in words, empty while it is on; `down_to`, the worst mode in
    which it serves; `ends_in`, seconds after which what holds it back ends by itself, `None` if it
    does not; `refused`, how many calls it has not made.

    Example::

        for found in mode.features:
            print(found)
    """

    name: str
    state: FeatureState
    reason: str
    down_to: Mode
    ends_in: float | None
    refused: int

    def __str__(self) -> str:
        """One line: the name, and why it does not serve, or that it does."""
        left = "" if self.ends_in is None else f", for {self.ends_in:.0f} s more"
        return f"{self.name}: {self.reason or self.state.value}{left}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    """A freeze that holds. What `mode.frozen` returns.

    Fields: `reason`; `features`, the names it is about, `None` for all; `at`, the wall-clock time
    in seconds when it began; `ends_in`, seconds after which it ends by itself; `unknown`, those
    names that no feature of the mode had when it began: misspelt, or of a feature yet to be made.

    Example::

        if mode.frozen is not None:
            print(mode.frozen.reason)
    """

    reason: str
    features: tuple[str, ...] | None
    at: float
    ends_in: float
    unknown: tuple[str, ...] = ()

    def __str__(self) -> str:
        """One line: what, why, and for how long."""
        what = "every feature" if self.features is None else ", ".join(self.features)
        text = f"FROZEN: {what}: {self.reason}; it ends by itself in {self.ends_in:.0f} s"
        if self.unknown:
            text += f"; no feature was called {' or '.join(self.unknown)}"
        return text


class Standing(NamedTuple):
    """A state, why, and the seconds after which it ends by itself."""

    state: FeatureState
    reason: str = ""
    ends_in: float | None = None


def standing(
    name: str, down_to: Mode, current: Mode, frozen: Frozen | None, disabled: Standing | None
) -> Standing:
    """Decide: what was done by hand comes first, then a freeze, then the mode.

    Example::

        standing("search", Mode.NORMAL, Mode.EMERGENCY, None, None).state  # SHUT
    """
    if disabled is not None:
        return disabled
    if frozen is not None and (frozen.features is None or name in frozen.features):
        return Standing(FeatureState.FROZEN, f"frozen: {frozen.reason}", frozen.ends_in)
    if current.rank > down_to.rank:
        reason = f"not in {current.name}: it serves down to {down_to.name}"
        return Standing(FeatureState.SHUT, reason)
    return Standing(FeatureState.ON)

"""What the mode shows to those who work for it, and what it asks of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from resilient.system.decision.cascade import Cascade
from resilient.system.decision.component import Evidence
from resilient.system.decision.score import FAILED, Contribution
from resilient.system.states import Mode

__all__ = ["Job", "View", "Witness"]


@dataclass(frozen=True, slots=True)
class View:
    """What is known at one instant.

    Fields: `now`, on the mode's own line of time; `mode`; `components`, by name; `cascade`, if one
    runs; `incident`, a number that counts the times NORMAL was left, 0 while the mode is NORMAL.

    Example::

        View(now=0.0, mode=Mode.NORMAL).health("redis")  # None: nothing is known
    """

    now: float
    mode: Mode
    components: Mapping[str, Contribution] = field(default_factory=dict)
    cascade: Cascade | None = None
    incident: int = 0

    def health(self, component: str) -> float | None:
        """Health of a component, 0 to 1; `None` if it is unknown."""
        row = self.components.get(component)
        return None if row is None else row.health

    def failed(self) -> tuple[str, ...]:
        """The components that are as good as dead, by name."""
        rows = self.components.values()
        return tuple(row.name for row in rows if row.health is not None and row.health < FAILED)


class Job:
    """Something that the mode looks after at every evaluation.

    `poll` is called under the lock of the mode: it must be quick, must not wait, and runs no code
    of the application; that is what an `Errand` is for.
    """

    kind = "job"
    """Together with the name it says which job another one replaces."""
    name = ""
    """Which component or procedure it is about."""
    rests = False
    """Whether it is polled no more once the mode is closed, until that is started again."""

    def poll(self, view: View, /) -> None:
        """Look at the time and at what is known, and begin what is due."""

    def due(self) -> float:
        """The next instant at which it wants to be polled; infinity if it does not."""
        return math.inf

    def notices(self) -> tuple[str, ...]:
        """What should be told among the reasons of the mode."""
        return ()

    def unmet(self) -> tuple[str, ...]:
        """What forbids that the mode improves."""
        return ()

    def after_fork(self) -> None:
        """Nothing of the parent's runs in the child."""

    def close(self) -> None:
        """Cancel what runs, and begin nothing more until it is polled again."""


class Witness(Job):
    """A job that has evidence about the component it is named after."""

    rests = True

    def evidence(self, fresh_for: float, /) -> tuple[Evidence, ...]:
        """What it knows; `fresh_for` seconds is the life of evidence that has none of its own."""
        del fresh_for
        return ()

    def blind_from(self) -> float:
        """The instant from which its silence means BLIND; infinity if nothing was promised."""
        return math.inf

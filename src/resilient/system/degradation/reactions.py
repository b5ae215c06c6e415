"""What the library does by itself in each mode."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from resilient.core.ports import Reaction
from resilient.errors import ConfigError
from resilient.system.operation import Operation
from resilient.system.states import Mode

__all__ = ["REACTIONS", "Reacting", "Reactions"]


class Reactions(msgspec.Struct, frozen=True, kw_only=True):
    """A `Reaction` for each mode: retries, hedges, stale answers, background queues.

    | mode | retry budgets | hedges | age of stale answers | queues drain at |
    |---|---|---|---|---|
    | NORMAL | all (20 % by default) | on | as declared | 100 % |
    | DEGRADED | half of it (10 %) | off | 4 times that | 25 % |
    | EMERGENCY | nothing | off | any | 0 % |

    Parameters: `normal`, `degraded`, `emergency`; what is not given is as in the table.
    Raises `ConfigError`.

    Example::

        mode = SystemOperationMode(reactions=Reactions(degraded=Reaction(retries=0.25)))
    """

    normal: Reaction = Reaction()
    degraded: Reaction = Reaction(retries=0.5, hedging=False, stale=4.0, drain=0.25)
    emergency: Reaction = Reaction(retries=0.0, hedging=False, stale=math.inf, drain=0.0)

    def __post_init__(self) -> None:
        """Refuse what is no reaction."""
        for setting in ("normal", "degraded", "emergency"):
            if not isinstance(getattr(self, setting), Reaction):
                raise ConfigError(setting, getattr(self, setting), "a resilient.Reaction")

    def of(self, mode: Mode) -> Reaction:
        """That of one mode.

        Example::

            Reactions().of(Mode.DEGRADED).retries  # 0.5
        """
        return (self.normal, self.degraded, self.emergency)[mode.rank]


REACTIONS = Reactions()
"""Those of a mode that was told nothing else."""


class Reacting(Operation):
    """The part of the mode that policies ask how to work."""

    _reactions: Reactions | None = REACTIONS

    @property
    def reactions(self) -> Reactions | None:
        """What the library does by itself in each mode; `None` if that is switched off."""
        return self._reactions

    @property
    def reaction(self) -> Reaction | None:
        """What it does in the present mode. A background worker of your own may ask it too.

        Example::

            if mode.reaction is None or mode.reaction.drain > 0:
                work_off_some()
        """
        reactions = self._reactions
        return None if reactions is None else reactions.of(self._mode_now())

    def _mode_now(self) -> Mode:
        """The mode now, as `current` has it."""
        if not self._fresh_from <= self._clock.monotonic() < self._fresh_until:
            self._refresh()
        return self._current

    def _react(self, reactions: Any) -> None:
        """Take over what was given. Raises `ConfigError`."""
        if not (reactions is None or isinstance(reactions, Reactions)):
            raise ConfigError("reactions", reactions, "resilient.Reactions(...), or None for none")
        self._reactions = reactions

"""Whether an attempt may be made beside the first: asked when one is about to start."""

from __future__ import annotations

from typing import Protocol

from resilient.core.ports import ReactingMode
from resilient.core.reacting import reaction_of

__all__ = ["Leave"]


class _Tokens(Protocol):
    def withdraw(self) -> bool:
        """Take one, if there is one."""
        ...


class Leave:
    """Asks the mode, and then the budget.

    Example::

        Leave(mode=None, budget=None).withdraw()  # True: nobody objects
    """

    __slots__ = ("_budget", "_mode")

    def __init__(self, mode: ReactingMode | None, budget: _Tokens | None) -> None:
        self._mode = mode
        self._budget = budget

    def withdraw(self) -> bool:
        """Whether one more attempt may be made now; true takes a token of the budget."""
        if not reaction_of(self._mode).hedging:
            return False
        return self._budget is None or self._budget.withdraw()

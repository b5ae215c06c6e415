"""A place in the queue of a gate: the gate decides when it ends, a driver waits for that."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from resilient.clock import Clock, chosen
from resilient.errors import Rejected

__all__ = ["Waiting"]


class Waiting(ABC):
    """What a gate's `admit` returns for a call that may be admitted later.

    Whoever gets it waits until it is woken, or until `seconds` on `clock` are over, and then asks
    `finish`, once. Whoever goes away before that says `cancel`, and nothing is lost: not even a
    slot that is handed over at that very moment.
    """

    clock: Clock = chosen(None)
    seconds: float | None = None
    """The longest time to wait; `None` for as long as it takes."""

    @abstractmethod
    def notify(self, wake: Callable[[], object]) -> None:
        """Call `wake` as soon as it is decided, from any thread; at once if it is already.

        `wake` raises `RuntimeError` if its event loop is closed: nobody waits there any more.
        """

    @abstractmethod
    def finish(self) -> Any:
        """The permit, or a new `Rejected`, which is not raised."""

    @abstractmethod
    def cancel(self) -> None:
        """Leave, and give back what was handed over."""

    @abstractmethod
    def refuse(self, reason: str) -> Rejected:
        """Leave, and make the rejection that says why nobody waits."""

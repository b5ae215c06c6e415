"""What a gate owes its waiting room, and the settings of one."""

from __future__ import annotations

from typing import Any, Protocol

from resilient.clock import Clock, Duration, seconds
from resilient.core.ports import Criticality
from resilient.errors import ConfigError, Rejected
from resilient.policies.match import whole
from resilient.policies.ranks import Order

__all__ = ["Keeper", "Queueing", "queueing"]

Queueing = tuple[int, Order, float | None]
"""How many may wait, who is next, and for how many seconds at most."""


def queueing(queue: int, order: Order, max_wait: Duration | None) -> Queueing:
    """Read the settings of a waiting room. Raises `ConfigError`."""
    if order not in ("fifo", "lifo"):
        raise ConfigError("order", order, '"fifo" or "lifo"')
    whole("queue", queue, least=0)
    if max_wait is None:
        return queue, order, None
    if queue == 0:
        raise ConfigError("max_wait", max_wait, "None without a queue: nobody waits")
    return queue, order, seconds("max_wait", max_wait, zero=True)


class Keeper(Protocol):
    """The gate that a waiting room belongs to."""

    clock: Clock

    def take(self, level: Criticality, /) -> Any:
        """A permit for a call of that level, `None` if there is none. Called with the lock."""
        ...

    def give_back(self, permit: Any, /) -> None:
        """Take a permit back, and tell nobody."""
        ...

    def crowded(self, waiting: bool, /) -> None:  # noqa: FBT001  (a state, told as it is)
        """Somebody waits now, or nobody any more. Called with the lock."""
        ...

    def busy(self, level: Criticality, /) -> str:
        """Why there is no permit for a call of that level, in words."""
        ...

    def refused(self, reason: str, /) -> Rejected:
        """Count a rejection, and make its error."""
        ...

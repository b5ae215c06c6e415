"""What the experiment needs of a world: to ask, to break the server, and a clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from resilient.clock import Clock

from .scenario import Condition

__all__ = ["Refused", "World"]


class Refused(ConnectionError):  # noqa: N818  (what the server did)
    """The server answered with an error."""


class World(Protocol):
    """A server to ask. Its time is that of the running loop, and `clock` reads the same."""

    clock: Clock
    completed: Callable[[bool], None]
    """Told of each request the server has finished, and whether anybody still waited for it."""

    async def ask(self, client: int, key: int, replica: int) -> None:
        """One attempt. Raises `Refused`; whoever is cancelled has given up."""
        ...

    def apply(self, condition: Condition) -> None:
        """Put the server into a condition."""
        ...

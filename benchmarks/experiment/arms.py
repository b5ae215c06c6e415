"""What an arm is: that which stands between a caller and the server.

An arm builds, for one client, the function that the client's callers call. Clients share nothing,
as programs on different machines share nothing. Every arm gives up an attempt after the scenario's
timeout; they differ in what else they do.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import resilient
from resilient.clock import Clock

from .scenario import Scenario

__all__ = ["FAILURES", "Arm", "Call", "Client"]

Call = Callable[[int], Coroutine[Any, Any, None]]
Ask = Callable[[int, int], Coroutine[Any, Any, None]]

FAILURES = (ConnectionError, TimeoutError)
"""What an attempt can fail with: the server refused, or did not answer in time."""


class Client:
    """What an arm may know: the clock, the timeout, the replicas, and how to ask.

    `ask(key)` asks some replica; `ask_at(key, replica)` asks that one.
    """

    def __init__(self, number: int, scenario: Scenario, clock: Clock, ask_at: Ask) -> None:
        self.clock = clock
        self.timeout = scenario.timeout
        self.replicas = scenario.trigger.replicas
        self.clients = scenario.clients
        self.share = scenario.workers / scenario.clients
        self.ask_at = ask_at
        self.chance = random.Random(f"{scenario.seed} {number}")  # noqa: S311  (an experiment)

    async def ask(self, key: int) -> None:
        """One attempt at any replica."""
        await self.ask_at(key, self.chance.randrange(self.replicas))

    async def attempt(self, key: int) -> None:
        """One attempt at any replica, given up in time, without this library."""
        async with asyncio.timeout(self.timeout):
            await self.ask(key)


@dataclass(frozen=True, slots=True)
class Arm:
    """An arm's name on the command line, its title in a table, and how it is built.

    `needs` names what of `resilient` it uses. `judged` is whether the pass marks are for it.
    """

    name: str
    title: str
    build: Callable[[Client], Call]
    needs: tuple[str, ...] = ()
    judged: bool = False

    @property
    def missing(self) -> tuple[str, ...]:
        """What it needs and is not there."""
        return tuple(name for name in self.needs if not hasattr(resilient, name))

"""The arms: what stands between a caller and the server.

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

import pybreaker
import resilient
import tenacity
from resilient.clock import Clock

from .scenario import Scenario

__all__ = ["ARMS", "Arm", "Call", "Client", "arms"]

Call = Callable[[int], Coroutine[Any, Any, None]]
Ask = Callable[[int, int], Coroutine[Any, Any, None]]

FAILURES = (ConnectionError, TimeoutError)


class Client:
    """What an arm may know: its number, the clock, and how to ask.

    `ask(key)` asks some replica; `ask_at(key, replica)` asks that one.
    """

    def __init__(self, number: int, scenario: Scenario, clock: Clock, ask_at: Ask) -> None:
        self.number = number
        self.name = "server"
        self.clock = clock
        self.timeout = scenario.timeout
        self.replicas = scenario.trigger.replicas
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
        return tuple(name for name in self.needs if name not in resilient.__all__)


ARMS: dict[str, Arm] = {}


def arm(
    name: str, title: str, *needs: str, judged: bool = False
) -> Callable[[Callable[[Client], Call]], Callable[[Client], Call]]:
    """Register a builder."""

    def register(build: Callable[[Client], Call]) -> Callable[[Client], Call]:
        ARMS[name] = Arm(name, title, build, needs, judged)
        return build

    return register


def arms(names: str) -> list[Arm]:
    """The arms of a list with commas; "all" for every one that can be built.

    Raises `ValueError` for a name that is none.
    """
    if names == "all":
        return [each for each in ARMS.values() if not each.missing]
    unknown = [name for name in names.split(",") if name not in ARMS]
    if unknown:
        message = f"no such arm: {', '.join(unknown)}; there are {', '.join(ARMS)}"
        raise ValueError(message)
    return [ARMS[name] for name in names.split(",")]


@arm("none", "no retry")
def _none(client: Client) -> Call:
    return client.attempt


@arm("naive", "naive retry x3")
def _naive(client: Client) -> Call:
    async def call(key: int) -> None:
        for last in (False, False, True):
            try:
                return await client.attempt(key)
            except FAILURES:
                if last:
                    raise
                await asyncio.sleep(client.chance.uniform(0, 0.1))

    return call


@arm("peers", "tenacity + pybreaker")
def _peers(client: Client) -> Call:
    breaker = pybreaker.CircuitBreaker(fail_max=5, reset_timeout=60)  # its defaults

    @tenacity.retry(
        stop=tenacity.stop_after_attempt(3),
        wait=tenacity.wait_random_exponential(multiplier=0.1, max=2),
        retry=tenacity.retry_if_exception_type(FAILURES),
        reraise=True,
    )
    async def call(key: int) -> None:
        with breaker.calling():
            await client.attempt(key)

    return call


@arm("timeout", "timeout")
def _timeout(client: Client) -> Call:
    return resilient.timeout(client.timeout)(client.ask)


@arm("retry", "retry x3, full jitter")
def _retry(client: Client) -> Call:
    return _around(client, resilient.retry(on=FAILURES, clock=client.clock))


@arm("breaker", "breaker")
def _breaker(client: Client) -> Call:
    return _around(client, resilient.breaker(client.name, clock=client.clock))


@arm("retry-breaker", "retry + breaker")
def _retry_breaker(client: Client) -> Call:
    return _around(
        client,
        resilient.retry(on=FAILURES, clock=client.clock),
        resilient.breaker(client.name, clock=client.clock),
    )


def _around(client: Client, *policies: Any) -> Call:
    """The policies, outermost first, around an attempt with its timeout."""
    return resilient.pipeline(*policies, resilient.timeout(client.timeout))(client.ask)

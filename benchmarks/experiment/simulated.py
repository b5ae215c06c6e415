"""The world in which time jumps: the server and its clients on one loop, nothing between them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, tzinfo
from unittest.mock import patch

from resilient.clock import Clock
from resilient.testing import JumpingEventLoop, ManualClock

from .arms import Arm
from .driver import run
from .record import Record
from .scenario import Condition, Scenario
from .server import Server
from .world import Refused

__all__ = ["SimulatedWorld", "simulate"]


class SimulatedWorld:
    """A server on the running loop. See `experiment.world.World`."""

    def __init__(self, scenario: Scenario, clock: Clock) -> None:
        self.clock: Clock = clock
        self.completed: Callable[[bool], None] = lambda _: None
        self._loop = asyncio.get_running_loop()
        self._server = Server(scenario, self._loop)

    async def ask(self, client: int, key: int, replica: int) -> None:
        """One attempt."""
        del client
        answer: asyncio.Future[bool] = self._loop.create_future()

        def reply(good: bool) -> None:  # noqa: FBT001  (an answer)
            wanted = not answer.done()
            self.completed(wanted)
            if wanted:
                answer.set_result(good)

        self._server.submit(key, replica, reply)
        if not await answer:
            raise Refused

    def apply(self, condition: Condition) -> None:
        """Put the server into a condition."""
        self._server.apply(condition)


def simulate(arm: Arm, scenario: Scenario) -> Record:
    """Run `arm` through `scenario` in virtual time. The same seed gives the same record."""
    clock = ManualClock()
    random.seed(scenario.seed)  # what policies draw on

    async def main() -> Record:
        return await run(arm, scenario, SimulatedWorld(scenario, clock))

    with (
        _pybreaker_follows(clock),
        asyncio.Runner(loop_factory=lambda: JumpingEventLoop(clock)) as runner,
    ):
        return runner.run(main())


@contextmanager
def _pybreaker_follows(clock: Clock) -> Iterator[None]:
    """Let pybreaker, which reads the wall clock, live in virtual time too."""
    epoch = datetime(2000, 1, 1, tzinfo=UTC)

    class Virtual(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Virtual:
            then = (epoch + timedelta(seconds=clock.monotonic())).astimezone(tz)
            return cls.fromisoformat(then.isoformat())

    with patch("pybreaker.datetime", Virtual):
        yield

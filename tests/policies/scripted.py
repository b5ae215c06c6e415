"""Stand-ins for a dependency and for time, and every way to make a guarded call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import resilient
from resilient.core.policy import Protector
from resilient.testing import ManualClock

__all__ = ["RUNNERS", "Does", "Runner", "Script", "Sleeper", "our_notes", "run_async"]

Runner = Callable[[Protector, "Script"], Any]


class Script:
    """What a dependency does, call by call: an exception is raised, anything else returned.

    A class of exceptions raises a new one each time. The last step is repeated for ever.
    """

    def __init__(self, *steps: object) -> None:
        self.steps = steps
        self.count = 0

    def __call__(self, *args: object, **kwargs: object) -> Any:
        """Take the next step."""
        step = self.steps[min(self.count, len(self.steps) - 1)]
        self.count += 1
        if isinstance(step, type) and issubclass(step, BaseException):
            raise step
        if isinstance(step, BaseException):
            raise step
        return step

    async def later(self, *args: object, **kwargs: object) -> Any:
        """Take the next step, as a coroutine function."""
        return self(*args, **kwargs)

    async def suspended(self, *args: object, **kwargs: object) -> Any:
        """Take the next step after the event loop had a turn."""
        await asyncio.sleep(0)
        return self(*args, **kwargs)


class Does(Script):
    """A script that calls `fn` each time."""

    def __init__(self, fn: Callable[[], Any]) -> None:
        super().__init__()
        self.fn = fn

    def __call__(self, *args: object, **kwargs: object) -> Any:
        """Call it."""
        self.count += 1
        return self.fn()


class Sleeper(ManualClock):
    """A manual clock that remembers every sleep."""

    def __init__(self, start: float = 0.0) -> None:
        super().__init__(start)
        self.waits: list[float] = []

    def sleep(self, seconds: float, /) -> None:
        """Remember and move."""
        self.waits.append(seconds)
        super().sleep(seconds)

    async def sleep_async(self, seconds: float, /) -> None:
        """Remember and move."""
        self.waits.append(seconds)
        await super().sleep_async(seconds)


def run_async(awaitable: Awaitable[Any]) -> Any:
    """Run `awaitable` on a loop of its own."""

    async def main() -> Any:
        return await awaitable

    return asyncio.run(main())


def _loop_block(policy: Protector, script: Script) -> Any:
    assert isinstance(policy, resilient.Retry)
    for attempt in policy:
        with attempt:
            return script()
    return None


async def _async_block(policy: Protector, script: Script) -> Any:
    assert isinstance(policy, resilient.Retry)
    async for attempt in policy:
        with attempt:
            return await script.later()
    return None


RUNNERS: dict[str, Runner] = {
    "def": lambda policy, script: policy(script)(),
    "call": lambda policy, script: policy.call(script),
    "outcome": lambda policy, script: resilient.outcome(policy(script)).unwrap(),
    "async def": lambda policy, script: run_async(policy(script.later)()),
    "async def that suspends": lambda policy, script: run_async(policy(script.suspended)()),
    "async call": lambda policy, script: run_async(policy.call(script.later)),
    "block": _loop_block,
    "async block": lambda policy, script: run_async(_async_block(policy, script)),
}
"""Every way to call `script` under a policy; the last two are for retries only."""


def our_notes(error: BaseException) -> list[str]:
    """The notes that the library left on `error`."""
    return [note for note in getattr(error, "__notes__", []) if note.startswith("resilient: ")]

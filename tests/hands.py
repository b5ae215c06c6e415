"""A clock with hands that only a test turns."""

from __future__ import annotations

import asyncio


class HandClock:
    """Time passes only when told to; sleeping of the library's own turns the hands."""

    def __init__(self, start: float = 100.0) -> None:
        self.at = start

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.at += seconds

    def monotonic(self) -> float:
        """The hands."""
        return self.at

    def time(self) -> float:
        """A wall clock that stands two billion seconds further."""
        return 2e9 + self.at

    def sleep(self, seconds: float, /) -> None:
        """Return at once, later."""
        self.at += seconds

    async def sleep_async(self, seconds: float, /) -> None:
        """Return almost at once, later."""
        self.at += seconds
        await asyncio.sleep(0)

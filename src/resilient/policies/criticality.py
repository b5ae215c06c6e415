"""Marking calls by how much they matter."""

from __future__ import annotations

from contextvars import Token
from types import TracebackType
from typing import Any

from resilient.core.effects import Call, Flow, Guarded, Step
from resilient.core.held import HeldPermits
from resilient.core.hub import hub
from resilient.core.importance import current
from resilient.core.policy import Line, Policy
from resilient.core.ports import Criticality

__all__ = ["Marked", "criticality"]


class Marked(Policy):
    """Marks the calls inside it. Made by `resilient.criticality`."""

    wraps = True

    def __init__(self, level: Criticality, *, only_unmarked: bool = False) -> None:
        self.level = level
        self.only_unmarked = only_unmarked
        self._blocks = HeldPermits(_nothing)

    def flow(self, call: Call, inner: Step, place: int) -> Flow:
        """Run what is inside as marked."""
        del place
        token = self._begin()
        try:
            return (yield from inner(call))
        finally:
            _end(token)

    def wrap(self, line: Line, guard: Guarded) -> Line:
        """The straight line."""
        return _marked_async(self, line) if guard.is_async else _marked(self, line)

    def describe(self) -> str:
        """One line for `pipeline.describe()`."""
        return f"criticality: {self.level.name}" + (" unless marked" if self.only_unmarked else "")

    def __enter__(self) -> None:
        """Begin a block whose calls are marked."""
        self._blocks.push(self._begin())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the block."""
        _end(self._blocks.pop("criticality", error))

    async def __aenter__(self) -> None:
        """As ``with``."""
        self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the block."""
        self.__exit__(kind, error, traceback)

    def _begin(self) -> Token[Criticality | None] | None:
        if self.only_unmarked and current.get() is not None:
            return None
        return current.set(self.level)


def _end(token: Token[Criticality | None] | None) -> None:
    if token is None:
        return
    try:
        current.reset(token)
    except ValueError:
        # A coroutine that was never finished is closed by the collector, in a context that
        # never saw the mark: nothing is to be undone there.
        return


def _nothing(held: object) -> None:
    """A dropped task takes its mark with it."""


def _marked(policy: Marked, line: Line) -> Line:
    level, only_unmarked = policy.level, policy.only_unmarked

    def marked(*args: Any, **kwargs: Any) -> Any:
        if not hub.active or (only_unmarked and current.get() is not None):
            return line(*args, **kwargs)
        token = current.set(level)
        try:
            return line(*args, **kwargs)
        finally:
            _end(token)

    return marked


def _marked_async(policy: Marked, line: Line) -> Line:
    level, only_unmarked = policy.level, policy.only_unmarked

    async def marked(*args: Any, **kwargs: Any) -> Any:
        if not hub.active or (only_unmarked and current.get() is not None):
            return await line(*args, **kwargs)
        token = current.set(level)
        try:
            return await line(*args, **kwargs)
        finally:
            _end(token)

    return marked


def criticality(level: Criticality | str, *, only_unmarked: bool = False) -> Marked:
    """Mark the calls inside by how much they matter, as a decorator or in a ``with``.

    Where overload makes somebody lose, the least critical is shed first: bulkheads, limits,
    throttles and the gate of the mode ask for the mark. It is carried by a context variable, so it
    reaches every call made on behalf of what was marked, in tasks too (a new thread starts
    unmarked unless it is given a copy of the context). The innermost mark counts. A call that is
    not marked counts as HIGH: what is made to be shed says so.

    * `level`: a `Criticality`, or its name.
    * `only_unmarked`: leave calls alone that somebody further out has marked already.

    `resilient.importance()` tells the mark. Raises `ConfigError` for what is no level.

    Example::

        @criticality("low")
        def warm_the_cache() -> None: ...

        with criticality("critical"):
            charge(42)
    """
    return Marked(Criticality.of(level), only_unmarked=bool(only_unmarked))

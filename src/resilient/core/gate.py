"""A gate admits a call, or refuses it, and learns how it ended.

A gate never blocks. Every permit ends exactly once: judged by an outcome, or abandoned (`None`)
when the call was cancelled, interrupted, rejected further in, or never ran.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from resilient.core import threads
from resilient.core.effects import Call, Effect, Flow, Step, Wait
from resilient.core.held import HeldPermits
from resilient.core.hub import hub
from resilient.core.outcome import Outcome
from resilient.core.permits import PermitManager
from resilient.core.policy import Policy
from resilient.core.waiting import Waiting
from resilient.errors import Rejected
from resilient.events import CallRejected

__all__ = ["COMPLETED", "Gate"]


COMPLETED: Outcome[Any] = Outcome(source="block")
"""How a block ended that raised nothing; it has no result to be judged."""


class Gate(Policy):
    """A policy that admits and settles; the only kind that is also a context manager.

    ``with gate:`` and ``async with gate:`` keep a stack of permits for each task, else for each
    thread. A permit that may be left elsewhere is a `permit()`.
    """

    gate = True
    _held: HeldPermits | None = None

    @abstractmethod
    def admit(self, /, *args: Any, **kwargs: Any) -> Any:
        """A permit for a call with these arguments, a new `Rejected`, or a `Waiting`.

        A rejection is returned, not raised. A permit is never `None`.
        """

    @abstractmethod
    def settle(self, permit: Any, outcome: Outcome[Any] | None) -> None:
        """End a permit. `None` is abandoned: nothing is judged."""

    def at_once(self, /, *args: Any, **kwargs: Any) -> Any:
        """For a swift gate: a permit if there is one without waiting, else `None`, untouched."""
        raise NotImplementedError(args, kwargs)

    def succeeded(self, permit: Any, /) -> None:
        """For a swift gate: settle a call that returned."""
        self.settle(permit, COMPLETED)

    def flow(self, call: Call, inner: Step, place: int) -> Flow:
        """Admit, go on, settle whatever happens."""
        permit = call.take(place)
        if permit is None:
            permit = self.admit(*call.args, **call.kwargs)
            if isinstance(permit, Waiting):
                permit = yield from _waited(permit, call)
            if isinstance(permit, Rejected):
                return Outcome(error=permit)
        outcome: Outcome[Any] | None = None
        try:
            self.begun(call)
            outcome = yield from inner(call)
            return outcome
        finally:
            self.settle(permit, outcome)

    def begun(self, call: Call) -> None:
        """A call was admitted and is about to be made."""

    def announce(self, reason: str, retry_after: float | None = None) -> None:
        """Publish a rejection, if anybody wants to know."""
        if hub.bus.wants(CallRejected):
            hub.bus.publish(CallRejected(name=self.name, reason=reason, retry_after=retry_after))

    def permit(self) -> PermitManager:
        """A single-use context manager that may be left by another task or thread.

        Example::

            async with payments.permit():
                async for row in stream:
                    ...
        """
        return PermitManager(self)

    def enter(self) -> Any:
        """Admit a block and let an injected fault fail it. Raises `Rejected`."""
        permit = _granted(_after_wait(self.admit()))
        fault = self._fault()
        if fault is not None:
            with self._settling(permit):
                fault(_nothing)()
        return permit

    async def enter_async(self) -> Any:
        """As `enter`, for ``async with``."""
        permit = _granted(await _after_wait_async(self.admit()))
        fault = self._fault()
        if fault is not None:
            with self._settling(permit):
                await fault(_nothing_async)()
        return permit

    def _fault(self) -> Callable[..., Any] | None:
        return hub.faults.get(self.name) if hub.faults else None

    @contextmanager
    def _settling(self, permit: Any) -> Iterator[None]:
        """Settle a block that a fault has ended before it began."""
        try:
            yield
        except BaseException as error:
            self.leave(permit, error)
            raise

    def leave(self, permit: Any, error: BaseException | None) -> None:
        """Settle a block that ended with `error`."""
        if permit is None:
            return
        if error is None:
            self.settle(permit, COMPLETED)
        elif isinstance(error, Exception):
            self.settle(permit, Outcome(error=error))
        else:
            self.settle(permit, None)

    def _abandon(self, permit: Any) -> None:
        self.settle(permit, None)

    def _stack(self) -> HeldPermits:
        # Made on first need; setdefault, because two threads may need it at once.
        return self._held or vars(self).setdefault("_held", HeldPermits(self._abandon))

    def __enter__(self) -> None:
        """Enter a block. Raises `Rejected`."""
        self._stack().push(self.enter())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave the block entered last by this task or thread; `RuntimeError` if there is none."""
        self.leave(self._stack().pop(self.name, error), error)

    async def __aenter__(self) -> None:
        """Enter a block. Raises `Rejected`."""
        self._stack().push(await self.enter_async())

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave the block entered last by this task or thread; `RuntimeError` if there is none."""
        self.leave(self._stack().pop(self.name, error), error)

    def after_fork(self) -> None:
        """Hold nothing of the parent's."""
        if self._held is not None:
            self._held.after_fork()


def _waited(waiting: Waiting, call: Call) -> Generator[Effect, Any, Any]:
    """Wait in a flow, unless that blocks others: the permit, or a `Rejected`."""
    if not call.guard.is_async and not threads.may_wait(waiting.clock):
        return waiting.refuse(threads.BLOCKED)
    try:
        yield Wait(waiting)
    except BaseException:
        waiting.cancel()
        raise
    return waiting.finish()


def _after_wait(permit: Any) -> Any:
    return threads.waited(permit) if isinstance(permit, Waiting) else permit


async def _after_wait_async(permit: Any) -> Any:
    if not isinstance(permit, Waiting):
        return permit
    from resilient.core import aio  # noqa: PLC0415  (only async programs load asyncio)

    return await aio.waited(permit)


def _granted(permit: Any) -> Any:
    """`permit`, or raise it, from a frame that keeps nothing: its traceback holds this one."""
    if isinstance(permit, Rejected):
        try:
            raise permit
        finally:
            del permit
    return permit


def _nothing() -> None:
    """What an injected fault wraps in a block."""


async def _nothing_async() -> None:
    """What an injected fault wraps in an async block."""

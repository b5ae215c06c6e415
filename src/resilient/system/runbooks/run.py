"""One run of a runbook, for whoever asked for it or looks at it later."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import Any

from resilient.clock import Clock, Duration, seconds
from resilient.core.dispatch import running_loop
from resilient.core.hub import hub
from resilient.system.runbooks.plan import Plan
from resilient.system.runbooks.record import RunOutcome, StepRecord

__all__ = ["RunbookRun"]

POLL = 0.1
"""Seconds between looks while waiting."""

MOMENT = 0.001
"""Seconds that are real even where the clock is not: for functions on other threads."""


class RunbookRun:
    """A run, under way or over. Made by ``mode.run``; ``mode.runs`` has the last hundred.

    Attributes: `name`, such as ``"drain-3"``; `number`, which counts the runs of the mode; `book`;
    `cause`, in words; `incident`, 0 for none; `dry`; `by_hand`; `at`, the wall-clock time of its
    beginning; `seconds`, what it took, once it is over.

    Example::

        run = mode.run("drain")
        run.wait(60)
        print(run)
    """

    def __init__(  # noqa: PLR0913  (facts, put together by the mode)
        self,
        book: str,
        number: int,
        cause: str,
        incident: int,
        plan: Plan,
        *,
        clock: Clock,
        look: Callable[[], bool],
        by_hand: bool,
    ) -> None:
        self.name = f"{book}-{number}"
        self.number = number
        self.book = book
        self.cause = cause
        self.incident = incident
        self.dry = plan.dry
        self.by_hand = by_hand
        self.at = clock.time()
        self.seconds = 0.0
        self.leaving: str | None = None
        self._plan = plan
        self._clock = clock
        self._look = look

    @property
    def steps(self) -> tuple[StepRecord, ...]:
        """What became of each step so far, in the order in which they are done."""
        return self._plan.log.records

    @property
    def outcome(self) -> RunOutcome:
        """RUNNING as long as anything is left to do or to undo, then how it ended."""
        return self._plan.outcome

    @property
    def finished(self) -> bool:
        """Whether it is over."""
        return self._plan.over

    @property
    def undoing(self) -> bool:
        """Whether it failed or was cancelled, so that what was done is or was taken back."""
        return self._plan.undoing

    @property
    def error(self) -> str | None:
        """Why it failed or was cancelled, in words."""
        return self._plan.error

    def cancel(self, reason: str = "cancelled by hand") -> None:
        """Go no further, and take back what was done.

        An async step is cancelled, a sync one goes on and is ignored. Returns at once; `wait` waits
        until all is taken back.

        Example::

            mode.runs[-1].cancel("false alarm")
        """
        self.leaving = self.leaving or reason
        self._look()

    def wait(self, timeout: Duration | None = None) -> RunOutcome:
        """Block this thread until it is over.

        Parameters: `timeout` in seconds on the mode's clock; `None` waits for ever. On an injected
        clock that jumps, waiting moves it. Raises `TimeoutError`, and `RuntimeError` on a thread
        that runs an event loop.

        Example::

            run.wait(60)
        """
        if running_loop() is not None:
            message = "wait() would block the event loop; use `await run`"
            raise RuntimeError(message)
        limit = None if timeout is None else seconds("timeout", timeout, zero=True)
        began = self._clock.monotonic()
        while self._goes_on():
            if getattr(self._clock, "jumps", False):
                _let_others_work()
            if self.finished:
                break
            left = POLL if limit is None else limit - (self._clock.monotonic() - began)
            if left <= 0:
                message = f"{self.name} was not over in time: {self._under_way()}"
                raise TimeoutError(message)
            self._clock.sleep(min(POLL, left))
        return self.outcome

    def __await__(self) -> Generator[Any, None, RunOutcome]:
        """Suspend the task until it is over, on any event loop; returns the outcome."""
        return self._awaited().__await__()

    async def _awaited(self) -> RunOutcome:
        import asyncio  # noqa: PLC0415  (loaded already: a loop runs)

        while self._goes_on():
            if getattr(self._clock, "jumps", False) and hub.dispatcher.lively:
                await asyncio.sleep(MOMENT)
            else:
                await self._clock.sleep_async(POLL)
                await asyncio.sleep(0)
        return self.outcome

    def _goes_on(self) -> bool:
        """Bring it up to date; a mode that is gone looks after nothing any more."""
        if not self.finished and not self._look():
            self._plan.abandon(0.0, "the mode is gone")
        return not self.finished

    def _under_way(self) -> str:
        do = self._plan.next
        if do is None:
            return self.outcome.value
        doing = "undoing" if self.undoing else "doing"
        return f"{doing} {do.step.name}, step {do.place + 1} of {len(self.steps)}"

    def __repr__(self) -> str:
        """Name, and how it stands."""
        return f"<RunbookRun {self.name!r} {self.outcome.value}>"

    def __str__(self) -> str:
        """A table, to be read by somebody who was just woken."""
        dry = "dry run of " if self.dry else ""
        end = f" ({self.error})" if self.error else ""
        head = f"{dry}{self.name}: {self.outcome.value}{end}; started by {self.cause}"
        return "\n".join([head, *(f"  {n}. {one}" for n, one in enumerate(self.steps, 1))])

    def notice(self) -> str:
        """A line for the reasons of the mode."""
        if self.finished:
            return f"RUNBOOK: {self.name} {self.outcome.value}: {self.error}"
        return f"RUNBOOK: {self.name}, started by {self.cause}, is {self._under_way()}"


def _let_others_work() -> None:
    """Give real time to what runs on other threads, unless it hangs, before a clock jumps."""
    hub.dispatcher.flush(POLL)
    until = time.monotonic() + 1
    while hub.dispatcher.lively and time.monotonic() < until:
        time.sleep(MOMENT)

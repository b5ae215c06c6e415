"""Several attempts at one call, of which the first good answer counts.

The first attempt runs in the caller's own task, and as long as it answers in time that is all
that happens: no task is made, and one timer serves all calls (see `resilient.core.timer.Watch`).
A `Race` begins when the delay is over. Its other attempts are tasks, and none outlives the call.
"""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context, copy_context
from functools import partial
from typing import Any, NamedTuple

from resilient.core.hub import hub
from resilient.core.policy import Line
from resilient.core.timer import Watch, Watches, no_task

__all__ = ["Plan", "Race", "Starts", "hedged"]


class Plan(NamedTuple):
    """What a race may do.

    * `most`: how many attempts may be started beside the first;
    * `budget`: what is asked before each of them; `None` if nothing is (see `policies.hedge`);
    * `good`: whether a result is an answer; `None` if each is;
    * `dispose`: closes a result that nobody gets, sync or async;
    * `tally`: is told of each attempt beside the first that was "started", was "refused" by the
      budget, or has "won";
    * `same`: whether two results are one thing, so that closing one closes the other.
    """

    most: int
    budget: Any
    good: Callable[[Any], bool] | None
    dispose: Callable[[Any], Any]
    tally: Callable[[str], object]
    same: Callable[[Any, Any], bool] = operator.is_


class Starts(Watch):
    """The first attempts under way of one function in one loop, oldest first.

    When the delay of one is over, its race is put into `races`, under the same key.
    """

    __slots__ = ("line", "plan", "races")

    def __init__(
        self, line: Line, plan: Plan, loop: asyncio.AbstractEventLoop, delay: float
    ) -> None:
        super().__init__(loop, delay)
        self.line = line
        self.plan = plan
        self.races: dict[object, Race] = {}

    def expire(self, key: object) -> None:
        """Let the race of a call begin or, if it has, let one more attempt start."""
        start, _ = self.calls.pop(key)
        race = key if isinstance(key, Race) else self.races.setdefault(key, Race(self, *start))
        # Not here: what goes wrong in one race is no business of the others that are due.
        self.loop.call_soon(race.late)

    def again(self, race: Race) -> None:
        """Call `race.late` once more when another delay is over."""
        self.calls[race] = (None, self.now() + self.seconds)
        if not self.timed:
            self.watched()


class Race:
    """One call whose first attempt takes longer than the delay.

    `cancelling` is how often others had asked the caller's `task` to stop when the call began;
    `context` is what its context variables were then.
    """

    def __init__(  # noqa: PLR0913  (a record, filled in one place)
        self,
        watch: Starts,
        task: asyncio.Task[Any],
        cancelling: int,
        context: Context,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        self._watch = watch
        self._task = task
        self._cancelling = cancelling
        self._context = context
        self._attempt = partial(watch.line, *args, **kwargs)
        self._started = 0
        self._running: set[asyncio.Task[None]] = set()
        self._told: set[asyncio.Task[Any] | None] = set()  # cancelled, or closing what they got
        self._first = True  # the first attempt is under way, in the caller's task
        self._fired = False  # the race has cancelled the first attempt
        self._over = False
        self._won = False  # the answer is that of another attempt
        self._answer: tuple[Any] | None = None
        self._spare: tuple[Any] | None = None  # what the first attempt returned, if it is not that
        self._fatal: BaseException | None = None
        self._signal: asyncio.Future[None] | None = None

    def late(self) -> None:
        """Start another attempt, if somebody waits for it and the budget allows it."""
        plan = self._watch.plan
        if self._over or not (self._first or self._running):
            return
        if plan.budget is not None and not plan.budget.withdraw():
            plan.tally("refused")
            return
        self._started += 1
        plan.tally("started")
        # Not `create_task(context=)`, which task factories need not know. A task copies the
        # context that it is made in, so each attempt has its own.
        task = self._context.run(self._watch.loop.create_task, self._hedge())
        self._running.add(task)
        task.add_done_callback(self._ended)
        if self._started < plan.most:
            self._watch.again(self)

    async def answered(self, result: Any) -> Any:
        """The first attempt has returned `result`: what the call returns."""
        self._first = False
        self._spare = (result,)
        if self._fired:  # it has survived its cancellation, but is too late
            self._task.uncancel()
        return await self._ended_well(self._answered(result))

    async def failed(self, error: BaseException) -> tuple[Any] | None:
        """The first attempt has raised `error`: the call's answer in a tuple, or `None`: raise it.

        A cancellation that the race alone has asked for is not the caller's. Any other one, and
        whatever else is no `Exception`, ends all attempts and passes through.
        """
        self._first = False
        ours = self._fired and self._task.uncancel() <= self._cancelling
        if isinstance(error, GeneratorExit):
            self._forsake()
            return None
        cancelled = isinstance(error, asyncio.CancelledError)
        goes_on = ours if cancelled else isinstance(error, Exception)
        ending: tuple[Any] | None = await self._ended_well(
            self._failed() if goes_on else self._abandon()
        )
        return ending

    async def _ended_well(self, ending: Coroutine[Any, Any, Any]) -> Any:
        """Await `ending`; where that raises, end everything else too."""
        try:
            return await ending
        except GeneratorExit:
            self._forsake()
            raise
        except BaseException:
            await self._abandon()
            raise

    async def _answered(self, result: Any) -> Any:
        if not self._fired:
            if not self._started or self._accepts(result):
                self._answer, self._spare = self._spare, None
            else:
                await self._others()
        answer = await self._result()
        if answer is None:
            return result
        spare, self._spare = self._spare, None
        if spare is not None:
            await self._dispose(result)
        return answer[0]

    async def _failed(self) -> tuple[Any] | None:
        if not self._fired:
            await self._others()
        return await self._result()

    async def _hedge(self) -> None:
        """One more attempt. What it raises is forgotten: the first attempt's error is raised."""
        try:
            result = await self._attempt()
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except Exception:  # noqa: BLE001  (see above)
            return
        except BaseException as error:  # noqa: BLE001  (raised in the caller's task)
            self._fatal = error
            self._decide()
            return
        try:
            good = not self._over and self._accepts(result)
        except BaseException as error:  # noqa: BLE001  (raised in the caller's task)
            good, self._fatal = False, error
            self._decide()
        if good:
            self._won, self._answer = True, (result,)
            self._decide()
        else:
            await self._dispose(result)

    def _accepts(self, result: Any) -> bool:
        good = self._watch.plan.good
        return good is None or good(result)

    def _decide(self) -> None:
        """End the race from within an attempt that is a task, at once."""
        self._over = True
        self._stop(asyncio.current_task())
        if self._first and not self._fired:
            # Always, even if others cancel the task too: the count tells whose it was.
            self._fired = True
            self._task.cancel()
        else:
            self._wake()

    def _stop(self, but: asyncio.Task[Any] | None = None) -> None:
        """Cancel the attempts that are tasks, once: a second time would disturb their clean-up."""
        for task in self._running - self._told - {but}:
            self._told.add(task)
            task.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._told.discard(task)
        if not task.cancelled():
            task.exception()  # looked at: it is no news for the loop
        if not self._running:
            self._wake()

    def _wake(self) -> None:
        if self._signal is not None and not self._signal.done():
            self._signal.set_result(None)

    async def _signalled(self) -> None:
        self._signal = self._watch.loop.create_future()
        await self._signal

    async def _others(self) -> None:
        """Wait until one of the others has answered, or none is left."""
        while self._running and not self._over:
            await self._signalled()
        self._over = True

    async def _drain(self) -> asyncio.CancelledError | None:
        """End all attempts, and wait for that. The cancellation of a caller who could not wait."""
        self._over = True
        self._watch.calls.pop(self, None)
        self._stop()
        cancelled = None
        while self._running:
            try:
                await self._signalled()
            except asyncio.CancelledError as error:
                cancelled = error
                self._told.clear()  # the caller's own cancellations reach them all
                self._stop()
        return cancelled

    async def _result(self) -> tuple[Any] | None:
        """The answer when all attempts have ended; `None` if there is none."""
        cancelled = await self._drain()
        if cancelled is not None:
            raise cancelled  # and whoever awaits this abandons everything
        if self._fatal is not None:
            await self._abandon()
        if self._won and self._answer is not None:
            self._watch.plan.tally("won")
        return self._answer

    async def _abandon(self) -> None:
        """End everything; nobody gets any result. Raises what was no `Exception`, if any was."""
        await self._drain()
        unwanted, self._answer, self._spare = [self._answer, self._spare], None, None
        one, other = unwanted
        if one and other and self._watch.plan.same(one[0], other[0]):
            unwanted.pop()
        for held in filter(None, unwanted):
            await self._dispose(held[0])
        fatal, self._fatal = self._fatal, None
        try:
            if fatal is not None:
                raise fatal from None
        finally:
            del fatal  # its traceback holds this frame

    def _forsake(self) -> None:
        """End everything where nobody can wait for that: the call was dropped."""
        self._over = True
        with suppress(RuntimeError):  # the loop may be closed
            self._stop()

    async def _dispose(self, result: Any) -> None:
        """Close what nobody gets, unless it is the very object that somebody gets."""
        if self._answer is not None and self._watch.plan.same(result, self._answer[0]):
            return
        self._told.add(asyncio.current_task())
        try:
            closing = self._watch.plan.dispose(result)
            if hasattr(closing, "__await__"):
                await closing
        except Exception as error:  # noqa: BLE001  (it has nothing to do with the answer)
            message = "closing the result of an attempt that lost a race has failed"
            self._watch.loop.call_exception_handler({"message": message, "exception": error})


def hedged(line: Line, delay: float, plan: Plan) -> Line:
    """`line`, attempted again whenever `delay` seconds have passed without an answer."""
    running, current_task = asyncio.get_running_loop, asyncio.current_task
    watches = Watches(delay, partial(Starts, line, plan))

    async def hedged(*args: Any, **kwargs: Any) -> Any:
        if not hub.active:
            return await line(*args, **kwargs)
        loop = running()
        watch = watches.last()
        if watch is None or watch.loop is not loop:
            watch = watches.find(loop)
        task = current_task(loop) or no_task()
        calls, key = watch.calls, object()
        start = (task, task.cancelling(), copy_context(), args, kwargs)
        calls[key] = (start, watch.now() + delay)
        if not watch.timed:
            watch.watched()
        try:
            result = await (line(*args, **kwargs) if kwargs else line(*args))
        except BaseException as error:
            if calls.pop(key, None) is None:
                answer = await watch.races.pop(key).failed(error)
                if answer is not None:
                    return answer[0]
            raise
        if calls.pop(key, None) is None:
            return await watch.races.pop(key).answered(result)
        return result

    return hedged

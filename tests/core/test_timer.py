"""Timers of limits keep nothing alive, and need a task to work on."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Coroutine
from typing import Any

import pytest

from resilient import CallTimeoutError, deadline, pipeline, retry, timeout
from resilient.testing import JumpingEventLoop, ManualClock
from resilient.testing.loop import run

POLICIES: dict[str, Any] = {
    "timeout": lambda: timeout(3600),
    "deadline": lambda: deadline(3600),
    "both": lambda: pipeline(deadline(3600), retry(on=OSError), timeout(60)),
}
every_limit = pytest.mark.parametrize("make", POLICIES.values(), ids=POLICIES)


class Thing:
    """Something that a call holds."""


def step(coroutine: Coroutine[Any, Any, Any]) -> None:
    """Run a coroutine by hand, without a task."""
    coroutine.send(None)


@every_limit
async def test_a_finished_call_is_not_kept(make: Any) -> None:
    """Its arguments are gone when it has ended, although the limit was an hour."""

    @make()
    async def call(thing: Thing) -> None:
        await asyncio.sleep(0)

    for _ in range(200):
        thing = Thing()
        seen = weakref.ref(thing)
        await call(thing)
        del thing
        assert seen() is None


@every_limit
def test_a_finished_task_is_not_kept(make: Any) -> None:
    """Nor is the task that made the call."""

    @make()
    async def call() -> None:
        await asyncio.sleep(0)

    async def main() -> None:
        tasks = [asyncio.ensure_future(call()) for _ in range(200)]
        seen = [weakref.ref(task) for task in tasks]
        await asyncio.gather(*tasks)
        tasks.clear()
        await asyncio.sleep(0)
        gc.collect()
        assert [ref() for ref in seen] == [None] * 200

    asyncio.run(main())


@every_limit
def test_a_loop_is_not_kept(make: Any) -> None:
    """A policy that served a loop holds nothing of it afterwards."""

    @make()
    async def call() -> None:
        await asyncio.sleep(0)

    loops = []
    for _ in range(3):
        loop = JumpingEventLoop(ManualClock())
        loops.append(weakref.ref(loop))
        loop.run_until_complete(call())
        loop.close()
        del loop
    run(call(), ManualClock())  # the loop seen last may be remembered until another one comes
    gc.collect()
    assert [ref() for ref in loops] == [None] * 3


async def hang() -> None:
    """Never comes back."""
    await asyncio.Event().wait()


def in_a_block(limit: Any) -> Any:
    """What hangs inside of `async with`."""

    async def inside() -> None:
        async with limit:
            await hang()

    return inside


HANGING: dict[str, Any] = {
    **{name: lambda make=make: make()(hang) for name, make in POLICIES.items()},
    "block": lambda: in_a_block(deadline(3600)),
}


@pytest.mark.parametrize("form", HANGING)
def test_a_loop_that_closes_on_calls_is_not_kept(form: str) -> None:
    """Nor are the tasks that it drops, however long their limits had to go."""
    gc.freeze()  # what was there before need not be searched
    call = HANGING[form]()
    dropped: list[weakref.ref[Any]] = []
    for _ in range(3):
        loop = asyncio.new_event_loop()
        # A loop that is asked to report what it drops would fail the test by that report alone.
        loop.set_exception_handler(lambda *_: None)
        task = loop.create_task(call())
        loop.run_until_complete(asyncio.sleep(0))
        dropped += [weakref.ref(loop), weakref.ref(task)]
        loop.close()
        del loop, task
    for _ in range(2):  # a block's timer goes with its task, and then the timer's loop
        gc.collect()
    gc.unfreeze()
    assert [ref() for ref in dropped] == [None] * 6


@every_limit
def test_outside_of_a_task_it_is_refused(make: Any) -> None:
    """Nothing could be cancelled; the error says so, and the coroutine is closed."""

    @make()
    async def call() -> None:
        await asyncio.sleep(0)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        refused: asyncio.Future[BaseException] = loop.create_future()

        def outside() -> None:
            coroutine: Any = call()
            try:
                step(coroutine)
            except RuntimeError as error:
                refused.set_result(error)
            finally:
                coroutine.close()

        loop.call_soon(outside)
        assert "task" in str(await asyncio.wait_for(refused, 10))

    asyncio.run(main())


def test_a_call_that_is_dropped_is_tidied_up() -> None:
    """A loop that closes over running calls ends them, and the same policy serves the next loop."""
    tidied: list[int] = []

    @timeout(10)
    async def call() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            tidied.append(1)

    async def drops() -> None:
        task = asyncio.ensure_future(call())
        await asyncio.sleep(0)
        assert not task.done()

    async def ends() -> None:
        with pytest.raises(CallTimeoutError):
            await call()

    for round_ in range(1, 21):
        clock = ManualClock()
        run(drops(), clock)
        run(ends(), clock)
        assert clock.monotonic() == pytest.approx(10)
        assert len(tidied) == 2 * round_

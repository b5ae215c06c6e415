"""Retrying a block: ``for attempt in retry:`` with ``with attempt:`` inside."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from resilient import CircuitOpenError, Rejected, deadline, retry
from tests.policies.scripted import Script, Sleeper, our_notes, run_async

Body = Callable[[int], object]
Block = Callable[[Any, Body], list[int]]


def on_a_thread(policy: Any, body: Body) -> list[int]:
    """Run `body` as a block of a ``for`` loop; the numbers of the attempts."""
    numbers = []
    for attempt in policy:
        numbers.append(attempt.number)
        with attempt:
            if body(attempt.number) == "break":
                break
    return numbers


def in_a_task(policy: Any, body: Body) -> list[int]:
    """The same for ``async for``."""

    async def block() -> list[int]:
        numbers = []
        async for attempt in policy:
            numbers.append(attempt.number)
            with attempt:
                await asyncio.sleep(0)
                if body(attempt.number) == "break":
                    break
        return numbers

    return run_async(block())  # type: ignore[no-any-return]  # what it is given it returns


both = pytest.mark.parametrize("block", [on_a_thread, in_a_task])


@both
@pytest.mark.parametrize(
    ("steps", "numbers"),
    [
        (["yes"], [1]),
        ([OSError(), "yes"], [1, 2]),
        ([OSError(), OSError(), "yes"], [1, 2, 3]),
        (["break"], [1]),
        ([OSError(), "break"], [1, 2]),
    ],
)
def test_the_loop_ends_with_the_first_block_that_does_not_fail(
    block: Block, steps: list[object], numbers: list[int]
) -> None:
    """Attempts count from 1; success and ``break`` leave the loop."""
    script = Script(*steps, AssertionError("asked again"))
    assert block(retry(on=OSError, wait=0), lambda number: script()) == numbers


@both
def test_the_last_error_is_raised(block: Block) -> None:
    """The block's error is swallowed while another attempt follows, and raised after the last."""
    clock = Sleeper()
    errors = [OSError(n) for n in range(3)]
    with pytest.raises(OSError, match="2") as caught:
        block(retry(on=OSError, wait=5, clock=clock), lambda number: Script(errors[number - 1])())
    assert caught.value is errors[2]
    assert len(our_notes(errors[2])) == 1
    assert "3 times" in our_notes(errors[2])[0]
    assert our_notes(errors[0]) == []
    assert clock.waits == [5, 5]


@both
@pytest.mark.parametrize(
    "error", [ValueError(), asyncio.CancelledError(), CircuitOpenError("b", 1.0)]
)
def test_what_is_not_retried_passes_at_once(block: Block, error: BaseException) -> None:
    """Errors outside `on`, cancellation and rejections leave the first block as they are."""
    script = Script(error)
    with pytest.raises(type(error)):
        block(retry(on=OSError, wait=0), lambda number: script())
    assert script.count == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1), GeneratorExit()])
def test_an_interrupt_passes_at_once(error: BaseException) -> None:
    """Ctrl-C and exit are nobody's to judge, whatever the predicate says."""
    script = Script(error)
    with pytest.raises(type(error)):
        on_a_thread(retry(on=lambda error: True, wait=0), lambda number: script())
    assert script.count == 1


@both
def test_one_retry_serves_any_number_of_loops(block: Block) -> None:
    """Each loop begins with attempt 1, also inside another one over the same object."""
    policy = retry(on=OSError, wait=0)
    script = Script(OSError(), "yes")
    assert block(policy, lambda number: script()) == [1, 2]
    script = Script(OSError(), "yes")
    assert block(policy, lambda number: script()) == [1, 2]
    inner: list[int] = []
    for outer in policy:
        for attempt in policy:
            inner.append(attempt.number)
            with attempt:
                if attempt.number < 3:
                    raise OSError
        assert outer.number == 1
        break
    assert inner == [1, 2, 3]


@both
def test_nested_blocks_do_not_multiply(block: Block) -> None:
    """What the inner loop has given up on the outer one does not retry."""
    script = Script(OSError())
    policy = retry(on=OSError, wait=0)
    with pytest.raises(OSError):  # noqa: PT011  (it has no message)
        block(policy, lambda number: on_a_thread_or_at_once(policy, script))
    assert script.count == 3


def on_a_thread_or_at_once(policy: Any, script: Script) -> None:
    """A ``for`` loop; with waits of 0 it may run anywhere."""
    on_a_thread(policy, lambda number: script())


@both
def test_deadlines_and_rejections_are_as_for_functions(block: Block) -> None:
    """A wait that does not fit is not begun; a rejection that is named and short is waited for."""
    clock = Sleeper()
    script = Script(OSError())
    with pytest.raises(OSError), deadline(10, clock=clock):  # noqa: PT011  (it has no message)
        block(retry(on=OSError, attempts=9, wait=4, clock=clock), lambda number: script())
    assert script.count == 3
    clock = Sleeper()
    script = Script(CircuitOpenError("b", 3.0), "yes")
    assert block(retry(on=Rejected, wait=0, clock=clock), lambda number: script()) == [1, 2]
    assert clock.waits == [3]


def test_interleaved_blocks_keep_their_own_count() -> None:
    """200 tasks over one retry, each of which makes its three attempts and no more."""
    seen: list[tuple[int, float]] = []
    policy = retry(on=OSError, wait=lambda attempt, error: attempt / 10, clock=Sleeper())

    async def one(name: int) -> int:
        calls = 0
        script = Script(OSError(name))
        try:
            async for attempt in policy:
                with attempt:
                    calls += 1
                    await asyncio.sleep(0)
                    script()
        except OSError as error:
            seen.append((name, error.args[0]))
        return calls

    async def main() -> list[int]:
        return await asyncio.gather(*(one(name) for name in range(200)))

    calls: Coroutine[Any, Any, list[int]] = main()
    assert run_async(calls) == [3] * 200
    assert all(name == raised for name, raised in seen)


def test_a_loop_that_is_left_at_once_leaves_nothing_behind() -> None:
    """Not entering the block, or leaving by ``break``, ends the loop without a word."""
    policy = retry(on=OSError)
    assert [attempt.number for attempt in policy] == [1]

    async def main() -> list[int]:
        return [attempt.number async for attempt in policy]

    assert run_async(main()) == [1]

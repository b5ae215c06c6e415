"""Every permit ends exactly once, whatever becomes of the call."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

import resilient
from resilient import (
    CircuitOpenError,
    CircuitState,
    breaker,
    deadline,
    pipeline,
    retry,
    timeout,
)
from resilient.testing import ManualClock
from tests.laws.harness import (
    ASYNC_SURFACES,
    ENDINGS,
    SURFACES,
    BrokenError,
    Ending,
    Halt,
    block,
    finish,
    half_open,
    make,
    naming,
    pause,
)

BLOCKS = {"block", "permit", "async block", "async permit"}
AFTER_TRIAL = {
    "success": CircuitState.CLOSED,
    "failure": CircuitState.OPEN,
    "ignored": CircuitState.HALF_OPEN,
    "abandoned": CircuitState.HALF_OPEN,
}

each_ending = pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: ending.name)
each_surface = pytest.mark.parametrize("surface", SURFACES)
each_async_surface = pytest.mark.parametrize("surface", ASYNC_SURFACES)
CASES = [(surface, keyed) for surface in SURFACES for keyed in (False, True)]
ASYNC_CASES = [(surface, keyed) for surface in ASYNC_SURFACES for keyed in (False, True)]


def ends(ending: Ending) -> Callable[[object], str]:
    """A function that ends in that way."""

    def fn(_token: object) -> str:
        if ending.error is not None:
            raise ending.error()
        return "answer"

    return fn


def ends_async(ending: Ending, suspends: int = 2) -> Callable[[object], Any]:
    """A coroutine function that suspends, and then ends in that way."""

    async def fn(_token: object) -> str:
        for _ in range(suspends):
            await pause()
        if ending.error is not None:
            raise ending.error()
        return "answer"

    return fn


def assert_free(gate: Any) -> None:
    """The only trial place is free: the next call gets it."""
    assert block(gate).state is CircuitState.HALF_OPEN
    assert block(gate).call(lambda: "trial") == "trial"
    assert block(gate).state is CircuitState.CLOSED


def assert_closed(gate: Any) -> None:
    """Nothing has happened."""
    assert gate.state is CircuitState.CLOSED
    assert gate.metrics.transitions == 0


def assert_judged(gate: Any, ending: Ending) -> None:
    """The trial call was judged as it ended, and holds no place."""
    assert block(gate).state is AFTER_TRIAL[ending.verdict]
    assert gate.metrics.ignored == (ending.verdict == "ignored")
    if block(gate).state is CircuitState.HALF_OPEN:
        assert_free(gate)


def assert_counted(gate: Any, ending: Ending) -> None:
    """The call is in the counts as it ended, once."""
    metrics = gate.metrics
    assert metrics.successes == (ending.verdict == "success")
    assert metrics.failures == (ending.verdict == "failure")
    assert metrics.ignored == (ending.verdict == "ignored")
    assert metrics.rejected == metrics.transitions == 0


def assert_ended(ending: Ending, run: Callable[[], Any]) -> None:
    """The caller sees exactly what the call did."""
    if ending.error is None:
        assert run() == "answer"
    else:
        with pytest.raises(type(ending.error())):
            run()


@each_ending
def test_a_trial_call_gives_its_place_back(ending: Ending) -> None:
    """Success, failure, ignored, cancelled, interrupted, rejected inside: no place stays out."""
    for surface, keyed in CASES:
        gate, clock = make(keyed=keyed)
        half_open(gate, clock)
        with naming(surface, "keyed" * keyed):
            assert_ended(ending, partial(SURFACES[surface](gate, ends(ending)), object()))
            assert_judged(gate, ending)


@each_ending
def test_a_closed_circuit_counts_each_call_once(ending: Ending) -> None:
    """Judged calls are in the window once; abandoned ones nowhere; ignored ones apart."""
    for surface, keyed in CASES:
        gate, _ = make(keyed=keyed, failure_threshold=None)
        with naming(surface, "keyed" * keyed):
            assert_ended(ending, partial(SURFACES[surface](gate, ends(ending)), object()))
            assert_counted(gate, ending)


@each_ending
def test_a_trial_task_gives_its_place_back(ending: Ending) -> None:
    """The same for coroutine functions."""
    for surface, keyed in ASYNC_CASES:
        gate, clock = make(keyed=keyed)
        half_open(gate, clock)
        guarded = ASYNC_SURFACES[surface](gate, ends_async(ending))
        with naming(surface, "keyed" * keyed):
            assert_ended(ending, lambda: finish(guarded(object())))  # noqa: B023  (called at once)
            assert_judged(gate, ending)


@each_ending
def test_a_closed_circuit_counts_each_task_once(ending: Ending) -> None:
    """The same for coroutine functions."""
    for surface, keyed in ASYNC_CASES:
        gate, _ = make(keyed=keyed, failure_threshold=None)
        guarded = ASYNC_SURFACES[surface](gate, ends_async(ending))
        with naming(surface, "keyed" * keyed):
            assert_ended(ending, lambda: finish(guarded(object())))  # noqa: B023  (called at once)
            assert_counted(gate, ending)


@pytest.mark.parametrize("error", [asyncio.CancelledError, KeyboardInterrupt, GeneratorExit, Halt])
@each_async_surface
def test_cancelled_at_any_await(surface: str, error: type[BaseException]) -> None:
    """A cancellation reaches the caller as it was, counts as nothing, and frees the place."""
    for at in range(3):
        for trial in (False, True):
            gate, clock = make(failure_threshold=1)
            if trial:
                half_open(gate, clock)
            running = ASYNC_SURFACES[surface](gate, ends_async(ENDINGS[0], suspends=3))(object())
            for _ in range(at + 1):
                running.send(None)
            thrown = error()
            with naming("await", at, "trial" * trial):
                with pytest.raises(error) as caught:
                    running.throw(thrown)
                assert caught.value is thrown
                assert (gate.metrics.calls, gate.metrics.ignored) == (0, 0)
                assert_free(gate) if trial else assert_closed(gate)


@pytest.mark.parametrize("collected", [False, True], ids=["closed", "collected"])
@pytest.mark.parametrize("at", [0, 1])
@each_async_surface
def test_a_coroutine_that_is_never_finished(surface: str, at: int, collected: bool) -> None:  # noqa: FBT001
    """Closed by somebody, or dropped and collected: its place is free."""
    gate, clock = make()
    half_open(gate, clock)
    running = ASYNC_SURFACES[surface](gate, ends_async(ENDINGS[0]))(object())
    for _ in range(at + 1):
        running.send(None)
    if not collected:
        running.close()
    del running
    assert_free(gate)


@each_async_surface
def test_a_coroutine_that_never_starts(surface: str) -> None:
    """Nothing is held before the first step."""
    gate, clock = make()
    half_open(gate, clock)
    ASYNC_SURFACES[surface](gate, ends_async(ENDINGS[0]))(object()).close()
    gate.half_open()
    assert_free(gate)


@each_async_surface
def test_a_loop_that_closes_on_a_trial_call(surface: str) -> None:
    """A loop that goes away with the call inside leaves no place taken."""
    gc.freeze()  # what was there before need not be searched
    gate, clock = make()
    half_open(gate, clock)
    loop = asyncio.new_event_loop()
    # A loop that is asked to report what it drops would fail the test by that report alone.
    loop.set_exception_handler(lambda *_: None)

    async def hangs(_token: object) -> None:
        await asyncio.Event().wait()

    task = loop.create_task(ASYNC_SURFACES[surface](gate, hangs)(object()))
    loop.run_until_complete(asyncio.sleep(0))
    assert gate.state is CircuitState.HALF_OPEN
    loop.close()
    del task
    gc.collect()
    gc.unfreeze()
    assert_free(gate)


@pytest.mark.parametrize("form", ["pipeline", "deadline", "timeout", "blocks"])
def test_a_loop_that_closes_on_a_limited_trial_call(form: str) -> None:
    """The same where a limit of time, which has long to go, is around the breaker."""
    gc.freeze()  # what was there before need not be searched
    gate, clock = make()
    half_open(gate, clock)
    limit = deadline(3600)
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)

    async def hangs() -> None:
        await asyncio.Event().wait()

    async def in_blocks() -> None:
        async with limit, gate:
            await hangs()

    guarded: Any = {
        "pipeline": pipeline(limit, gate, timeout(3600))(hangs),
        "deadline": limit(gate(hangs)),
        "timeout": timeout(3600)(gate(hangs)),
        "blocks": in_blocks,
    }[form]
    task = loop.create_task(guarded())
    loop.run_until_complete(asyncio.sleep(0))
    with pytest.raises(CircuitOpenError):
        gate.call(abs, -1)
    loop.close()
    del task
    gc.collect()
    gc.unfreeze()
    assert_free(gate)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, Halt])
@pytest.mark.parametrize("order", ["breaker outside", "breaker inside"])
def test_interrupted_at_a_wait(order: str, error: type[BaseException]) -> None:
    """Ctrl-C while a retry waits: the trial call around it is abandoned, not judged."""

    class Impatient(ManualClock):
        def sleep(self, seconds: float, /) -> None:
            raise error

    gate, clock = make(half_open_calls=2)
    half_open(gate, clock)
    again = retry(on=BrokenError, wait=1, clock=Impatient())

    def fn(_token: object) -> None:
        raise BrokenError

    guarded = gate(again(fn)) if order == "breaker outside" else again(gate(fn))
    with pytest.raises(error):
        guarded(object())
    if order == "breaker outside":
        assert gate.metrics.last_error is None
        assert gate.call(lambda: 1) == gate.call(lambda: 1) == 1
        assert gate.state is CircuitState.CLOSED
    else:
        assert gate.state is CircuitState.OPEN  # the one attempt that ended, failed


@pytest.mark.parametrize("order", ["breaker outside", "breaker inside"])
def test_cancelled_at_a_wait(order: str) -> None:
    """The same for a task that waits between two attempts."""

    class Slow(ManualClock):
        async def sleep_async(self, seconds: float, /) -> None:
            await pause()

    gate, clock = make(half_open_calls=2)
    half_open(gate, clock)
    again = retry(on=BrokenError, wait=1, clock=Slow())

    async def fn(_token: object) -> None:
        raise BrokenError

    running = (gate(again(fn)) if order == "breaker outside" else again(gate(fn)))(object())
    running.send(None)
    with pytest.raises(asyncio.CancelledError):
        running.throw(asyncio.CancelledError())
    if order == "breaker outside":
        assert gate.call(lambda: 1) == gate.call(lambda: 1) == 1
        assert gate.state is CircuitState.CLOSED
    else:
        assert gate.state is CircuitState.OPEN


@pytest.mark.parametrize("setting", ["on", "ignore", "failure_result", "retry_after"])
@each_surface
def test_a_judge_that_raises(surface: str, setting: str) -> None:
    """An error in the application's own predicate reaches the caller and leaves no place out."""
    errors = [ZeroDivisionError()]

    def broken(_: object) -> bool:
        if errors:
            raise errors.pop()
        return False

    chosen: dict[str, Any] = {setting: broken}
    gate, clock = make(**chosen)
    half_open(gate, clock)
    fn = ends(ENDINGS[0] if setting == "failure_result" else ENDINGS[1])
    if setting == "failure_result" and surface in BLOCKS:
        SURFACES[surface](gate, fn)(object())  # a block has no result to judge
        assert gate.state is CircuitState.CLOSED
        return
    with pytest.raises(ZeroDivisionError):
        SURFACES[surface](gate, fn)(object())
    assert_free(gate)


@each_surface
def test_rejected_further_in(surface: str) -> None:
    """An open breaker inside a half-open one: the outer trial is given back, not judged."""
    gate, clock = make()
    inner = breaker("inner", clock=ManualClock())
    inner.force_open()
    half_open(gate, clock)
    with pytest.raises(CircuitOpenError) as refusal:
        SURFACES[surface](gate, inner(ends(ENDINGS[0])))(object())
    assert refusal.value.name == "inner"
    assert_free(gate)


def test_a_key_that_cannot_be_made_holds_nothing() -> None:
    """An error of the key function is the caller's, and no call was admitted."""

    def key(token: object) -> str:
        if token is None:
            raise ZeroDivisionError
        return "k"

    gate = breaker("law", key=key, clock=ManualClock())
    guarded = gate(lambda token: token)
    with pytest.raises(ZeroDivisionError):
        guarded(None)
    assert guarded(1) == 1
    assert gate.metrics.calls == 1


def test_blocks_nest_and_each_settles_its_own() -> None:
    """Last in, first out: the inner block's failure is the inner permit's."""
    gate, clock = make(half_open_calls=2, half_open_success_rate=0.5)
    half_open(gate, clock)
    with gate:
        with pytest.raises(BrokenError), gate:
            raise BrokenError
        assert gate.state is CircuitState.HALF_OPEN
    assert gate.state is CircuitState.CLOSED


def test_a_block_left_elsewhere_names_the_cure() -> None:
    """Leaving in another thread is an error that names `permit()`; the block itself stays valid."""
    gate, _ = make(failure_threshold=None)
    gate.__enter__()
    raised: list[BaseException] = []

    def leave() -> None:
        try:
            gate.__exit__(None, None, None)
        except RuntimeError as error:
            raised.append(error)

    thread = threading.Thread(target=leave)
    thread.start()
    thread.join()
    assert "permit()" in str(raised[0])
    gate.__exit__(None, None, None)
    assert gate.metrics.successes == 1


async def test_a_block_left_by_another_task_names_the_cure() -> None:
    """The same for tasks; and a task's stack is not its loop's thread's."""
    gate, _ = make(failure_threshold=None)
    await gate.__aenter__()

    async def leave() -> None:
        with pytest.raises(RuntimeError, match=r"permit\(\)"):
            await gate.__aexit__(None, None, None)

    await asyncio.create_task(leave())
    await gate.__aexit__(None, None, None)
    assert gate.metrics.successes == 1


def test_a_permit_may_be_left_anywhere_but_only_once() -> None:
    """Entered here, left in another thread; a second use is refused."""
    gate, clock = make()
    half_open(gate, clock)
    permit = gate.permit()
    permit.__enter__()
    thread = threading.Thread(target=permit.__exit__, args=(None, None, None))
    thread.start()
    thread.join()
    assert gate.state is CircuitState.CLOSED
    with pytest.raises(RuntimeError, match="one use"):
        permit.__enter__()
    permit.__exit__(None, None, None)
    assert gate.metrics.calls == 0


def test_leaving_a_permit_twice_settles_it_once() -> None:
    """The second leaving counts nothing."""
    gate, _ = make(failure_threshold=None)
    permit = gate.permit()
    permit.__enter__()
    permit.__exit__(None, None, None)
    permit.__exit__(BrokenError, BrokenError(), None)
    assert (gate.metrics.successes, gate.metrics.failures) == (1, 0)


def test_a_refused_block_is_not_entered() -> None:
    """The rejection leaves nothing on the stack of blocks."""
    gate, _ = make()
    gate.force_open()
    with pytest.raises(CircuitOpenError), gate:
        pytest.fail("entered")
    with pytest.raises(RuntimeError):
        gate.__exit__(None, None, None)


@each_surface
def test_switched_off_in_the_middle_of_a_trial(surface: str) -> None:
    """The emergency switch keeps no place either."""
    gate, clock = make()
    half_open(gate, clock)

    def fn(_token: object) -> None:
        resilient.set_active(False)

    try:
        SURFACES[surface](gate, fn)(object())
    finally:
        resilient.set_active(True)
    gate.half_open()
    assert_free(gate)

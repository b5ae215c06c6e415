"""The laws of permits, waits and rejections, for every kind of gate beside the breaker."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import nullcontext
from functools import partial
from typing import Any

import pytest

import resilient
from resilient import (
    CircuitState,
    ConfigError,
    Rejected,
    breaker,
    criticality,
    deadline,
    hedge,
    pipeline,
    retry,
    timeout,
)
from resilient.core.hub import hub
from resilient.testing import ManualClock
from resilient.testing.loop import run
from tests.laws.gates import KINDS, ROOM, WAITING, Ledger, books
from tests.laws.harness import (
    ASYNC_SURFACES,
    ENDINGS,
    SURFACES,
    BrokenError,
    Ending,
    Fn,
    Halt,
    NeverError,
    RealClock,
    block,
    finish,
    naming,
    pause,
)
from tests.names import shown

SUCCESS = ENDINGS[0]
REJECTION = next(each for each in ENDINGS if each.name == "rejection")
each_kind = pytest.mark.parametrize("kind", KINDS)
each_waiting = pytest.mark.parametrize("kind", WAITING)


class Token:
    """Stands for the arguments of a call."""


def ends(ending: Ending) -> Fn:
    """A function that ends in that way."""

    def fn(_token: object) -> str:
        if ending.error is not None:
            raise ending.error()
        return "answer"

    return fn


def ends_async(ending: Ending, suspends: int = 1) -> Callable[[object], Any]:
    """The same as a coroutine function that suspends before."""

    async def fn(_token: object) -> str:
        for _ in range(suspends):
            await pause()
        if ending.error is not None:
            raise ending.error()
        return "answer"

    return fn


def finished(run: Callable[[object], Any], token: object) -> Any:
    """Run a coroutine function to its end."""
    return finish(run(token))


def assert_ended(ending: Ending, run: Callable[[], Any]) -> None:
    """The caller sees exactly what the call did."""
    if ending.error is None:
        assert run() == "answer"
    else:
        with pytest.raises(type(ending.error())):
            run()


def ledger_of(gate: Any) -> Ledger | None:
    """Watch over its permits; those of a key are given out by an object made anew each time."""
    return None if getattr(gate, "keyed", False) else Ledger(gate)


def assert_settled(kind: str, gate: Any, ledger: Ledger | None, ending: Ending) -> None:
    """One permit was given and is back, and the gate's books say how the call ended."""
    assert books(block(gate)) == KINDS[kind].books(ending)
    if ledger is not None:
        assert ledger.given == ledger.back == 1


# Law 2: every permit ends exactly once


@each_kind
@pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: ending.name)
def test_every_permit_ends_once(kind: str, ending: Ending) -> None:
    """By every surface and ending, sync and async: settled once, in the books once, none out."""
    for surface, build in SURFACES.items():
        gate = KINDS[kind].open()
        ledger = ledger_of(gate)
        guarded = build(gate, ends(ending))
        with naming(surface):
            assert_ended(ending, lambda: guarded(object()))  # noqa: B023  (called at once)
            assert_settled(kind, gate, ledger, ending)
    for surface, build_async in ASYNC_SURFACES.items():
        gate = KINDS[kind].open()
        ledger = ledger_of(gate)
        guarded = build_async(gate, ends_async(ending))
        with naming(surface, "async"):
            assert_ended(ending, lambda: finish(guarded(object())))  # noqa: B023
            assert_settled(kind, gate, ledger, ending)


@each_kind
@pytest.mark.parametrize("error", [asyncio.CancelledError, KeyboardInterrupt, GeneratorExit, Halt])
def test_cancelled_at_any_await(kind: str, error: type[BaseException]) -> None:
    """The very cancellation reaches the caller, nothing is judged, and the permit is back."""
    for surface, build in ASYNC_SURFACES.items():
        for at in range(3):
            gate = KINDS[kind].open()
            ledger = ledger_of(gate)
            running = build(gate, ends_async(SUCCESS, suspends=3))(object())
            for _ in range(at + 1):
                running.send(None)
            thrown = error()
            with naming(surface, "await", at):
                with pytest.raises(error) as caught:
                    running.throw(thrown)
                assert caught.value is thrown
                assert_settled(kind, gate, ledger, ENDINGS[-1])


@each_kind
@pytest.mark.parametrize("collected", [False, True], ids=["closed", "collected"])
def test_a_coroutine_that_is_never_finished(kind: str, collected: bool) -> None:  # noqa: FBT001
    """Closed by somebody, or dropped and collected: its permit is back. Or it never had one."""
    for surface, build in ASYNC_SURFACES.items():
        gate = KINDS[kind].open()
        before, ledger = books(block(gate)), ledger_of(gate)
        fresh = build(gate, ends_async(SUCCESS))(object())
        fresh.close()
        running = build(gate, ends_async(SUCCESS))(object())
        with naming(surface):
            assert books(block(gate)) == before
            running.send(None)
            if not collected:
                running.close()
            del running, fresh
            assert_settled(kind, gate, ledger, ENDINGS[-1])


@each_kind
def test_a_loop_that_closes_in_the_middle(kind: str) -> None:
    """A loop that goes away with the call inside, limited or not, leaves no permit out."""
    gc.freeze()  # what was there before need not be searched
    limits: dict[str, Callable[[Any], Any]] = {
        surface: lambda gate, surface=surface: ASYNC_SURFACES[surface](gate, hangs)
        for surface in ("decorator", "flow", "async block", "async permit", "inside a gate")
    } | {
        "inside a timeout": lambda gate: timeout(3600)(gate(hangs)),
        "between limits": lambda gate: pipeline(deadline(3600), gate, timeout(3600))(hangs),
    }
    made = []
    for form, build in limits.items():
        gate = KINDS[kind].open()
        loop = asyncio.new_event_loop()
        # A loop that is asked to report what it drops would fail the test by that report alone.
        loop.set_exception_handler(lambda *_: None)
        task = loop.create_task(build(gate)(object()))
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        del task
        made.append((form, gate))
    gc.collect()
    gc.unfreeze()
    for form, gate in made:
        with naming(form):
            assert books(block(gate)) == KINDS[kind].books(ENDINGS[-1])


async def hangs(_token: object) -> None:
    """Never answers."""
    await asyncio.Event().wait()


@each_kind
def test_a_traceback_keeps_no_permit_and_no_argument(kind: str) -> None:
    """While the caller still holds the error, the permit is back; after it nothing is left."""
    for refusing in (False, True):
        for surface, build in SURFACES.items():
            gate = KINDS[kind].refusing() if refusing else KINDS[kind].open()
            guarded = build(gate, ends(ENDINGS[1]))
            token = Token()
            ref = weakref.ref(token)
            with naming(surface, "refusing" * refusing):
                try:
                    guarded(token)
                except BrokenError:
                    assert books(block(gate)) == KINDS[kind].books(ENDINGS[1])
                except KINDS[kind].error:
                    assert refusing
                del token
                assert ref() is None


@each_kind
def test_switched_off_in_the_middle(kind: str) -> None:
    """The emergency switch, thrown or taken back while a call is inside, loses no permit."""
    for first in (False, True):
        for surface, build in SURFACES.items():
            gate = KINDS[kind].open()
            counted = books(block(gate))

            def fn(_token: object, first: bool = first) -> str:  # noqa: FBT001
                resilient.set_active(first)
                return "answer"

            guarded = build(gate, fn)
            resilient.set_active(not first)
            try:
                with naming(surface, first):
                    assert guarded(object()) == "answer"
            finally:
                resilient.set_active(True)
            with naming(surface, first):
                allowed = (counted, KINDS[kind].books(SUCCESS), KINDS[kind].books(ENDINGS[-1]))
                assert books(block(gate)) in allowed
                assert [block(gate).call(lambda: 1) for _ in range(ROOM // 2)][-1] == 1


@each_kind
def test_blocks_of_tasks_and_threads_end_their_own(kind: str) -> None:
    """Nested, left in another order, left elsewhere by `permit()`, refused: the books balance."""
    gate = block(KINDS[kind].open())
    before = books(gate)
    with gate, gate.permit(), gate:
        pass
    moved = gate.permit()
    moved.__enter__()
    thread = threading.Thread(target=moved.__exit__, args=(None, None, None))
    thread.start()
    thread.join()
    moved.__exit__(None, None, None)
    with pytest.raises(RuntimeError, match="one use"):
        moved.__enter__()
    with pytest.raises(RuntimeError, match=r"permit\(\)"):
        gate.__exit__(None, None, None)
    assert len(books(gate)) == len(before)
    assert getattr(gate, "in_flight", 0) == 0
    closed = block(KINDS[kind].refusing())
    with pytest.raises(Rejected), closed:
        pytest.fail("entered")
    with pytest.raises(RuntimeError):
        closed.__exit__(None, None, None)


# Law 6: a rejection is new each time, complete, portable, and nobody's failure


@each_kind
def test_each_rejection_is_new_and_complete(kind: str) -> None:
    """By any surface: its own object, name, hint and reason, no chain; and it pickles."""
    expected = KINDS[kind]
    gate = expected.refusing()
    runs: dict[str, Callable[[], Any]] = {}
    for surface, build in SURFACES.items():
        runs[surface] = partial(build(gate, ends(SUCCESS)), None)
    for surface, build_async in ASYNC_SURFACES.items():
        runs["async " + surface] = partial(finished, build_async(gate, ends_async(SUCCESS)), None)
    seen: list[Rejected] = []
    for surface, ask in runs.items():
        for _ in range(2):
            with naming(surface):
                with pytest.raises(expected.error) as refusal:
                    ask()
                error = refusal.value
                assert (error.name, error.retry_after) == ("law", expected.retry_after)
                assert error.reason
                assert error.__cause__ is error.__context__ is None
                seen.append(error)
    assert len({id(error) for error in seen}) == len(seen)
    twins: list[Any] = [pickle.loads(pickle.dumps(seen[0])), copy.copy(seen[0])]
    for twin in twins:
        assert (type(twin), twin.args) == (type(seen[0]), seen[0].args)
        assert str(twin) == str(seen[0])


def _in_blocks(outer: Any, inner: Any, fn: Fn) -> Fn:
    def run(token: object) -> Any:
        with block(outer), block(inner):
            return fn(token)

    return run


JOINED: dict[str, Callable[[Any, Any, Fn], Fn]] = {
    "stacked": lambda outer, inner, fn: outer(inner(fn)),
    "pipeline": lambda outer, inner, fn: pipeline(outer, inner)(fn),
    "flow": lambda outer, inner, fn: retry(on=NeverError, on_result=never)(outer(inner(fn))),
    "blocks": _in_blocks,
}


def never(_result: object) -> bool:
    """No result is asked for again; but each has to be looked at."""
    return False


@each_kind
@pytest.mark.parametrize("outer", ["breaker", *KINDS])
def test_a_rejection_further_in_is_nobodys_failure(kind: str, outer: str) -> None:
    """Whatever gate is around, however it is joined: it settles as if the call had not been."""
    for joined, join in JOINED.items():
        inner = KINDS[kind].refusing()
        circuit: Any = breaker("outer", failure_threshold=1, on=Exception, clock=ManualClock())
        gate = circuit if outer == "breaker" else KINDS[outer].open()
        guarded = join(gate, inner, ends(SUCCESS))
        with naming(joined):
            with pytest.raises(KINDS[kind].error):
                guarded("words")
            if outer == "breaker":
                assert circuit.state is CircuitState.CLOSED
                assert circuit.metrics.calls == circuit.metrics.ignored == 0
            else:
                assert books(block(gate)) == KINDS[outer].books(REJECTION)


@each_kind
def test_a_refused_call_costs_others_nothing(kind: str) -> None:
    """A call refused by the outer gate has not asked the inner one, whichever line it took."""
    for joined, join in JOINED.items():
        closed, inner = KINDS[kind].refusing(), breaker("inner", clock=ManualClock())
        guarded = join(closed, inner, ends(SUCCESS))
        for _ in range(2):
            with naming(joined), pytest.raises(KINDS[kind].error):
                guarded(None)
        assert inner.metrics.calls == inner.metrics.rejected == 0


# Law 1: a driver waits only where nobody else has to wait with it


@each_waiting
def test_a_def_on_the_thread_of_a_loop_is_refused_not_queued(kind: str) -> None:
    """Where a task would wait, a function is refused at once, by every surface; tasks go on."""
    turns: list[int] = []

    async def others() -> None:
        while True:
            turns.append(1)
            await asyncio.sleep(0)

    async def scene() -> None:
        other = asyncio.create_task(others())
        for surface, build in SURFACES.items():
            gate = WAITING[kind](RealClock())
            guarded = build(gate, ends(SUCCESS))
            assert guarded(None) == "answer"
            held = gate.permit() if hasattr(gate, "in_flight") else nullcontext()
            with held, naming(surface):
                before = books(gate)[:2]
                with pytest.raises(Rejected, match="event loop") as refusal:
                    guarded(None)
                assert refusal.value.name == "law"
                assert books(gate)[:2] == before
            await asyncio.sleep(0)
        other.cancel()

    asyncio.run(scene())
    assert len(turns) >= len(SURFACES)


@each_waiting
def test_a_task_waits_and_blocks_nobody(kind: str) -> None:
    """By every surface it gets its turn, on the loop's own time, while others run."""
    for surface in sorted({*ASYNC_SURFACES} - {"block"}):
        clock = ManualClock(1000)
        gate = WAITING[kind](clock)
        turns: list[int] = []

        async def answers(_token: object) -> str:
            await asyncio.sleep(1)
            return "answer"

        async def others(turns: list[int] = turns) -> None:
            for _ in range(20):
                turns.append(1)
                await asyncio.sleep(0.1)

        async def scene(surface: str = surface, gate: Any = gate) -> object:
            guarded = ASYNC_SURFACES[surface](gate, answers)
            other = asyncio.create_task(others())
            first, second = await asyncio.gather(guarded(1), guarded(2))
            await other
            return first, second

        with naming(surface):
            assert run(scene(), clock) == ("answer", "answer")
            assert len(turns) == 20
            assert getattr(gate, "in_flight", 0) == getattr(gate, "queued", 0) == 0


@each_waiting
@pytest.mark.parametrize("error", [asyncio.CancelledError, KeyboardInterrupt, Halt])
def test_a_waiter_that_goes_away_leaves_nothing(kind: str, error: type[BaseException]) -> None:
    """Whatever ends the wait, by any surface that waits on a thread: the place is free again."""

    class Impatient(ManualClock):
        def sleep(self, seconds: float, /) -> None:
            raise error

    for surface, build in SURFACES.items():
        gate = WAITING[kind](Impatient(1000))
        permit = gate.admit()
        before = books(gate)
        with naming(surface):
            with pytest.raises(error):
                build(gate, ends(SUCCESS))(None)
            assert books(gate) == before
            gate.settle(permit, None)


@each_waiting
@pytest.mark.parametrize("way", ["cancelled", "timed out", "loop closed"])
def test_a_task_that_goes_away_leaves_nothing(kind: str, way: str) -> None:
    """Cancelled in the queue: its place is free. Dropped with its loop: it is passed over."""
    gc.freeze()  # what was there before need not be searched
    made = []
    for surface in sorted({*ASYNC_SURFACES} - {"block"}):
        gate = WAITING[kind](RealClock())
        permit, before = gate.admit(), books(gate)
        loop = asyncio.new_event_loop()
        loop.set_exception_handler(lambda *_: None)
        task = loop.create_task(ASYNC_SURFACES[surface](gate, ends_async(SUCCESS))(None))
        for _ in range(3):
            loop.run_until_complete(asyncio.sleep(0))
        with naming(surface):
            assert not task.done()
            if way == "cancelled":
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    loop.run_until_complete(task)
            elif way == "timed out":
                with pytest.raises(TimeoutError):
                    loop.run_until_complete(asyncio.wait_for(task, 0))
            made.append((surface, gate, permit, before))
            loop.close()
            del task
    gc.collect()
    gc.unfreeze()
    for surface, gate, permit, before in made:
        with naming(surface):
            # Nobody tells a queue that a loop was closed; that shows when the turn has come.
            assert books(gate) == before or (way == "loop closed" and gate.queued == 1)
            gate.settle(permit, None)
            if hasattr(gate, "in_flight"):
                assert gate.call(lambda: 1) == 1
                assert (gate.in_flight, gate.queued, gate.waiting) == (0, 0, False)


# Law 8: what cannot be protected is refused at decoration


def _generator() -> Iterator[int]:
    yield 1


async def _async_generator() -> AsyncIterator[int]:
    yield 1


DECORATORS: dict[str, Callable[[], Any]] = {
    **{kind: made.open for kind, made in KINDS.items()},
    "criticality": lambda: criticality("low"),
    "hedge": lambda: hedge(delay=1, idempotent=True),
}


@pytest.mark.parametrize("what", [_generator, _async_generator, Token, 3, "words"], ids=shown)
@pytest.mark.parametrize("policy", DECORATORS)
def test_what_cannot_be_protected_is_refused(policy: str, what: Any) -> None:
    """Generators of both kinds, classes and things; alone, and called at once."""
    with pytest.raises(TypeError):
        DECORATORS[policy]()(what)
    with pytest.raises(TypeError):
        DECORATORS[policy]().call(what)


@each_kind
def test_a_def_that_returns_a_coroutine_is_refused(kind: str) -> None:
    """A created coroutine is no success; the permit is back all the same."""
    gate = KINDS[kind].open()

    def disguised() -> Any:
        return ends_async(SUCCESS)(None)

    with pytest.raises(TypeError, match="coroutine"):
        gate(disguised)()
    assert getattr(gate, "in_flight", 0) == 0


# Law 12: bad configuration is refused when it is given


@each_kind
@pytest.mark.parametrize(
    ("setting", "value"),
    [("name", ""), ("name", None), ("name", 3), ("clock", 3), ("clock", ManualClock)],
)
def test_what_every_gate_refuses(kind: str, setting: str, value: object) -> None:
    """A name that is none, a clock that is none: the error names the setting and the value."""
    made = KINDS[kind]
    settings: dict[str, Any] = {"name": "law", "clock": ManualClock(), **made.settings}
    settings[setting] = value
    with pytest.raises(ConfigError) as refusal:
        made.make(settings.pop("name"), **settings)
    assert (refusal.value.setting, refusal.value.value) == (setting, value)


# What else a gate owes


@each_kind
def test_a_rejection_is_published_if_somebody_listens(kind: str) -> None:
    """One event for each refusal, with the name and the reason of the error."""
    gate = KINDS[kind].refusing()
    seen: list[Any] = []
    remove = hub.bus.tap(resilient.CallRejected, seen.append)
    try:
        with pytest.raises(Rejected) as refusal:
            gate.call(len, "words")
    finally:
        remove()
    (event,) = seen
    assert (event.name, event.reason) == ("law", refusal.value.reason)
    assert event.retry_after == refusal.value.retry_after

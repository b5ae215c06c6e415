"""What the laws share: every way to put a gate around a call, and every way a call may end."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import types
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple, TypeVar

import resilient
from resilient import breaker, criticality, deadline, fallback, pipeline, point, retry
from resilient.core.hub import hub
from resilient.testing import ManualClock

T = TypeVar("T")
Fn = Callable[[object], Any]
AsyncFn = Callable[[object], Coroutine[Any, Any, Any]]


class BrokenError(ConnectionError):
    """The dependency failed."""


class HarmlessError(LookupError):
    """Says nothing about the dependency; the breakers here ignore it."""


class AnsweredError(ArithmeticError):
    """Outside of what the breakers here count: the dependency answered."""


class NeverError(Exception):
    """Nobody raises it, so whoever waits for it never acts."""


class Halt(BaseException):
    """Somebody's own way to end a program."""


class Ending(NamedTuple):
    """How a call ends: what it raises (`None`: it returns), and what a breaker makes of that."""

    name: str
    error: Callable[[], BaseException] | None
    verdict: str


ENDINGS = [
    Ending("success", None, "success"),
    Ending("failure", BrokenError, "failure"),
    Ending("time-out", lambda: resilient.CallTimeoutError("inside", 1.0), "failure"),
    Ending("answer", AnsweredError, "success"),
    Ending("ignored", HarmlessError, "ignored"),
    Ending("rejection", lambda: resilient.Rejected("inside", 1.0, "no"), "abandoned"),
    Ending("cancellation", asyncio.CancelledError, "abandoned"),
    Ending("Ctrl-C", KeyboardInterrupt, "abandoned"),
    Ending("exit", SystemExit, "abandoned"),
    Ending("closing", GeneratorExit, "abandoned"),
    Ending("halt", Halt, "abandoned"),
]


def make(*, keyed: bool = False, **settings: Any) -> tuple[Any, ManualClock]:
    """A breaker with its own clock, which knows the errors of this module."""
    clock = ManualClock(1000)
    settings = {
        "failure_threshold": 1,
        "reset_timeout": 10,
        "on": (BrokenError, TimeoutError),
        "ignore": HarmlessError,
        **settings,
    }
    if keyed:
        settings["key"] = lambda *_args, **_kwargs: "k"
    return breaker("law", clock=clock, **settings), clock


def half_open(gate: Any, clock: ManualClock) -> None:
    """Bring a breaker, or the circuit of its key, to where the next call is a trial."""
    circuit = block(gate)
    circuit.open()
    clock.advance(3600)


def block(gate: Any) -> Any:
    """What a `with` takes: of a keyed breaker the circuit of the key that is used here."""
    return gate.for_key("k") if getattr(gate, "keyed", False) else gate


# Surfaces: each takes a gate and a function, and gives the guarded function


def _block(gate: Any, fn: Fn) -> Fn:
    def run(token: object) -> Any:
        with block(gate):
            return fn(token)

    return run


def _permit(gate: Any, fn: Fn) -> Fn:
    def run(token: object) -> Any:
        with block(gate).permit():
            return fn(token)

    return run


def _method(gate: Any, fn: Fn) -> Fn:
    class Client:
        @gate
        def ask(self, token: object) -> Any:
            return fn(token)

    run: Fn = Client().ask
    return run


def _static(gate: Any, fn: Fn) -> Fn:
    class Client:
        ask = gate(staticmethod(fn))

    run: Fn = Client().ask
    return run


def _keyword(gate: Any, fn: Fn) -> Fn:
    guarded = gate(fn)
    return lambda token: guarded(_token=token)


def _outcome(gate: Any, fn: Fn) -> Fn:
    guarded = gate(fn)
    return lambda token: resilient.outcome(guarded, token).unwrap()


def _other() -> Any:
    return breaker("other", failure_threshold=None, clock=ManualClock())


def _flow() -> Any:
    """A retry that judges results: the call takes the flow from the beginning."""
    return retry(on=NeverError, on_result=lambda _: False, clock=ManualClock())


SHARED: dict[str, Callable[[Any, Any], Any]] = {
    "decorator": lambda gate, fn: gate(fn),
    "call": lambda gate, fn: partial(gate.call, fn),
    "pipeline": lambda gate, fn: pipeline(point("here"), gate)(fn),
    "inside retry": lambda gate, fn: retry(on=NeverError)(gate(fn)),
    "around retry": lambda gate, fn: gate(retry(on=NeverError)(fn)),
    "inside fallback": lambda gate, fn: fallback(0, on=NeverError)(gate(fn)),
    "around fallback": lambda gate, fn: gate(fallback(0, on=NeverError)(fn)),
    "inside a gate": lambda gate, fn: _other()(gate(fn)),
    "around a gate": lambda gate, fn: gate(_other()(fn)),
    "flow": lambda gate, fn: _flow()(gate(fn)),
    "inside criticality": lambda gate, fn: criticality("high")(gate(fn)),
    "around criticality": lambda gate, fn: gate(criticality("low")(fn)),
}

SURFACES: dict[str, Callable[[Any, Fn], Fn]] = {
    **SHARED,
    "keyword": _keyword,
    "block": _block,
    "permit": _permit,
    "method": _method,
    "static method": _static,
    "outcome": _outcome,
    "inside deadline": lambda gate, fn: deadline(99)(gate(fn)),
    "around deadline": lambda gate, fn: gate(deadline(99)(fn)),
}


def _async_block(gate: Any, fn: AsyncFn) -> AsyncFn:
    async def run(token: object) -> Any:
        async with block(gate):
            return await fn(token)

    return run


def _plain_block(gate: Any, fn: AsyncFn) -> AsyncFn:
    async def run(token: object) -> Any:
        with block(gate):
            return await fn(token)

    return run


def _async_permit(gate: Any, fn: AsyncFn) -> AsyncFn:
    async def run(token: object) -> Any:
        async with block(gate).permit():
            return await fn(token)

    return run


def _async_method(gate: Any, fn: AsyncFn) -> AsyncFn:
    class Client:
        @gate
        async def ask(self, token: object) -> Any:
            return await fn(token)

    run: AsyncFn = Client().ask
    return run


def _async_outcome(gate: Any, fn: AsyncFn) -> AsyncFn:
    guarded = gate(fn)

    async def run(token: object) -> Any:
        return (await resilient.outcome(guarded, token)).unwrap()

    return run


ASYNC_SURFACES: dict[str, Callable[[Any, AsyncFn], AsyncFn]] = {
    **SHARED,
    "async block": _async_block,
    "block": _plain_block,
    "async permit": _async_permit,
    "method": _async_method,
    "outcome": _async_outcome,
}


@contextmanager
def naming(*what: object) -> Iterator[None]:
    """Say in a failure which case of a table it was."""
    try:
        yield
    except BaseException as error:
        error.add_note("case: " + ", ".join(map(str, what)))
        raise


class RealClock:
    """A clock whose sleeping blocks, as far as the library can know; it only writes it down."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        """The reading."""
        return self.now

    def time(self) -> float:
        """The reading."""
        return self.now

    def sleep(self, seconds: float, /) -> None:
        """Write it down."""
        self.slept.append(seconds)
        self.now += seconds

    async def sleep_async(self, seconds: float, /) -> None:
        """Write it down, and let others run."""
        self.sleep(seconds)
        await asyncio.sleep(0)


# Coroutines by hand: an await is a place where the test decides what happens


@types.coroutine
def pause() -> Generator[None, Any, Any]:
    """Suspend once, outside of any loop."""
    return (yield)


def finish(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that suspends only in `pause` to its end."""
    while True:
        try:
            coroutine.send(None)
        except StopIteration as stop:
            value: T = stop.value
            return value


@contextmanager
def history() -> Iterator[list[Any]]:
    """Everything that is published meanwhile, as it happens."""
    seen: list[Any] = []
    remove = hub.bus.tap(resilient.Event, seen.append)
    try:
        yield seen
    finally:
        remove()


# Threads


def restless(frame: types.FrameType, event: str, _: object) -> Any:
    """A trace function that lets another thread run before each line of a policy."""
    if event == "line":
        time.sleep(0)
    return restless if "policies" in frame.f_code.co_filename else None


def in_threads(work: Callable[[int], None], number: int = 8, *, traced: bool = False) -> None:
    """Run `work` on threads at once; the first error is raised.

    If `traced`, threads take turns at every line of the library's decisions.
    """
    errors: list[BaseException] = []
    barrier = threading.Barrier(number)

    def run(index: int) -> None:
        barrier.wait()
        sys.settrace(restless if traced else None)
        try:
            work(index)
        except BaseException as error:  # noqa: BLE001  (raised below)
            errors.append(error)
        finally:
            sys.settrace(None)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]

"""User code never runs under a lock of ours, and nobody who listens can do harm."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pybreaker
import pytest
import structlog

import resilient
from resilient import CallFailed, CircuitChanged, CircuitOpenError, CircuitState, breaker
from resilient.testing import ManualClock
from tests.laws.harness import BrokenError, naming

GUARD = 10.0  # seconds until a test that is stuck fails; nothing takes that long


class Hanging:
    """A listener that hangs until the test is over."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.release = threading.Event()

    def __call__(self, *_args: object, **_kwargs: object) -> None:
        """Hang."""
        self.entered.set()
        self.release.wait(GUARD)


@contextmanager
def subscribed(fn: Callable[[Any], object], kind: type[Any] = CircuitChanged) -> Iterator[Any]:
    """A subscription for the time of a block."""
    subscription = resilient.subscribe(kind, fn)
    try:
        yield subscription
    finally:
        subscription.cancel()


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    """A listener that hangs, released at the end."""
    listener = Hanging()
    yield listener
    listener.release.set()
    assert resilient.shutdown(GUARD)


def fail() -> None:
    """Does."""
    raise BrokenError


def open_and_close(gate: Any, clock: ManualClock) -> list[CircuitState]:
    """Through all three states by calls alone."""
    states = [gate.state]
    for _ in range(2):
        with pytest.raises(BrokenError):
            gate.call(fail)
    states.append(gate.state)
    with pytest.raises(CircuitOpenError):
        gate.call(fail)
    clock.advance(60)
    with gate:
        states.append(gate.state)
    states.append(gate.state)
    return states


EVERY_STATE = [CircuitState.CLOSED, CircuitState.OPEN, CircuitState.HALF_OPEN, CircuitState.CLOSED]


def test_a_listener_that_hangs(hanging: Hanging) -> None:
    """Calls and transitions go on; another listener is told everything, in order."""
    told: list[CircuitState] = []
    complete = threading.Event()

    def listen(event: Any) -> None:
        told.append(event.new)
        if len(told) == 3:
            complete.set()

    clock = ManualClock()
    gate = breaker("law 4", failure_threshold=2, reset_timeout=60, clock=clock)
    with subscribed(hanging), subscribed(listen):
        assert open_and_close(gate, clock) == EVERY_STATE
        assert hanging.entered.wait(GUARD)
        assert complete.wait(GUARD)
        assert told == EVERY_STATE[1:]


@pytest.mark.parametrize(
    "error", [ValueError, KeyboardInterrupt, SystemExit, asyncio.CancelledError]
)
def test_a_listener_that_raises(
    error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    """The same, whatever it raises; it is told the next event nevertheless."""
    told: list[CircuitState] = []
    tried: list[CircuitState] = []
    complete = threading.Event()

    def bad(event: Any) -> None:
        tried.append(event.new)
        raise error

    def listen(event: Any) -> None:
        told.append(event.new)
        if len(told) == 3:
            complete.set()

    clock = ManualClock()
    gate = breaker("law 4", failure_threshold=2, reset_timeout=60, clock=clock)
    with subscribed(bad), subscribed(listen):
        assert open_and_close(gate, clock) == EVERY_STATE
        assert complete.wait(GUARD)
        assert resilient.shutdown(GUARD)
    assert told == tried == EVERY_STATE[1:]


def test_an_async_listener_that_raises() -> None:
    """On a loop of its own, because none runs here."""
    tried: list[CircuitState] = []

    async def bad(event: Any) -> None:
        tried.append(event.new)
        raise ValueError

    clock = ManualClock()
    gate = breaker("law 4", failure_threshold=2, reset_timeout=60, clock=clock)
    with subscribed(bad):
        assert open_and_close(gate, clock) == EVERY_STATE
        assert resilient.shutdown(GUARD)
    assert tried == EVERY_STATE[1:]


def test_a_full_queue_drops_and_counts(hanging: Hanging) -> None:
    """A listener that hangs costs bounded memory: what does not fit is counted."""
    gate = breaker("law 4", failure_threshold=None, clock=ManualClock())
    with subscribed(hanging, CallFailed) as subscription:
        for _ in range(3000):
            with pytest.raises(BrokenError):
                gate.call(fail)
        assert 1990 <= subscription.dropped <= 2000
        assert gate.metrics.failures == 3000


class Watcher(pybreaker.CircuitBreakerListener):
    """A listener for pybreaker, which does as it is told."""

    def __init__(self, act: Callable[..., object]) -> None:
        self.act = act

    def before_call(self, cb: Any, func: Any, *args: Any, **kwargs: Any) -> None:
        """Act."""
        self.act("before_call")

    def success(self, cb: Any) -> None:
        """Act."""
        self.act("success")

    def failure(self, cb: Any, exc: BaseException) -> None:
        """Act."""
        self.act("failure")

    def state_change(self, cb: Any, old_state: Any, new_state: Any) -> None:
        """Act."""
        self.act(new_state.name)


def test_pybreaker_listeners_that_hang_and_raise(hanging: Hanging) -> None:
    """One hangs, one raises, and the third is told everything in order."""
    told: list[str] = []
    complete = threading.Event()

    def bad(_: str) -> None:
        raise ValueError

    def listen(what: str) -> None:
        told.append(what)
        if what == "closed":
            complete.set()

    clock = ManualClock()
    gate = breaker(
        "law 4",
        failure_threshold=2,
        reset_timeout=60,
        clock=clock,
        listeners=[Watcher(hanging), Watcher(bad), Watcher(listen)],
    )
    assert open_and_close(gate, clock) == EVERY_STATE
    assert complete.wait(GUARD)
    assert [each for each in told if each in {"open", "half-open", "closed"}] == [
        "open",
        "half-open",
        "closed",
    ]
    assert told.count("failure") == 2


@pytest.mark.parametrize("kind", ["hangs", "raises"])
def test_a_log_processor_does_no_harm(kind: str, hanging: Hanging) -> None:
    """Logs are a listener like any other."""
    told = threading.Event()

    def processor(_logger: Any, _method: str, words: Any) -> Any:
        if kind == "hangs":
            hanging()
        raise ValueError

    logger = structlog.wrap_logger(structlog.PrintLogger(), processors=[processor])
    clock = ManualClock()
    gate = breaker("law 4", failure_threshold=2, reset_timeout=60, clock=clock)
    logs = resilient.enable_logs("debug", logger=logger)
    try:
        with subscribed(lambda event: told.set() if event.new is CircuitState.CLOSED else None):
            assert open_and_close(gate, clock) == EVERY_STATE
            assert told.wait(GUARD)
    finally:
        logs.cancel()


def test_a_listener_may_use_the_breaker() -> None:
    """It runs after the transition is committed, and may ask and switch the breaker itself."""
    done = threading.Event()
    clock = ManualClock()
    gate = breaker("law 4", failure_threshold=2, clock=clock)

    def listen(event: Any) -> None:
        if event.new is CircuitState.OPEN:
            assert gate.metrics.failures == 2
            gate.reset()
            gate.call(done.set)

    with subscribed(listen):
        for _ in range(2):
            with pytest.raises(BrokenError):
                gate.call(fail)
        assert done.wait(GUARD)
        assert gate.state is CircuitState.CLOSED


# User code of every kind, and another thread that needs the breaker meanwhile


class Curious(Exception):  # noqa: N818  (what is copied and shown)
    """An error whose copying and showing is user code."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        for act in args:
            act()  # type: ignore[operator]  # this test's own argument

    def __repr__(self) -> str:
        for act in self.args:
            act()
        return "Curious"


class Key:
    """A key whose hashing and comparing is user code."""

    def __init__(self, act: Callable[[], object]) -> None:
        self.act = act

    def __hash__(self) -> int:
        self.act()
        return 1

    def __eq__(self, other: object) -> bool:
        self.act()
        return self is other


def test_no_user_code_under_a_lock() -> None:  # noqa: C901  (one scene, several callbacks)
    """While any callback runs, another thread may use the same breaker."""
    clock = ManualClock()
    looks = 0

    def elsewhere(use: Callable[[], object]) -> Callable[..., Any]:
        def act(*_args: object, **_kwargs: object) -> bool:
            nonlocal looks
            looks += 1
            thread = threading.Thread(target=use, daemon=True)
            thread.start()
            thread.join(GUARD)
            assert not thread.is_alive(), "a lock was held"
            return True

        return act

    def use() -> None:
        other = gates["plain"]
        _ = other.metrics, other.state, other.health(), other.snapshot()
        other.half_open()
        other.reset()

    act = elsewhere(use)

    def retry_after(_error: Exception) -> float:
        act()
        return 1.0

    def raises() -> None:
        raise Curious(act)

    gates: dict[str, Any] = {}
    for setting in ("on", "ignore", "failure_result"):
        for trial in (False, True):
            gates["plain"] = gate = breaker("law 4", clock=clock, **{setting: act})  # type: ignore[arg-type]  # one of several
            if trial:
                gate.half_open()
            before = looks
            with naming(setting, trial):
                if setting == "failure_result":
                    gate(lambda: 1)()
                else:
                    with pytest.raises(BrokenError):
                        gate(fail)()
                assert looks > before
    gates["plain"] = gate = breaker(
        "law 4", failure_threshold=1, retry_after=retry_after, clock=clock
    )
    with subscribed(lambda event: None, resilient.Event), pytest.raises(Curious):
        gate(raises)()
    assert resilient.shutdown(GUARD)
    gates["plain"] = keyed = breaker("law 4", key=lambda key: key, max_keys=2, clock=clock)
    before = looks
    for _ in range(5):
        keyed(lambda _key: None)(Key(elsewhere(lambda: keyed.metrics)))
    assert looks > before

"""The breaker does what its reference model does, whatever happens in whatever order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import resilient
from resilient import CircuitOpenError, breaker, retry
from resilient.testing import ManualClock
from tests.laws.harness import (
    AnsweredError,
    BrokenError,
    HarmlessError,
    NeverError,
    history,
    pause,
)
from tests.policies.breaker_model import Model, Settings, Ticket

RATES = [0.25, 0.5, 0.6, 1.0]
rules_of_opening = st.builds(
    Settings,
    failure_threshold=st.sampled_from([None, 1, 2, 3, 5]),
    failure_rate=st.sampled_from([None, *RATES]),
    slow_call_duration=st.sampled_from([None, 0.5, 2.0]),
    slow_call_rate=st.sampled_from([None, *RATES]),
    window_calls=st.sampled_from([None, 1, 3, 5]),
    window_seconds=st.sampled_from([10.0, 20.0]),
    minimum_calls=st.integers(1, 4),
    reset_timeout=st.sampled_from([4.0, 8.0]),
    reset_backoff=st.sampled_from([1.0, 2.0]),
    max_reset_timeout=st.sampled_from([8.0, 20.0]),
    half_open_calls=st.integers(1, 4),
    half_open_success_rate=st.sampled_from([0.25, 0.5, 0.7, 1.0]),
    half_open_timeout=st.sampled_from([1.0, 4.0, 100.0]),
)
VERDICTS: dict[str, tuple[Callable[[], BaseException] | None, str]] = {
    "success": (None, "success"),
    "answer": (AnsweredError, "success"),
    "failure": (BrokenError, "failure"),
    "ignored": (HarmlessError, "ignored"),
    "cancelled": (asyncio.CancelledError, "abandoned"),
    "rejected": (lambda: resilient.Rejected("inside", 1.0, "no"), "abandoned"),
}
endings = st.sampled_from([*VERDICTS, "success", "failure", "failure"])


class Running(NamedTuple):
    """A call under way in both worlds."""

    ticket: Ticket
    end: Callable[[str], None]


def make(chosen: Settings, clock: ManualClock) -> Any:
    """The breaker of these settings."""
    size = chosen.window_calls
    if size is not None:
        chosen.minimum_calls = min(chosen.minimum_calls, size)
    return breaker(
        "model",
        failure_threshold=chosen.failure_threshold,
        failure_rate=chosen.failure_rate,
        slow_call_duration=chosen.slow_call_duration,
        slow_call_rate=chosen.slow_call_rate,
        window=chosen.window_seconds if size is None else resilient.calls(size),
        minimum_calls=chosen.minimum_calls,
        reset_timeout=chosen.reset_timeout,
        reset_backoff=chosen.reset_backoff,
        max_reset_timeout=chosen.max_reset_timeout,
        half_open_calls=chosen.half_open_calls,
        half_open_success_rate=chosen.half_open_success_rate,
        half_open_timeout=chosen.half_open_timeout,
        on=(BrokenError, TimeoutError),
        ignore=HarmlessError,
        clock=clock,
    )


async def dependency() -> str:
    """Suspends once; how it ends is thrown in."""
    await pause()
    return "answer"


def start_task(gate: Any) -> Callable[[str], None]:
    """Begin a decorated coroutine; raises the rejection."""
    return _started(gate(dependency)())


def start_deep_task(gate: Any) -> Callable[[str], None]:
    """The same in a pipeline that takes the flow from the beginning."""
    return _started(retry(on=NeverError, on_result=lambda _: False)(gate(dependency))())


def start_called_task(gate: Any) -> Callable[[str], None]:
    """The same through `call`."""
    return _started(gate.call(dependency))


def _started(running: Any) -> Callable[[str], None]:
    running.send(None)

    def end(how: str) -> None:
        error = VERDICTS[how][0]
        try:
            running.send(None) if error is None else running.throw(error())
        except StopIteration as stop:
            assert stop.value == "answer"  # noqa: PT017  (it may raise instead)
        except BaseException as raised:  # noqa: BLE001  (whatever was thrown comes back)
            assert error is not None
            assert type(raised) is type(error())  # noqa: PT017  (it may return instead)

    return end


def start_permit(gate: Any) -> Callable[[str], None]:
    """Enter a permit; raises the rejection."""
    permit = gate.permit()
    permit.__enter__()

    def end(how: str) -> None:
        make_error = VERDICTS[how][0]
        error = None if make_error is None else make_error()
        permit.__exit__(None if error is None else type(error), error, None)

    return end


def call_now(gate: Any, clock: ManualClock, how: str, took: float) -> None:
    """A decorated function, from beginning to end."""
    error = VERDICTS[how][0]

    @gate
    def fn() -> str:
        clock.advance(took)
        if error is not None:
            raise error()
        return "answer"

    try:
        assert fn() == "answer"
    except CircuitOpenError:
        raise
    except BaseException as raised:  # noqa: BLE001  (whatever was raised comes back)
        assert error is not None
        assert type(raised) is type(error())  # noqa: PT017  (it may return instead)


SURFACES = [start_task, start_deep_task, start_called_task, start_permit]


class BreakerMachine(RuleBasedStateMachine):
    """Both worlds side by side: the same happens, the same is seen."""

    def __init__(self) -> None:
        super().__init__()
        self.watching = history()
        self.events = self.watching.__enter__()
        self.running: list[Running] = []

    def teardown(self) -> None:
        """Stop watching."""
        self.watching.__exit__(None, None, None)

    @initialize(chosen=rules_of_opening)
    def begin(self, chosen: Settings) -> None:
        """A breaker and its model."""
        self.clock = ManualClock()
        self.gate = make(chosen, self.clock)
        self.model = Model(chosen)

    def admitted(self, start: Callable[[], Any]) -> Any:
        """Ask both; they must agree on the answer."""
        ticket = self.model.admit()
        if isinstance(ticket, Ticket):
            return ticket, start()
        try:
            start()
        except CircuitOpenError as refusal:
            assert refusal.retry_after == ticket  # noqa: PT017
            assert refusal.name == "model"  # noqa: PT017
            return None
        raise AssertionError(f"admitted while {self.model.state}")

    @rule(surface=st.sampled_from(SURFACES))
    def start(self, surface: Callable[[Any], Callable[[str], None]]) -> None:
        """A call begins, and stays under way."""
        both = self.admitted(lambda: surface(self.gate))
        if both is not None:
            self.running.append(Running(*both))

    @precondition(lambda self: self.running)
    @rule(index=st.integers(0, 100), how=endings)
    def finish(self, index: int, how: str) -> None:
        """A call that is under way ends."""
        running = self.running.pop(index % len(self.running))
        self.model.end(running.ticket, VERDICTS[how][1])
        running.end(how)

    @rule(how=endings, took=st.sampled_from([0.0, 0.0, 0.0, 0.5, 1.0, 3.0]))
    def call(self, how: str, took: float) -> None:
        """A whole call on the straight line, as long as nothing is wrong."""
        refused = self.model.state, self.model.rejected
        ticket = self.model.admit()
        if not isinstance(ticket, Ticket):
            try:
                call_now(self.gate, self.clock, how, took)
            except CircuitOpenError as refusal:
                assert refusal.retry_after == ticket  # noqa: PT017
                return
            raise AssertionError(f"admitted while {refused}")
        call_now(self.gate, self.clock, how, took)
        self.model.now += took
        self.model.end(ticket, VERDICTS[how][1])

    @rule(count=st.integers(2, 30), how=st.sampled_from(["success", "failure"]))
    def call_often(self, count: int, how: str) -> None:
        """Many calls in a row."""
        for _ in range(count):
            self.call(how, 0.0)

    @rule(by=st.sampled_from([0.25, 1.0, 1.5, 4.0, 8.0, 20.0]))
    def wait(self, by: float) -> None:
        """Time passes."""
        self.clock.advance(by)
        self.model.now += by

    @rule(
        how=st.sampled_from(
            ["open", "close", "half_open", "force_open", "disable", "metrics_only", "reset"]
        )
    )
    def by_hand(self, how: str) -> None:
        """Somebody's hand is on the switch."""
        getattr(self.gate, how)()
        states = {
            "open": "open",
            "close": "closed",
            "half_open": "half-open",
            "force_open": "forced-open",
            "disable": "disabled",
            "metrics_only": "metrics-only",
        }
        if how == "reset":
            self.model.reset()
        else:
            self.model.by_hand(states[how])

    @invariant()
    def agree(self) -> None:
        """State, numbers and published transitions are those of the model."""
        if not hasattr(self, "gate"):
            return
        assert self.gate.state.value == self.model.state
        metrics = self.gate.metrics
        for name, value in self.model.metrics().items():
            assert getattr(metrics, name) == value, name
        changes = [event for event in self.events if isinstance(event, resilient.CircuitChanged)]
        assert [(each.old.value, each.new.value) for each in changes] == self.model.transitions
        assert [each.sequence for each in changes] == list(range(1, len(changes) + 1))


TestBreakerIsItsModel = BreakerMachine.TestCase
TestBreakerIsItsModel.settings = settings(
    max_examples=150,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)

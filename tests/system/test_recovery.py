"""Laws of recoveries: what is tried, when, how it is checked, and that it harms nobody.

30 s, doubled each time, five attempts: "Graceful Degradation".
"""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from resilient.core.hub import hub
from resilient.errors import ConfigError
from resilient.events import Severity
from resilient.mode import SystemOperationMode
from resilient.system.recoveries.stage import RecoveryChanged, RecoveryStage, RecoveryStatus
from resilient.testing import ManualClock
from resilient.testing.loop import run

IDLE, WAITING, ATTEMPTING, VERIFYING, SUCCEEDED, GAVE_UP = RecoveryStage

PATIENCE = 10.0
"""Real seconds after which a test gives up; none takes a tenth of it."""

SCHEDULE = [30.0, 90.0, 210.0, 450.0, 930.0]
REFUSED = ConnectionRefusedError("refused")


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands still."""
    return ManualClock()


@pytest.fixture
def mode(clock: ManualClock) -> Iterator[SystemOperationMode]:
    """A mode of this test's own."""
    made = SystemOperationMode(clock=clock)
    yield made
    made.close(0.2)


@pytest.fixture
def told() -> Iterator[list[RecoveryChanged]]:
    """What was published."""
    events: list[RecoveryChanged] = []
    remove = hub.bus.tap(RecoveryChanged, events.append)
    yield events
    remove()


def settle(mode: SystemOperationMode) -> None:
    """Have everything done that is due at this instant."""
    mode.evaluate()
    assert mode.flush()


def pass_time(mode: SystemOperationMode, clock: ManualClock, *, by: float) -> None:
    """Let `by` seconds pass, second by second, with everything done that is due."""
    for _ in range(round(by)):
        clock.advance(1)
        settle(mode)


def kill(mode: SystemOperationMode, component: str = "redis") -> None:
    """From now on the component is dead."""
    mode.mark_degraded(component, "killed", severity="critical")


def stage(mode: SystemOperationMode, component: str = "redis") -> RecoveryStage:
    """Where its recovery stands."""
    return mode.recoveries[component].stage


class Action:
    """Something that is tried: notes when, and does as it is told."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.at: list[float] = []
        self.does: Callable[[], Any] = lambda: None
        self.inside = 0
        self.most = 0
        self.entered = threading.Semaphore(0)
        self.let_go = threading.Event()

    def __call__(self) -> object:
        """Try."""
        self.at.append(self.clock.monotonic())
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            return self.does()
        finally:
            self.inside -= 1

    def hang(self) -> None:
        """Do not end before it is let go."""
        self.entered.release()
        assert self.let_go.wait(PATIENCE)

    def refuse(self) -> None:
        """Fail."""
        raise REFUSED


@pytest.fixture
def action(clock: ManualClock) -> Iterator[Action]:
    """An action; whatever hangs in it ends with the test."""
    made = Action(clock)
    yield made
    made.let_go.set()


# When


def test_five_attempts_and_then_a_reason(
    mode: SystemOperationMode, clock: ManualClock, action: Action, told: list[RecoveryChanged]
) -> None:
    """After 30, 90, 210, 450 and 930 s; then it gives up, and says so until the component is well.

    Seconds since the failure, as 30 s x 2^n adds up.
    """
    mode.recovery("redis", action)
    action.does = action.refuse
    kill(mode)
    pass_time(mode, clock, by=1000)
    assert action.at == SCHEDULE
    gave_up = "recovery of redis gave up after 5 attempts: ConnectionRefusedError('refused')"
    assert [line for line in mode.explain().reasons if gave_up in line]
    assert (told[-1].new, told[-1].attempt, told[-1].of) == (GAVE_UP, 5, 5)
    assert told[-1].severity is Severity.ERROR
    assert told[-1].seconds == 930
    mode.clear("redis")
    settle(mode)
    assert not [line for line in mode.explain().reasons if gave_up in line]
    kill(mode)
    pass_time(mode, clock, by=31)
    assert action.at[5:] == [1030.0]


def test_each_step_is_an_event(
    mode: SystemOperationMode, clock: ManualClock, action: Action, told: list[RecoveryChanged]
) -> None:
    """Which attempt of how many, when the next one comes, and what was wrong with the last."""
    mode.recovery("redis", action)
    action.does = action.refuse
    kill(mode)
    pass_time(mode, clock, by=31)
    said = [(one.old, one.new, one.attempt, one.next_in, one.seconds) for one in told]
    assert said == [
        (IDLE, WAITING, 0, 30.0, 0.0),
        (WAITING, ATTEMPTING, 1, None, 30.0),
        (ATTEMPTING, WAITING, 1, 60.0, 30.0),
    ]
    assert {(one.name, one.mode, one.of) for one in told} == {("redis", "system", 5)}
    assert told[-1].error == "ConnectionRefusedError('refused')"
    assert [one.severity for one in told] == [Severity.INFO, Severity.INFO, Severity.WARNING]


@pytest.mark.parametrize("heal_at", [5, 29, 60, 200])
def test_it_ends_when_the_component_comes_back_by_itself(
    mode: SystemOperationMode, clock: ManualClock, action: Action, heal_at: int
) -> None:
    """Nothing is tried on a component that is well."""
    mode.recovery("redis", action)
    action.does = action.refuse
    kill(mode)
    pass_time(mode, clock, by=heal_at)
    mode.clear("redis")
    mode.metric("redis").set(0.7)
    pass_time(mode, clock, by=1000)
    assert action.at == [at for at in SCHEDULE if at < heal_at]
    assert stage(mode) is IDLE


@pytest.mark.parametrize("signal", ["metric", "probe", "mark"])
def test_it_is_bound_to_whatever_has_a_name(
    mode: SystemOperationMode, clock: ManualClock, action: Action, signal: str
) -> None:
    """A condition is a component, too: self-healing begins when a named figure turns bad."""
    mode.recovery("backlog", action, backoff=10)
    if signal == "metric":
        mode.metric("backlog", score=lambda: 0.0)
    elif signal == "probe":
        mode.probe("backlog", lambda: False, failed_after=1, jitter=0.0)
    else:
        kill(mode, "backlog")
    pass_time(mode, clock, by=13)
    assert len(action.at) == 1


def test_where_it_stands(mode: SystemOperationMode, clock: ManualClock, action: Action) -> None:
    """The list says what will happen when, for a tired reader."""
    mode.recovery("redis", action)
    action.does = action.refuse
    assert mode.recoveries["redis"] == RecoveryStatus(name="redis", stage=IDLE, attempt=0, of=5)
    kill(mode)
    pass_time(mode, clock, by=32)
    found = mode.recoveries["redis"]
    assert (found.stage, found.attempt, found.next_in) == (WAITING, 1, 58.0)
    assert str(found) == (
        "redis: waiting, attempt 2 of 5 in 58 s: ConnectionRefusedError('refused')"
    )


# How it is checked


def test_the_probe_has_the_last_word(
    mode: SystemOperationMode, clock: ManualClock, action: Action
) -> None:
    """It is asked at once after the attempt, and an attempt that did not help has failed."""
    up = False
    asked: list[float] = []

    def ping() -> bool:
        asked.append(clock.monotonic())
        return up

    mode.probe("redis", ping, interval=25, jitter=0.0, failed_after=2)
    mode.recovery("redis", action)
    settle(mode)
    pass_time(mode, clock, by=200)
    assert action.at == [30.0, 90.0]
    assert asked == [0.0, 25.0, 30.0, 55.0, 80.0, 90.0, 115.0, 140.0, 165.0, 190.0]
    assert "the probe says failed: answered False" in mode.recoveries["redis"].error

    def mend() -> None:
        nonlocal up
        up = True

    action.does = mend
    pass_time(mode, clock, by=60)
    assert action.at == [30.0, 90.0, 210.0]
    assert stage(mode) is SUCCEEDED
    pass_time(mode, clock, by=240)
    assert stage(mode) is IDLE
    assert len(action.at) == 3


def test_an_answer_to_an_older_question_is_no_verdict(
    mode: SystemOperationMode, clock: ManualClock, action: Action
) -> None:
    """A probe that was asked before the attempt had ended says nothing of it."""
    entered, let_go, verifying = threading.Semaphore(0), threading.Event(), threading.Event()
    up = hangs = False

    def ping() -> bool:
        was_up = up
        if hangs:
            entered.release()
            assert let_go.wait(PATIENCE)
        return was_up

    def mend() -> None:
        nonlocal up
        clock.advance(0.5)  # the question was put before this
        up = True

    def changed(event: RecoveryChanged) -> None:
        if event.new is VERIFYING:
            verifying.set()

    remove = hub.bus.tap(RecoveryChanged, changed)
    mode.probe("redis", ping, interval=30, timeout=5, jitter=0.0, failed_after=1)
    mode.recovery("redis", action)
    settle(mode)
    assert stage(mode) is WAITING
    action.does = mend
    hangs = True
    clock.advance(30)
    mode.evaluate()  # both begin
    assert entered.acquire(timeout=PATIENCE)
    assert verifying.wait(PATIENCE)
    remove()
    hangs = False
    let_go.set()  # and it says that the component is dead
    settle(mode)
    assert stage(mode) in (VERIFYING, SUCCEEDED)
    pass_time(mode, clock, by=31)
    assert stage(mode) is SUCCEEDED
    assert mode.recoveries["redis"].attempt == 1


@pytest.mark.parametrize("how", ["sync", "async"])
@pytest.mark.parametrize("answer", [None, True, False, REFUSED])
def test_a_function_may_verify(
    mode: SystemOperationMode, clock: ManualClock, action: Action, answer: Any, how: str
) -> None:
    """It raises or returns False if the component is not back."""

    def verify() -> object:
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def verify_async() -> object:
        return verify()

    mode.recovery("redis", action, verify=verify if how == "sync" else verify_async)
    kill(mode)
    pass_time(mode, clock, by=30)
    if answer in (None, True):
        assert stage(mode) is SUCCEEDED
    else:
        assert stage(mode) is WAITING
        assert mode.recoveries["redis"].error.startswith("not verified: ")
        assert mode.recoveries["redis"].next_in == 60


def test_false_is_a_failure(mode: SystemOperationMode, clock: ManualClock, action: Action) -> None:
    """What returns False has failed, and nobody is asked whether it helped."""
    asked: list[int] = []
    mode.recovery("redis", action, verify=lambda: asked.append(1))
    action.does = lambda: False
    kill(mode)
    pass_time(mode, clock, by=30)
    assert (mode.recoveries["redis"].error, asked) == ("it returned False", [])


class WordlessError(Exception):
    """An error that cannot be shown, and knows who tried."""

    asked: list[bool]
    mode: SystemOperationMode

    def __repr__(self) -> str:
        """Note whether the mode is at work here, and refuse."""
        self.asked.append(self.mode._owner == threading.get_ident())
        raise RuntimeError


def test_an_error_without_words_is_a_failure(
    mode: SystemOperationMode, clock: ManualClock, action: Action
) -> None:
    """And it is never asked for its words while the mode is held."""
    error = WordlessError()
    error.asked, error.mode = [], mode

    def fail() -> None:
        raise error

    action.does = fail
    mode.recovery("redis", action)
    kill(mode)
    pass_time(mode, clock, by=31)
    found = mode.recoveries["redis"]
    assert (found.stage, found.error) == (WAITING, "<WordlessError without words>")
    assert error.asked == [False]


def test_without_a_verifier_its_own_evidence_counts(
    mode: SystemOperationMode, clock: ManualClock, action: Action
) -> None:
    """A breaker learns of it only by the next calls: it has until the next attempt would be due."""
    health = mode.metric("redis")
    health.set(0.0)
    mode.recovery("redis", action)
    pass_time(mode, clock, by=31)
    assert stage(mode) is VERIFYING
    health.set(0.0)
    pass_time(mode, clock, by=59)
    assert action.at == [30.0, 90.0]
    health.set(1.0)
    settle(mode)
    assert stage(mode) is SUCCEEDED
    pass_time(mode, clock, by=60)
    health.set(1.0)
    pass_time(mode, clock, by=60)
    assert stage(mode) is IDLE
    assert action.at == [30.0, 90.0]


# What hangs, and who comes first


def test_a_hanging_action_is_a_failed_one_and_never_runs_twice(
    mode: SystemOperationMode, clock: ManualClock, action: Action
) -> None:
    """A sync one cannot be ended: as long as it hangs, further attempts fail without being made."""
    mode.recovery("redis", action, timeout=5, attempts=3)
    action.does = action.hang
    kill(mode)
    for _ in range(230):
        clock.advance(1)
        mode.evaluate()
        if len(action.at) == 0 and clock.monotonic() == 30:
            assert action.entered.acquire(timeout=PATIENCE)
    assert action.at == [30.0]
    found = mode.recoveries["redis"]
    assert (found.stage, found.attempt) == (GAVE_UP, 3)
    assert found.error == "the attempt before this one has not ended yet"
    action.let_go.set()
    assert mode.flush()
    action.does = lambda: None
    assert mode.recover("redis")
    settle(mode)
    assert (len(action.at), action.most) == (2, 1)


def test_a_time_limit_is_a_failure(
    mode: SystemOperationMode, clock: ManualClock, action: Action
) -> None:
    """An attempt that took longer than it may counts from the end of its time."""
    mode.recovery("redis", action, timeout=5)
    action.does = action.hang
    kill(mode)
    clock.advance(30)
    mode.evaluate()
    assert action.entered.acquire(timeout=PATIENCE)
    clock.advance(8)
    mode.evaluate()
    found = mode.recoveries["redis"]
    assert found.error == "it did not end within 5 s"
    assert found.next_in == 35 + 60 - 38


async def test_an_attempt_that_never_begins_has_failed(clock: ManualClock) -> None:
    """Its loop is blocked: nothing runs that could be too slow, and the plan goes on all the same.

    When the loop turns again, the attempt that was given up does not run.
    """
    ran: list[float] = []
    mode = SystemOperationMode(clock=clock)

    @mode.recovery("redis", timeout=60)
    async def mend() -> None:
        ran.append(clock.monotonic())

    kill(mode)

    def outside() -> RecoveryStatus:
        clock.advance(30)
        mode.evaluate()
        assert stage(mode) is ATTEMPTING
        clock.advance(60)
        return mode.recoveries["redis"]

    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(outside).result(PATIENCE)  # this is what blocks the loop
    assert (found.stage, found.error) == (WAITING, "it did not begin within 60 s")
    assert await asyncio.to_thread(mode.flush)
    assert ran == []
    clock.advance(60)
    mode.evaluate()
    await asyncio.sleep(0)
    assert ran == [150.0]
    await mode.aclose()


def test_what_it_depends_on_is_restored_first(
    mode: SystemOperationMode, clock: ManualClock
) -> None:
    """A cascade of three is restored in order, each a wait after the one before it."""
    order: list[tuple[str, float]] = []
    for name, depends_on in (("web", ["sessions"]), ("sessions", ["redis"]), ("redis", [])):
        mode.component(name, depends_on=depends_on)

        def mend(name: str = name) -> None:
            order.append((name, clock.monotonic()))
            mode.clear(name)
            mode.metric(name).set(1.0)

        mode.recovery(name, mend)
        kill(mode, name)
    pass_time(mode, clock, by=20)
    waiting = mode.recoveries["web"]
    assert (waiting.waits_for, waiting.next_in) == (("sessions",), None)
    assert "when sessions is well" in str(waiting)
    pass_time(mode, clock, by=100)
    assert [name for name, _ in order] == ["redis", "sessions", "web"]
    assert [at for _, at in order] == pytest.approx([30, 60, 90], abs=2)


def test_two_that_need_each_other_do_not_wait(
    mode: SystemOperationMode, clock: ManualClock, action: Action
) -> None:
    """A circle of dependencies has no first one."""
    mode.component("web", depends_on=["auth"])
    mode.component("auth", depends_on=["web"])
    mode.recovery("web", action)
    kill(mode, "web")
    kill(mode, "auth")
    pass_time(mode, clock, by=31)
    assert action.at == [30.0]


# By hand


def test_by_hand_it_begins_at_once(
    mode: SystemOperationMode, clock: ManualClock, action: Action
) -> None:
    """Also on a component that is well, and a plan that gave up begins anew."""
    mode.recovery("redis", action, attempts=2)
    action.does = action.refuse
    assert mode.recover("redis")
    assert mode.flush()
    assert action.at == [0.0]
    kill(mode)
    pass_time(mode, clock, by=100)
    assert stage(mode) is GAVE_UP
    assert mode.recover("redis")
    settle(mode)
    assert action.at[-1] == clock.monotonic()
    assert (stage(mode), mode.recoveries["redis"].attempt) == (WAITING, 1)


def test_by_hand_it_is_never_twice_at_once(mode: SystemOperationMode, action: Action) -> None:
    """While one runs, a second order is refused."""
    mode.recovery("redis", action)
    action.does = action.hang
    assert mode.recover("redis")
    mode.evaluate()
    assert action.entered.acquire(timeout=PATIENCE)
    assert not mode.recover("redis")
    action.let_go.set()
    assert mode.flush()
    assert (len(action.at), action.most) == (1, 1)


def test_many_threads_order_one_attempt(mode: SystemOperationMode, action: Action) -> None:
    """However many hands: one attempt at a time, and each order that was accepted is carried out.

    Orders that came before the attempt began are one.
    """
    mode.recovery("redis", action, verify=lambda: True)
    together = threading.Barrier(8)

    def order() -> None:
        together.wait(PATIENCE)
        for _ in range(20):
            mode.recover("redis")
            mode.evaluate()

    threads = [threading.Thread(target=order) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    settle(mode)
    assert action.most == 1
    assert 1 <= len(action.at) <= 160
    assert stage(mode) is SUCCEEDED


# Ends


def test_closing_cancels_what_runs_and_forgets_it(
    mode: SystemOperationMode, clock: ManualClock, action: Action
) -> None:
    """The late end of a cancelled attempt counts for nothing; what fails then is a new failure."""
    mode.recovery("redis", action)
    action.does = action.hang
    kill(mode)
    clock.advance(30)
    mode.evaluate()
    assert action.entered.acquire(timeout=PATIENCE)
    mode.close(0.05)
    action.does = lambda: None
    action.let_go.set()
    assert mode.flush()
    found = mode.recoveries["redis"]
    assert (found.stage, found.attempt, found.next_in) == (WAITING, 0, 30.0)


def test_closing_ends_an_attempt_at_once(mode: SystemOperationMode, action: Action) -> None:
    """Whoever closes the mode may order an attempt in the next line."""
    mode.recovery("redis", action)
    action.does = action.hang
    assert mode.recover("redis")
    assert action.entered.acquire(timeout=PATIENCE)
    mode.close(0)
    assert mode.recover("redis")


def test_closing_cancels_an_async_attempt(clock: ManualClock) -> None:
    """Its task has ended when the mode is closed."""
    ended: list[str] = []

    async def story() -> None:
        async with SystemOperationMode(clock=clock) as mode:

            @mode.recovery("redis")
            async def hang() -> None:
                try:
                    await asyncio.Event().wait()
                finally:
                    ended.append("cancelled")

            kill(mode)
            await asyncio.sleep(40)
            assert stage(mode) is ATTEMPTING
        await asyncio.sleep(0)
        assert ended == ["cancelled"]
        assert len(asyncio.all_tasks()) == 1

    run(story(), clock)


def test_async_actions_on_jumping_time(clock: ManualClock) -> None:
    """The whole course in an event loop: 20 s an attempt, a time limit, and success."""
    began: list[float] = []
    up = False

    async def story() -> RecoveryStatus:
        nonlocal up
        mended = asyncio.Event()
        async with SystemOperationMode(clock=clock) as mode:

            @mode.probe("redis", interval=10, failed_after=3, jitter=0.0)
            async def ping() -> bool:
                await asyncio.sleep(0.01)
                return up

            @mode.recovery("redis", timeout=60)
            async def restart() -> None:
                nonlocal up
                began.append(clock.monotonic())
                if len(began) == 1:
                    await asyncio.sleep(3600)  # cut off after 60 s
                await asyncio.sleep(20)
                if up := len(began) == 3:
                    mended.set()

            await mended.wait()
            await asyncio.sleep(5)
            return mode.recoveries["redis"]

    found = run(story(), clock)
    # It failed with the first answer; the attempts take 60 and 20 s, and the probe 10 ms.
    assert began == pytest.approx([30, 30 + 60 + 60, 150 + 20 + 120], abs=1.5)
    assert (found.stage, found.attempt) == (SUCCEEDED, 3)


def test_a_mode_that_is_dropped_is_gone(clock: ManualClock, action: Action) -> None:
    """Neither a plan nor an attempt under way keeps the mode alive."""
    mode = SystemOperationMode(clock=clock)
    mode.recovery("redis", action, verify=lambda: True)
    kill(mode)
    action.does = action.hang
    clock.advance(30)
    mode.evaluate()
    assert action.entered.acquire(timeout=PATIENCE)
    gone = weakref.ref(mode)
    del mode
    gc.collect()
    assert gone() is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_begins_anew(
    mode: SystemOperationMode, clock: ManualClock, action: Action
) -> None:
    """The parent's attempt does not run in the child, which may make its own."""
    mode.recovery("redis", action)
    action.does = action.hang
    kill(mode)
    clock.advance(30)
    mode.evaluate()
    assert action.entered.acquire(timeout=PATIENCE)
    child = os.fork()
    if child == 0:
        action.does = lambda: None
        anew = mode.recoveries["redis"].attempt == 0
        pass_time(mode, clock, by=31)
        os._exit(0 if anew and len(action.at) == 2 else 1)
    _, status = os.waitpid(child, 0)
    assert status == 0


def test_a_second_recovery_of_a_name_takes_the_place_of_the_first(
    mode: SystemOperationMode, clock: ManualClock, action: Action
) -> None:
    """The first is never heard of again."""
    old: list[int] = []
    mode.recovery("redis", lambda: old.append(1))
    kill(mode)
    pass_time(mode, clock, by=10)
    mode.recovery("redis", action)
    pass_time(mode, clock, by=31)
    assert (old, action.at) == ([], [40.0])


# Settings


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("backoff", -1),
        ("backoff", float("nan")),
        ("factor", 0.5),
        ("factor", True),
        ("attempts", 0),
        ("attempts", 1.5),
        ("max_backoff", 0),
        ("timeout", 0),
        ("below", 0),
        ("below", 0.71),
        ("jitter", 1.0),
        ("jitter", -0.1),
    ],
)
def test_bad_settings_are_refused(mode: SystemOperationMode, setting: str, value: Any) -> None:
    """At once, naming the setting and the value."""
    with pytest.raises(ConfigError) as refusal:
        mode.recovery("redis", lambda: None, **{setting: value})
    assert (refusal.value.setting, str(refusal.value.value)) == (setting, str(value))
    assert not mode.recoveries


def test_what_cannot_be_called_is_refused(mode: SystemOperationMode) -> None:
    """Both functions; and an order for what has no recovery."""
    with pytest.raises(TypeError, match="functions"):
        mode.recovery("redis", 42)  # type: ignore[call-overload]  # on purpose
    with pytest.raises(TypeError, match="functions"):
        mode.recovery("redis", lambda: None, verify=42)  # type: ignore[call-overload]  # on purpose
    with pytest.raises(ConfigError, match="a component with a recovery"):
        mode.recover("redis")
    with pytest.raises(ConfigError, match="name"):
        mode.recovery("")

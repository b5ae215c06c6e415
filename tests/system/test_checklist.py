"""Laws of the checklist: nothing improves before it is met, and what is missing is named.

The conditions are those of the list in "Success and Failure States": a backlog below 100, latency
below 100 ms for 10 minutes, no error for 5 minutes.
"""

from __future__ import annotations

import asyncio
import gc
import math
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from resilient.core.hub import hub
from resilient.errors import ConfigError
from resilient.events import CallFailed
from resilient.mode import Mode, SystemOperationMode
from resilient.policies.breaker import breaker
from resilient.system.checklist.requirement import Requirement, RequirementStatus
from resilient.system.decision.steady import Steady
from resilient.system.runbooks.runbook import runbook
from resilient.system.runbooks.step import step
from resilient.system.settings import Settings
from resilient.testing import ManualClock

NORMAL, DEGRADED, EMERGENCY = Mode

PATIENCE = 10.0
"""Real seconds after which a test gives up; none takes a tenth of it."""


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


def settle(mode: SystemOperationMode) -> None:
    """Have everything done that is due at this instant."""
    mode.evaluate()
    assert mode.flush()


def pass_time(mode: SystemOperationMode, clock: ManualClock, *, by: float) -> None:
    """Let `by` seconds pass, second by second, with everything done that is due."""
    for _ in range(round(by)):
        clock.advance(1)
        settle(mode)


def outage(mode: SystemOperationMode, clock: ManualClock) -> None:
    """Be in EMERGENCY, with everything well again."""
    mode.mark_degraded("redis", "killed", severity="critical")
    pass_time(mode, clock, by=20)
    assert mode.current is EMERGENCY
    mode.clear("redis")
    settle(mode)


def entered(mode: SystemOperationMode) -> list[tuple[Mode, float]]:
    """The modes that were entered after the outage, with the instants."""
    return [(change.new, change.at) for change in mode.history[1:]]


PLAIN = [(DEGRADED, pytest.approx(60.5, abs=1)), (NORMAL, pytest.approx(108.5, abs=1))]
"""38 s and 48 s of confirmation after the outage, the first from when the score passed 62."""


def test_without_a_checklist_the_score_decides(
    mode: SystemOperationMode, clock: ManualClock
) -> None:
    """What the other tests are compared with."""
    outage(mode, clock)
    pass_time(mode, clock, by=200)
    assert entered(mode) == PLAIN


def test_a_condition_that_is_met_changes_nothing(
    mode: SystemOperationMode, clock: ManualClock
) -> None:
    """The improvements come at the same instants."""
    mode.require("backlog below 100", lambda: True)
    outage(mode, clock)
    pass_time(mode, clock, by=200)
    assert entered(mode) == PLAIN


def test_nothing_improves_while_one_is_unmet(mode: SystemOperationMode, clock: ManualClock) -> None:
    """It is named, with what is missing; and the mode improves a second after it is met.

    The score was good for 200 s by then: that counts, for one improvement.
    """
    backlog = 500
    mode.require("backlog below 100", lambda: backlog < 100)
    outage(mode, clock)
    pass_time(mode, clock, by=200)
    assert mode.current is EMERGENCY
    found = mode.explain()
    assert found.unmet == ("backlog below 100 (answered False)",)
    assert "UNMET: backlog below 100 (answered False), so nothing improves" in found.reasons
    assert "it may improve when this holds: backlog below 100" in str(found)
    assert "DEGRADED: confirmed for 38.0 of 38.0 s" in str(found)
    backlog = 99
    pass_time(mode, clock, by=2)
    assert mode.current is DEGRADED
    pass_time(mode, clock, by=60)
    assert [new for new, _ in entered(mode)] == [DEGRADED, NORMAL]
    assert entered(mode)[1][1] - entered(mode)[0][1] == pytest.approx(48, abs=1)
    assert mode.explain().unmet == ()


def test_it_never_makes_anything_worse(mode: SystemOperationMode, clock: ManualClock) -> None:
    """In NORMAL a condition that is unmet is on the list, and nowhere else."""
    mode.require("backlog below 100", lambda: False)
    mode.metric("redis").set(1.0)
    pass_time(mode, clock, by=60)
    assert mode.current is NORMAL
    assert mode.reasons == ()
    assert mode.checklist == (
        RequirementStatus(name="backlog below 100", met=False, detail="answered False"),
    )
    assert str(mode.checklist[0]) == "[ ] backlog below 100: answered False"


def test_one_may_guard_one_improvement(mode: SystemOperationMode, clock: ManualClock) -> None:
    """`to="normal"` lets EMERGENCY become DEGRADED."""
    mode.require("backlog below 100", lambda: False, to="normal")
    outage(mode, clock)
    assert mode.explain().unmet == ()
    pass_time(mode, clock, by=300)
    assert entered(mode) == PLAIN[:1]
    assert mode.explain().unmet == ("backlog below 100 (answered False)",)


def test_the_other_one_may_be_guarded(mode: SystemOperationMode, clock: ManualClock) -> None:
    """`to=Mode.DEGRADED` does not forbid NORMAL once DEGRADED was reached."""
    open_gate = False
    mode.require("drained", lambda: open_gate, to=DEGRADED)
    outage(mode, clock)
    pass_time(mode, clock, by=100)
    assert mode.current is EMERGENCY
    open_gate = True
    pass_time(mode, clock, by=3)
    assert mode.current is DEGRADED
    open_gate = False
    pass_time(mode, clock, by=60)
    assert mode.current is NORMAL


# For how long


def test_it_must_hold_without_a_break(mode: SystemOperationMode, clock: ManualClock) -> None:
    """Latency below 100 ms for 10 minutes: one slow answer, and they begin anew."""
    latency = 0.05
    mode.require("latency below 100 ms", lambda: latency < 0.1, hold=600)
    outage(mode, clock)
    pass_time(mode, clock, by=380)
    assert mode.explain().unmet == ("latency below 100 ms (held for 399 of 600 s)",)
    latency = 0.2
    pass_time(mode, clock, by=1)
    latency = 0.05
    pass_time(mode, clock, by=599)
    assert mode.current is EMERGENCY
    pass_time(mode, clock, by=3)
    assert mode.current is DEGRADED
    pass_time(mode, clock, by=60)
    assert mode.current is NORMAL


def test_it_has_held_since_before_the_outage(mode: SystemOperationMode, clock: ManualClock) -> None:
    """It is asked all the time, so an outage that did not touch it is no reason to wait."""
    mode.require("latency below 100 ms", lambda: True, hold=600)
    pass_time(mode, clock, by=600)
    outage(mode, clock)
    pass_time(mode, clock, by=100)
    assert mode.current is NORMAL


def test_the_interval_is_kept(mode: SystemOperationMode, clock: ManualClock) -> None:
    """Every 10 s and not oftener."""
    asked: list[float] = []
    mode.require("slow", lambda: asked.append(clock.monotonic()), interval=10)
    settle(mode)
    pass_time(mode, clock, by=35)
    assert asked == [0.0, 10.0, 20.0, 30.0]


def test_silence_is_no_answer(mode: SystemOperationMode, clock: ManualClock) -> None:
    """What was true an hour ago is not known to hold; the next answer says."""
    mode.require("backlog below 100", lambda: True)
    outage(mode, clock)
    clock.advance(3600)
    job = mode._ledger.jobs[("requirement", "backlog below 100")]
    assert job.unmet() == ("backlog below 100 (no answer for 3600 s)",)
    settle(mode)
    assert job.unmet() == ()


# What goes wrong


class WordlessError(Exception):
    """An error that cannot be shown."""

    def __repr__(self) -> str:
        """Refuse."""
        raise RuntimeError


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (False, "answered False"),
        (None, "answered None"),
        (0, "answered 0"),
        (OSError("refused"), "raised OSError('refused')"),
        (WordlessError(), "raised <WordlessError without words>"),
    ],
)
def test_what_is_not_true_is_unmet(
    mode: SystemOperationMode, clock: ManualClock, answer: Any, detail: str
) -> None:
    """With what came instead."""

    def ask() -> object:
        if isinstance(answer, Exception):
            raise answer
        return answer

    mode.require("synced", ask)
    outage(mode, clock)
    assert mode.explain().unmet == (f"synced ({detail})",)


def test_one_that_was_never_asked_is_unmet(mode: SystemOperationMode) -> None:
    """What is not known does not hold."""
    mode.trip("drill")
    entered, let_go = threading.Semaphore(0), threading.Event()

    def hang() -> bool:
        entered.release()
        return let_go.wait(PATIENCE)

    mode.require("synced", hang)
    assert entered.acquire(timeout=PATIENCE)
    assert mode.explain().unmet == ("synced (not asked yet)",)
    let_go.set()


def test_one_that_hangs_is_unmet_and_asked_once(
    mode: SystemOperationMode, clock: ManualClock
) -> None:
    """A sync one cannot be ended; it is asked again when it has."""
    entered, let_go = threading.Semaphore(0), threading.Event()
    asked = 0
    hangs = True

    def ask() -> bool:
        nonlocal asked
        asked += 1
        if hangs:
            entered.release()
            assert let_go.wait(PATIENCE)
        return True

    mode.trip("drill")
    mode.require("synced", ask, timeout=2)
    assert entered.acquire(timeout=PATIENCE)
    for _ in range(30):
        clock.advance(1)
        mode.evaluate()
    assert mode.explain().unmet == ("synced (no answer within 2 s)",)
    assert asked == 1
    hangs = False
    let_go.set()
    pass_time(mode, clock, by=3)
    assert mode.explain().unmet == ()


async def test_an_async_one_is_asked_on_its_loop() -> None:
    """And a mode that is closed asks no more."""
    asked: list[threading.Thread] = []
    async with SystemOperationMode() as mode:

        @mode.require("synced")
        async def synced() -> bool:
            asked.append(threading.current_thread())
            return True

        while not mode.checklist[0].met:
            await mode.wait_for(NORMAL)
            await asyncio.sleep(0)
    assert set(asked) == {threading.current_thread()}


# What the mode can answer by itself


def test_quiet_while_a_recovery_is_at_work(mode: SystemOperationMode, clock: ManualClock) -> None:
    """No improvement under the hands of those who repair."""
    entered, let_go = threading.Semaphore(0), threading.Event()

    def hang() -> None:
        entered.release()
        assert let_go.wait(PATIENCE)

    mode.require_quiet()
    mode.recovery("redis", hang, timeout=3600)
    outage(mode, clock)
    assert mode.recover("redis")
    mode.evaluate()
    assert entered.acquire(timeout=PATIENCE)
    for _ in range(100):
        clock.advance(1)
        mode.evaluate()
    assert mode.current is EMERGENCY
    assert mode.explain().unmet == ("no recovery or runbook is at work (recovery of redis)",)
    let_go.set()
    assert mode.flush()
    pass_time(mode, clock, by=2)
    assert mode.current is DEGRADED


def test_quiet_while_a_runbook_is_at_work(mode: SystemOperationMode, clock: ManualClock) -> None:
    """The same for those who follow a procedure."""
    entered, let_go = threading.Semaphore(0), threading.Event()

    def drain() -> None:
        entered.release()
        assert let_go.wait(PATIENCE)

    mode.require_quiet()
    outage(mode, clock)
    mode.run(runbook("drain", step("drain", drain, timeout=3600)))
    assert entered.acquire(timeout=PATIENCE)
    for _ in range(100):
        clock.advance(1)
        mode.evaluate()
    assert mode.current is EMERGENCY
    assert mode.explain().unmet == ("no recovery or runbook is at work (run of drain-1)",)
    let_go.set()
    assert mode.flush()
    pass_time(mode, clock, by=2)
    assert mode.current is DEGRADED


def test_no_component_failed_for_a_time(mode: SystemOperationMode, clock: ManualClock) -> None:
    """Also one that carries no weight in the score to speak of."""
    mode.require_no_failure(120)
    mode.component("toy", weight=0.001)
    outage(mode, clock)
    mode.metric("redis").set(1.0)
    pass_time(mode, clock, by=19)
    mode.mark_degraded("toy", "broken", severity="critical")
    pass_time(mode, clock, by=1)
    mode.clear("toy")
    pass_time(mode, clock, by=100)
    assert mode.explain().unmet == ("no component failed for 120 s (toy failed 100 s ago)",)
    assert mode.current is EMERGENCY
    pass_time(mode, clock, by=22)
    assert mode.current is DEGRADED


def test_no_call_failed_for_a_time(mode: SystemOperationMode, clock: ManualClock) -> None:
    """One call through a breaker of this mode is enough; those of strangers are not."""
    mode.require_no_error(300)
    payments = breaker("payments", mode=mode, clock=clock)
    strange = breaker("strange", mode=SystemOperationMode(clock=clock), clock=clock)

    def fail() -> None:
        raise OSError

    outage(mode, clock)
    for gate in (payments, strange):
        with pytest.raises(OSError):  # noqa: PT011  (the one above)
            gate.call(fail)
    pass_time(mode, clock, by=200)
    assert mode.explain().unmet == ("no call failed for 300 s (payments failed 200 s ago)",)
    with pytest.raises(OSError):  # noqa: PT011  (the one above)
        strange.call(fail)
    pass_time(mode, clock, by=103)
    assert mode.current is DEGRADED


def test_the_mode_listens_to_calls_only_on_request() -> None:
    """And stops when it is gone."""
    gc.collect()
    before = hub.bus.wants(CallFailed)
    mode = SystemOperationMode(clock=ManualClock())
    assert hub.bus.wants(CallFailed) == before
    mode.require_no_error()
    assert hub.bus.wants(CallFailed) != before
    mode.unrequire("no call failed for 300 s")
    assert hub.bus.wants(CallFailed) == before
    mode.require_no_error()
    del mode
    gc.collect()
    assert hub.bus.wants(CallFailed) == before


# Taking one off


def test_one_may_be_taken_off(mode: SystemOperationMode, clock: ManualClock) -> None:
    """A condition that is wrong at 3 am must not hold the mode for ever."""
    mode.require("wrong", lambda: False)
    outage(mode, clock)
    pass_time(mode, clock, by=100)
    assert mode.current is EMERGENCY
    assert mode.unrequire("wrong")
    assert not mode.unrequire("wrong")
    assert mode.checklist == ()
    pass_time(mode, clock, by=2)
    assert mode.current is DEGRADED


def test_a_second_one_of_a_name_takes_the_place_of_the_first(
    mode: SystemOperationMode, clock: ManualClock
) -> None:
    """The first is asked no more."""
    asked: list[str] = []
    mode.require("synced", lambda: asked.append("first"))
    settle(mode)
    mode.require("synced", lambda: asked.append("second"))
    pass_time(mode, clock, by=3)
    assert asked.count("first") == 1
    assert asked.count("second") >= 3
    assert [line.name for line in mode.checklist] == ["synced"]


def test_a_mode_that_is_dropped_is_gone(clock: ManualClock) -> None:
    """No condition keeps it alive."""
    mode = SystemOperationMode(clock=clock)
    mode.require("synced", lambda: True)
    mode.require_quiet()
    mode.require_no_failure()
    settle(mode)
    gone = weakref.ref(mode)
    del mode
    gc.collect()
    assert gone() is None


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_asks_by_itself(mode: SystemOperationMode, clock: ManualClock) -> None:
    """A question of the parent's that hangs is none of the child's."""
    entered, let_go = threading.Semaphore(0), threading.Event()
    hangs = False

    def ask() -> bool:
        if hangs:
            entered.release()
            assert let_go.wait(PATIENCE)
        return True

    mode.require("synced", ask)
    settle(mode)
    assert mode.checklist[0].met
    hangs = True
    clock.advance(1)
    mode.evaluate()
    assert entered.acquire(timeout=PATIENCE)
    child = os.fork()
    if not child:
        code = 1
        try:
            hangs = False
            job = mode._ledger.jobs[("requirement", "synced")]
            unknown = isinstance(job, Requirement) and job.status().detail == "not asked yet"
            pass_time(mode, clock, by=3)
            code = 0 if unknown and mode.checklist[0].met else 2
        finally:
            os._exit(code)
    let_go.set()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize(
    ("setting", "value"),
    [("hold", -1), ("to", "emergency"), ("to", "fine"), ("interval", 0), ("timeout", 0)],
)
def test_bad_settings_are_refused(mode: SystemOperationMode, setting: str, value: Any) -> None:
    """At once, naming the setting."""
    with pytest.raises(ConfigError) as refusal:
        mode.require("synced", lambda: True, **{setting: value})
    assert refusal.value.setting == setting
    assert mode.checklist == ()


@pytest.mark.parametrize(
    "wrong",
    [
        lambda mode: mode.require("synced", 42),
        lambda mode: mode.require("", lambda: True),
        lambda mode: mode.require_no_failure(0),
        lambda mode: mode.require_no_error(-1),
        lambda mode: mode.require_quiet(to="emergency"),
    ],
)
def test_so_are_others(
    mode: SystemOperationMode, wrong: Callable[[SystemOperationMode], None]
) -> None:
    """With an error of the kind that says what is allowed."""
    with pytest.raises((ConfigError, TypeError)):
        wrong(mode)
    assert mode.checklist == ()


# The pure part


CONFIRMED = 2.5 * math.log(1 / 0.38) + 38.0
"""The score passes 62 after tau ln(1 / 0.38), and must stay there for 38 s."""


@pytest.mark.parametrize("met_at", [1.0, 10.0, 40.0, 41.0, 100.0])
def test_what_is_confirmed_while_it_waits_counts(met_at: float) -> None:
    """The later of the two decides: the confirmation, or the condition."""
    steady = Steady(Settings(), now=0.0)
    steady.trip(0.0)
    steady.feed(1.0, waits=True)
    made = steady.advance(met_at)
    steady.feed(1.0)
    made += steady.advance(120.0)
    assert made[0].new is DEGRADED
    assert made[0].at == pytest.approx(max(CONFIRMED, met_at))


def test_blindness_is_no_confirmation() -> None:
    """`held` is another thing: a score over half of what should be known confirms nothing."""
    steady = Steady(Settings(), now=0.0)
    steady.trip(0.0)
    steady.feed(1.0, held=True)
    steady.advance(100.0)
    steady.feed(1.0)
    assert [one.at for one in steady.advance(150.0)] == [pytest.approx(138.0)]

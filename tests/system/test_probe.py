"""Laws of probes: what they make of answers and of silence, and that they harm nobody."""

from __future__ import annotations

import asyncio
import gc
import math
import os
import random
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilient.core.hub import hub, subscribe
from resilient.errors import CallTimeoutError, ConfigError
from resilient.events import Severity
from resilient.mode import Mode, SystemOperationMode
from resilient.system.errand import Errand, Report
from resilient.system.probes.probe import (
    Probe,
    ProbeChanged,
    ProbeResult,
    ProbeRules,
    ProbeStatus,
)
from resilient.system.timeline import Timeline
from resilient.system.view import View
from resilient.testing import ManualClock
from resilient.testing.loop import run

PATIENCE = 10.0
"""Real seconds after which a test gives up; none takes a tenth of it."""

HEALTHY, DEGRADED, UNHEALTHY, FAILED = ProbeStatus
REFUSED = ConnectionRefusedError("refused")
DETAIL = "ConnectionRefusedError: refused"
RULES = ProbeRules(interval=10.0, degraded_above=0.1, failed_after=3, jitter=0.2)
"""The figures of the source documents ("Graceful Degradation"): 100 ms, 3 failures, 10 s."""


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


def pass_time(mode: SystemOperationMode, clock: ManualClock, *, by: float) -> None:
    """Let `by` seconds pass, second by second, with everything done that is due."""
    for _ in range(round(by)):
        clock.advance(1)
        mode.evaluate()
        assert mode.flush()


def workers() -> set[threading.Thread]:
    """The threads of the dispatcher."""
    return {one for one in threading.enumerate() if one.name == "resilient-dispatcher"}


class Server:
    """Something to be asked: answers, refuses, or does not answer at all."""

    def __init__(self) -> None:
        self.asked = 0
        self.up = True
        self.hangs = False
        self.entered = threading.Semaphore(0)
        self.let_go = threading.Event()

    def ping(self) -> None:
        """Be asked."""
        self.asked += 1
        if self.hangs:
            self.entered.release()
            assert self.let_go.wait(PATIENCE)
        if not self.up:
            raise REFUSED

    async def ping_async(self) -> None:
        """Be asked on an event loop."""
        self.asked += 1
        if self.hangs:
            await asyncio.Event().wait()
        if not self.up:
            raise REFUSED


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that lets go at the end."""
    made = Server()
    yield made
    made.let_go.set()
    assert hub.dispatcher.flush(PATIENCE)


# What an answer says


@pytest.mark.parametrize(
    ("report", "failures", "status", "counted", "detail"),
    [
        (Report(5, 0.02), 0, HEALTHY, 0, "answered in 0.02 s"),
        (Report(5, 0.02, value=object()), 2, HEALTHY, 0, "answered in 0.02 s"),
        (Report(5, 0.1), 0, HEALTHY, 0, "answered in 0.1 s"),
        (Report(5, 0.101), 2, DEGRADED, 0, "answered in 0.101 s, more than 0.1 s"),
        (Report(5, 0.02, error=REFUSED), 0, UNHEALTHY, 1, DETAIL),
        (Report(5, 0.02, error=REFUSED), 1, UNHEALTHY, 2, DETAIL),
        (Report(5, 0.02, error=REFUSED), 2, FAILED, 3, DETAIL),
        (Report(5, 0.02, error=REFUSED), 9, FAILED, 10, DETAIL),
        (Report(5, 1, error=CallTimeoutError("x", 1)), 2, FAILED, 3, "no answer within 1 s"),
        (Report(5, 0.02, value=False), 0, UNHEALTHY, 1, "answered False"),
        (Report(5, 0.2, value=ProbeResult("healthy", "fine")), 2, HEALTHY, 0, "fine"),
        (Report(5, 0.2, value=HEALTHY), 2, HEALTHY, 0, "answered in 0.2 s"),
        (Report(5, 0.02, value=DEGRADED), 2, DEGRADED, 0, "answered in 0.02 s"),
        (Report(5, 0.02, value=ProbeResult("unhealthy", "so so")), 5, UNHEALTHY, 6, "so so"),
        (Report(5, 0.02, value=ProbeResult("FAILED", "gone")), 0, FAILED, 1, "gone"),
    ],
)
def test_what_an_answer_says(
    report: Report, failures: int, status: ProbeStatus, counted: int, detail: str
) -> None:
    """A failure is believed after so many in a row; a status is taken as it was said."""
    reading = RULES.judge(report, failures)
    assert (reading.status, reading.failures, reading.detail) == (status, counted, detail)
    assert (reading.at, reading.seconds) == (report.began, report.seconds)


def test_without_a_limit_slow_is_well() -> None:
    """`degraded_above` is off by default."""
    rules = RULES._replace(degraded_above=None)
    assert rules.judge(Report(0, 999), 0).status is HEALTHY


def test_states_are_worth_1_06_03_0() -> None:
    """The table of evidence: healthy 1, degraded 0.6, unhealthy 0.3, failed 0."""
    assert [status.health for status in ProbeStatus] == [1.0, 0.6, 0.3, 0.0]


def test_names_of_states_are_read() -> None:
    """In either case; others are refused by name."""
    assert ProbeStatus.of("Degraded") is DEGRADED
    with pytest.raises(ConfigError, match="status"):
        ProbeStatus.of("dead")


@settings(deadline=None)  # a busy machine is no counterexample
@given(
    seed=st.integers(0, 2**32),
    interval=st.floats(0.1, 1e4),
    jitter=st.floats(0, 0.99),
)
def test_questions_keep_their_distance_and_a_fleet_does_not_ask_in_step(
    seed: int, interval: float, jitter: float
) -> None:
    """Each pause is the interval give or take the jitter; the first one up to the jitter."""
    rules = ProbeRules(interval, None, 3, jitter)
    uniform = random.Random(seed).uniform  # noqa: S311  (jitter is no secret)
    errands: list[Errand] = []

    def errand(done: object) -> Errand:
        errands.append(Errand("db", lambda: None, 1.0, Timeline(ManualClock()), print))
        return errands[-1]

    fleet = [
        Probe("db", rules, now=0.0, errand=errand, told=print, uniform=uniform) for _ in range(8)
    ]
    first = [probe.due() for probe in fleet]
    assert all(0 <= due <= jitter * interval for due in first)
    for one in errands:
        one.retire()
    late = max(first)
    for probe in fleet:
        probe.poll(View(late, Mode.NORMAL))
        pause = probe.due() - late
        assert interval * (1 - jitter) * 0.999 <= pause <= interval * (1 + jitter) * 1.001
    if jitter * interval > 1e-3:
        assert len(set(first)) == len({probe.due() for probe in fleet}) == len(fleet)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("interval", 0),
        ("timeout", -1),
        ("timeout", math.inf),
        ("degraded_above", "slow"),
        ("failed_after", 0),
        ("failed_after", 1.5),
        ("jitter", 1),
        ("jitter", -0.1),
        ("weight", 0),
        ("criticality", "urgent"),
    ],
)
def test_bad_settings_are_refused_by_name(
    mode: SystemOperationMode, setting: str, value: object
) -> None:
    """When they are given; nothing is asked then."""
    with pytest.raises(ConfigError, match=setting) as caught:
        mode.probe("redis", print, **{setting: value})  # type: ignore[call-overload]  # wrong on purpose
    assert caught.value.setting == setting
    assert not mode.probes


# In a mode


def test_it_asks_in_its_interval_and_is_believed_after_three_failures(
    mode: SystemOperationMode, clock: ManualClock, server: Server
) -> None:
    """Healthy, unhealthy twice, failed, healthy at once: each change told once."""
    changes: list[ProbeChanged] = []
    listener = subscribe(ProbeChanged, changes.append)
    assert mode.probe("redis", server.ping, jitter=0) == server.ping
    pass_time(mode, clock, by=25)
    assert server.asked == 3  # at 0, 10 and 20 s
    server.up = False
    pass_time(mode, clock, by=10)
    assert mode.probes["redis"].status is UNHEALTHY
    pass_time(mode, clock, by=20)
    last = mode.probes["redis"].last
    assert last is not None
    assert (last.status, last.failures, last.detail) == (FAILED, 3, DETAIL)
    server.up = True
    pass_time(mode, clock, by=10)
    listener.cancel()
    assert [(one.old, one.new) for one in changes] == [
        (None, HEALTHY),
        (HEALTHY, UNHEALTHY),
        (UNHEALTHY, FAILED),
        (FAILED, HEALTHY),
    ]
    assert [one.severity for one in changes] == [
        Severity.INFO,
        Severity.WARNING,
        Severity.ERROR,
        Severity.INFO,
    ]
    assert {(one.name, one.mode) for one in changes} == {("redis", "system")}


def test_a_sync_probe_that_hangs_fails_holds_one_thread_and_is_asked_once(
    mode: SystemOperationMode, clock: ManualClock, server: Server
) -> None:
    """However many intervals pass. When it returns at last, that answer counts for nothing."""
    server.hangs = True
    mode.probe("redis", server.ping, jitter=0, timeout=0.5)
    mode.evaluate()
    assert server.entered.acquire(timeout=PATIENCE)
    probe, before = mode.probes["redis"], workers()
    clock.advance(0.5)
    mode.evaluate()
    assert probe.status is UNHEALTHY
    for _ in range(100):
        clock.advance(10)
        mode.evaluate()
    assert (probe.status, server.asked) == (FAILED, 1)
    assert probe.last is not None
    assert (probe.last.failures, probe.last.at) == (101, 0.0)
    assert probe.last.detail == "no answer within 1e+03 s"
    assert mode.explain().contributions[0].health == 0.0
    # One may have begun to work while the first one hangs, and one to watch over it.
    assert len(workers() - before) <= 2
    server.hangs = False
    server.let_go.set()
    assert mode.flush()
    assert (probe.status, server.asked) == (FAILED, 1)
    pass_time(mode, clock, by=10)
    assert (probe.status, server.asked) == (HEALTHY, 2)


def test_a_question_that_is_still_in_its_time_is_no_failure(
    mode: SystemOperationMode, clock: ManualClock, server: Server
) -> None:
    """The limit may be longer than the interval; the next question then waits for its turn."""
    server.hangs = True
    mode.probe("reports", server.ping, interval=1, timeout=5, jitter=0)
    mode.evaluate()
    assert server.entered.acquire(timeout=PATIENCE)
    for _ in range(4):
        clock.advance(1)
        mode.evaluate()
    assert mode.probes["reports"].last is None
    server.hangs = False
    server.let_go.set()
    assert mode.flush()
    assert mode.probes["reports"].status is HEALTHY
    assert mode.probes["reports"].last
    assert mode.probes["reports"].last.seconds == 4.0


def test_an_async_probe_that_hangs_is_cancelled_and_asked_again(clock: ManualClock) -> None:
    """At each interval, on the loop of ``async with mode``; nothing is left there at the end."""
    server = Server()
    server.hangs = True

    async def main() -> list[ProbeStatus | None]:
        mode = SystemOperationMode(clock=clock)
        seen: list[ProbeStatus | None] = []
        async with mode:
            mode.probe("redis", server.ping_async, jitter=0)
            for _ in range(3):
                await asyncio.sleep(10)
                seen.append(mode.probes["redis"].status)
            server.hangs = False
            await asyncio.sleep(10)
            seen.append(mode.probes["redis"].status)
            server.hangs = True
            await asyncio.sleep(6)
        assert len(asyncio.all_tasks()) == 1
        return seen

    assert run(main(), clock) == [UNHEALTHY, UNHEALTHY, FAILED, HEALTHY]
    assert server.asked == 5


def test_closing_while_it_hangs_leaves_no_task(clock: ManualClock) -> None:
    """The question is given up with the mode."""

    async def main() -> None:
        server = Server()
        server.hangs = True
        mode = SystemOperationMode(clock=clock)
        async with mode:
            mode.probe("redis", server.ping_async, jitter=0)
            await asyncio.sleep(0.5)
            assert server.asked == 1
            assert len(asyncio.all_tasks()) == 3
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 1
        assert mode.probes["redis"].last is None

    run(main(), clock)


def test_an_async_probe_needs_no_loop(
    mode: SystemOperationMode, clock: ManualClock, server: Server
) -> None:
    """It runs on one of the library's own."""
    mode.probe("redis", server.ping_async, jitter=0)
    pass_time(mode, clock, by=11)
    assert (server.asked, mode.probes["redis"].status) == (2, HEALTHY)


async def test_silence_is_blindness(
    mode: SystemOperationMode, clock: ManualClock, server: Server
) -> None:
    """No answer for two intervals and the time limit: unknown where knowledge was promised.

    This loop takes no turn, so the question is neither answered nor given up.
    """
    mode.probe("redis", server.ping_async, jitter=0, timeout=1)
    mode.evaluate()
    clock.advance(20.9)
    mode.evaluate()
    assert "BLIND" not in " ".join(mode.reasons)
    clock.advance(0.2)
    mode.evaluate()
    assert any(reason.startswith("BLIND: redis fell silent") for reason in mode.reasons)
    assert server.asked == 0


@pytest.mark.parametrize(
    ("criticality", "seen"),
    [("critical", Mode.EMERGENCY), ("high", Mode.NORMAL), ("low", Mode.NORMAL)],
)
def test_a_critical_one_that_failed_is_emergency_at_once(
    mode: SystemOperationMode, clock: ManualClock, criticality: str, seen: Mode
) -> None:
    """A hard trip skips smoothing and confirmation; the others take their ordinary time."""
    mode.probe("db", lambda: ProbeResult("failed"), criticality=criticality, jitter=0)
    mode.evaluate()
    assert mode.flush()
    assert mode.current is seen
    assert mode.ready()


def test_one_that_a_fallback_answers_for_is_no_emergency(
    mode: SystemOperationMode, clock: ManualClock
) -> None:
    """95 % of its calls get an answer: one criticality softer."""
    for _ in range(20):
        mode._ledger.fallbacks.note("db", worked=True, now=mode._time.now())
    mode.probe("db", lambda: ProbeResult("failed"), criticality="critical", jitter=0)
    mode.evaluate()
    assert mode.flush()
    assert mode.probes["db"].status is FAILED
    assert mode.current is Mode.NORMAL


def test_a_level_holds_while_it_is_true_and_makes_the_process_not_ready(
    mode: SystemOperationMode, clock: ManualClock
) -> None:
    """`trips=True`: EMERGENCY from the reading that says so to the one that does not."""
    says = [FAILED]
    mode.probe("memory", lambda: says[0], trips=True, interval=1, jitter=0, weight=0.01)
    pass_time(mode, clock, by=1)
    assert (mode.current, mode.ready()) == (Mode.EMERGENCY, False)
    assert "TRIP: the probe of memory failed" in " ".join(mode.reasons)
    pass_time(mode, clock, by=300)
    assert (mode.current, mode.ready()) == (Mode.EMERGENCY, False)
    says[0] = HEALTHY
    pass_time(mode, clock, by=1)
    assert mode.ready()
    pass_time(mode, clock, by=120)
    assert mode.current is Mode.NORMAL


def test_a_trip_ends_with_the_probe_that_made_it(
    mode: SystemOperationMode, clock: ManualClock
) -> None:
    """Another one in its place that does not trip holds nothing."""
    mode.probe("memory", lambda: FAILED, trips=True, jitter=0)
    mode.evaluate()
    assert mode.flush()
    assert not mode.ready()
    mode.probe("memory", lambda: HEALTHY, jitter=0)
    assert mode.flush()
    assert mode.ready()


def test_a_probe_that_is_replaced_stops(
    mode: SystemOperationMode, clock: ManualClock, server: Server
) -> None:
    """It is not asked again, and what it says late is not heard; its receiver is let go."""
    server.hangs = True
    mode.probe("redis", server.ping, jitter=0)
    mode.evaluate()
    assert server.entered.acquire(timeout=PATIENCE)
    for _ in range(20):
        mode.probe("redis", lambda: None, jitter=0)
    server.up = False
    server.let_go.set()
    pass_time(mode, clock, by=30)
    assert server.asked == 1
    assert mode.probes["redis"].status is HEALTHY
    assert sum(not listener.cancelled for listener in mode._owned) == 1


def test_a_status_that_does_not_exist_is_a_failure(
    mode: SystemOperationMode, clock: ManualClock
) -> None:
    """Of the probe; it is named."""
    mode.probe("redis", lambda: ProbeResult("splendid"), jitter=0)
    mode.evaluate()
    assert mode.flush()
    last = mode.probes["redis"].last
    assert last is not None
    assert last.status is UNHEALTHY
    assert "splendid" in last.detail


def test_a_mode_that_nobody_holds_asks_no_more() -> None:
    """Its thread, its probes and their functions are let go, on the machine's clock."""
    server = Server()
    asked = threading.Event()

    class Ping:
        def __call__(self) -> None:
            asked.set()

    ping = Ping()
    mode = SystemOperationMode()
    mode.probe("redis", ping, interval=0.05)
    assert asked.wait(PATIENCE)
    ticker = mode._ticker
    assert ticker is not None
    gone = weakref.ref(ping)
    del mode, ping
    ticker.join(PATIENCE)
    assert not ticker.is_alive()
    assert hub.dispatcher.flush(PATIENCE)
    gc.collect()
    assert hub.dispatcher.flush(PATIENCE)
    gc.collect()
    assert gone() is None
    assert server.asked == 0


def test_it_asks_by_itself_on_the_machines_clock() -> None:
    """Nobody reads the mode; it is asked again and again all the same."""
    asked = threading.Semaphore(0)
    mode = SystemOperationMode()
    mode.probe("redis", asked.release, interval=0.02)
    try:
        for _ in range(3):
            assert asked.acquire(timeout=PATIENCE)
    finally:
        mode.close()
    assert mode._ticker is None


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_asks_by_itself(
    mode: SystemOperationMode, clock: ManualClock, server: Server
) -> None:
    """A question of the parent's that hangs is none of the child's."""
    server.hangs = True
    mode.probe("redis", server.ping, jitter=0)
    mode.evaluate()
    assert server.entered.acquire(timeout=PATIENCE)
    child = os.fork()
    if not child:
        code = 1
        try:
            server.hangs = False
            pass_time(mode, clock, by=10)
            code = 0 if mode.probes["redis"].status is HEALTHY and server.asked == 2 else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
async def test_a_forked_child_does_not_wait_for_the_parents_loop() -> None:
    """An async probe that was given on the parent's loop runs on one of the child's."""
    clock, server = ManualClock(), Server()
    mode = SystemOperationMode(clock=clock)
    mode.probe("redis", server.ping_async, jitter=0)

    def fork() -> int:
        child = os.fork()
        if child:
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        code = 1
        try:
            pass_time(mode, clock, by=10)
            code = 0 if mode.probes["redis"].status is HEALTHY else 2
        finally:
            os._exit(code)

    assert await asyncio.to_thread(fork) == 0
    await mode.aclose(0.2)


def test_a_hastened_question_waits_for_the_present_one() -> None:
    """Asked to hurry while a question is under way, a probe asks again as soon as that one ends."""
    clock = ManualClock()
    mode = SystemOperationMode(clock=clock)
    begun, release, again = threading.Event(), threading.Event(), threading.Event()
    asked: list[float] = []

    @mode.probe("redis", interval=10, timeout=5, jitter=0)
    def ping() -> None:
        asked.append(clock.monotonic())
        (begun if len(asked) == 1 else again).set()
        if len(asked) == 1:
            release.wait(30)

    mode.evaluate()
    assert begun.wait(30)
    mode.probes["redis"].hasten()
    mode.evaluate()
    assert mode.probes["redis"].status is None
    clock.advance(1)
    release.set()
    assert again.wait(30)
    assert mode.flush(30)
    assert asked == [0.0, 1.0]
    assert mode.probes["redis"].status is ProbeStatus.HEALTHY
    mode.close()


@pytest.mark.parametrize("given", [42, "ping", ProbeStatus])
def test_what_cannot_be_asked_is_refused(given: Any) -> None:
    """When it is given, and nothing is declared by it."""
    mode = SystemOperationMode(clock=ManualClock())
    with pytest.raises(TypeError):
        mode.probe("redis", given)
    assert not mode.probes
    assert not mode.health().components

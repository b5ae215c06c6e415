"""Books that the mode runs: what starts them, what ends them, and what is told."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from resilient import (
    CircuitBreaker,
    ConfigError,
    Event,
    Mode,
    RunbookFinished,
    RunbookStarted,
    RunbookStep,
    RunContext,
    RunOutcome,
    Severity,
    Step,
    StepState,
    SystemOperationMode,
    breaker,
    failure_of,
    runbook,
    step,
)
from resilient.core.hub import hub
from resilient.system.runbooks.running_books import KEPT
from resilient.testing import ManualClock

RUNBOOK = "RUNBOOK: "


@pytest.fixture
def clock() -> ManualClock:
    """A clock of this test's own."""
    return ManualClock(1000)


@pytest.fixture
def mode(clock: ManualClock) -> Iterator[SystemOperationMode]:
    """A mode on that clock."""
    made = SystemOperationMode("shop", clock=clock)
    yield made
    made.close()


@pytest.fixture
def events() -> Iterator[list[Any]]:
    """What is told of runbooks, in the order in which it is published."""
    told: list[Any] = []
    kinds = (RunbookStarted, RunbookStep, RunbookFinished)
    remove = [hub.bus.tap(kind, told.append) for kind in kinds]
    yield told
    for each in remove:
        each()


class Hands:
    """Functions that note that they were called."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def does(self, name: str, error: Exception | None = None) -> Callable[[], str]:
        """A function that notes its name, and raises."""

        def do() -> str:
            self.done.append(name)
            if error is not None:
                raise error
            return name

        return do


@pytest.fixture
def hands() -> Hands:
    """Whoever does the steps."""
    return Hands()


def _refuse() -> None:
    raise ConnectionError


def _never() -> Iterator[bool]:
    yield False


def waits(name: str = "w") -> Step:
    """A step that is never done, and waits from one attempt to the next."""
    return step(name, _refuse, attempts=99, backoff=10_000)


def settle(mode: SystemOperationMode, rounds: int = 1) -> None:
    """Let everything happen that is due."""
    for _ in range(rounds):
        mode.evaluate()
        assert mode.flush(10)


def notices(mode: SystemOperationMode) -> list[str]:
    """What the reasons say of runbooks."""
    return [text for text in mode.reasons if text.startswith(RUNBOOK)]


def fail(circuit: CircuitBreaker, times: int = 1) -> None:
    """Open it, by a call that fails."""

    def call() -> None:
        raise ConnectionError

    for _ in range(times):
        with pytest.raises(ConnectionError):
            circuit.call(call)


def plain(told: list[Any]) -> list[str]:
    """Each event as one line."""
    lines = []
    for event in told:
        assert (event.mode, event.run[: len(event.name)]) == ("shop", event.name)
        if isinstance(event, RunbookStep):
            error = f" ({event.error})" if event.error else ""
            lines.append(f"{event.step} {event.stage} {event.attempt} {event.seconds:g}{error}")
        elif isinstance(event, RunbookStarted):
            lines.append(f"started by {event.cause} in {event.incident}")
        else:
            lines.append(f"{event.outcome.value} after {event.seconds:g}")
    return lines


def test_entering_a_mode_runs_it_once_an_incident(
    mode: SystemOperationMode, hands: Hands, clock: ManualClock
) -> None:
    """Also if EMERGENCY is left and entered again; the next incident runs it again."""
    mode.runbook(runbook("e", step("a", hands.does("e"))), on="emergency")
    mode.runbook(runbook("d", step("a", hands.does("d"))), on=Mode.DEGRADED)
    seen = []
    for to in ("degraded", "emergency", "degraded", "emergency", "normal", "emergency", "degraded"):
        mode.force(to, reason="a drill")
        settle(mode)
        clock.advance(1)
        seen.append((to, "".join(hands.done)))
    assert seen == [
        ("degraded", "d"),
        ("emergency", "de"),
        ("degraded", "de"),
        ("emergency", "de"),
        ("normal", "de"),
        ("emergency", "dee"),  # straight past DEGRADED
        ("degraded", "dee"),  # on the way back: not entered from a better one
    ]
    assert [run.incident for run in mode.runs] == [1, 1, 2]
    assert [run.cause for run in mode.runs[:2]] == ["NORMAL -> DEGRADED", "DEGRADED -> EMERGENCY"]


def test_normal_is_a_return(mode: SystemOperationMode, hands: Hands) -> None:
    """Nothing happens while it was never left; each return runs it, however soon."""
    mode.runbook(runbook("n", step("a", hands.does("n"))), on="normal")
    settle(mode)
    assert hands.done == []
    for times in (1, 2):
        for to in ("emergency", "normal"):
            mode.force(to, reason="a drill")
            settle(mode)
        assert hands.done == ["n"] * times
    assert mode.runs[-1].cause == "EMERGENCY -> NORMAL"


def test_a_cascade_starts_it(mode: SystemOperationMode, clock: ManualClock) -> None:
    """The step is told the trigger and the chain; the first to recover does not end it."""
    seen: list[RunContext] = []
    circuits = {}
    for name, causes in (("redis", ()), ("sessions", ("redis",)), ("web", ("sessions",))):
        mode.component(name, depends_on=causes)
        circuits[name] = breaker(name, failure_threshold=1, mode=mode, clock=clock)
    gate = threading.Event()

    def wait(context: RunContext) -> bool:
        seen.append(context)
        return gate.is_set()

    book = runbook("c", step("a", wait, gate=True, attempts=9, backoff=1), step("b", seen.append))
    mode.runbook(book, on="cascade")
    fail(circuits["redis"])
    settle(mode)
    assert not seen
    clock.advance(1)
    fail(circuits["sessions"])
    settle(mode)
    first = seen[0]
    assert (first.trigger, first.chain) == ("redis", ("redis", "sessions"))
    assert (first.failed, first.cause) == (("redis", "sessions"), "cascade redis -> sessions")
    assert (first.book, first.run, first.number, first.system) == ("c", "c-1", 1, mode)
    circuits["redis"].close()  # no cascade any more, but one of them is still ill
    gate.set()
    clock.advance(1)
    settle(mode)
    assert mode.runs[0].outcome is RunOutcome.DONE
    assert seen[-1].results == {"a": True}


def test_a_component_starts_it_and_its_recovery_ends_it(
    mode: SystemOperationMode, clock: ManualClock, hands: Hands
) -> None:
    """In NORMAL at most once in `cooldown` seconds; a failure that lasts is not forgotten."""
    mode.metric("rest", weight=100).set(1.0)
    redis = breaker("redis", failure_threshold=1, mode=mode, clock=clock)
    book = runbook("r", step("a", hands.does("a"), undo=hands.does("undo")), waits("b"))
    mode.runbook(book, on=failure_of("other", "redis"), cooldown=100)
    fail(redis)
    settle(mode)
    run = mode.runs[0]
    assert (run.cause, run.incident, mode.current) == ("failure of redis", 0, Mode.NORMAL)
    assert (hands.done, run.finished) == (["a"], False)
    redis.close()
    settle(mode, 2)
    assert (run.outcome, hands.done) == (RunOutcome.CANCELLED, ["a", "undo"])
    assert run.error == "what started it is over: failure of redis"
    assert [one.state for one in run.steps] == [StepState.UNDONE, StepState.CANCELLED]
    clock.advance(98)
    fail(redis)
    settle(mode)
    assert len(mode.runs) == 1
    clock.advance(2)
    settle(mode)
    assert len(mode.runs) == 2


def test_what_began_before_the_incident_belongs_to_it(
    mode: SystemOperationMode, clock: ManualClock, hands: Hands
) -> None:
    """A failure that brings the mode down has had its run; the next incident has another."""
    mode.metric("rest", weight=100).set(1.0)
    redis = breaker("redis", failure_threshold=1, mode=mode, clock=clock)
    book = runbook("r", step("a", hands.does("a")))
    mode.runbook(book, on=failure_of("redis"), cooldown=0)
    for turn in (1, 2):
        mode.force("normal", reason="a drill")
        fail(redis)
        settle(mode)
        assert len(hands.done) == turn
        mode.force("degraded", reason="a drill")  # the failure goes on into the incident
        settle(mode)
        for _ in range(3):
            redis.close()
            settle(mode)
            fail(redis)
            settle(mode)
            assert len(hands.done) == turn
        redis.close()
        settle(mode)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_condition_starts_it(mode: SystemOperationMode, clock: ManualClock, kind: str) -> None:
    """It is asked every ten seconds in the background; what it raises is told, and no answer."""
    answers: list[Any] = [False, [1], ValueError("gone"), "", 1]
    done: list[str] = []

    def full() -> object:
        answer = answers.pop(0) if answers else True
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def also_full() -> object:
        return full()

    asked = full if kind == "sync" else also_full
    book = runbook("q", step("a", lambda: done.append("a"), undo=done.clear), waits("b"))
    mode.runbook(book, on=asked)
    seen = []
    for _ in range(4):
        settle(mode, 2)
        seen.append((len(done), len([run for run in mode.runs if not run.finished])))
        trouble = [text for text in notices(mode) if "condition" in text and "raised" in text]
        assert bool(trouble) is (len(seen) == 3), trouble
        clock.advance(10)
    # false; true; cannot be asked, which changes nothing; false: left
    assert seen == [(0, 0), (1, 1), (1, 1), (0, 0)]
    assert mode.runs[0].outcome is RunOutcome.CANCELLED
    assert asked.__qualname__ in mode.runs[0].cause


def test_events_in_order(
    mode: SystemOperationMode, clock: ManualClock, hands: Hands, events: list[Any]
) -> None:
    """Every start, end, wait and way back, each with its attempt, seconds and error."""

    def slow() -> None:
        clock.advance(2)

    book = runbook(
        "b",
        step("slow", slow, undo=hands.does("undo")),
        step("asks", hands.does("asks"), when=lambda: False),
        step("absent", None),
        step("bad", hands.does("bad", ValueError("no")), attempts=2, backoff=5),
    )
    mode.runbook(book, on="degraded")
    mode.force("degraded", reason="a drill")
    settle(mode)
    clock.advance(5)
    settle(mode)
    assert plain(events) == [
        "started by NORMAL -> DEGRADED in 1",
        "slow started 1 0",
        "slow done 1 2",
        "asks skipped 1 0 (its condition does not hold)",
        "absent skipped 0 0 (not provided)",
        "bad started 1 0",
        "bad retrying 1 0 (ValueError: no)",
        "bad started 2 0",
        "bad failed 2 0 (ValueError: no)",
        "slow undoing 1 0",
        "slow undone 1 0",
        "failed after 7",
    ]
    levels = [event.severity for event in events]
    assert levels[0] is Severity.WARNING
    assert (levels[6], levels[8], levels[-1]) == (Severity.WARNING, Severity.ERROR, Severity.ERROR)
    assert {event.run for event in events} == {"b-1"}
    assert all(isinstance(event, Event) for event in events)


def test_it_is_among_the_reasons(
    mode: SystemOperationMode, clock: ManualClock, hands: Hands
) -> None:
    """While it is under way, and after a failure until the incident is over."""
    book = runbook("b", step("a", hands.does("a", OSError("full")), attempts=2, backoff=5))
    mode.runbook(book, on="degraded")
    mode.force("degraded", reason="a drill")
    settle(mode)
    doing = "RUNBOOK: b-1, started by NORMAL -> DEGRADED, is doing a, step 1 of 1"
    assert notices(mode) == [doing]
    clock.advance(5)
    settle(mode)
    assert notices(mode) == ["RUNBOOK: b-1 failed: a: OSError: full"]
    mode.force("emergency", reason="a drill")
    settle(mode)
    assert len(notices(mode)) == 1
    mode.force("normal", reason="a drill")
    settle(mode, 2)
    assert notices(mode) == []


def test_left_while_it_waits_for_another_try(
    mode: SystemOperationMode, hands: Hands, clock: ManualClock
) -> None:
    """The step is cancelled, what was done is taken back, and the rest is not begun."""
    book = runbook(
        "b",
        *(step(name, hands.does(name), undo=hands.does(f"undo {name}")) for name in "ab"),
        step("bad", hands.does("bad", ValueError()), attempts=5, undo=hands.does("no")),
        step("rest", hands.does("rest")),
    )
    mode.runbook(book, on="degraded")
    mode.force("degraded", reason="a drill")
    settle(mode)
    mode.force("normal", reason="a drill")
    settle(mode)
    assert hands.done == ["a", "b", "bad", "undo b", "undo a"]
    states = [one.state.value for one in mode.runs[0].steps]
    assert states == ["undone", "undone", "cancelled", "pending"]
    clock.advance(1000)
    settle(mode)
    assert len(hands.done) == 5


def test_a_worse_mode_is_no_way_out(mode: SystemOperationMode, hands: Hands) -> None:
    """What helps in DEGRADED is not taken back in EMERGENCY."""
    book = runbook("b", step("a", hands.does("a"), undo=hands.does("undo")), waits("b"))
    mode.runbook(book, on="degraded")
    for to in ("degraded", "emergency", "degraded"):
        mode.force(to, reason="a drill")
        settle(mode)
        assert not mode.runs[0].finished
    mode.force("normal", reason="a drill")
    settle(mode, 2)
    assert mode.runs[0].outcome is RunOutcome.CANCELLED


def test_a_dry_run_runs_nothing(mode: SystemOperationMode, events: list[Any], hands: Hands) -> None:
    """It shows the order, the time limits and which conditions hold, and says that it is dry."""
    bad = hands.does("done", AssertionError("it was called"))
    book = runbook(
        "b",
        step("web", bad, undo=bad, timeout=30, component="web"),
        step("redis", bad, component="redis", when=hands.does("asked")),
        step("off", bad, when=lambda context: context.failed),
        step("absent", None),
    )
    mode.component("web", depends_on=["redis"])
    mode.runbook(book, on="emergency")
    run = mode.run("b", dry_run=True)
    assert run.wait(5) is RunOutcome.DONE
    assert hands.done == ["asked"]
    assert (run.dry, run.by_hand, run.cause) == (True, True, "hand")
    assert str(run).splitlines() == [
        "dry run of b-1: done; started by hand",
        "  1. redis: pending, up to 60 s (would be done: its condition holds)",
        "  2. web: pending, up to 30 s (would be done)",
        "  3. off: skipped, up to 60 s (its condition does not hold)",
        "  4. absent: skipped, up to 60 s (not provided)",
    ]
    assert {event.dry for event in events} == {True}
    assert notices(mode) == []
    mode.force("emergency", reason="a drill")  # it did not count as the run of this incident
    assert not mode.runs[-1].dry


def test_by_hand(mode: SystemOperationMode, hands: Hands) -> None:
    """Attached or not, by name or not; in an incident it is the run of that incident."""
    book = runbook("b", step("a", hands.does("a")))
    assert mode.run(book).wait(5) is RunOutcome.DONE
    assert (mode.runbooks, hands.done) == ({}, ["a"])
    assert mode.runbook(book) is book
    assert mode.runbooks == {"b": book}
    mode.force("emergency", reason="a drill")
    settle(mode)
    assert mode.run("b").wait(5) is RunOutcome.DONE
    assert [run.name for run in mode.runs] == ["b-1", "b-2"]
    assert [run.incident for run in mode.runs] == [0, 1]
    for wrong in ("c", 3):
        with pytest.raises(ConfigError, match="name of one of: b"):
            mode.run(wrong)  # type: ignore[arg-type]  # that is the point


def test_run_by_hand_it_is_not_run_again_in_that_incident(
    mode: SystemOperationMode, hands: Hands
) -> None:
    """Somebody was faster than the cascade."""
    mode.runbook(runbook("b", step("a", hands.does("a"))), on="emergency")
    mode.force("degraded", reason="a drill")
    assert mode.run("b").wait(5) is RunOutcome.DONE
    mode.force("emergency", reason="a drill")
    settle(mode)
    assert hands.done == ["a"]


def test_one_run_of_a_book_at_a_time(mode: SystemOperationMode) -> None:
    """Who asks again gets the one under way; a dry run of it may be had meanwhile."""
    book = runbook("b", waits("a"))
    run = mode.run(book)
    settle(mode)
    assert mode.run(book) is run
    dry = mode.run(book, dry_run=True)
    assert dry is not run
    assert dry.outcome is RunOutcome.DONE or dry.wait(1) is RunOutcome.DONE
    run.cancel("enough")
    assert run.wait(5) is RunOutcome.CANCELLED
    assert run.error == "enough"
    again = mode.run(book)
    assert again is not run
    again.cancel()
    assert again.wait(5) is RunOutcome.CANCELLED


def test_a_run_by_hand_outlives_the_trigger(mode: SystemOperationMode, hands: Hands) -> None:
    """Nobody but a hand cancels what a hand began."""
    mode.runbook(runbook("b", step("a", hands.does("a")), waits("b")), on="emergency")
    mode.force("degraded", reason="a drill")
    run = mode.run("b")
    for to in ("emergency", "normal"):
        mode.force(to, reason="a drill")
        mode.evaluate()
    assert not run.finished
    run.cancel()
    assert run.wait(5) is RunOutcome.CANCELLED


def test_one_that_is_replaced_is_cancelled(mode: SystemOperationMode, hands: Hands) -> None:
    """A second book of a name takes the place of the first."""
    mode.runbook(
        runbook("b", step("a", hands.does("a"), undo=hands.does("undo")), waits("z")),
        on="degraded",
    )
    mode.force("degraded", reason="a drill")
    settle(mode)
    run = mode.runs[0]
    mode.runbook(runbook("b", step("new", hands.does("new"))))
    assert run.wait(5) is RunOutcome.CANCELLED
    assert hands.done == ["a", "undo"]


@pytest.mark.parametrize("first", ["replaced", "by hand"])
def test_never_two_of_one_name(mode: SystemOperationMode, hands: Hands, first: str) -> None:
    """A book waits for the run of another one of its name, whether that was its place or not."""
    old = runbook(
        "b", step("a", hands.does("a"), undo=_refuse, attempts=9, backoff=10_000), waits()
    )
    if first == "replaced":
        mode.runbook(old, on="degraded")
        mode.force("degraded", reason="a drill")
    else:
        mode.run(old)
    settle(mode, 2)
    mode.runbook(runbook("b", step("new", hands.does("new"))), on="degraded")
    mode.force("degraded", reason="a drill")
    settle(mode, 3)
    (run,) = mode.runs
    assert (run.finished, run.undoing, hands.done) == (False, first == "replaced", ["a"])
    run._plan.abandon(0.0, "by the test")
    settle(mode, 2)
    assert hands.done == ["a", "new"]


def test_one_that_was_run_is_no_reason_to_look(
    mode: SystemOperationMode, hands: Hands, clock: ManualClock
) -> None:
    """What would start it again in that incident does not, and nobody looks for it meanwhile."""
    mode.runbook(runbook("b", step("a", hands.does("a"))), on="emergency", cooldown=5)
    for to in ("emergency", "degraded", "emergency"):
        mode.force(to, reason="a drill")
        settle(mode, 2)
    clock.advance(10)
    settle(mode, 2)
    assert hands.done == ["a"]
    assert mode._ledger.jobs["runbook", "b"].due() == math.inf
    assert mode._fresh_until > clock.monotonic()


def test_a_mode_may_wait_for_it(mode: SystemOperationMode) -> None:
    """With `require_quiet` nothing improves while a book is run; a dry run is nobody's business."""
    mode.require_quiet()
    mode.force("degraded", reason="a drill")
    book = runbook("b", waits())
    mode.run(book, dry_run=True)
    settle(mode)
    assert mode.explain().unmet == ()
    run = mode.run(book)
    settle(mode)
    assert "run of b-2" in mode.explain().unmet[0]
    run.cancel()
    settle(mode)
    assert mode.explain().unmet == ()


def test_memory_is_bounded(mode: SystemOperationMode) -> None:
    """The last hundred runs are kept, and nothing else of those that are over."""
    book = runbook("b", step("a", lambda: None))
    for _ in range(KEPT + 20):
        mode.run(book).wait(5)
    assert len(mode.runs) == KEPT
    assert mode.runs[-1].number == KEPT + 20
    settle(mode, 2)
    assert not [job for job in mode._ledger.jobs.values() if job.kind == "run"]
    assert len([one for one in mode._owned if not one.cancelled]) <= 4


def test_a_book_that_is_replaced_is_let_go_of(mode: SystemOperationMode) -> None:
    """With its functions and the loops of their own, also if it was undoing when that happened."""

    async def page() -> None:
        pass

    for _ in range(20):
        steps = (step("page", page, undo=page), step("fail", _refuse))
        mode.runbook(runbook("b", *steps), on=lambda: False)
        mode.run("b")
    settle(mode, 6)
    assert len([one for one in mode._owned if not one.cancelled]) <= 4


def test_one_failure_of_a_book_is_told(mode: SystemOperationMode, hands: Hands) -> None:
    """The last one: what was tried before it, however often, is no news any more."""
    mode.force("emergency", reason="a drill")
    for _ in range(5):
        mode.run(runbook("b", step("a", hands.does("a", OSError("disk full"))))).wait(5)
    mode.run(runbook("b", waits()), dry_run=True).wait(5)
    assert notices(mode) == ["RUNBOOK: b-5 failed: a: OSError: disk full"]
    mode.run(runbook("b", step("a", hands.does("a")))).wait(5)
    settle(mode)
    assert notices(mode) == []


@pytest.mark.parametrize(
    "on", ["never", 3, "Cascade!", lambda context: context, print, dict, _never]
)
def test_what_cannot_start_it_is_refused(mode: SystemOperationMode, on: Any) -> None:
    """By name, when it is attached; a function with an argument would get none.

    What a class or a generator function gives is always true, and nobody means that.
    """
    if on is print:
        mode.runbook(runbook("b", step("a", print)), on=on)  # of no argument, if need be
        return
    with pytest.raises(ConfigError) as refusal:
        mode.runbook(runbook("b", step("a", print)), on=on)
    assert refusal.value.setting == "on"


def test_bad_settings_are_refused(mode: SystemOperationMode) -> None:
    """By the name of the setting."""
    book = runbook("b", step("a", print))
    for setting, bad in (("every", 0), ("cooldown", -1)):
        with pytest.raises(ConfigError) as refusal:
            mode.runbook(book, on="emergency", **{setting: bad})
        assert refusal.value.setting == setting
    with pytest.raises(ConfigError) as refusal:
        mode.runbook(print)  # type: ignore[arg-type]  # that is the point
    assert refusal.value.setting == "book"
    with pytest.raises(ConfigError) as refusal:
        failure_of()
    assert refusal.value.setting == "components"

"""The plan of a run: which step is next, when, and what becomes of each. Pure, without threads."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilient import ConfigError, RunOutcome, Step, StepState, runbook, step
from resilient.system.runbooks.plan import Plan, Stage
from resilient.system.runbooks.runbook import in_order

BAD = "it broke"

Answers = Mapping[str, Sequence[Any]]
"""By `stage name`: for each attempt `BAD`, or the value; the last one is repeated."""


def nothing() -> None:
    """Stand in for a function; the plan never calls one."""


def play(
    plan: Plan, answers: Answers, *, cancel_at: str | None = None, took: float = 2.0
) -> list[str]:
    """Do what the plan says, as scripted; what was done, in order, each taking `took` seconds."""
    now, done, tries = 0.0, list[str](), dict[str, int]()
    while (do := plan.next) is not None:
        now = max(now, plan.due)
        key = f"{do.stage.value} {do.step.name}"
        done.append(key)
        plan.begin(now)
        now += took
        if key == cancel_at:
            plan.cancel(now, "left")
            cancel_at = None
            continue
        script = answers.get(key, [True])
        answer = script[min(tries.setdefault(key, 0), len(script) - 1)]
        tries[key] += 1
        plan.ended(now, value=answer, error=BAD if answer is BAD else None)
    return done


def states(plan: Plan) -> str:
    """First letters of the states, in order; u for undone, x for cancelled."""
    letters = {StepState.CANCELLED: "x", StepState.UNDONE: "u"}
    return "".join(letters.get(one.state, one.state.value[0]) for one in plan.log.records)


A = step("a", nothing, undo=nothing)
B = step("b", nothing, undo=nothing)
C = step("c", nothing, undo=nothing)
NO_UNDO = step("n", nothing)
ABSENT = step("absent", None, undo=nothing)
SKIPS = step("k", nothing, on_failure="skip", undo=nothing)
ASKS = step("w", nothing, when=nothing, undo=nothing)
TWICE = step("t", nothing, attempts=2, undo=nothing)


@pytest.mark.parametrize(
    ("steps", "answers", "cancel_at", "done", "ends", "outcome"),
    [
        ([A, B], {}, None, "run a, run b", "dd", "done"),
        ([ABSENT, A], {}, None, "run a", "sd", "done"),
        ([ABSENT], {}, None, "", "s", "done"),
        # A failure: what was done is undone, the last first; what comes after is never begun.
        ([A, B, C], {"run c": [BAD]}, None, "run a, run b, run c, undo b, undo a", "uuf", "failed"),
        ([A, B, C], {"run b": [BAD]}, None, "run a, run b, undo a", "ufp", "failed"),
        ([A, NO_UNDO, C], {"run c": [BAD]}, None, "run a, run n, run c, undo a", "udf", "failed"),
        ([A, B], {"run a": [BAD]}, None, "run a", "fp", "failed"),
        # One that may be passed over.
        ([A, SKIPS, B], {"run k": [BAD]}, None, "run a, run k, run b", "dfd", "done"),
        (
            [A, SKIPS, B],
            {"run k": [BAD], "run b": [BAD]},
            None,
            "run a, run k, run b, undo a",
            "uff",
            "failed",
        ),
        # Tries.
        ([TWICE, A], {"run t": [BAD, True]}, None, "run t, run t, run a", "dd", "done"),
        ([A, TWICE], {"run t": [BAD]}, None, "run a, run t, run t, undo a", "uf", "failed"),
        # Conditions.
        ([ASKS, A], {}, None, "when w, run w, run a", "dd", "done"),
        ([ASKS, A], {"when w": [False]}, None, "when w, run a", "sd", "done"),
        ([A, ASKS], {"when w": [BAD]}, None, "run a, when w, undo a", "uf", "failed"),
        (
            [ASKS, A],
            {"when w": [False], "run a": [BAD]},
            None,
            "when w, run a",
            "sf",
            "failed",
        ),
        # An undo that fails harms no other.
        (
            [A, B, C],
            {"run c": [BAD], "undo b": [BAD]},
            None,
            "run a, run b, run c, undo b, undo a",
            "udf",
            "failed",
        ),
        (
            [TWICE, C],
            {"run c": [BAD], "undo t": [BAD, True]},
            None,
            "run t, run c, undo t, undo t",
            "uf",
            "failed",
        ),
        # Left in the middle.
        ([A, B, C], {}, "run b", "run a, run b, undo a", "uxp", "cancelled"),
        ([A, ASKS], {}, "when w", "run a, when w, undo a", "ux", "cancelled"),
        ([A], {}, "run a", "run a", "x", "cancelled"),
        # Left while it goes back already: nothing changes.
        (
            [A, B, C],
            {"run c": [BAD]},
            "undo b",
            "run a, run b, run c, undo b, undo b, undo a",
            "uuf",
            "failed",
        ),
    ],
)
def test_what_becomes_of_each_step(  # noqa: PLR0913  (columns of the table)
    steps: list[Step],
    answers: Answers,
    cancel_at: str | None,
    done: str,
    ends: str,
    outcome: str,
) -> None:
    """A table: what is done in which order, and where every step and the run end."""
    plan = Plan(steps)
    assert ", ".join(play(plan, answers, cancel_at=cancel_at)) == done
    assert (states(plan), plan.outcome.value) == (ends, outcome)
    assert (plan.next, plan.due, plan.results) == (None, math.inf, {})


def test_waits_double_up_to_a_minute() -> None:
    """1, 2, 4, ... 60 s after each failed attempt; a longer first wait stays what it is."""
    one = step("a", nothing, attempts=9, backoff=1)
    assert [one.wait(n) for n in range(1, 9)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert step("b", nothing, backoff=90).wait(3) == 90
    assert step("c", nothing, backoff=0).wait(5000) == 0
    plan, due = Plan([one]), list[float]()
    for at in (10.0, 20.0):
        plan.begin(at)
        plan.ended(at + 1, error=BAD)
        due.append(plan.due)
    assert due == [12, 23]
    assert plan.log.records[0].state is StepState.RUNNING


def test_records_and_what_is_told() -> None:
    """Attempts, seconds from beginning to end with the waits, errors, and each thing in order."""
    plan = Plan([TWICE, B, SKIPS, C])
    play(plan, {"run t": [BAD, True], "run k": [BAD], "run c": [BAD], "undo b": [BAD]})
    first, second, third, fourth = plan.log.records
    assert (first.attempts, first.seconds, first.error) == (2, 5, BAD)  # 2 s, 1 s wait, 2 s
    assert (second.undo_error, second.state) == (BAD, StepState.DONE)
    assert (third.error, third.state, fourth.error) == (BAD, StepState.FAILED, BAD)
    assert plan.error == f"c: {BAD}"
    assert [f"{one.step} {one.stage} {one.attempt}" for one in plan.log.take()] == [
        "t started 1",
        "t retrying 1",
        "t started 2",
        "t done 2",
        "b started 1",
        "b done 1",
        "k started 1",
        "k failed 1",
        "c started 1",
        "c failed 1",
        "b undoing 1",
        "b not undone 1",
        "t undoing 1",
        "t undone 1",
    ]
    assert plan.log.take() == []


def test_results_are_for_the_steps_that_follow() -> None:
    """By name, as long as the run lasts: they may be large, and runs are remembered."""
    plan = Plan([A, B])
    plan.begin(0)
    plan.ended(0, value="x")
    held = plan.results
    assert held == {"a": "x"}
    plan.begin(0)
    plan.ended(0, value="y")
    assert (plan.results, held) == ({}, {"a": "x"})


def test_a_dry_run_only_asks() -> None:
    """No function but a condition is ever next, and all that would be done stays pending."""
    steps = [A, ABSENT, ASKS, step("v", nothing, when=nothing, timeout=7, attempts=3), B]
    plan = Plan(steps, dry=True)
    assert play(plan, {"when w": [False], "when v": [BAD]}) == ["when w", "when v"]
    told = [f"{one.state.value}: {one.note}" for one in plan.log.records]
    assert told == [
        "pending: would be done",
        "skipped: not provided",
        "skipped: its condition does not hold",
        "pending: its condition could not be asked",
        "pending: would be done",
    ]
    assert (plan.log.records[3].error, plan.log.records[3].timeout) == (BAD, 7)
    assert plan.outcome is RunOutcome.DONE
    yes = Plan([ASKS], dry=True)
    play(yes, {})
    assert yes.log.records[0].note == "would be done: its condition holds"


@pytest.mark.parametrize("undoing", [False, True])
def test_abandoned_is_over_at_once(undoing: bool) -> None:  # noqa: FBT001  (a table)
    """Nothing is undone then; what should have been says so."""
    plan = Plan([A, B, C])
    for _ in range(2):
        plan.begin(0)
        plan.ended(1)
    plan.begin(2)
    if undoing:
        plan.ended(3, error=BAD)
    plan.abandon(4, "closed")
    assert (plan.over, plan.next) == (True, None)
    assert plan.outcome is (RunOutcome.FAILED if undoing else RunOutcome.CANCELLED)
    assert states(plan) == ("ddf" if undoing else "ddx")
    missed = [one.undo_error for one in plan.log.records]
    assert missed == (["closed", "closed", None] if undoing else [None] * 3)
    plan.abandon(5, "again")
    plan.cancel(5, "again")
    assert plan.error == (f"c: {BAD}" if undoing else "closed")


@st.composite
def scripts(draw: st.DrawFn) -> tuple[list[Step], Answers, str | None]:
    """Some steps of every kind, what their functions answer, and where the run may be left."""
    flags = st.booleans()
    steps, answers = [], dict[str, list[Any]]()
    for number in range(draw(st.integers(1, 6))):
        name = str(number)
        steps.append(
            step(
                name,
                nothing if draw(st.integers(0, 5)) else None,
                attempts=draw(st.integers(1, 3)),
                on_failure="skip" if draw(flags) else "stop",
                undo=nothing if draw(flags) else None,
                when=nothing if draw(flags) else None,
            )
        )
        for stage in Stage:
            said = st.sampled_from([True, True, False, BAD])
            answers[f"{stage.value} {name}"] = draw(st.lists(said, min_size=1, max_size=3))
    stages = [f"{stage.value} {one.name}" for stage in Stage for one in steps]
    return steps, answers, draw(st.none() | st.sampled_from(stages))


@given(scripts())
def test_every_step_ends_once_and_undoes_only_what_was_done(
    script: tuple[list[Step], Answers, str | None],
) -> None:
    """The laws of a run, whatever its functions do and whenever it is left.

    Every step that was begun ends in exactly one state. In a run that ended well nothing is undone;
    in one that did not, exactly the done steps that can be are asked to undo, the last first.
    """
    steps, answers, cancel_at = script
    plan = Plan(steps)
    done = play(plan, answers, cancel_at=cancel_at)
    told = plan.log.take()
    good = {one.step for one in told if one.stage == "done"}
    undo = [key.removeprefix("undo ") for key in done if key.startswith("undo ")]
    order = list(dict.fromkeys(undo))
    for one, record in zip(steps, plan.log.records, strict=True):
        ends = [each.stage for each in told if each.step == one.name]
        final = [stage for stage in ends if stage in ("done", "failed", "skipped", "cancelled")]
        begun = bool(ends) or record.attempts > 0
        assert len(final) == (1 if begun else 0)
        assert (record.state is StepState.PENDING) is not begun
        assert record.attempts <= one.attempts
    back = [one.name for one in reversed(steps) if one.undo is not None and one.name in good]
    assert order == ([] if plan.outcome is RunOutcome.DONE else back)
    assert (plan.outcome is RunOutcome.CANCELLED) <= (cancel_at is not None)
    runs = [key for key in done if key.startswith("run ")]
    assert runs == sorted(runs)


@pytest.mark.parametrize(
    ("depends_on", "order"),
    [
        ({}, "x web1 web2 redis db y web3"),
        ({"web": ["redis"]}, "x redis web1 web2 db y web3"),
        ({"web": ["redis"], "redis": ["db"]}, "x db redis web1 web2 y web3"),
        ({"web": ["sessions"], "sessions": ["db"]}, "x db web1 web2 redis y web3"),
        ({"web": ["redis"], "redis": ["web"]}, "x redis web1 web2 db y web3"),
    ],
)
def test_steps_in_a_row_follow_dependencies(depends_on: dict[str, list[str]], order: str) -> None:
    """What is depended on first, also by way of others; in a circle nothing is lost."""
    steps = [
        step("x", nothing),
        *(step(f"web{n}", nothing, component="web") for n in (1, 2)),
        step("redis", nothing, component="redis"),
        step("db", nothing, component="db"),
        step("y", nothing),
        step("web3", nothing, component="web"),
    ]
    assert " ".join(one.name for one in in_order(steps, depends_on)) == order


def _any(value: Any) -> Any:
    """What no type checker would let through."""
    return value


def _drip() -> Iterator[int]:
    yield 1


async def _two(one: object, two: object) -> None: ...


@pytest.mark.parametrize(
    ("make", "setting"),
    [
        (lambda: step("", nothing), "name"),
        (lambda: step("a", _any(3)), "fn"),
        (lambda: step("a", _two), "fn"),
        (lambda: step("a", int), "fn"),
        (lambda: step("a", _drip), "fn"),
        (lambda: step("a", nothing, undo=_any("no")), "undo"),
        (lambda: step("a", nothing, when=_two), "when"),
        (lambda: step("a", nothing, timeout=0), "timeout"),
        (lambda: step("a", nothing, attempts=0), "attempts"),
        (lambda: step("a", nothing, backoff=-1), "backoff"),
        (lambda: step("a", nothing, on_failure=_any("go")), "on_failure"),
        (lambda: step("a", nothing, component=""), "name"),
        (lambda: runbook("", A), "name"),
        (lambda: runbook("a"), "steps"),
        (lambda: runbook("a", A, B, step("a", nothing)), "steps"),
        (lambda: runbook("a", _any(nothing)), "steps"),
    ],
)
def test_bad_descriptions_are_refused(make: Callable[[], object], setting: str) -> None:
    """When they are given, by the name of the setting."""
    with pytest.raises(ConfigError) as refusal:
        make()
    assert refusal.value.setting == setting


def test_descriptions_are_frozen() -> None:
    """A book may be shared: nobody can change it."""
    book = runbook("b", A)
    for thing, field in ((book, "name"), (A, "timeout")):
        with pytest.raises(AttributeError):
            setattr(thing, field, 1)

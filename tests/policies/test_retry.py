"""A retry asks again within its limits, and what the caller gets is the last error as it was."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import pickle
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

import resilient
from resilient import CircuitOpenError, Rejected, backoff, deadline, retry
from tests.policies.scripted import RUNNERS, Does, Runner, Script, Sleeper, our_notes, run_async

every_way = pytest.mark.parametrize("run", RUNNERS.values(), ids=RUNNERS)
as_function = pytest.mark.parametrize(
    "run", [RUNNERS[way] for way in RUNNERS if "block" not in way], ids=lambda run: ""
)


@every_way
@pytest.mark.parametrize("attempts", [1, 2, 3, 5])
def test_attempts_counts_calls(run: Runner, attempts: int) -> None:
    """`attempts=3` makes three calls, not four; the error raised is the last one."""
    errors = [ConnectionError(str(n)) for n in range(10)]
    script = Script(*errors)
    with pytest.raises(ConnectionError) as caught:
        run(retry(on=ConnectionError, attempts=attempts, wait=0), script)
    assert script.count == attempts
    assert caught.value is errors[attempts - 1]


@every_way
def test_three_attempts_unless_told_otherwise(run: Runner) -> None:
    """The default is three calls, with two waits."""
    clock = Sleeper()
    script = Script(ConnectionError())
    with pytest.raises(ConnectionError):
        run(retry(on=ConnectionError, clock=clock), script)
    assert script.count == 3
    assert len(clock.waits) == 2
    assert clock.waits[0] <= 0.1
    assert clock.waits[1] <= 0.2


@every_way
@pytest.mark.parametrize("failures", [0, 1, 2])
def test_a_success_ends_it(run: Runner, failures: int) -> None:
    """As soon as a call succeeds its answer is the answer, and nothing is asked again."""
    script = Script(*[ConnectionError()] * failures, "answer")
    assert run(retry(on=ConnectionError, wait=0), script) == "answer"
    assert script.count == failures + 1


def test_what_to_retry_has_to_be_said() -> None:
    """There is no default for `on`, and nothing can be passed by position."""
    factory: Any = retry
    with pytest.raises(TypeError, match="on"):
        factory()
    with pytest.raises(TypeError):
        factory(ConnectionError)


@every_way
@pytest.mark.parametrize(
    ("on", "retried", "passed"),
    [
        (ConnectionError, ConnectionRefusedError(), OSError()),
        (OSError, resilient.CallTimeoutError("inner", 1), ValueError()),
        ((KeyError, ValueError), UnicodeError(), IndexError()),
        (lambda error: "again" in str(error), ValueError("again"), ValueError("never")),
        (Exception, ExceptionGroup("several", [ValueError()]), CircuitOpenError("b", 1.0)),
    ],
)
def test_only_what_on_names_is_retried(
    run: Runner, on: Any, retried: Exception, passed: Exception
) -> None:
    """Classes with their subclasses, tuples, predicates; anything else passes without a trace."""
    script = Script(retried, "yes")
    assert run(retry(on=on, wait=0), script) == "yes"
    assert script.count == 2
    script = Script(passed)
    with pytest.raises(type(passed)) as caught:
        run(retry(on=on, wait=0), script)
    assert caught.value is passed
    assert script.count == 1
    assert our_notes(passed) == []


@pytest.mark.parametrize(
    ("way", "error"),
    [
        *((way, asyncio.CancelledError()) for way in RUNNERS),
        *((way, KeyboardInterrupt()) for way in RUNNERS if "async" not in way),
        *((way, error) for way in RUNNERS for error in (SystemExit(2), GeneratorExit())),
    ],
)
def test_only_exceptions_are_judged(way: str, error: BaseException) -> None:
    """Ctrl-C, exit and cancellation pass at once, even where everything is to be retried."""
    asked: list[BaseException] = []
    script = Script(error)

    def everything(error: Exception) -> bool:
        asked.append(error)
        return True

    policy = retry(on=everything, wait=0)
    with pytest.raises(type(error)):
        RUNNERS[way](policy, script)
    assert script.count == 1
    assert asked == []


# Rejections


@every_way
@pytest.mark.parametrize(
    ("on", "refusal", "waits"),
    [
        (CircuitOpenError, CircuitOpenError("b", 5.0), [5]),
        (Rejected, CircuitOpenError("b", 5.0), [5]),
        ((OSError, Rejected), CircuitOpenError("b", 0.5), [1]),
        (Rejected, Rejected("b", 0.0), [1]),
        (Rejected, Rejected("b", 10.0), [10]),
        (Rejected, Rejected("b", 10.1), None),
        (Rejected, Rejected("b", None), None),
        (CircuitOpenError, Rejected("b", 5.0), None),
        (Exception, CircuitOpenError("b", 5.0), None),
        (resilient.ResilientError, CircuitOpenError("b", 5.0), None),
        (lambda error: True, CircuitOpenError("b", 5.0), None),
        (OSError, resilient.DeadlineExceededError("d", 5.0), None),
    ],
)
def test_a_rejection_is_retried_only_if_named_known_and_short(
    run: Runner, on: Any, refusal: Rejected, waits: list[float] | None
) -> None:
    """`on` names a class of rejections, it says when it ends, and that fits `max_delay`."""
    clock = Sleeper()
    script = Script(refusal, "yes")
    policy = retry(on=on, wait=1, max_delay=10, clock=clock)
    if waits is None:
        with pytest.raises(type(refusal)) as caught:
            run(policy, script)
        assert caught.value is refusal
        assert script.count == 1
    else:
        assert run(policy, script) == "yes"
    assert clock.waits == (waits or [])


@pytest.mark.parametrize(("left", "calls"), [(4.9, 1), (5.0, 1), (5.1, 2)])
def test_a_rejection_that_outlasts_the_deadline_is_raised(left: float, calls: int) -> None:
    """Waiting for a circuit that opens after the caller has gone helps nobody."""
    clock = Sleeper()
    script = Script(CircuitOpenError("b", 5.0), "yes")
    try:
        with deadline(left, clock=clock):
            retry(on=Rejected, wait=0, clock=clock).call(script)
    except CircuitOpenError:
        assert calls == 1
    assert script.count == calls
    assert clock.monotonic() == (5 if calls == 2 else 0)


# Waits and deadlines


@as_function
@pytest.mark.parametrize(
    ("limit", "calls", "elapsed"),
    [(0.3, 1, 0), (0.4, 1, 0), (0.5, 2, 0.4), (1, 3, 0.8), (9, 5, 1.6)],
)
def test_a_wait_that_does_not_fit_is_not_begun(
    run: Runner, limit: float, calls: int, elapsed: float
) -> None:
    """The last error is raised at once, not when the deadline is over."""
    clock = Sleeper()
    script = Script(ConnectionError())
    with pytest.raises(ConnectionError) as caught, deadline(limit, clock=clock):
        run(retry(on=ConnectionError, attempts=5, wait=0.4, clock=clock), script)
    assert script.count == calls
    assert clock.monotonic() == pytest.approx(elapsed)
    if calls < 5:
        assert "does not fit" in our_notes(caught.value)[0]


def test_only_what_remains_of_another_clock_counts() -> None:
    """The deadline's clock says 1e9, the retry's 0; what remains is 1 s all the same."""
    outer, own = Sleeper(1e9), Sleeper()
    script = Script(ConnectionError(), "yes")
    with deadline(1, clock=outer):
        assert retry(on=ConnectionError, wait=0.9, clock=own).call(script) == "yes"
        outer.advance(0.5)
        script = Script(ConnectionError(), "yes")
        with pytest.raises(ConnectionError):
            retry(on=ConnectionError, wait=0.9, clock=own).call(script)


# What was given up on


def nest(levels: int, script: Callable[[], Any], **settings: Any) -> Callable[[], Any]:
    """`levels` retries around `script`, each in a function of its own."""

    def outer() -> Any:
        return nest(levels - 1, script, **settings)()

    return retry(on=ConnectionError, wait=0, **settings)(outer if levels > 1 else script)


@pytest.mark.parametrize(("levels", "calls"), [(1, 3), (2, 3), (3, 3), (4, 3)])
def test_nested_retries_do_not_multiply(levels: int, calls: int) -> None:
    """What a retry further in has given up on is not retried: 3 x 3 x 3 is 3."""
    script = Script(ConnectionError())
    with pytest.raises(ConnectionError):
        nest(levels, script)()
    assert script.count == calls


@as_function
def test_stacked_retries_do_not_multiply(run: Runner) -> None:
    """The same in one pipeline, sync and async."""
    one = retry(on=ConnectionError, wait=0)
    for policies in ([one, one, one], [retry(on=ConnectionError, wait=0) for _ in range(3)]):
        script = Script(ConnectionError())
        with pytest.raises(ConnectionError) as caught:
            run(resilient.pipeline(*policies), script)
        assert script.count == 3
        assert len(our_notes(caught.value)) == 1


def test_retry_exhausted_multiplies_on_request() -> None:
    """A retry that says so asks again whatever was given up on further in."""
    script = Script(ConnectionError())
    with pytest.raises(ConnectionError):
        nest(3, script, retry_exhausted=True)()
    assert script.count == 27
    script = Script(ConnectionError())
    inner = retry(on=ConnectionError, wait=0)(script)
    with pytest.raises(ConnectionError):
        retry(on=ConnectionError, wait=0, attempts=2, retry_exhausted=True)(inner)()
    assert script.count == 6


def test_what_nobody_has_given_up_on_is_retried() -> None:
    """An error that the inner retry does not match, or another one, is the outer one's business."""
    script = Script(ConnectionError())
    with pytest.raises(ConnectionError):
        retry(on=ConnectionError, wait=0)(retry(on=ValueError, wait=0)(script))()
    assert script.count == 3

    script = Script(ConnectionError())
    inner = retry(on=ConnectionError, wait=0)(script)

    @retry(on=ValueError, wait=0, attempts=2)
    def translated() -> Any:
        try:
            return inner()
        except ConnectionError as error:
            raise ValueError from error

    with pytest.raises(ValueError):  # noqa: PT011  (it has no message)
        translated()
    assert script.count == 6


@every_way
def test_a_reused_error_is_judged_afresh(run: Runner) -> None:
    """One exception object raised for ever: each call retries it; it bears one note of ours."""
    error = ConnectionError("the one and only")
    error.add_note("from the application")
    for attempts in (3, 2, 4, 1, 3):
        script = Script(error)
        with pytest.raises(ConnectionError):
            run(retry(on=ConnectionError, attempts=attempts, wait=0), script)
        assert script.count == attempts
        assert len(our_notes(error)) == 1
        assert error.__notes__[0] == "from the application"
        assert len(error.__notes__) == 2


def test_what_others_gave_up_on_before_is_no_business_of_this_call() -> None:
    """Threads that gave up on the very object we raise, before we began, do not stop our retry."""
    error = ConnectionError()

    def others_give_up() -> None:
        with pytest.raises(ConnectionError):
            retry(on=ConnectionError, attempts=1).call(Script(error))

    for _ in range(200):
        thread = threading.Thread(target=others_give_up)
        thread.start()
        thread.join()
        script = Script(error)
        with pytest.raises(ConnectionError):
            retry(on=ConnectionError, wait=0).call(script)
        assert script.count == 3
        assert len(our_notes(error)) == 1


@every_way
def test_the_note_tells_attempts_waits_and_why(run: Runner) -> None:
    """One note says how often it was tried, how long the waits were, and why that is all."""
    error = ConnectionError()
    policy = retry(
        on=ConnectionError, attempts=3, wait=lambda attempt, _: attempt / 4, clock=Sleeper()
    )
    with pytest.raises(ConnectionError):
        run(policy, Script(error))
    (note,) = our_notes(error)
    for told in ("3 times", "0.25, 0.5", "no attempts left"):
        assert told in note


def test_the_note_names_the_function() -> None:
    """Whose attempts they were."""

    @retry(on=ConnectionError, attempts=1)
    def fetch_prices() -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError) as caught:
        fetch_prices()
    assert "fetch_prices was tried once" in our_notes(caught.value)[0]


@dataclass(frozen=True)
class FrozenError(Exception):
    """An error that refuses new attributes."""

    code: int


class FixedNotesError(ConnectionError):
    """An error whose notes are its own business."""

    def __init__(self) -> None:
        self.__dict__["__notes__"] = ("mine",)


class StubbornError(ConnectionError):
    """An error that refuses every attribute, loudly."""

    def __setattr__(self, name: str, value: object) -> None:
        message = "read-only"
        raise RuntimeError(message)


@every_way
@pytest.mark.parametrize("error", [FrozenError(5), FixedNotesError(), StubbornError()], ids=repr)
def test_an_error_that_takes_no_note_is_raised_as_it_is(run: Runner, error: Exception) -> None:
    """Writing on an error is a courtesy; where it is refused the caller still gets the error."""
    script = Script(error)
    with pytest.raises(type(error)) as caught:
        run(retry(on=type(error), wait=0), script)
    assert caught.value is error
    assert script.count == 3


def test_the_error_is_as_it_was() -> None:
    """Type, arguments and cause stay; nothing wraps it; it still pickles."""
    cause = KeyError("deep")
    error = ConnectionError("refused", 111)
    error.__cause__ = cause
    with pytest.raises(ConnectionError) as caught:
        retry(on=ConnectionError, wait=0).call(Script(error))
    assert caught.value is error
    assert caught.value.__cause__ is cause
    twin = pickle.loads(pickle.dumps(error))
    assert type(twin) is ConnectionError
    assert twin.args == error.args


# Results


@as_function
@pytest.mark.parametrize(
    ("answers", "calls", "last"),
    [
        (["ok"], 1, "ok"),
        (["", "ok"], 2, "ok"),
        (["", "", ""], 3, ""),
        ([None, "", "late", ""], 3, "late"),
    ],
)
def test_on_result_judges_answers(run: Runner, answers: list[Any], calls: int, last: Any) -> None:
    """A true predicate asks again; when the attempts are used up, the last answer is the answer."""
    script = Script(*answers)
    policy = retry(on=ConnectionError, wait=0, on_result=lambda answer: not answer)
    assert run(policy, script) == last
    assert script.count == calls


@as_function
def test_errors_and_bad_results_share_the_attempts(run: Runner) -> None:
    """Either uses up one attempt."""
    script = Script(ConnectionError(), "", ConnectionError())
    with pytest.raises(ConnectionError):
        run(retry(on=ConnectionError, wait=0, on_result=lambda answer: not answer), script)
    assert script.count == 3


# Events


@every_way
def test_events_tell_of_waits_and_of_giving_up(
    run: Runner, resilience: resilient.testing.Resilience
) -> None:
    """`RetryScheduled` before each further attempt, `RetryGaveUp` at the end, with the numbers."""
    policy = retry(on=ConnectionError, wait=lambda attempt, _: attempt * 0.5)
    with pytest.raises(ConnectionError):
        run(
            policy, Script(ConnectionError("one"), ConnectionError("two"), ConnectionError("three"))
        )
    scheduled = resilience.events.of(resilient.RetryScheduled)
    assert [(event.attempt, event.wait, event.error) for event in scheduled] == [
        (1, 0.5, "ConnectionError('one')"),
        (2, 1.0, "ConnectionError('two')"),
    ]
    (gave_up,) = resilience.events.of(resilient.RetryGaveUp)
    assert gave_up.attempts == 3
    assert gave_up.error == "ConnectionError('three')"
    assert "no attempts left" in gave_up.reason
    assert gave_up.seconds in {1.5, None}
    assert gave_up.name == scheduled[0].name
    assert gave_up.severity is resilient.Severity.WARNING


@every_way
def test_nothing_to_tell_nothing_told(
    run: Runner, resilience: resilient.testing.Resilience
) -> None:
    """Success and errors that are not retried publish nothing."""
    run(retry(on=ConnectionError), Script("yes"))
    with pytest.raises(ValueError):  # noqa: PT011  (it has no message)
        run(retry(on=ConnectionError), Script(ValueError()))
    assert resilience.events == []


def test_a_bad_result_is_told_as_such(resilience: resilient.testing.Resilience) -> None:
    """The events show the result in place of an error."""
    retry(on=OSError, wait=0, attempts=2, on_result=lambda answer: True).call(Script("half"))
    (scheduled,) = resilience.events.of(resilient.RetryScheduled)
    (gave_up,) = resilience.events.of(resilient.RetryGaveUp)
    assert "'half'" in scheduled.error
    assert "'half'" in gave_up.error


@every_way
def test_before_sleep_is_told_first(run: Runner) -> None:
    """It is called with the event, on the caller's thread, before the wait begins."""
    clock = Sleeper()
    told: list[tuple[int, float, float, int]] = []

    def tell(event: resilient.RetryScheduled) -> None:
        told.append((event.attempt, event.wait, clock.monotonic(), threading.get_ident()))

    policy = retry(on=ConnectionError, wait=2, before_sleep=tell, clock=clock)
    with pytest.raises(ConnectionError):
        run(policy, Script(ConnectionError()))
    me = threading.get_ident()
    assert told == [(1, 2, 0, me), (2, 2, 2, me)]


# Threads, tasks, loops


def test_concurrent_calls_share_no_backoff() -> None:
    """Each call counts its own attempts: 1, 2, 1, 2, however they interleave."""
    clock = Sleeper()
    seen: dict[str, list[int]] = {}

    def wait(attempt: int, error: Exception) -> float:
        seen.setdefault(str(error), []).append(attempt)
        return 0.0

    policy = retry(on=ConnectionError, attempts=4, wait=wait, clock=clock)

    @policy
    async def fails(name: str) -> None:
        await asyncio.sleep(0)
        raise ConnectionError(name)

    async def main() -> list[BaseException | None]:
        calls = (fails(str(n)) for n in range(200))
        return await asyncio.gather(*calls, return_exceptions=True)

    assert all(isinstance(error, ConnectionError) for error in run_async(main()))
    assert len(seen) == 200
    assert all(attempts == [1, 2, 3] for attempts in seen.values())


def test_concurrent_threads_share_no_backoff() -> None:
    """The same on threads that all wait for each other between two attempts."""
    seen: dict[str, list[int]] = {}
    together = threading.Barrier(4, timeout=30)

    def wait(attempt: int, error: Exception) -> float:
        seen.setdefault(str(error), []).append(attempt)
        return 0.0

    @retry(on=ConnectionError, attempts=4, wait=wait)
    def fails(name: str) -> None:
        together.wait()
        raise ConnectionError(name)

    def one_call(name: int) -> None:
        with pytest.raises(ConnectionError):
            fails(str(name))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one_call, range(200)))
    assert len(seen) == 200
    assert all(attempts == [1, 2, 3] for attempts in seen.values())


async def test_a_retried_def_never_blocks_an_event_loop() -> None:
    """On a thread that runs a loop it gives up instead of waiting, and says so in the note."""
    script = Script(ConnectionError())
    with pytest.raises(ConnectionError) as caught:
        retry(on=ConnectionError, wait=3600)(script)()
    assert script.count == 1
    assert "event loop" in our_notes(caught.value)[0]
    script = Script(ConnectionError())
    with pytest.raises(ConnectionError) as caught:
        RUNNERS["block"](retry(on=ConnectionError, wait=3600), script)
    assert script.count == 1
    assert "event loop" in our_notes(caught.value)[0]


async def test_a_clock_that_jumps_blocks_nobody() -> None:
    """On a manual clock, and with waits of 0, a ``def`` is retried even there."""
    clock = Sleeper()
    script = Script(ConnectionError(), ConnectionError(), "yes")
    assert retry(on=ConnectionError, wait=1, clock=clock)(script)() == "yes"
    assert clock.waits == [1, 1]
    script = Script(ConnectionError(), ConnectionError(), "yes")
    assert retry(on=ConnectionError, wait=0)(script)() == "yes"


async def test_a_thread_beside_the_loop_may_wait() -> None:
    """Only the thread that runs the loop must not block."""
    script = Script(ConnectionError(), "yes")
    policy = retry(on=ConnectionError, wait=0.001)
    assert await asyncio.to_thread(policy(script)) == "yes"


async def test_a_cancelled_wait_is_a_cancellation() -> None:
    """Cancelling a task that waits between two attempts ends it there and then."""
    script = Script(ConnectionError())
    waiting = asyncio.Event()
    policy = retry(on=ConnectionError, wait=3600, before_sleep=lambda event: waiting.set())
    task = asyncio.ensure_future(policy.call(script.later))
    await waiting.wait()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert script.count == 1


class _Witness:
    """Lives as long as the frame of the call that failed."""


@pytest.fixture
def no_collector() -> Iterator[None]:
    """What is freed here is freed by reference counts alone."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("way", ["def", "call", "outcome", "block"])
def test_a_failed_call_leaves_no_cycles(way: str) -> None:
    """Once the error is dropped, everything the call held is gone, without the collector."""
    held: list[weakref.ref[_Witness]] = []

    def fails() -> None:
        witness = _Witness()
        held.append(weakref.ref(witness))
        raise ConnectionError

    policy = retry(on=ConnectionError, wait=0, attempts=2)
    with contextlib.suppress(ConnectionError):
        RUNNERS[way](policy, Does(fails))
    assert [ref() for ref in held] == [None, None]


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("suspends", [False, True])
@pytest.mark.parametrize("way", ["async def", "async call", "async outcome"])
async def test_a_failed_coroutine_leaves_no_cycles(way: str, suspends: bool) -> None:  # noqa: FBT001
    """The same for an ``async def``, whether it suspends or not."""
    held: list[weakref.ref[_Witness]] = []

    async def fails() -> None:
        witness = _Witness()
        held.append(weakref.ref(witness))
        if suspends:
            await asyncio.sleep(0)
        raise ConnectionError

    policy = retry(on=ConnectionError, wait=0, attempts=2)
    with contextlib.suppress(ConnectionError):
        if way == "async def":
            await policy(fails)()
        elif way == "async call":
            await policy.call(fails)
        else:
            (await resilient.outcome(policy(fails))).unwrap()
    assert [ref() for ref in held] == [None, None]


# Settings


class _Unbound:
    """Neither a class of exceptions nor a function."""


@pytest.mark.parametrize(
    ("setting", "bad"),
    [
        *(("on", bad) for bad in (None, "ConnectionError", 5, _Unbound(), [OSError])),
        *(("attempts", bad) for bad in (0, -1, 2.5, "3", True, float("inf"))),
        *(("wait", bad) for bad in (-1, float("nan"), float("inf"), "1", True, [1])),
        *(("max_delay", bad) for bad in (-1, float("nan"), float("inf"), "1", True, max)),
        *(("stop", bad) for bad in (3, "never", _Unbound(), lambda state: True)),
        *(("retry_after", bad) for bad in (3, "header")),
        *(("on_result", bad) for bad in (3, None.__class__.__name__)),
        *(("before_sleep", bad) for bad in (3, "print", asyncio.sleep)),
    ],
)
def test_bad_settings_are_refused_when_given(setting: str, bad: object) -> None:
    """`ConfigError` names the setting, its value and what is allowed."""
    settings: dict[str, Any] = {"on": ConnectionError, setting: bad}
    with pytest.raises(resilient.ConfigError) as caught:
        retry(**settings)
    assert caught.value.setting == setting
    assert caught.value.value is bad
    assert caught.value.allowed
    assert caught.value.origin == "code"


@pytest.mark.parametrize(
    "bad",
    [
        KeyboardInterrupt,
        BaseException,
        asyncio.CancelledError,
        int,
        (OSError, SystemExit),
        (OSError, 5),
    ],
)
def test_what_is_never_retried_cannot_be_named(bad: Any) -> None:
    """Only classes of exceptions, and no classes outside `Exception`."""
    with pytest.raises(resilient.ConfigError) as caught:
        retry(on=bad)
    assert caught.value.setting == "on"


@pytest.mark.parametrize("bad", [5, None, "fetch", object(), ConnectionError])
def test_only_functions_can_be_retried(bad: Any) -> None:
    """What is no function is refused when it is decorated."""
    with pytest.raises(TypeError):
        retry(on=ConnectionError)(bad)


def test_generators_cannot_be_retried() -> None:
    """Their bodies run after the call has returned; the error names what to do instead."""

    def rows() -> Any:
        yield 1

    async def more_rows() -> Any:
        yield 1

    for generator in (rows, more_rows):
        with pytest.raises(TypeError, match="generator"):
            retry(on=ConnectionError)(generator)


@every_way
def test_one_backoff_is_no_shared_iterator(run: Runner) -> None:
    """A call that runs in the middle of another one waits as long as it would alone."""
    clock = Sleeper()
    again = retry(
        on=ConnectionError,
        attempts=4,
        wait=backoff(1, factor=2, cap=100, jitter=False),
        clock=clock,
    )
    inner = Script(ConnectionError("inner"))

    def outer() -> None:
        if first.count == 2:
            with pytest.raises(ConnectionError, match="inner"):
                again.call(inner)
        raise ConnectionError("outer")

    first = Does(outer)
    with pytest.raises(ConnectionError, match="outer") as caught:
        run(again, first)
    assert clock.waits == [1, 1, 2, 4, 2, 4]
    assert "waits in s: 1, 2, 4" in our_notes(caught.value)[0]

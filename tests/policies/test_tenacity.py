"""tenacity's strategies decide as they do there, without its traps."""

from __future__ import annotations

import asyncio
import datetime
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest
import tenacity as t

import resilient
from resilient import retry
from tests.policies.scripted import RUNNERS, Runner, Script, Sleeper

BAD = ConnectionError("bad gateway")
WORSE = ValueError("not a number")
as_function = pytest.mark.parametrize(
    "run", [RUNNERS[way] for way in RUNNERS if "block" not in way], ids=lambda run: ""
)


def endless(*steps: object) -> Script:
    """A script that ends in success, so that a retry that asks too often is seen."""
    return Script(*steps, *["stop"] * 9)


@as_function
@pytest.mark.parametrize(
    ("strategy", "steps", "calls"),
    [
        (lambda: t.retry_if_exception_type(OSError), [BAD, BAD, "yes"], 3),
        (lambda: t.retry_if_exception_type(OSError), [WORSE], 1),
        (lambda: t.retry_if_exception_type((OSError, ValueError)), [BAD, WORSE, "yes"], 3),
        (lambda: t.retry_if_not_exception_type(ValueError), [BAD, WORSE], 2),
        (lambda: t.retry_if_exception(lambda e: "bad" in str(e)), [BAD, WORSE], 2),
        (lambda: t.retry_if_exception_message(match="bad.*"), [BAD, WORSE], 2),
        (lambda: t.retry_if_exception_message(message="bad gateway"), [BAD, "yes"], 2),
        (lambda: t.retry_if_not_exception_message(match="bad.*"), [WORSE, BAD], 2),
        (lambda: t.retry_if_exception_cause_type(KeyError), [BAD], 1),
        (lambda: t.retry_if_result(lambda r: r is None), [None, None, "yes"], 3),
        (lambda: t.retry_if_result(lambda r: r is None), [BAD], 1),
        (lambda: t.retry_if_not_result(lambda r: r == "yes"), [None, 5, "yes"], 3),
        (lambda: t.retry_unless_exception_type(ValueError), ["ok", "ok", WORSE], 3),
        (lambda: t.retry_always, ["ok", BAD, "last", "never"], 3),
        (lambda: t.retry_never, [BAD], 1),
        (
            lambda: t.retry_any(
                t.retry_if_exception_type(OSError), t.retry_if_result(lambda r: r == 0)
            ),
            [BAD, 0, "yes"],
            3,
        ),
        (
            lambda: (
                t.retry_if_exception_type(OSError) | t.retry_if_exception_message(match="not.*")
            ),
            [BAD, WORSE, "yes"],
            3,
        ),
        (
            lambda: t.retry_all(
                t.retry_if_exception_type(OSError), t.retry_if_exception_message(match="bad.*")
            ),
            [BAD, ConnectionError("other")],
            2,
        ),
        (
            lambda: (
                t.retry_if_exception_type(OSError) & t.retry_if_exception_message(match="bad.*")
            ),
            [BAD, WORSE],
            2,
        ),
        (
            lambda: t.retry_any(
                t.retry_all(t.retry_if_exception_type(OSError), t.retry_if_result(bool)),
                t.retry_if_exception_type(ValueError),
            ),
            [WORSE, BAD],
            2,
        ),
    ],
)
def test_strategies_decide(
    run: Runner, strategy: Callable[[], Any], steps: list[Any], calls: int
) -> None:
    """Each strategy asks again exactly where it says, for errors and for results."""
    script = endless(*steps)
    last = steps[calls - 1]
    policy = retry(on=strategy(), wait=0)
    if isinstance(last, Exception):
        with pytest.raises(type(last)) as caught:
            run(policy, script)
        assert caught.value is last
    else:
        assert run(policy, script) == last
    assert script.count == calls


@as_function
@pytest.mark.parametrize(
    ("steps", "calls"), [([None, BAD, "", "yes"], 4), (["", "yes"], 2), (["yes"], 1), ([WORSE], 1)]
)
def test_on_result_adds_to_a_strategy(run: Runner, steps: list[Any], calls: int) -> None:
    """A strategy for errors, a predicate for results: either asks again."""
    script = endless(*steps)
    strategy: Any = t.retry_if_exception_type(OSError) | t.retry_if_result(lambda r: r is None)
    policy = retry(
        on=strategy,
        on_result=lambda r: r == "",
        attempts=5,
        wait=0,
    )
    if steps == [WORSE]:
        with pytest.raises(ValueError, match="number"):
            run(policy, script)
    else:
        assert run(policy, script) == "yes"
    assert script.count == calls


@as_function
def test_a_strategy_of_ones_own_works(run: Runner) -> None:
    """A subclass of tenacity's base sees number, outcome and times as tenacity would show them."""
    seen: list[tuple[int, bool, float]] = []

    class Own(t.retry_base):
        def __call__(self, retry_state: t.RetryCallState) -> bool:
            outcome = retry_state.outcome
            assert outcome is not None
            seen.append((retry_state.attempt_number, outcome.failed, retry_state.idle_for))
            return outcome.failed or outcome.result() == "again"

    script = endless(BAD, "again", "yes")
    own: Any = Own()
    assert run(retry(on=own, wait=2, clock=Sleeper()), script) == "yes"
    assert seen == [(1, True, 0), (2, False, 2), (3, False, 4)]


@pytest.mark.parametrize(
    "strategy",
    [
        lambda: t.retry_if_not_exception_type(ValueError),
        lambda: t.retry_if_exception(lambda error: True),
        lambda: t.retry_unless_exception_type(ValueError),
        lambda: t.retry_always,
    ],
)
@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(), asyncio.CancelledError()])
def test_no_strategy_swallows_a_cancellation(
    strategy: Callable[[], Any], error: BaseException
) -> None:
    """Strategies that retry "anything but" are not asked about Ctrl-C, exit and cancellation."""
    ways = ["def", "call", "outcome", "block"]
    if isinstance(error, asyncio.CancelledError):
        ways += ["async def", "async call", "async block"]
    for way in ways:
        script = endless(error)
        with pytest.raises(type(error)):
            RUNNERS[way](retry(on=strategy(), wait=0), script)
        assert script.count == 1


async def test_a_task_that_is_cancelled_is_not_retried() -> None:
    """Not even by a strategy that is true of everything, while the call is under way."""
    calls = 0
    strategy: Any = t.retry_if_not_exception_type(ValueError)

    @retry(on=strategy, wait=0)
    async def hangs() -> None:
        nonlocal calls
        calls += 1
        await asyncio.Event().wait()

    task = asyncio.ensure_future(hangs())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert calls == 1


def test_a_rejection_is_not_retried_by_a_strategy() -> None:
    """A strategy names no class of rejections."""
    strategy: Any = t.retry_if_exception_type(Exception)
    script = endless(resilient.CircuitOpenError("b", 0.1))
    with pytest.raises(resilient.CircuitOpenError):
        retry(on=strategy, wait=0).call(script)
    assert script.count == 1


# Waits


@as_function
@pytest.mark.parametrize(
    ("wait", "waits"),
    [
        (lambda: t.wait_fixed(2), [2, 2, 2]),
        (lambda: t.wait_fixed(datetime.timedelta(seconds=3)), [3, 3, 3]),
        (t.wait_none, []),
        (lambda: t.wait_incrementing(1, 2), [1, 3, 5]),
        (lambda: t.wait_exponential(multiplier=1, max=3), [1, 2, 3]),
        (lambda: t.wait_exponential(multiplier=0.5, exp_base=4), [0.5, 2, 8]),
        (lambda: t.wait_chain(t.wait_fixed(1), t.wait_fixed(5)), [1, 5, 5]),
        (lambda: t.wait_fixed(1) + t.wait_fixed(2), [3, 3, 3]),
        (lambda: t.wait_combine(t.wait_fixed(1), t.wait_incrementing(1, 1)), [2, 3, 4]),
        (lambda: t.wait_exception(lambda error: len(str(error))), [11, 11, 11]),
    ],
)
def test_waits_are_as_tenacity_counts_them(
    run: Runner, wait: Callable[[], Any], waits: list[float]
) -> None:
    """The first wait is that of attempt 1."""
    clock = Sleeper()
    with pytest.raises(ConnectionError):
        run(retry(on=OSError, attempts=4, wait=wait(), clock=clock), Script(BAD))
    assert clock.waits == pytest.approx(waits)


@pytest.mark.parametrize(
    ("wait", "most"),
    [
        (t.wait_random(1, 2), 2),
        (t.wait_random_exponential(max=4), 4),
        (t.wait_exponential_jitter(max=6, jitter=1), 7),
        (t.wait_fixed(50), 5),
    ],
)
def test_random_waits_stay_in_their_bounds(wait: Any, most: float) -> None:
    """And `max_delay` caps them like any other wait."""
    clock = Sleeper()
    with pytest.raises(ConnectionError):
        retry(on=OSError, attempts=40, wait=wait, max_delay=5, clock=clock).call(Script(BAD))
    assert max(clock.waits) <= min(most, 5)


# Stops


class Slow(Script):
    """Each call takes a second of the clock."""

    def __init__(self, clock: Sleeper, *steps: object) -> None:
        super().__init__(*steps)
        self.clock = clock

    def __call__(self, *args: object, **kwargs: object) -> Any:
        """Take a second, then the next step."""
        self.clock.advance(1)
        return super().__call__(*args, **kwargs)


@as_function
@pytest.mark.parametrize(
    ("stop", "calls"),
    [
        (lambda: t.stop_after_attempt(1), 1),
        (lambda: t.stop_after_attempt(4), 4),
        # A call takes 1 s, a wait 2 s: failures at 1, 4, 7, 10 s.
        (lambda: t.stop_after_delay(0.5), 1),
        (lambda: t.stop_after_delay(4), 2),
        (lambda: t.stop_after_delay(5), 3),
        (lambda: t.stop_after_delay(datetime.timedelta(seconds=7)), 3),
        (lambda: t.stop_before_delay(2.5), 1),
        (lambda: t.stop_before_delay(5.5), 2),
        (lambda: t.stop_before_delay(6.5), 3),
        (lambda: t.stop_any(t.stop_after_attempt(2), t.stop_after_delay(100)), 2),
        (lambda: t.stop_after_attempt(9) | t.stop_after_delay(4), 2),
        (lambda: t.stop_all(t.stop_after_attempt(2), t.stop_after_delay(7)), 3),
        (lambda: t.stop_after_attempt(4) & t.stop_after_delay(1), 4),
    ],
)
def test_stops_stop_where_tenacity_would(run: Runner, stop: Callable[[], Any], calls: int) -> None:
    """Attempts and elapsed time count from the start of the first call."""
    clock = Sleeper()
    script = Slow(clock, BAD)
    with pytest.raises(ConnectionError) as caught:
        run(retry(on=OSError, stop=stop(), wait=2, clock=clock), script)
    assert caught.value is BAD
    assert script.count == calls


def test_a_stop_of_ones_own_works() -> None:
    """A subclass of tenacity's base is asked with the state; an event stops from outside."""

    class Own(t.stop.stop_base):
        def __call__(self, retry_state: t.RetryCallState) -> bool:
            return (retry_state.seconds_since_start or 0) >= 6

    clock = Sleeper()
    script = Slow(clock, BAD)
    with pytest.raises(ConnectionError):
        retry(on=OSError, stop=Own(), wait=2, clock=clock)(script)()
    assert script.count == 3

    stopped = threading.Event()
    stopped.set()
    script = Slow(clock, BAD)
    with pytest.raises(ConnectionError):
        retry(on=OSError, stop=t.stop_when_event_set(stopped), wait=0)(script)()
    assert script.count == 1


def test_a_stop_replaces_the_default_attempts_and_joins_given_ones() -> None:
    """With `stop` alone nothing else ends it; with both, whichever comes first."""
    for settings, calls in (
        ({"stop": t.stop_after_attempt(7)}, 7),
        ({"stop": t.stop_after_attempt(7), "attempts": 5}, 5),
        ({"stop": t.stop_after_attempt(2), "attempts": 5}, 2),
    ):
        script = Script(BAD)
        policy: Any = retry
        with pytest.raises(ConnectionError):
            policy(on=OSError, wait=0, **settings).call(script)
        assert script.count == calls


def test_strategies_are_shared_without_sharing_state() -> None:
    """200 calls on eight threads over one retry: each one sees its own attempts only."""
    seen: list[int] = []

    class Own(t.stop.stop_base):
        def __call__(self, retry_state: t.RetryCallState) -> bool:
            seen.append(retry_state.attempt_number)
            return retry_state.attempt_number >= 3

    strategies: dict[str, Any] = {
        "on": t.retry_if_exception_type(OSError),
        "stop": Own(),
        "wait": t.wait_none(),
    }
    policy = retry(**strategies)

    def one(_: int) -> int:
        script = Script(ConnectionError)
        with pytest.raises(ConnectionError):
            policy(script)()
        return script.count

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(one, range(200))) == [3] * 200
    assert sorted(seen) == [1] * 200 + [2] * 200 + [3] * 200


def test_strategies_that_must_be_awaited_are_refused() -> None:
    """An async strategy of tenacity cannot decide for a ``def``; the error says what can."""
    strategy: Any = t.asyncio.retry_if_exception(cast("Any", lambda error: True))
    with pytest.raises(resilient.ConfigError) as caught:
        retry(on=strategy)
    assert caught.value.setting == "on"


@pytest.mark.parametrize(
    ("setting", "bad"),
    [
        ("on", t.wait_fixed(1)),
        ("on", t.stop_after_attempt(1)),
        ("stop", t.wait_fixed(1)),
        ("stop", t.retry_if_exception_type(OSError)),
        ("wait", t.stop_after_attempt(1)),
        ("wait", t.retry_if_exception_type(OSError)),
        ("stop", t.stop_after_attempt),
        ("wait", t.wait_fixed),
        ("on", t.retry_if_exception_type),
    ],
)
def test_a_strategy_in_the_wrong_place_is_refused(setting: str, bad: object) -> None:
    """A wait is no stop, a class is no object: said when it is given."""
    settings: dict[str, Any] = {"on": OSError, setting: bad}
    with pytest.raises(resilient.ConfigError) as caught:
        retry(**settings)
    assert caught.value.setting == setting

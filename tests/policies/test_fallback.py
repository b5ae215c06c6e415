"""Another answer when there is none: in order, for the errors named, and with its origin told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import resilient
from resilient import Freshness, alternative, breaker, fallback, pipeline, retry, value
from tests.policies.scripted import RUNNERS, Runner, Script, run_async

as_function = pytest.mark.parametrize(
    "run", [RUNNERS[way] for way in RUNNERS if "block" not in way], ids=lambda run: ""
)
DOWN = ConnectionError("down")


def failing(error: Exception) -> Callable[..., Any]:
    """A function of any arguments that raises `error`."""

    def fails(*args: object, **kwargs: object) -> Any:
        raise error

    return fails


def causes(error: BaseException | None) -> list[BaseException]:
    """`error` and its causes, down to the first; fails on a circle."""
    found: list[BaseException] = []
    while error is not None:
        assert all(error is not each for each in found), "the causes go round in a circle"
        found.append(error)
        error = error.__cause__
    return found


# Which alternative


@as_function
@pytest.mark.parametrize(
    ("alternatives", "answer"),
    [
        ([12.5], 12.5),
        ([None], None),
        ([value(12.5)], 12.5),
        ([value(len)], len),
        ([lambda: "called"], "called"),
        ([dict], {}),
        ([alternative(lambda: "named")], "named"),
        ([failing(OSError()), "second"], "second"),
        ([failing(OSError()), failing(KeyError()), lambda: "third"], "third"),
        (["first", failing(AssertionError("asked in vain"))], "first"),
    ],
)
def test_the_first_that_answers_answers(run: Runner, alternatives: list[Any], answer: Any) -> None:
    """Values, functions and named alternatives, tried in order."""
    assert run(fallback(*alternatives), Script(DOWN)) == answer


@as_function
def test_what_does_not_fail_needs_none(run: Runner) -> None:
    """A good answer is passed on, `None` included, and no alternative is asked."""
    never = failing(AssertionError("asked in vain"))
    assert run(fallback(never), Script("good")) == "good"
    assert run(fallback(never), Script(None)) is None


@as_function
@pytest.mark.parametrize(
    ("on", "answered", "passed"),
    [
        (Exception, resilient.CircuitOpenError("b", 1.0), None),
        (OSError, ConnectionError(), ValueError()),
        ((KeyError, ValueError), UnicodeError(), IndexError()),
        (resilient.Rejected, resilient.CircuitOpenError("b", 1.0), ConnectionError()),
        (lambda error: "down" in str(error), DOWN, OSError("gone")),
        (TimeoutError, resilient.CallTimeoutError("t", 1), OSError()),
    ],
)
def test_it_answers_for_what_on_names(
    run: Runner, on: Any, answered: Exception, passed: Exception | None
) -> None:
    """Classes, tuples, predicates; every other error passes untouched."""
    assert run(fallback("instead", on=on), Script(answered)) == "instead"
    if passed is not None:
        with pytest.raises(type(passed)) as caught:
            run(fallback("instead", on=on), Script(passed))
        assert caught.value is passed
        assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("way", "error"),
    [
        *((way, asyncio.CancelledError()) for way in RUNNERS if "block" not in way),
        *((way, KeyboardInterrupt()) for way in ("def", "call", "outcome")),
        *((way, SystemExit()) for way in RUNNERS if "block" not in way),
    ],
)
def test_cancellation_and_ctrl_c_pass(way: str, error: BaseException) -> None:
    """They are no failure: nothing answers for them, neither outside nor in an alternative."""
    with pytest.raises(type(error)):
        RUNNERS[way](fallback("instead", on=lambda error: True), Script(error))

    def interrupted() -> None:
        raise error

    with pytest.raises(type(error)):
        RUNNERS[way](fallback(interrupted, "instead"), Script(DOWN))


def test_alternatives_get_the_arguments_of_the_call() -> None:
    """Positional and keyword, as they were given; a value takes any."""

    @fallback(lambda a, b, *, c: (a, b, c))
    def fails(a: int, b: int, *, c: int) -> tuple[int, int, int]:
        raise DOWN

    assert fails(1, b=2, c=3) == (1, 2, 3)
    assert fallback(value(0)).call(fails.__wrapped__, 1, 2, c=3) == 0  # type: ignore[attr-defined]  # set by functools.wraps


def _positional(error: object = "own default", /) -> object:
    return error


def _keyword(*, error: object) -> object:
    return error


def _either(error: object = None) -> object:
    return error


def _anything(**kwargs: object) -> object:
    return kwargs


def _other(exception: object = "not asked for") -> object:
    return exception


class _Callable:
    def __call__(self, *, error: object) -> object:
        return error


@as_function
@pytest.mark.parametrize(
    ("fn", "answer"),
    [
        (_keyword, DOWN),
        (_either, DOWN),
        (_Callable(), DOWN),
        (alternative(_keyword), DOWN),
        (_positional, "own default"),
        (_anything, {}),
        (_other, "not asked for"),
    ],
)
def test_only_a_parameter_of_that_name_gets_the_error(run: Runner, fn: Any, answer: Any) -> None:
    """The error goes to the keyword ``error``, and to nothing else."""
    assert run(fallback(fn), Script(DOWN)) == answer


@as_function
def test_each_alternative_gets_the_error_before_it(run: Runner) -> None:
    """The second one learns why the first one failed."""
    second = KeyError("cache")
    seen: list[Exception] = []

    def first(*, error: Exception) -> Any:
        seen.append(error)
        raise second

    def last(*, error: Exception) -> str:
        seen.append(error)
        return "answer"

    assert run(fallback(first, last), Script(DOWN)) == "answer"
    assert seen == [DOWN, second]


def test_async_alternatives_are_awaited() -> None:
    """Under an ``async def`` alternatives may be of either kind."""

    async def later(*, error: Exception) -> str:
        await asyncio.sleep(0)
        raise LookupError

    async def latest() -> str:
        await asyncio.sleep(0)
        return "later"

    for way in ("async def", "async def that suspends", "async call"):
        assert RUNNERS[way](fallback(later, latest), Script(DOWN)) == "later"
        assert RUNNERS[way](fallback(later, lambda: "at once"), Script(DOWN)) == "at once"


def test_an_async_alternative_under_a_def_is_refused() -> None:
    """`TypeError` when it is decorated, which says what to do; also for methods and objects."""

    class Remote:
        async def ask(self) -> int:
            return 1

        async def __call__(self) -> int:
            return 1

    async def ask() -> int:
        return 1

    for asynchronous in (ask, Remote().ask, Remote(), alternative(ask)):
        for protect in (
            fallback(1, asynchronous),
            pipeline(retry(on=OSError), fallback(asynchronous)),
        ):
            with pytest.raises(TypeError, match="async"):
                protect(lambda: 1)
            with pytest.raises(TypeError, match="async"):
                protect.call(lambda: 1)


def test_methods_fall_back_to_methods() -> None:
    """An alternative written in the same class gets ``self`` like the method does."""

    class Prices:
        def __init__(self, cached: float) -> None:
            self.cached = cached

        def from_cache(self, zone: str) -> tuple[str, float]:
            return zone, self.cached

        @fallback(from_cache)
        def price(self, zone: str) -> tuple[str, float]:
            raise DOWN

        @classmethod
        @fallback(lambda cls, zone: (cls.__name__, zone))
        def name(cls, zone: str) -> tuple[str, str]:
            raise DOWN

        @staticmethod
        @fallback(lambda zone: zone)
        def zone(zone: str) -> str:
            raise DOWN

    assert Prices(3.5).price("z") == ("z", 3.5)
    assert Prices.name("z") == ("Prices", "z")
    assert Prices.zone("z") == "z"


# When all of them fail


@as_function
def test_when_all_fail_the_last_error_is_raised(run: Runner) -> None:
    """Its causes lead back through every alternative to the first error, untouched otherwise."""
    first, second, third = ConnectionError(1), KeyError(2), LookupError(3)
    with pytest.raises(LookupError) as caught:
        run(fallback(failing(second), failing(third)), Script(first))
    assert causes(caught.value) == [third, second, first]
    assert first.__cause__ is None


@as_function
def test_a_chain_that_exists_is_kept(run: Runner) -> None:
    """Ours begins where the causes of the alternative's error end."""
    first, second, root = ConnectionError(1), KeyError(2), LookupError("root")
    second.__cause__ = root
    with pytest.raises(KeyError) as caught:
        run(fallback(failing(second)), Script(first))
    assert causes(caught.value) == [second, root, first]


@as_function
def test_an_alternative_may_raise_what_it_was_given(run: Runner) -> None:
    """Raising the very error, or one caused by it, makes no circle."""

    def again(*, error: Exception) -> Any:
        raise error

    def because(*, error: Exception) -> Any:
        raise LookupError from error

    first = ConnectionError(1)
    with pytest.raises(ConnectionError) as caught:
        run(fallback(again, again), Script(first))
    assert causes(caught.value) == [first]
    with pytest.raises(LookupError) as late:
        run(fallback(because), Script(first))
    assert causes(late.value) == [late.value, first]


ERRORS = 5


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(0, ERRORS - 1), min_size=1, max_size=6),
    st.lists(st.integers(-1, ERRORS - 1), min_size=ERRORS, max_size=ERRORS),
    st.sampled_from(["def", "call", "async def"]),
)
def test_whatever_raises_whatever_the_causes_stay_finite(
    raised: list[int], caused_by: list[int], way: str
) -> None:
    """Errors with causes of their own, raised in any order and again: no circle, no cause lost."""
    errors = [LookupError(n) for n in range(ERRORS)]
    for number, cause in enumerate(caused_by):
        if cause > number:  # these edges alone make no circle
            errors[number].__cause__ = errors[cause]
    before = {id(error): causes(error) for error in errors}
    first, *others = (errors[n] for n in raised)
    policy = fallback(*(failing(error) for error in others or [first]))
    with pytest.raises(LookupError) as caught:
        RUNNERS[way](policy, Script(first))
    assert caught.value is (others[-1] if others else first)
    for error in errors:
        known = {id(each) for each in causes(error)}
        assert {id(each) for each in before[id(error)]} <= known
    if len(others) == 1 and first not in before[id(others[0])]:
        shared = set(map(id, before[id(first)])) & set(map(id, before[id(others[0])]))
        assert (first in causes(others[0])) is not bool(shared)


class _SealedError(Exception):
    def __setattr__(self, name: str, new: object) -> None:
        message = "read-only"
        raise RuntimeError(message)


@as_function
def test_an_error_that_takes_no_cause_is_raised_as_it_is(run: Runner) -> None:
    """An error that refuses attributes is still the error of the last alternative."""
    error = _SealedError()
    with pytest.raises(_SealedError) as caught:
        run(fallback(failing(error)), Script(DOWN))
    assert caught.value is error


@as_function
def test_alternatives_are_asked_whatever_their_errors(run: Runner) -> None:
    """`on` selects the errors of the call; what an alternative raises leads to the next one."""
    policy = fallback(failing(ValueError("not in on")), "answer", on=OSError)
    assert run(policy, Script(DOWN)) == "answer"


# Where the answer came from


def outcome_of(way: str, policy: Any, script: Script) -> resilient.Outcome[Any]:
    """The outcome of `script` under `policy`."""
    made: Any = resilient.outcome(policy(script if way == "def" else script.later))
    outcome: resilient.Outcome[Any] = made if way == "def" else run_async(made)
    return outcome


both = pytest.mark.parametrize("way", ["def", "async def"])


@both
def test_the_outcome_tells_the_source(way: str, resilience: resilient.testing.Resilience) -> None:
    """Source, freshness, every error passed over, the attempts, and when."""
    resilience.clock.advance(1000)
    second = KeyError("cache")
    cases: list[tuple[Any, str, Freshness]] = [
        (value(1), "default", Freshness.DEFAULT),
        (value(1, source="zero"), "zero", Freshness.DEFAULT),
        (5, "default", Freshness.DEFAULT),
        (from_database, "from_database", Freshness.FRESH),
        (alternative(from_database), "from_database", Freshness.FRESH),
        (
            alternative(from_database, source="replica", freshness=Freshness.STALE),
            "replica",
            Freshness.STALE,
        ),
    ]
    for last, source, freshness in cases:
        outcome = outcome_of(way, fallback(failing(second), last), Script(DOWN))
        assert outcome.ok
        assert outcome.source.split(".")[-1] == source
        assert outcome.freshness is freshness
        assert outcome.reasons == (DOWN, second)
        assert outcome.attempts == 1
        assert outcome.at == 1000


def from_database() -> str:
    """An alternative with a name."""
    return "row"


@both
def test_the_outcome_of_success_and_failure(way: str) -> None:
    """Success is fresh from the call; when all fail, the error is the last and the rest reasons."""
    outcome = outcome_of(way, fallback(1), Script("good"))
    assert (outcome.value, outcome.error, outcome.source) == ("good", None, "call")
    assert (outcome.freshness, outcome.attempts, outcome.reasons) == (Freshness.FRESH, 1, ())
    second, third = KeyError(2), LookupError(3)
    outcome = outcome_of(way, fallback(failing(second), failing(third)), Script(DOWN))
    assert not outcome.ok
    assert outcome.error is third
    assert outcome.reasons == (DOWN, second)


@both
def test_the_outcome_counts_the_attempts_of_a_retry_inside(way: str) -> None:
    """Attempts are calls of the function itself, however many there were."""
    policy = pipeline(fallback(0), retry(on=OSError, attempts=4, wait=0))
    outcome = outcome_of(way, policy, Script(DOWN))
    assert (outcome.value, outcome.attempts, outcome.source) == (0, 4, "default")
    assert outcome.reasons == (DOWN,)
    outcome = outcome_of(way, policy, Script(DOWN, "yes"))
    assert (outcome.value, outcome.attempts, outcome.source) == ("yes", 2, "call")


@both
def test_fallbacks_around_fallbacks(way: str) -> None:
    """The outer one answers for the inner one's failure, and nothing passed over is lost."""
    second, third = KeyError(2), LookupError(3)
    policy = pipeline(fallback(failing(third), "outer"), fallback(failing(second)))
    outcome = outcome_of(way, policy, Script(DOWN))
    assert outcome.value == "outer"
    assert outcome.reasons == (DOWN, second, third)
    inner = pipeline(fallback("outer"), fallback("inner"))
    assert outcome_of(way, inner, Script(DOWN)).value == "inner"


@both
def test_an_alternative_may_be_guarded_itself(way: str) -> None:
    """Its own retry and breaker work as they do elsewhere."""
    replica = Script(KeyError(), KeyError(), "replica")
    mirror = breaker("mirror", failure_threshold=1)
    guarded = retry(on=KeyError, wait=0)(replica)
    assert outcome_of(way, fallback(guarded), Script(DOWN)).value == "replica"
    assert replica.count == 3
    broken = mirror(failing(OSError()))
    policy = fallback(broken, "last")
    first = outcome_of(way, policy, Script(DOWN))
    again = outcome_of(way, policy, Script(DOWN))
    assert isinstance(first.reasons[1], OSError)
    assert isinstance(again.reasons[1], resilient.CircuitOpenError)
    assert again.value == "last"


@both
def test_a_nested_retry_does_not_outlive_an_alternatives_retry(way: str) -> None:
    """An outer retry does not repeat a call whose alternative's retry has given up."""
    replica = Script(DOWN)
    guarded = retry(on=OSError, wait=0, attempts=2)(replica)
    script = Script(ValueError())
    policy = pipeline(retry(on=OSError, wait=0), fallback(guarded))
    with pytest.raises(ConnectionError):
        outcome_of(way, policy, script).unwrap()
    assert (script.count, replica.count) == (1, 2)


# Events


@both
def test_an_event_tells_of_each_use(way: str, resilience: resilient.testing.Resilience) -> None:
    """Source, freshness, the error, and whose calls it answers for: the policies inside it."""
    gate = breaker("payments")
    policy = pipeline(breaker("outside"), fallback("instead"), breaker("orders"), gate)
    outcome_of(way, policy, Script("good"))
    assert resilience.events.of(resilient.FallbackUsed) == []
    outcome_of(way, policy, Script(DOWN))
    (used,) = resilience.events.of(resilient.FallbackUsed)
    assert used.source == "default"
    assert used.freshness == "default"
    assert used.error == repr(DOWN)
    assert used.inside == ("orders", "payments")
    assert used.severity is resilient.Severity.INFO


@both
def test_an_event_tells_of_failing_to_help(
    way: str, resilience: resilient.testing.Resilience
) -> None:
    """`source` is `None` and the severity a warning when every alternative failed."""
    with pytest.raises(KeyError):
        outcome_of(way, fallback(failing(KeyError())), Script(DOWN)).unwrap()
    (used,) = resilience.events.of(resilient.FallbackUsed)
    assert used.source is None
    assert used.error == repr(DOWN)
    assert used.inside == ()
    assert used.severity is resilient.Severity.WARNING


def test_switched_off_it_replaces_nothing() -> None:
    """While the library is inactive errors are errors."""
    resilient.set_active(False)
    try:
        for way in ("def", "call", "async def"):
            with pytest.raises(ConnectionError):
                RUNNERS[way](fallback(1), Script(DOWN))
    finally:
        resilient.set_active(True)


# Settings


@pytest.mark.parametrize(
    ("setting", "make"),
    [
        ("alternatives", lambda: fallback()),  # noqa: PLW0108  (one table, one shape)
        ("alternatives", lambda: fallback(on=OSError)),
        ("on", lambda: fallback(1, on=5)),  # type: ignore[arg-type]  # on purpose
        ("on", lambda: fallback(1, on=None)),  # type: ignore[arg-type]  # on purpose
        ("on", lambda: fallback(1, on=KeyboardInterrupt)),  # type: ignore[arg-type]  # on purpose
        ("on", lambda: fallback(1, on=asyncio.CancelledError)),  # type: ignore[arg-type]  # on purpose
        ("on", lambda: fallback(1, on=(OSError, BaseException))),  # type: ignore[arg-type]  # on purpose
        ("alternative", lambda: alternative(5)),  # type: ignore[arg-type]  # on purpose
        ("freshness", lambda: alternative(from_database, freshness="old")),  # type: ignore[arg-type]  # on purpose
        ("source", lambda: alternative(from_database, source=5)),  # type: ignore[arg-type]  # on purpose
        ("source", lambda: value(1, source=5)),  # type: ignore[arg-type]  # on purpose
    ],
)
def test_bad_settings_are_refused_when_given(setting: str, make: Callable[[], object]) -> None:
    """`ConfigError` names the setting and what is allowed."""
    with pytest.raises(resilient.ConfigError) as caught:
        make()
    assert caught.value.setting == setting
    assert caught.value.allowed

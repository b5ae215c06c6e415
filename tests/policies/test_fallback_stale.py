"""The last good answer for the same arguments, of the same function, if it is not too old."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import resilient
from resilient import Freshness, fallback, stale
from resilient.testing import ManualClock
from tests.policies.scripted import run_async


class Dependency:
    """Answers with its arguments and the number of the call; can be down."""

    def __init__(self) -> None:
        self.down = False
        self.count = 0

    def ask(self, *args: Any, **kwargs: Any) -> Any:
        """An answer, or `ConnectionError` while it is down."""
        if self.down:
            raise ConnectionError
        self.count += 1
        return self.count, args, kwargs

    async def ask_later(self, *args: Any, **kwargs: Any) -> Any:
        """The same, as a coroutine function."""
        await asyncio.sleep(0)
        return self.ask(*args, **kwargs)


Ask = Callable[..., Any]
Wrap = Callable[[Dependency, Any], Ask]


def _async(dependency: Dependency, policy: Any) -> Ask:
    guarded = policy(dependency.ask_later)
    return lambda *args, **kwargs: run_async(guarded(*args, **kwargs))


def _outcome(dependency: Dependency, policy: Any) -> Ask:
    guarded = policy(dependency.ask)
    return lambda *args, **kwargs: resilient.outcome(guarded, *args, **kwargs).unwrap()


def _call(dependency: Dependency, policy: Any) -> Ask:
    return functools.partial(policy.call, dependency.ask)


every_way = pytest.mark.parametrize(
    "wrap",
    [lambda dependency, policy: policy(dependency.ask), _call, _outcome, _async],
    ids=["def", "call", "outcome", "async def"],
)


@every_way
def test_the_last_good_answer_comes_back(wrap: Wrap) -> None:
    """The newest one of those arguments; other arguments have none."""
    dependency = Dependency()
    ask = wrap(dependency, fallback(stale()))
    ask("a")
    newest = ask("a")
    other = ask("b", size=1)
    dependency.down = True
    assert ask("a") == newest == (2, ("a",), {})
    assert ask("b", size=1) == other
    for unknown in (("c",), ("a", "b"), ()):
        with pytest.raises(ConnectionError):
            ask(*unknown)
    with pytest.raises(ConnectionError):
        ask("b", size=2)


@every_way
def test_keywords_have_no_order(wrap: Wrap) -> None:
    """The same keywords in another order are the same arguments."""
    dependency = Dependency()
    ask = wrap(dependency, fallback(stale()))
    answer = ask(1, b=2, a=3)
    dependency.down = True
    assert ask(1, a=3, b=2) == answer


@every_way
@pytest.mark.parametrize(
    ("age", "answered"), [(0, True), (299, True), (300, True), (300.001, False), (9e9, False)]
)
def test_an_answer_older_than_max_age_is_none(wrap: Wrap, age: float, answered: bool) -> None:  # noqa: FBT001
    """Up to and including `max_age` seconds on the injected clock."""
    clock = ManualClock()
    for limit in (300, timedelta(minutes=5)):
        dependency = Dependency()
        ask = wrap(dependency, fallback(stale(max_age=limit, clock=clock), "default"))
        answer = ask()
        dependency.down = True
        clock.advance(age)
        assert ask() == (answer if answered else "default")


@every_way
def test_a_good_answer_renews_it(wrap: Wrap) -> None:
    """Age counts from the latest success; an answer given from memory does not renew it."""
    clock = ManualClock()
    dependency = Dependency()
    ask = wrap(dependency, fallback(stale(max_age=10, clock=clock), "default"))
    ask()
    clock.advance(8)
    answer = ask()
    dependency.down = True
    clock.advance(8)
    assert ask() == answer
    clock.advance(8)
    assert ask() == "default"


@every_way
def test_without_max_age_any_age_will_do(wrap: Wrap) -> None:
    """A thousand years later the answer is still better than none."""
    clock = ManualClock()
    dependency = Dependency()
    ask = wrap(dependency, fallback(stale(clock=clock)))
    answer = ask()
    dependency.down = True
    clock.advance(3e10)
    assert ask() == answer


@every_way
def test_at_most_max_keys_answers_are_kept(wrap: Wrap) -> None:
    """The most recent ones; giving an answer again makes it recent."""
    dependency = Dependency()
    ask = wrap(dependency, fallback(stale(max_keys=3), "gone"))
    for key in ("a", "b", "c", "a", "d"):
        ask(key)
    dependency.down = True
    assert [ask(key) == "gone" for key in "abcd"] == [False, True, False, False]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 9), max_size=40), st.integers(1, 5))
def test_memory_is_bounded_and_right(keys: list[int], most: int) -> None:
    """Against a plain model: the last `most` distinct keys have their last answer."""
    dependency = Dependency()
    ask = fallback(stale(max_keys=most), "gone")(dependency.ask)
    model: dict[int, Any] = {}
    for key in keys:
        model.pop(key, None)
        model[key] = ask(key)
    kept = dict(list(model.items())[-most:])
    dependency.down = True
    assert {key: answer for key in range(10) if (answer := ask(key)) != "gone"} == kept


@every_way
def test_what_cannot_be_hashed_has_no_memory(wrap: Wrap) -> None:
    """Lists and the like are answered as ever, and fall through to the next alternative."""

    class Odd:
        def __hash__(self) -> int:
            raise LookupError

        def __eq__(self, other: object) -> bool:
            raise LookupError

    dependency = Dependency()
    ask = wrap(dependency, fallback(stale(), "default"))
    for odd in ([1], {"a": 1}, Odd()):
        dependency.down = False
        assert ask(odd)[1] == (odd,) or isinstance(odd, Odd)
        ask(key=odd)
        dependency.down = True
        assert ask(odd) == "default"
        assert ask(key=odd) == "default"


@every_way
def test_two_functions_under_one_fallback_share_no_answers(wrap: Wrap) -> None:
    """One fallback object, two functions, the same arguments: each has its own memory."""
    policy = fallback(stale(), "default")
    one, other = Dependency(), Dependency()
    ask, ask_other = wrap(one, policy), wrap(other, policy)
    answer = ask("a")
    one.down = other.down = True
    assert ask_other("a") == "default"
    assert ask("a") == answer


def test_two_functions_with_one_stale_share_no_answers() -> None:
    """The same for one `stale()` in two fallbacks."""
    memory = stale()

    @fallback(memory, "default")
    def ok(key: str) -> str:
        return key

    @fallback(memory, "default")
    def down(key: str) -> str:
        raise ConnectionError

    ok("a")
    assert down("a") == "default"


def test_methods_remember_for_each_object() -> None:
    """``self`` is one of the arguments."""

    class Client:
        down = False

        def __init__(self, name: str) -> None:
            self.name = name

        @fallback(stale(), "default")
        def get(self, key: str) -> str:
            if Client.down:
                raise ConnectionError
            return self.name + key

        @classmethod
        @fallback(stale(), "default")
        def make(cls, key: str) -> str:
            if Client.down:
                raise ConnectionError
            return cls.__name__ + key

    class Special(Client):
        pass

    one, other = Client("one"), Client("other")
    one.get("/")
    Client.make("/")
    Client.down = True
    assert one.get("/") == "one/"
    assert other.get("/") == "default"
    assert Client.make("/") == "Client/"
    assert Special.make("/") == "default"


@pytest.mark.parametrize("answer", [None, 0, "", False])
def test_an_empty_answer_is_an_answer(answer: object) -> None:
    """`None` and its kin are remembered like anything else."""
    down = False

    @fallback(stale(), "default")
    def ask() -> object:
        if down:
            raise ConnectionError
        return answer

    ask()
    down = True
    assert ask() is answer


def test_the_outcome_tells_its_age(resilience: resilient.testing.Resilience) -> None:
    """Source and freshness say stale; `at` is the wall-clock time when it was good."""
    dependency = Dependency()
    ask = fallback(stale())(dependency.ask)
    resilience.clock.advance(100)
    answer = ask()
    dependency.down = True
    resilience.clock.advance(50)
    outcome = resilient.outcome(ask)
    assert outcome.value == answer
    assert (outcome.source, outcome.freshness, outcome.at) == ("stale", Freshness.STALE, 100)
    assert [type(reason) for reason in outcome.reasons] == [ConnectionError]
    (used,) = resilience.events.of(resilient.FallbackUsed)
    assert (used.source, used.freshness) == ("stale", "stale")


def test_an_answer_of_the_outer_part_is_not_remembered_by_the_inner() -> None:
    """Only what is inside the fallback counts as a good answer: other alternatives' do not."""
    dependency = Dependency()
    dependency.down = True
    ask = fallback(stale(), "default")(dependency.ask)
    assert [ask(), ask()] == ["default", "default"]


def test_failures_keep_the_causes_of_the_call() -> None:
    """A memory that knows nothing is passed over in silence, and is no error of its own."""
    error = LookupError()

    def fails() -> None:
        raise error

    with pytest.raises(LookupError) as caught:
        fallback(stale())(fails)()
    assert caught.value is error
    assert caught.value.__cause__ is None


def test_threads_share_a_memory() -> None:
    """Eight threads, 200 rounds over more keys than fit: every answer is one for its arguments."""
    down = False

    @fallback(stale(max_keys=4), "default")
    def ask(key: int) -> Any:
        if down:
            raise ConnectionError
        return key

    def rounds(seed: int) -> None:
        for number in range(200):
            key = (number * seed) % 9
            assert ask(key) == key

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(rounds, range(1, 9)))
    down = True
    answers = [ask(key) for key in range(9)]
    assert sum(answer != "default" for answer in answers) <= 4
    assert all(answer in (key, "default") for key, answer in enumerate(answers))


@pytest.mark.parametrize(
    ("setting", "bad"),
    [
        *(("max_age", bad) for bad in (0, -1, float("nan"), float("inf"), "1", True)),
        *(("max_keys", bad) for bad in (0, -1, 2.5, "3", None, True)),
    ],
)
def test_bad_settings_are_refused_when_given(setting: str, bad: object) -> None:
    """`ConfigError` names the setting, its value and what is allowed."""
    arguments: dict[str, Any] = {setting: bad}
    with pytest.raises(resilient.ConfigError) as caught:
        stale(**arguments)
    assert caught.value.setting == setting
    assert caught.value.value is bad
    assert caught.value.allowed

"""Several policies as one: the order, the picture, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import resilient
from resilient import breaker, calls, deadline, fallback, pipeline, point, retry, stale, timeout
from resilient.core.policy import Protector
from resilient.testing import ManualClock
from tests.policies.scripted import Script, run_async

# Order


MAKERS: dict[str, Callable[[int, ManualClock], Any]] = {
    "retry": lambda number, clock: retry(on=ConnectionError, attempts=2, wait=1, clock=clock),
    "retry refusals": lambda number, clock: retry(
        on=resilient.Rejected, attempts=2, wait=1, clock=clock
    ),
    "breaker": lambda number, clock: breaker(
        f"b{number}", failure_threshold=2, reset_timeout=10, clock=clock
    ),
    "fallback": lambda number, clock: fallback(f"instead {number}", on=ConnectionError),
    "fallback for refusals": lambda number, clock: fallback(number, on=resilient.Rejected),
    "deadline": lambda number, clock: deadline(60, clock=clock),
    "point": lambda number, clock: point(f"p{number}"),
}
ERRORS = {"down": ConnectionError, "bad": ValueError, "slow": TimeoutError}


def stacked(policies: list[Any], fn: Any) -> Any:
    """`policies` as decorators, the first one on top."""
    for policy in reversed(policies):
        fn = policy(fn)
    return fn


def nested(policies: list[Any], fn: Any) -> Any:
    """`policies` as pipelines of pipelines."""
    if len(policies) < 2:
        return pipeline(*policies)(fn)
    middle = len(policies) // 2
    return pipeline(pipeline(*policies[:middle]), pipeline(pipeline(*policies[middle:])))(fn)


def half_and_half(policies: list[Any], fn: Any) -> Any:
    """The inner half as decorators under the outer half as a pipeline."""
    middle = len(policies) // 2
    inner = stacked(policies[middle:], fn)
    return pipeline(*policies[:middle])(inner) if middle else inner


def history(kinds: list[str], steps: list[str], join: Any, *, asynchronous: bool) -> list[Any]:
    """What callers see, call after call, and what the breakers know in the end."""
    clock = ManualClock()
    policies = [MAKERS[kind](number, clock) for number, kind in enumerate(kinds)]
    script = Script(*[ERRORS.get(step, step) for step in steps])
    guarded = join(policies, script.later if asynchronous else script)
    seen: list[Any] = []
    for _ in range(6):
        try:
            answer = run_async(guarded()) if asynchronous else guarded()
        except Exception as error:  # noqa: BLE001  (whatever it is, it is part of the history)
            answer = (repr(error), getattr(error, "__notes__", None))
        seen.append((answer, script.count, clock.monotonic()))
        clock.advance(4)
    breakers = [policy for policy in policies if isinstance(policy, resilient.CircuitBreaker)]
    counts = [(gate.metrics.rejected, gate.metrics.transitions) for gate in breakers]
    return [*seen, *counts, *(gate.state for gate in breakers)]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(list(MAKERS)), min_size=1, max_size=5),
    st.lists(st.sampled_from([*ERRORS, "ok"]), min_size=1, max_size=8),
    st.booleans(),
)
def test_one_order_one_history(kinds: list[str], steps: list[str], asynchronous: bool) -> None:  # noqa: FBT001
    """Pipelines, nested pipelines and stacked decorators do the same, call for call."""
    expected = history(kinds, steps, stacked, asynchronous=asynchronous)
    for join in (lambda ps, fn: pipeline(*ps)(fn), nested, half_and_half):
        assert history(kinds, steps, join, asynchronous=asynchronous) == expected


def test_the_first_is_the_outermost() -> None:
    """A retry around a fallback never sees the error; a fallback around a retry sees the last."""
    script = Script(ConnectionError)
    assert pipeline(retry(on=OSError, wait=0), fallback("x"))(script)() == "x"
    assert script.count == 1
    script = Script(ConnectionError)
    assert pipeline(fallback("x"), retry(on=OSError, wait=0))(script)() == "x"
    assert script.count == 3


def test_a_pipeline_guards_any_number_of_functions() -> None:
    """They share its policies: one breaker for all of them."""
    gate = breaker("shared", failure_threshold=2)
    protect = pipeline(gate, point("p"))
    one, other = protect(Script(ConnectionError)), protect(Script("yes"))
    for _ in range(2):
        with pytest.raises(ConnectionError):
            one()
    with pytest.raises(resilient.CircuitOpenError):
        other()


@pytest.mark.parametrize("bad", [5, None, retry, breaker, print, "retry"])
def test_only_policies_can_be_joined(bad: Any) -> None:
    """`TypeError` that names the culprit; a factory that was not called is one."""
    with pytest.raises(TypeError, match="pipeline"):
        pipeline(point("p"), bad)


def test_an_empty_pipeline_is_refused() -> None:
    """`ConfigError`: nothing would be protected."""
    with pytest.raises(resilient.ConfigError) as caught:
        pipeline()
    assert caught.value.setting == "policies"


# The picture


def charge(order: int) -> int:
    """What the pictures below are of."""
    return order


LAYERS: list[Any] = [
    fallback(stale(), 5, on=OSError),
    deadline(3),
    retry(on=OSError, attempts=4),
    breaker("payments"),
    timeout(2, thread=True),
]


def test_the_picture_shows_every_policy_outermost_first() -> None:
    """One line each, deeper and deeper, and the function at the end."""
    text = resilient.describe(pipeline(*LAYERS)(charge))
    lines = text.splitlines()
    assert len(lines) == 6
    for line, words in zip(
        lines, ["fallback", "deadline", "retry", "payments", "timeout", "charge"], strict=True
    ):
        assert words in line
    depths = [len(line) - len(line.lstrip(" +-")) for line in lines]
    assert depths == sorted(set(depths))
    for detail in ("stale", "default", "3 s", "4 attempts", "2 s"):
        assert detail in text


def test_the_picture_is_the_same_however_it_is_asked_for() -> None:
    """Of the pipeline, of the policies stacked, of one policy; nested pipelines are flat."""
    joined = pipeline(*LAYERS)
    assert joined.describe() == resilient.describe(joined)
    assert joined.describe().splitlines()[-1].strip(" +-") == "the call"
    assert resilient.describe(joined(charge)) == resilient.describe(stacked(LAYERS, charge))
    again = pipeline(pipeline(*LAYERS[:2]), *LAYERS[2:])
    assert again.describe() == joined.describe()
    for layer in LAYERS:
        assert layer.describe() in resilient.describe(layer)
        assert resilient.describe(layer).splitlines()[-1].strip(" +-") == "the call"


def test_the_picture_of_a_method() -> None:
    """Plain, class and static methods, on the class and on an object."""

    class Client:
        @retry(on=OSError)
        def get(self) -> None: ...

        @classmethod
        @retry(on=OSError)
        def make(cls) -> None: ...

        @staticmethod
        @retry(on=OSError)
        def ping() -> None: ...

    for owner in (Client, Client()):
        for method, name in ((owner.get, "get"), (owner.make, "make"), (owner.ping, "ping")):
            assert name in resilient.describe(method).splitlines()[-1]


@pytest.mark.parametrize("other", [5, None, charge, print, "payments", retry])
def test_there_is_no_picture_of_anything_else(other: Any) -> None:
    """`TypeError`, and not an empty picture."""
    with pytest.raises(TypeError):
        resilient.describe(other)


# Harmful orders


def rules(*policies: Protector) -> list[str]:
    """The names of what `lint` finds."""
    return [finding.rule for finding in pipeline(*policies).lint()]


TRIES = retry(on=OSError)
OTHERWISE = fallback(0)
PLAIN = breaker("plain")
SHEDS = resilient.throttle("sheds")
FINDS = resilient.adaptive_limit("finds")
PLACES = resilient.bulkhead("places", limit=3)
RATES = resilient.rate_limit("rates", rate=5)
MODES = resilient.mode_gate("modes")
MARKS = resilient.criticality("low")
RETURNS = resilient.slow_start("returns")
HEDGES = resilient.hedge(delay=1, idempotent=True)


@pytest.mark.parametrize(
    ("policies", "found"),
    [
        ([PLAIN, TRIES], ["retry-inside-breaker"]),
        ([PLAIN, point("p"), TRIES], ["retry-inside-breaker"]),
        ([TRIES, PLAIN], []),
        ([TRIES, OTHERWISE], ["fallback-inside-retry"]),
        ([TRIES, PLAIN, OTHERWISE], ["fallback-inside-retry"]),
        ([OTHERWISE, TRIES], []),
        ([deadline(1), timeout(2)], ["timeout-longer-than-deadline"]),
        ([deadline(1), TRIES, timeout(1.001)], ["timeout-longer-than-deadline"]),
        ([deadline(1), timeout(1)], ["timeout-longer-than-deadline"]),
        ([deadline(1), timeout(0.999)], []),
        ([timeout(2), deadline(1)], []),
        ([breaker("b", window=3), timeout(2)], ["window-shorter-than-timeouts"]),
        ([breaker("b", window=4), timeout(2)], []),
        ([breaker("b", window=calls(3)), timeout(2)], []),
        ([breaker("b", failure_rate=0.1)], ["low-failure-rate"]),
        ([breaker("b", failure_rate=0.49)], ["low-failure-rate"]),
        ([breaker("b", failure_rate=0.5)], []),
        ([breaker("b", failure_rate=0.1, key=len)], []),
        ([PLAIN], []),
        ([timeout(2), PLAIN], ["timeout-around-breaker"]),
        ([timeout(2), TRIES, PLAIN], ["timeout-around-breaker"]),
        ([timeout(2), PLAIN, timeout(1)], []),
        ([PLAIN, timeout(2)], []),
        ([OTHERWISE, deadline(5), TRIES, PLAIN, timeout(1)], []),
        ([SHEDS, TRIES], ["retry-inside-throttle"]),
        ([TRIES, SHEDS, timeout(1)], []),
        ([timeout(1), SHEDS], ["timeout-around-throttle"]),
        ([FINDS, TRIES], []),
        ([TRIES, FINDS], []),
        ([timeout(1), FINDS], ["timeout-around-limit"]),
        ([timeout(1), FINDS, timeout(1)], []),
        ([PLACES, TRIES], []),
        ([TRIES, PLACES], []),
        ([timeout(1), PLACES], []),
        ([RETURNS, TRIES], ["retry-inside-slow-start"]),
        ([RETURNS, PLAIN, TRIES], ["retry-inside-breaker", "retry-inside-slow-start"]),
        ([TRIES, RETURNS, PLAIN], []),
        ([HEDGES, TRIES], ["retry-inside-hedge"]),
        ([TRIES, HEDGES], []),
        ([timeout(1), HEDGES], ["hedge-later-than-timeout"]),
        ([timeout(1.1), HEDGES], []),
        ([HEDGES, timeout(1)], []),
        ([timeout(1), resilient.hedge(quantile=0.9, idempotent=True)], []),
        *(([gate, MARKS], ["mark-inside-gate"]) for gate in (SHEDS, FINDS, PLACES, RATES, MODES)),
        ([MARKS, RATES, MODES, TRIES, PLACES, SHEDS, PLAIN, timeout(1)], []),
        ([MARKS, PLAIN], []),
        ([PLAIN, MARKS], []),
        (
            [TRIES, OTHERWISE, PLAIN, TRIES, breaker("b", failure_rate=0.2)],
            [
                "fallback-inside-retry",
                "low-failure-rate",
                "retry-inside-breaker",
            ],
        ),
    ],
)
def test_lint_names_orders_that_do_harm(policies: list[Any], found: list[str]) -> None:
    """Each rule where it applies, and nowhere else; nested pipelines make no difference."""
    assert sorted(rules(*policies)) == found
    assert sorted(rules(pipeline(*policies), point("p"))) == found
    if len(policies) > 1:
        assert sorted(rules(pipeline(*policies[:1]), pipeline(*policies[1:]))) == found


@pytest.mark.parametrize(
    "policies",
    [
        [PLAIN, TRIES],
        [TRIES, OTHERWISE],
        [deadline(1), timeout(2)],
        [breaker("b", window=3), timeout(2)],
        [breaker("b", failure_rate=0.1)],
        [timeout(2), PLAIN],
        [SHEDS, TRIES],
        [HEDGES, TRIES],
        [timeout(1), HEDGES],
        [MODES, MARKS],
    ],
)
def test_strict_raises_what_lint_finds(policies: list[Any]) -> None:
    """`ConfigError` with the rule and the message; without `strict` it is only told on request."""
    lax = pipeline(*policies)
    (finding,) = lax.lint()
    assert len(finding.message) > 40
    with pytest.raises(resilient.ConfigError) as caught:
        pipeline(*policies, strict=True)
    assert finding.rule in str(caught.value)
    assert finding.message in str(caught.value)
    assert caught.value.setting == "policies"


def test_strict_lets_pass_what_is_in_order() -> None:
    """And it protects as it would without."""
    protect = pipeline(fallback(0), retry(on=OSError, wait=0), breaker("b"), strict=True)
    assert protect(Script(OSError))() == 0


def test_the_message_names_the_breaker_and_the_numbers() -> None:
    """Whoever reads it knows which policy is meant."""
    (finding,) = pipeline(breaker("payments", window=3), timeout(2)).lint()
    for told in ("payments", "3 s", "2 s"):
        assert told in finding.message


def test_the_parts_keep_their_signature() -> None:
    """A guarded function has name, docstring and `__wrapped__` of the original."""
    guarded: Callable[[int], int] = pipeline(*LAYERS)(charge)
    assert guarded.__name__ == "charge"
    assert guarded.__doc__ == charge.__doc__
    assert vars(guarded)["__wrapped__"] is charge
    assert guarded(5) == 5

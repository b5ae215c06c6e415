"""How long to wait: arithmetic, bounds, and what an error asks for."""

from __future__ import annotations

import random
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import resilient
from resilient import backoff, retry
from resilient.clock import Duration
from tests.policies.scripted import Script, Sleeper

ERROR = ConnectionError("refused")
NEW_YEAR = 1_767_225_600  # Thu, 01 Jan 2026 00:00:00 GMT


class AskingError(ConnectionError):
    """An error with hints about when to come back."""

    def __init__(self, retry_after: object = None, response: object = None) -> None:
        super().__init__("busy")
        self.retry_after = retry_after
        self.response = response


class Response:
    """As HTTP clients have them, as far as the header goes."""

    def __init__(self, **headers: str) -> None:
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def http_date(seconds: float) -> str:
    """The date so many seconds after New Year 2026."""
    from datetime import UTC, datetime  # noqa: PLC0415  (names that this module uses otherwise)

    return format_datetime(datetime.fromtimestamp(NEW_YEAR + seconds, UTC), usegmt=True)


def wait_for(error: Exception, **settings: Any) -> list[float]:
    """The waits of a retry whose first attempt fails with `error`."""
    clock = Sleeper(NEW_YEAR)
    settings.setdefault("wait", 0)
    assert retry(on=Exception, clock=clock, **settings).call(Script(error, "yes")) == "yes"
    return clock.waits


@pytest.mark.parametrize(
    ("initial", "factor", "cap", "bounds"),
    [
        (0.1, 2.0, 2.0, [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]),
        (0.5, 3, 10, [0.5, 1.5, 4.5, 10, 10]),
        (1, 1, 5, [1, 1, 1]),
        (3, 2, 2, [2, 2]),
        (timedelta(milliseconds=250), 2, timedelta(seconds=1), [0.25, 0.5, 1, 1]),
    ],
)
def test_bounds_grow_by_the_factor_up_to_the_cap(
    initial: Duration, factor: float, cap: Duration, bounds: list[float]
) -> None:
    """After attempt n the bound is ``initial * factor**(n - 1)``, never above the cap.

    With jitter the wait is drawn evenly from 0 to that bound ("full jitter": Brooker, "Exponential
    Backoff And Jitter", AWS Architecture Blog, 2015).
    """
    wait = backoff(initial, factor=factor, cap=cap, jitter=False)
    assert [wait(n, ERROR) for n in range(1, len(bounds) + 1)] == pytest.approx(bounds)
    drawn: list[tuple[float, float]] = []

    def draw(low: float, high: float) -> float:
        drawn.append((low, high))
        return high / 2

    jittered = backoff(initial, factor=factor, cap=cap, draw=draw)
    waits = [jittered(n, ERROR) for n in range(1, len(bounds) + 1)]
    assert waits == pytest.approx([bound / 2 for bound in bounds])
    assert [low for low, _ in drawn] == [0] * len(bounds)
    assert [high for _, high in drawn] == pytest.approx(bounds)


@given(st.integers(1, 10**9))
def test_the_default_is_full_jitter_from_a_tenth_up_to_two_seconds(attempt: int) -> None:
    """Any attempt, however late, waits between 0 and min(2, 0.1 * 2**(n - 1)) seconds."""
    assert 0 <= backoff()(attempt, ERROR) <= min(2.0, 0.1 * 2.0 ** min(attempt - 1, 50))


def test_the_default_of_retry_is_that_backoff() -> None:
    """With one seed, `retry` waits what `backoff()` draws, and the draws fill their bounds."""
    clock = Sleeper()
    random.seed(11)
    expected = [backoff()(n, ERROR) for n in range(1, 12)]
    random.seed(11)
    with pytest.raises(ConnectionError):
        retry(on=OSError, attempts=12, clock=clock).call(Script(ERROR))
    assert clock.waits == expected
    wait = backoff(draw=random.Random(5).uniform)  # noqa: S311  (no secret)
    shares = sorted(wait(3, ERROR) / 0.4 for _ in range(400))
    assert shares[0] < 0.05
    assert shares[-1] > 0.95
    assert 0.4 < shares[200] < 0.6


@pytest.mark.parametrize(
    ("setting", "bad"),
    [
        *(("initial", bad) for bad in (0, -1, float("nan"), float("inf"), "1", None, True)),
        *(("cap", bad) for bad in (0, -1, float("nan"), float("inf"), "2", timedelta(0))),
        *(("factor", bad) for bad in (0, 0.5, -2, float("nan"), "2", None, True)),
        *(("draw", bad) for bad in (5, "uniform")),
    ],
)
def test_bad_settings_are_refused_when_given(setting: str, bad: object) -> None:
    """`ConfigError` names the setting, its value and what is allowed."""
    settings: dict[str, Any] = {setting: bad}
    with pytest.raises(resilient.ConfigError) as caught:
        backoff(**settings)
    assert caught.value.setting == setting
    assert caught.value.value is bad
    assert caught.value.allowed


@pytest.mark.parametrize(
    ("error", "wait"),
    [
        (AskingError(3), 3),
        (AskingError(0.25), 0.25),
        (AskingError("4"), 4),
        (AskingError(timedelta(minutes=1)), 60),
        (AskingError(None, Response(Retry_After="7")), 7),
        (AskingError(None, Response(Retry_After=http_date(90))), 90),
        (AskingError(None, Response(Retry_After=http_date(90), Date=http_date(60))), 30),
        (AskingError(None, Response(Retry_After=http_date(90), Date="nonsense")), 90),
        (AskingError(5, Response(Retry_After="7")), 5),
    ],
)
def test_an_error_may_ask_for_a_longer_wait(error: Exception, wait: float) -> None:
    """Attribute or header, seconds or date: it lengthens the wait, and never shortens it."""
    assert wait_for(error) == pytest.approx([wait])
    assert wait_for(error, wait=100) == [100]
    assert wait_for(error, max_delay=0.125) == [0.125]


class _BrokenError(ConnectionError):
    @property
    def retry_after(self) -> float:
        message = "nobody knows"
        raise LookupError(message)


class _Unreadable:
    @property
    def headers(self) -> dict[str, str]:
        message = "the response is closed"
        raise RuntimeError(message)


class _Odd:
    headers = object()


@pytest.mark.parametrize(
    "error",
    [
        AskingError("soon"),
        AskingError(-1),
        AskingError(float("nan")),
        AskingError(float("inf")),
        AskingError(10**400),
        AskingError(object()),
        AskingError(None, Response(Retry_After="")),
        AskingError(None, Response(Retry_After="tomorrow")),
        AskingError(None, Response(Retry_After="-3")),
        AskingError(None, Response(Retry_After=http_date(-90))),
        AskingError(None, Response(Retry_After=http_date(30), Date=http_date(60))),
        AskingError(None, Response(Other="7")),
        AskingError(None, _Odd()),
        AskingError(None, _Unreadable()),
        AskingError(None, object()),
        _BrokenError("refused"),
    ],
)
def test_a_hint_that_makes_no_sense_is_no_hint(error: Exception) -> None:
    """It neither lengthens the wait nor takes the place of the error."""
    assert wait_for(error) == []
    assert wait_for(error, wait=2) == [2]
    with pytest.raises(ConnectionError) as caught:
        retry(on=OSError, wait=0).call(Script(error))
    assert caught.value is error


@given(st.one_of(st.text(max_size=40), st.integers(), st.floats(), st.dates().map(str)))
def test_no_header_changes_what_is_raised(header: object) -> None:
    """Whatever a server writes into ``Retry-After``, the caller gets the error of the call."""
    error = AskingError(None, Response(Retry_After=str(header), Date=str(header)))
    with pytest.raises(AskingError) as caught:
        retry(on=OSError, wait=0, max_delay=1, clock=Sleeper()).call(Script(error))
    assert caught.value is error


def test_a_function_of_the_error_may_find_the_hint() -> None:
    """`retry_after=` is asked with the error, in place of attribute and header."""
    asked: list[Exception] = []

    def find(error: Exception) -> float | None:
        asked.append(error)
        return 9.0

    error = AskingError(3)
    assert wait_for(error, retry_after=find) == [9]
    assert asked == [error]
    assert wait_for(error, retry_after=lambda error: None) == []


@pytest.mark.parametrize(
    ("wait", "waits"),
    [
        (0, []),
        (0.0, []),
        (timedelta(0), []),
        (1.5, [1.5, 1.5]),
        (timedelta(milliseconds=20), [0.02, 0.02]),
        (lambda attempt, error: attempt * 10, [10, 20]),
        (lambda attempt, error: len(str(error)), [7, 7]),
        (lambda attempt, error: -5, []),
        (backoff(1, jitter=False), [1, 2]),
    ],
)
def test_a_wait_is_seconds_or_a_function(wait: Any, waits: list[float]) -> None:
    """Fixed waits, functions of attempt and error; what is not above 0 does not sleep at all."""
    clock = Sleeper()
    with pytest.raises(ConnectionError):
        retry(on=OSError, wait=wait, clock=clock).call(Script(ERROR))
    assert clock.waits == waits


def test_max_delay_caps_each_wait() -> None:
    """A wait is at most `max_delay`; 0 means no waiting."""
    for most, waits in ((3, [1, 2, 3, 3]), (timedelta(seconds=2), [1, 2, 2, 2]), (0, [])):
        clock = Sleeper()
        with pytest.raises(ConnectionError):
            retry(
                on=OSError,
                attempts=5,
                wait=lambda attempt, error: attempt,
                max_delay=most,
                clock=clock,
            ).call(Script(ERROR))
        assert clock.waits == waits

"""One tree of errors, and every error survives the way to another process."""

from __future__ import annotations

import copy
import inspect
import pickle
import threading
from typing import Any

import pybreaker
import pytest

from resilient import errors
from resilient.errors import (
    BulkheadFullError,
    CallTimeoutError,
    CircuitOpenError,
    ConfigError,
    DeadlineExceededError,
    FeatureUnavailableError,
    MissingExtraError,
    RateLimitedError,
    Rejected,
    ResilientError,
    StoreError,
    ThrottledError,
)

EXAMPLES: list[ResilientError] = [
    ResilientError("something of ours"),
    Rejected("db", 2.5, "no places"),
    CircuitOpenError("db", 10.0, "open", ValueError("last")),
    BulkheadFullError("db", None, "every slot is taken"),
    RateLimitedError("db", 0.25, "10 calls a second are used up"),
    ThrottledError("db", None, "20 calls in flight are the limit"),
    FeatureUnavailableError("search", None, "not in EMERGENCY", "EMERGENCY"),
    DeadlineExceededError("deadline", None, "no time is left"),
    CallTimeoutError("timeout(2)", 2.0),
    ConfigError("limit", 0, "a whole number >= 1", "LIMIT in the environment"),
    StoreError("/var/cache/shop.db", "the disk is full"),
    MissingExtraError("demo", "rich"),
]
TREE = {
    StoreError: (ResilientError,),
    Rejected: (ResilientError,),
    CircuitOpenError: (Rejected, pybreaker.CircuitBreakerError),
    BulkheadFullError: (Rejected,),
    RateLimitedError: (Rejected,),
    ThrottledError: (Rejected,),
    FeatureUnavailableError: (Rejected,),
    DeadlineExceededError: (Rejected, TimeoutError),
    CallTimeoutError: (ResilientError, TimeoutError),
    ConfigError: (ResilientError, ValueError),
    MissingExtraError: (ResilientError, ImportError),
}


def attributes(error: ResilientError) -> dict[str, str]:
    """What its public properties say; reprs, because exceptions compare by identity."""
    names = [n for n, _ in inspect.getmembers(type(error), lambda m: isinstance(m, property))]
    return {name: repr(getattr(error, name)) for name in names}


def unpicklable() -> Exception:
    """An error that holds what cannot travel."""
    return ValueError("held a lock", threading.Lock())


def test_every_error_has_an_example_here() -> None:
    """A new error joins the laws below."""
    assert {type(error).__name__ for error in EXAMPLES} == set(errors.__all__)


@pytest.mark.parametrize("kind", TREE)
def test_the_tree(kind: type[ResilientError]) -> None:
    """Each error is also what an application may catch already."""
    assert issubclass(kind, TREE[kind][0])
    assert issubclass(kind, TREE[kind])
    assert all(issubclass(kind, base) for base in TREE[kind])


def test_a_late_call_is_no_rejection() -> None:
    """What started and did not finish is no verdict of a policy, and no shut door."""
    assert not issubclass(CallTimeoutError, Rejected)
    assert not issubclass(DeadlineExceededError, CallTimeoutError)


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_with_its_attributes(error: ResilientError, protocol: int) -> None:
    """Law 14: type, message and attributes arrive."""
    twin = pickle.loads(pickle.dumps(error, protocol))
    assert type(twin) is type(error)
    assert str(twin) == str(error)
    assert attributes(twin) == attributes(error)


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_copies_with_its_attributes(error: ResilientError) -> None:
    """A copy says what the original said."""
    twin = copy.copy(error)
    assert twin is not error
    assert attributes(twin) == attributes(error)


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_pickles_with_its_notes(error: ResilientError) -> None:
    """Law 14: what was noted on it, and what the application hung on it, arrive too."""
    noted: Any = pickle.loads(pickle.dumps(error))
    noted.add_note("tried 3 times")
    noted.order = 42
    noted.lock = threading.Lock()
    twin = pickle.loads(pickle.dumps(noted))
    assert twin.__notes__ == ["tried 3 times"]
    assert twin.order == 42
    assert twin.lock == repr(noted.lock)
    assert str(twin) == str(error)


def test_an_inner_error_that_cannot_travel_is_its_repr() -> None:
    """Law 14, second half: the rest arrives, and the inner error in words."""
    inner = unpicklable()
    twin = pickle.loads(pickle.dumps(CircuitOpenError("db", 1.0, "open", inner)))
    assert (twin.name, twin.retry_after, twin.reason) == ("db", 1.0, "open")
    assert twin.last_error == repr(inner)


def test_an_argument_that_pickles_but_does_not_unpickle_is_its_repr() -> None:
    """Some exceptions only fail on arrival: their class wants other arguments."""
    twin = pickle.loads(pickle.dumps(CircuitOpenError("db", 1.0, "open", _Demanding(1, 2))))
    assert isinstance(twin.last_error, str)
    assert "_Demanding" in twin.last_error


class _Demanding(Exception):  # noqa: N818  (a stand-in for an application's own)
    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}")


def test_a_notice_of_a_rejection_says_who_why_and_when() -> None:
    """The message is enough for a log line."""
    assert str(Rejected("db", 2.5, "no places")) == "db: no places; retry after 2.5 s"
    assert str(Rejected("db", None)) == "db: rejected"


def test_timeouts_do_not_read_their_arguments_as_errno() -> None:
    """`OSError` would turn two arguments into errno and strerror."""
    error = CallTimeoutError("timeout(2)", 2.0)
    assert (error.errno, error.name, error.seconds) == (None, "timeout(2)", 2.0)


def test_a_refused_setting_says_what_would_do() -> None:
    """Setting, value, what is allowed, and where the value came from."""
    error = ConfigError("limit", 0, "a whole number >= 1")
    assert str(error) == "limit=0: allowed is a whole number >= 1 (from code)"


def test_a_missing_extra_says_what_to_install() -> None:
    """The message can be pasted into a shell."""
    assert "pip install 'resilient-mode[demo]'" in str(MissingExtraError("demo", "rich"))

"""What the package offers as functions: the outcome of a call, and the switches for everything."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar, overload

from resilient.core import weave
from resilient.core.hub import hub
from resilient.core.outcome import Outcome
from resilient.core.policy import Protector
from resilient.policies.pipeline import describe_layers

__all__ = ["describe", "outcome", "set_active", "shutdown"]

P = ParamSpec("P")
T = TypeVar("T")


@overload
def outcome(  # type: ignore[overload-overlap]  # a coroutine function is a function, too: first wins
    fn: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
) -> Coroutine[Any, Any, Outcome[T]]: ...
@overload
def outcome(fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Outcome[T]: ...
def outcome(fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call `fn` and tell how it ended: value or error, source, freshness, attempts, reasons.

    `fn` is a guarded function or method, or any other function. The result is an `Outcome`, or for
    an ``async def`` a coroutine of one. No `Exception` is raised; cancellation, Ctrl-C and
    `SystemExit` pass through.

    Example::

        outcome = await resilient.outcome(charge, 42)
        if not outcome.ok:
            log.warning("not charged", error=outcome.error, attempts=outcome.attempts)
    """
    made = weave.guard_of(fn)
    if made is None:
        return weave.outcome_of(weave.Guard((), fn), args, kwargs)
    owner = getattr(fn, "__self__", None)
    return weave.outcome_of(made, args if owner is None else (owner, *args), kwargs)


def describe(protected: object) -> str:
    """Draw the policies around a guarded function, or of a policy or pipeline, as a tree.

    Raises `TypeError` for what is neither.

    Example::

        print(resilient.describe(charge))
    """
    if isinstance(protected, Protector):
        return describe_layers(protected.layers())
    made = weave.guard_of(protected)
    if made is None:
        message = f"{protected!r} is neither a guarded function nor a policy"
        raise TypeError(message)
    return describe_layers(made.policies, made.label)


def set_active(active: bool, /) -> None:  # noqa: FBT001  (a switch is a boolean)
    """Turn every policy into a pass-through (``False``), or back on (``True``).

    For an emergency, and for tests of what is inside. Nothing is counted, refused, retried,
    limited or replaced while the library is inactive.

    Example::

        resilient.set_active(False)
    """
    hub.set_active(bool(active))


def shutdown(timeout: float = 1.0) -> bool:
    """Deliver what listeners have queued and what alerts hold back, and stop the dispatcher.

    Waits at most `timeout` seconds. Returns whether everything was delivered and every thread has
    ended; a listener that hangs keeps its thread. A later event starts the dispatcher again.

    Example::

        atexit.register(resilient.shutdown)
    """
    hub.part()
    return hub.dispatcher.close(timeout)


def _make_mode() -> Any:
    from resilient.mode import SystemOperationMode  # noqa: PLC0415  (made on first need)

    return SystemOperationMode()


hub.make_mode = _make_mode

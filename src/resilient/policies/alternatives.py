"""What may answer instead."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable
from typing import Any, cast

import msgspec

from resilient.clock import Clock, Duration, chosen, seconds
from resilient.core.inspection import label
from resilient.core.outcome import Freshness
from resilient.core.ports import ReactingMode
from resilient.core.reacting import obeyed, reaction_of
from resilient.errors import ConfigError
from resilient.policies.match import whole

__all__ = ["Alternative", "Stale", "alternative", "read", "stale", "value"]


class Alternative(msgspec.Struct, frozen=True):
    """A named answer: `fn`, called with the call's arguments, and what to say about it.

    `takes_error`: `fn` has a parameter ``error`` and is given the exception in it.
    """

    fn: Callable[..., Any]
    source: str
    freshness: Freshness
    takes_error: bool = False


class Stale:
    """The last good answer for the same arguments, of the same function. Made by `stale`."""

    def __init__(
        self, max_age: float | None, max_keys: int, clock: Clock, mode: ReactingMode | None = None
    ) -> None:
        self.max_age = max_age
        self.mode = mode
        self._max_keys = max_keys
        self._clock = clock
        self._answers: dict[Hashable, tuple[Any, float, float]] = {}

    def remember(
        self, fn: object, args: tuple[Any, ...], kwargs: dict[str, Any], answer: object
    ) -> None:
        """Keep `answer`. Arguments that cannot be hashed have no memory."""
        entry = (answer, self._clock.monotonic(), self._clock.time())
        answers = self._answers
        # No lock: hashing and comparing arguments is the application's code. Each step is atomic
        # by itself, and the worst that a race can do is to evict in another order.
        try:
            key = _key(fn, args, kwargs)
            answers.pop(key, None)
            answers[key] = entry
            while len(answers) > self._max_keys:
                answers.pop(next(iter(answers)), None)
        except Exception:  # noqa: BLE001  (what cannot be hashed or compared has no memory)
            return

    def recall(
        self, fn: object, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Any, float] | None:
        """The answer and the wall-clock time when it was given, or `None`."""
        try:
            found = self._answers.get(_key(fn, args, kwargs))
        except Exception:  # noqa: BLE001  (what cannot be hashed or compared has no memory)
            return None
        if found is None:
            return None
        answer, stored, at = found
        age = self._clock.monotonic() - stored
        if self.max_age is None or age <= self.max_age:
            return answer, at
        return (answer, at) if age <= self.max_age * reaction_of(self.mode).stale else None

    def snapshot(self) -> dict[Hashable, Any]:
        """What is remembered."""
        return dict(self._answers)

    def restore(self, answers: dict[Hashable, Any]) -> None:
        """Remember `answers`, and nothing else."""
        self._answers = dict(answers)


def _key(fn: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Hashable:
    return (fn, args, tuple(sorted(kwargs.items()))) if kwargs else (fn, args)


def stale(
    *,
    max_age: Duration | None = None,
    max_keys: int = 1000,
    mode: ReactingMode | None = None,
    clock: Clock | None = None,
) -> Stale:
    """An alternative for `fallback`: the last good answer for the same arguments.

    Parameters: `max_age` in seconds (default: any age), `max_keys` answers are kept, the most
    recent ones. Arguments must be hashable to be remembered; ``self`` is one of them. `mode`, by
    default the default one if there is one: in DEGRADED an answer may be 4 times as old, in
    EMERGENCY of any age, unless its reactions say otherwise (`resilient.Reactions`).
    Raises `ConfigError`.

    Example::

        @fallback(stale(max_age=300), value([]))
        def recommendations(user: int) -> list[str]: ...
    """
    return Stale(
        None if max_age is None else seconds("max_age", max_age),
        whole("max_keys", max_keys),
        chosen(clock),
        obeyed(mode),
    )


def value(answer: object, *, source: str = "default") -> Alternative:
    """An alternative for `fallback`: `answer`, even if it can be called.

    Its freshness is DEFAULT. `source` names it in outcomes.

    Example::

        fallback(value(12.5))
    """
    return Alternative(lambda *_, **__: answer, _source(source), Freshness.DEFAULT)


def alternative(
    fn: Callable[..., Any], *, source: str | None = None, freshness: Freshness = Freshness.FRESH
) -> Alternative:
    """An alternative for `fallback` that says more about itself than its name.

    Parameters: `source` names it in outcomes (default: the function's name), `freshness` of its
    answers. Raises `ConfigError` if `fn` cannot be called.

    Example::

        fallback(alternative(from_database, source="database", freshness=Freshness.STALE))
    """
    if not callable(cast("object", fn)):
        raise ConfigError("alternative", fn, "a function")
    if not isinstance(cast("object", freshness), Freshness):
        raise ConfigError("freshness", freshness, "a Freshness")
    name = _name(fn) if source is None else _source(source)
    return Alternative(fn, name, freshness, _takes_error(fn))


def _source(source: object) -> str:
    if not (isinstance(source, str) and source):
        raise ConfigError("source", source, "a string that is not empty")
    return source


def read(given: object) -> Alternative | Stale:
    """Read one argument of `fallback`: a named alternative, a function, or a plain value."""
    if isinstance(given, Alternative | Stale):
        return given
    if callable(given):
        return Alternative(given, _name(given), Freshness.FRESH, _takes_error(given))
    return value(given)


def _name(fn: Callable[..., Any]) -> str:
    return getattr(fn, "__name__", None) or label(fn)


def _takes_error(fn: Callable[..., Any]) -> bool:
    try:
        parameter = inspect.signature(fn).parameters.get("error")
    except (TypeError, ValueError):
        return False
    return parameter is not None and parameter.kind is not parameter.POSITIONAL_ONLY

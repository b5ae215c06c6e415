"""Fallback chains: another answer, and where it came from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from resilient.clock import system_clock
from resilient.core.copies import brief
from resilient.core.effects import Call, Flow, Guarded, Reply, Step
from resilient.core.hub import hub
from resilient.core.inspection import gives_coroutine, label
from resilient.core.notes import chain
from resilient.core.outcome import Freshness, Outcome
from resilient.core.policy import Line, Policy
from resilient.errors import ConfigError
from resilient.events import FallbackUsed
from resilient.policies.alternatives import Alternative, Stale, read
from resilient.policies.match import Catch, matcher

__all__ = ["Fallback", "fallback"]


class Fallback(Policy):
    """Answers when what is inside fails. Made by `resilient.fallback`."""

    repeats = True

    def __init__(self, alternatives: tuple[Alternative | Stale, ...], on: Catch) -> None:
        self._alternatives = alternatives
        self._stale = tuple(each for each in alternatives if isinstance(each, Stale))
        self._matches = matcher("on", on)
        self.observes = bool(self._stale)
        if self._stale:
            hub.register(self)

    def check(self, fn: Callable[..., Any], is_async: bool) -> None:  # noqa: FBT001
        """Refuse an async alternative under a ``def``."""
        for each in self._alternatives:
            if isinstance(each, Alternative) and gives_coroutine(each.fn) and not is_async:
                message = (
                    f"{label(fn)} is a def, so its alternative {each.source} cannot be async; "
                    "make the alternative a def, or the function async"
                )
                raise TypeError(message)

    def flow(self, call: Call, inner: Step, place: int) -> Flow:
        """Ask inside; on a matching error, ask the alternatives in order."""
        outcome = yield from inner(call)
        error = outcome.error
        if error is None:
            self.remember(call.guard.original, call.args, call.kwargs, outcome.value)
            return outcome
        if not self._matches(error):
            return outcome
        passed = (*outcome.reasons, error)
        for each in self._alternatives:
            answer = yield from self._ask(each, call, passed[-1])
            if answer is None:
                continue
            if answer.error is None:
                answer = _with_reasons(answer, passed)
                self._tell(call, place, answer, error)
                return answer
            chain(answer.error, passed[-1])
            passed = (*passed, answer.error)
        self._tell(call, place, None, error)
        return Outcome(error=passed[-1], reasons=passed[:-1])

    def covers(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """For which of the policies inside, called `names`, an answer shows that it can answer."""
        return names

    def observe(self, line: Line, guard: Guarded) -> Line:
        """`line`, remembering its answers for `stale`."""
        return (
            _remember_async(self, line, guard) if guard.is_async else _remember(self, line, guard)
        )

    def remember(
        self, fn: object, args: tuple[Any, ...], kwargs: dict[str, Any], answer: object
    ) -> None:
        """Keep a good answer for `stale`."""
        for each in self._stale:
            each.remember(fn, args, kwargs, answer)

    def snapshot(self) -> list[Any]:
        """The answers that `stale` remembers, for `restore`."""
        return [each.snapshot() for each in self._stale]

    def restore(self, saved: list[Any]) -> None:
        """Remember what `snapshot` told, and nothing else."""
        for each, answers in zip(self._stale, saved, strict=True):
            each.restore(answers)

    def reset(self) -> None:
        """Forget every answer."""
        for each in self._stale:
            each.restore({})

    def set_active(self, active: bool, /) -> None:  # noqa: FBT001  (a switch is a boolean)
        """Nothing to do: an inactive library runs no flow."""

    def after_fork(self) -> None:
        """Nothing to do: there is no lock."""

    def describe(self) -> str:
        """One line for `pipeline.describe()`."""
        names = ["stale" if isinstance(each, Stale) else each.source for each in self._alternatives]
        return "fallback: " + ", then ".join(names)

    def _ask(self, each: Alternative | Stale, call: Call, error: Exception) -> Any:
        if isinstance(each, Stale):
            found = each.recall(call.guard.original, call.args, call.kwargs)
            if found is None:
                return None
            return Outcome(found[0], source="stale", freshness=Freshness.STALE, at=found[1])
        kwargs = {**call.kwargs, "error": error} if each.takes_error else call.kwargs
        answer: Outcome[Any] = yield Reply(each.fn, call.args, kwargs)
        if answer.error is not None:
            return answer
        return Outcome(
            answer.value, source=each.source, freshness=each.freshness, at=system_clock.time()
        )

    def _tell(self, call: Call, place: int, answer: Outcome[Any] | None, error: Exception) -> None:
        if hub.bus.wants(FallbackUsed):
            hub.bus.publish(
                FallbackUsed(
                    name=call.guard.label,
                    source=None if answer is None else answer.source,
                    freshness="none" if answer is None else answer.freshness.value,
                    error=brief(error),
                    inside=self.covers(call.guard.names_inside(place)),
                )
            )


def _with_reasons(answer: Outcome[Any], passed: tuple[Exception, ...]) -> Outcome[Any]:
    return Outcome(
        answer.value,
        source=answer.source,
        freshness=answer.freshness,
        reasons=passed,
        at=answer.at,
    )


def _remember(policy: Fallback, line: Line, guard: Guarded) -> Line:
    def remembering(*args: Any, **kwargs: Any) -> Any:
        answer = line(*args, **kwargs)
        policy.remember(guard.original, args, kwargs, answer)
        return answer

    return remembering


def _remember_async(policy: Fallback, line: Line, guard: Guarded) -> Line:
    async def remembering(*args: Any, **kwargs: Any) -> Any:
        answer = await line(*args, **kwargs)
        policy.remember(guard.original, args, kwargs, answer)
        return answer

    return remembering


def fallback(*alternatives: object, on: Catch = Exception) -> Fallback:
    """Answer from `alternatives`, in order, when what is inside fails.

    Each alternative is a value, a function of the same arguments, or one that also takes the
    exception in a parameter named ``error``; or a named one: `stale()`, `value(x)`,
    `alternative(fn, source=, freshness=)`. A function's answers count as FRESH, a value as DEFAULT.
    What answered, and every error passed over, is in `resilient.outcome`. When every alternative
    fails, the error of the last one is raised, its causes leading back to the first.

    Parameters: `on`, what to answer for: exception classes, a tuple of them, or a predicate.
    Raises `ConfigError` without alternatives; `TypeError` at decoration for an async alternative
    of a ``def``.

    Example::

        @fallback(from_database, stale(max_age=300), value(12.5), on=(OSError, Rejected))
        async def price(zone: str) -> float: ...
    """
    if not alternatives:
        raise ConfigError("alternatives", alternatives, "at least one alternative")
    return Fallback(tuple(read(each) for each in alternatives), on)

"""Steps that every ready-made runbook is put together from: away from callers, and back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from resilient.core.hub import hub
from resilient.events import CircuitState
from resilient.policies.circuit_breaker import CircuitBreaker
from resilient.system.runbooks.context import RunContext
from resilient.system.runbooks.step import Step, StepFunction, step

__all__ = ["breakers_of", "concerned", "given", "isolate", "readmit", "readmit_one", "thaw"]

ISOLATE = "isolate"
_BY_HAND = (CircuitState.FORCED_OPEN, CircuitState.DISABLED, CircuitState.METRICS_ONLY)


def given(name: str, value: StepFunction | Step | None, **more: Any) -> Step:
    """What the application provides for a place in a ready-made book: a function, or a whole step.

    Parameters: `more`, the settings of the step, unless it is given whole.
    """
    return value if isinstance(value, Step) else step(name, value, **more)


def concerned(context: RunContext) -> tuple[str, ...]:
    """The components that a run is about: the chain of the cascade, and all that have failed."""
    return tuple(dict.fromkeys((*context.chain, *context.failed)))


def breakers_of(system: Any, components: Iterable[str]) -> list[CircuitBreaker]:
    """The breakers that report to a mode as evidence about these components."""
    wanted = set(components)
    found = hub.reporting_to(system)
    return [one for one in found if isinstance(one, CircuitBreaker) and one.name in wanted]


def isolate(only: Iterable[str] = ()) -> Step:
    """Refuse every call to what has failed; those breakers that a hand has set stay as they are.

    Parameters: `only`, the components it may touch; empty for any.
    """
    allowed = frozenset(only)

    def force_open(context: RunContext) -> tuple[CircuitBreaker, ...]:
        names = [name for name in concerned(context) if not allowed or name in allowed]
        found = breakers_of(context.system, names)
        forced = tuple(one for one in found if one.state not in _BY_HAND)
        for one in forced:
            one.force_open()
        return forced

    return step(ISOLATE, force_open, undo=_let_in)


def readmit() -> Step:
    """Let trial calls through to what is still isolated: nobody else knows whether it works.

    The breaker closes after them, or opens as it always does; it is not closed unseen.
    """
    return step("readmit", _let_in)


def readmit_one(component: str, when: StepFunction) -> Step:
    """The same for one component."""

    def let_in(context: RunContext) -> None:
        _let_in(context, component)

    # `context` is all that the step gives.
    return step(f"readmit {component}", let_in, component=component, when=when)


def thaw(context: RunContext) -> None:
    """End the freeze that this book began; another one stays."""
    frozen = context.system.frozen
    if frozen is not None and frozen.reason.startswith(f"{context.run}: "):
        context.system.thaw()


def _let_in(context: RunContext, component: str | None = None) -> None:
    for one in context.results.get(ISOLATE, ()):
        if component in (None, one.name) and _forced_open(one):
            one.half_open()


def _forced_open(one: CircuitBreaker) -> bool:
    """Also a keyed one that has no circuit yet to show it."""
    forced = CircuitState.FORCED_OPEN
    return one.state is forced or (one.keyed and one.snapshot()["manual"] == forced.value)

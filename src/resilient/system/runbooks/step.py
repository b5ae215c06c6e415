"""One step of a runbook, as a description."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, cast

from resilient.clock import Duration, seconds
from resilient.core.inspection import is_async_callable
from resilient.errors import ConfigError
from resilient.policies.match import named, optional, whole

__all__ = ["Step", "StepFunction", "step", "wants_context"]

StepFunction = Callable[..., Any]
"""Sync or async; of no argument, or of one: the `RunContext`."""

LONGEST_WAIT = 60.0
"""Seconds between two attempts at most, however often the wait was doubled."""

_FUNCTION = "a function, sync or async, of no argument or of one (the RunContext)"


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a runbook; made by `step`, which explains the fields."""

    name: str
    fn: StepFunction | None
    timeout: float = 60.0
    attempts: int = 1
    backoff: float = 1.0
    on_failure: Literal["stop", "skip"] = "stop"
    undo: StepFunction | None = None
    when: StepFunction | None = None
    gate: bool = False
    component: str | None = None

    def wait(self, attempt: int) -> float:
        """Seconds to wait after so many failed attempts: doubled each time, at most 60.

        Example::

            step("ping", ping, attempts=4).wait(3)  # 4.0
        """
        most = max(self.backoff, LONGEST_WAIT)
        doublings = min(attempt - 1, 64)
        return float(min(most, self.backoff * 2**doublings))


def step(  # noqa: PLR0913  (all but the first two are keywords)
    name: str,
    fn: StepFunction | None,
    *,
    timeout: Duration = 60.0,
    attempts: int = 1,
    backoff: Duration = 1.0,
    on_failure: Literal["stop", "skip"] = "stop",
    undo: StepFunction | None = None,
    when: StepFunction | None = None,
    gate: bool = False,
    component: str | None = None,
) -> Step:
    """Describe one step of a runbook.

    * `fn`: what to do, sync or async; if it needs an argument it gets the `RunContext`. `None`: the
      application has nothing to offer here; the step is passed over and named "not provided".
    * `timeout`: seconds for one attempt. An async `fn` is cancelled then; a sync one goes on, and
      what it answers later counts for nothing. Default 60.
    * `attempts`: tries in all. Default 1. `backoff`: seconds before the second, doubled before each
      further one up to 60. Default 1.
    * `on_failure`: once no attempt is left, ``"stop"`` ends the run and undoes what was done;
      ``"skip"`` goes on with the next step. Default ``"stop"``.
    * `undo`: what takes `fn` back. Called, with the same time limit and attempts, if `fn` was done
      and the run fails later or is cancelled.
    * `when`: a question asked before; if the answer is false, the step is passed over. It is also
      asked in a dry run, so it must change nothing.
    * `gate`: what `fn` returns must be true, else the attempt has failed. Default no.
    * `component`: steps in a row that name components are done in the order in which these depend
      on one another (``mode.component(depends_on=...)``), what is depended on first.

    Raises `ConfigError`.

    Example::

        step("restart redis", restart, timeout=30, attempts=2, component="redis")
    """
    if on_failure not in ("stop", "skip"):
        raise ConfigError("on_failure", on_failure, "'stop' or 'skip'")
    return Step(
        named(name),
        optional(_function, "fn", fn),
        seconds("timeout", timeout),
        whole("attempts", attempts),
        seconds("backoff", backoff, zero=True),
        on_failure,
        optional(_function, "undo", undo),
        optional(_function, "when", when),
        bool(gate),
        None if component is None else named(component),
    )


def _function(setting: str, value: object) -> StepFunction:
    fn: Any = value
    try:
        is_async_callable(fn)
    except TypeError:  # a class, a generator function, nothing to call at all
        raise ConfigError(setting, value, _FUNCTION) from None
    if wants_context(fn) is None:
        raise ConfigError(setting, value, _FUNCTION)
    return cast("StepFunction", fn)


def wants_context(fn: StepFunction) -> bool | None:
    """Whether `fn` needs an argument; `None` if it needs more than one."""
    try:
        signature = inspect.signature(fn)
    except ValueError:
        return False  # it does not tell its parameters
    for given in ((), (None,)):
        try:
            signature.bind(*given)
        except TypeError:
            continue
        return bool(given)
    return None

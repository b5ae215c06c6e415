"""The runbook for a failure of some components, while the others work."""

from __future__ import annotations

from collections.abc import Iterable

from resilient.policies.match import named
from resilient.system.runbooks.context import RunContext
from resilient.system.runbooks.isolating import given, isolate, readmit
from resilient.system.runbooks.runbook import Runbook, runbook
from resilient.system.runbooks.step import Step, StepFunction

__all__ = ["partial_failure"]


def partial_failure(  # noqa: PLR0913  (all keywords)
    *,
    name: str = "partial-failure",
    components: Iterable[str] = (),
    queue: StepFunction | Step | None = None,
    notify: StepFunction | Step | None = None,
    fall_back: StepFunction | Step | None = None,
    recover: StepFunction | Step | None = None,
) -> Runbook:
    """Make a runbook for a partial failure: isolate, queue, notify, fall back, recover, readmit.

    The order is that of "Success and Failure States". What is not given is passed over.

    * isolate: the breakers of what has failed are forced open. Undone by letting trial calls in.
    * `queue`: keep the work that cannot be done now. * `notify`: tell those concerned; tried three
      times, and then passed over. * `fall_back`: switch to what works instead.
    * `recover`: bring back what has failed; by default ``mode.recover`` of each failed component
      that has a recovery (``mode.recovery``), which goes on by itself.
    * readmit: trial calls are let through to what was isolated; they decide.

    Parameters: `components` that may be isolated, empty for any. A place takes a function, as
    `step` does, or a whole `step` with limits and an `undo` of its own.
    Raises `ConfigError`.

    Example::

        mode.runbook(partial_failure(queue=orders.hold, notify=page), on="degraded")
    """
    return runbook(
        named(name),
        isolate([named(one) for one in components]),
        given("queue", queue),
        given("notify", notify, attempts=3, on_failure="skip"),
        given("fall back", fall_back),
        given("recover", _recover if recover is None else recover),
        readmit(),
    )


def _recover(context: RunContext) -> tuple[str, ...]:
    """Have every failed component tried that says how."""
    system = context.system
    known = [one for one in context.failed if one in system.recoveries]
    return tuple(one for one in known if system.recover(one))

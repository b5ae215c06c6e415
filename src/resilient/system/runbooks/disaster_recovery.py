"""The runbook for the day when nothing works any more."""

from __future__ import annotations

from pathlib import Path

from resilient.clock import Duration, seconds
from resilient.errors import ConfigError
from resilient.policies.match import named
from resilient.system.runbooks.context import RunContext
from resilient.system.runbooks.dump import dump, evidence_of
from resilient.system.runbooks.isolating import given, thaw
from resilient.system.runbooks.runbook import Runbook, runbook
from resilient.system.runbooks.step import Step, StepFunction, step
from resilient.system.states import Mode

__all__ = ["disaster_recovery"]

FREEZE = 4 * 3600.0
"""Seconds: recovery from a complete failure takes 2 to 4 hours ("Success and Failure States")."""

PATIENCE = 3600.0
"""Seconds for one attempt at what only the application can do."""


def disaster_recovery(  # noqa: PLR0913  (all but the first are keywords)
    directory: str | Path,
    *,
    validate: StepFunction | Step,
    name: str = "disaster-recovery",
    ttl: Duration = FREEZE,
    timeout: Duration = PATIENCE,
    notify: StepFunction | Step | None = None,
    preserve: StepFunction | Step | None = None,
    restore: StepFunction | Step | None = None,
    replay: StepFunction | Step | None = None,
    admit: StepFunction | Step | None = None,
) -> Runbook:
    """Make a runbook for a disaster: maintenance, evidence, restore, replay, validate, return.

    The order is that of "Success and Failure States". What is not given is passed over.

    * maintenance: EMERGENCY is forced, in the name of the book, and every feature is frozen for
      `ttl` seconds (default 4 hours). Both stay if a later step fails: nobody is let in to data
      that nobody has checked. To end it: ``mode.release(name)`` and ``mode.thaw()``.
    * evidence: mode, components, breakers, history and runs, as a JSON file in `directory`; then
      `preserve`, for what else will be overwritten. If either fails, nothing is restored.
    * `notify`: tell those concerned; tried three times, and then passed over.
    * `restore`, `replay`: from the last good state, and what came after it.
    * `validate`: a gate; what it returns must be true, else the run stops.
    * `admit`: prepare for a gradual return, such as a share of traffic that grows.
    * return: the override and the freeze end; the mode then improves in its ordinary time.

    Parameters: `timeout`, seconds for each of the application's functions, by default an hour.
    Raises `ConfigError`.

    Example::

        book = disaster_recovery("/var/lib/shop", restore=restore, validate=sums_agree)
        mode.run(book, dry_run=True)
    """
    limit, hold, place = seconds("timeout", timeout), seconds("ttl", ttl), Path(directory)
    name = named(name)

    def maintenance(context: RunContext) -> None:
        context.system.force(Mode.EMERGENCY, reason=f"{context.run}: maintenance", owner=name)
        context.system.freeze(f"{context.run}: maintenance", ttl=hold)

    def evidence(context: RunContext) -> str:
        return dump(place, context, "evidence", evidence_of(context))

    def back(context: RunContext) -> None:
        context.system.release(name)
        thaw(context)

    return runbook(
        name,
        step("maintenance", maintenance),
        step("evidence", evidence),
        given("preserve", preserve, timeout=limit),
        given("notify", notify, attempts=3, on_failure="skip"),
        given("restore", restore, timeout=limit),
        given("replay", replay, timeout=limit),
        _gate(given("validate", validate, timeout=limit)),
        given("admit", admit, timeout=limit),
        step("return", back),
    )


def _gate(one: Step) -> Step:
    """That step, with its answer asked for, whatever it says of conditions and failures."""
    if one.fn is None:
        raise ConfigError("validate", None, "a function: nobody is let in to what was not checked")
    return step(
        one.name,
        one.fn,
        timeout=one.timeout,
        attempts=one.attempts,
        backoff=one.backoff,
        undo=one.undo,
        gate=True,
    )

"""The runbook for a failure that spreads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from resilient.clock import Duration, seconds
from resilient.policies.match import named
from resilient.system.runbooks.context import RunContext
from resilient.system.runbooks.dump import dump, snapshot_of
from resilient.system.runbooks.isolating import (
    concerned,
    given,
    isolate,
    readmit,
    readmit_one,
    thaw,
)
from resilient.system.runbooks.runbook import Runbook, runbook
from resilient.system.runbooks.step import Step, StepFunction, step

__all__ = ["cascade_emergency"]

TRIES = 8
"""Looks at a probe after a restart: after 0, 0.5, 1.5, 3.5, ... 63.5 s."""


def cascade_emergency(  # noqa: PLR0913  (all but the first are keywords)
    directory: str | Path,
    *,
    name: str = "cascade-emergency",
    ttl: Duration = 300.0,
    notify: StepFunction | Step | None = None,
    drain: StepFunction | None = None,
    restart: Mapping[str, StepFunction] | None = None,
    verify: Mapping[str, StepFunction] | None = None,
) -> Runbook:
    """Make a runbook for a cascade: isolate, freeze, snapshot, drain, restart in order, thaw.

    The order, and 300 s, are those of "Success and Failure States".

    * isolate: the breakers of the chain, and of what else has failed, are forced open.
    * freeze: every feature of the mode is shut, for `ttl` seconds at most (see ``mode.freeze``).
    * snapshot: mode, components and breakers, as a JSON file in `directory`. Passed over if that
      cannot be written.
    * `notify`: tell those concerned; tried three times, and then passed over.
    * `drain`: empty the queues; what it returns, if anything, is written to a JSON file: a list,
      say, but no iterator.
    * `restart`: how to restart each component. What others depend on comes first, as declared by
      ``mode.component(depends_on=...)``; what is not part of the cascade is left alone. After each
      it is verified, by `verify`, whose answer must be true, or else by a new and good answer of
      its probe, for about a minute; then trial calls are let in. If that fails the run stops.
    * readmit: trial calls for the rest that was isolated; then thaw.

    If it stops or is cancelled, trial calls are let in and the freeze ends.
    Raises `ConfigError`.

    Example::

        mode.runbook(cascade_emergency("/var/lib/shop", restart={"redis": redis_up}), on="cascade")
    """
    limit, place = seconds("ttl", ttl), Path(directory)
    checks = verify or {}

    def freeze(context: RunContext) -> None:
        held = context.system.frozen
        if held is None or held.features is not None or held.ends_in < limit:
            context.system.freeze(f"{context.run}: {context.cause}", ttl=limit)

    def snapshot(context: RunContext) -> str:
        return dump(place, context, "snapshot", snapshot_of(context))

    def write(context: RunContext) -> str | None:
        drained = context.results.get("drain")
        return None if drained is None else dump(place, context, "queues", drained)

    return runbook(
        named(name),
        isolate(),
        step("freeze", freeze, undo=thaw),
        step("snapshot", snapshot, on_failure="skip"),
        given("notify", notify, attempts=3, on_failure="skip"),
        step("drain", drain),
        step("write queues", None if drain is None else write),
        *[one for each, fn in (restart or {}).items() for one in _restart(each, fn, checks)],
        *([] if restart else [step("restart", None)]),
        readmit(),
        step("thaw", thaw),
    )


def _restart(
    component: str, fn: StepFunction, checks: Mapping[str, StepFunction]
) -> tuple[Step, ...]:
    def needed(context: RunContext) -> bool:
        return component in (concerned(context) or (component,))

    def probed(context: RunContext) -> bool:
        return needed(context) and component in context.system.probes

    def answers(context: RunContext) -> bool:
        return _answers(context.system.probes[component], context)

    check, when = checks.get(component), needed
    if check is None:
        check, when = answers, probed
    return (
        step(f"restart {component}", fn, component=named(component), when=needed),
        step(
            f"verify {component}",
            check,
            component=component,
            when=when,
            gate=True,
            attempts=TRIES,
            backoff=0.5,
        ),
        readmit_one(component, needed),
    )


def _answers(probe: Any, context: RunContext) -> bool:
    """Whether a question that was put after the restart had a good answer; else put one."""
    last = probe.last
    fresh = last is not None and last.at >= context.since
    if not fresh:
        probe.hasten()
    return bool(fresh and last.failures == 0)

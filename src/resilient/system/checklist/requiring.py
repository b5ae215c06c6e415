"""The checklist of a return to success: what must hold before the mode improves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, overload

from resilient.clock import Duration, seconds
from resilient.core.inspection import is_async_callable
from resilient.errors import ConfigError
from resilient.policies.match import named
from resilient.system.checklist.asked import Asked
from resilient.system.checklist.quietness import NoCallFailed, NoComponentFailed, Quiet
from resilient.system.checklist.requirement import Requirement, RequirementStatus
from resilient.system.employing import Employing
from resilient.system.states import Mode

__all__ = ["Requiring"]

F = TypeVar("F", bound=Callable[[], Any])


class Requiring(Employing):
    """The part of the mode that does not rejoice too soon."""

    @overload
    def require(
        self,
        name: str,
        fn: F,
        /,
        *,
        hold: Duration = ...,
        to: Mode | str | None = ...,
        interval: Duration | None = ...,
        timeout: Duration = ...,
    ) -> F: ...

    @overload
    def require(
        self,
        name: str,
        fn: None = None,
        /,
        *,
        hold: Duration = ...,
        to: Mode | str | None = ...,
        interval: Duration | None = ...,
        timeout: Duration = ...,
    ) -> Callable[[F], F]: ...

    def require(  # noqa: PLR0913  (all but the first two are keywords)
        self,
        name: str,
        fn: F | None = None,
        /,
        *,
        hold: Duration = 0.0,
        to: Mode | str | None = None,
        interval: Duration | None = None,
        timeout: Duration = 1.0,
    ) -> F | Callable[[F], F]:
        """Let the mode improve only while `fn`, sync or async, returns something true.

        It is asked in the background, never twice at once. One that raises, that does not answer,
        or that was not asked yet is unmet, and `explain()` says which and why. It never makes the
        mode worse. Meanwhile the score may be confirmed, so that the mode improves as soon as the
        last condition is met, if the score has been good for long enough by then.

        * `hold`: seconds for which it must have been true without a break. Default 0.
        * `to`: forbid only the improvement to this mode. Default: every one.
        * `interval`: seconds between questions. Default: that of the mode.
        * `timeout`: seconds after which there is no answer. Default 1.

        Returns `fn`. A second condition of a name takes the place of the first.
        Raises `ConfigError`, and `TypeError` if `fn` cannot be called.

        Example::

            mode.require("backlog below 100", lambda: len(backlog) < 100, to="normal")
            mode.require("latency below 100 ms", lambda: latency() < 0.1, hold=600)
        """
        name, goal = named(name), _goal(to)
        held, limit = seconds("hold", hold, zero=True), seconds("timeout", timeout)
        every = self.interval if interval is None else seconds("interval", interval)

        def add(given: F) -> F:
            is_async_callable(given)
            replaced = self._ledger.jobs.get((Requirement.kind, name))
            self._employ(
                Asked(
                    name,
                    held,
                    goal,
                    interval=every,
                    now=self._time.now,
                    errand=lambda done: self._errand(name, given, limit, done),
                    told=self._weakly(Requiring._answers_otherwise),
                )
            )
            if isinstance(replaced, Asked):
                replaced.retire()
            return given

        return add if fn is None else add(fn)

    def require_quiet(self, *, to: Mode | str | None = None) -> None:
        """Let the mode improve only while no recovery and no runbook is at work.

        Parameters: `to` as for `require`. Raises `ConfigError`.

        Example::

            mode.require_quiet()
        """
        self._employ(Quiet(_goal(to), self._time.now, self._ledger))

    def require_no_failure(self, hold: Duration = 300.0, *, to: Mode | str | None = None) -> None:
        """Let the mode improve only when no component has been below 0.4 for `hold` seconds.

        Parameters: `to` as for `require`. Default 300. Raises `ConfigError`.

        Example::

            mode.require_no_failure(300)
        """
        self._employ(NoComponentFailed(seconds("hold", hold), _goal(to), self._time.now))

    def require_no_error(self, hold: Duration = 300.0, *, to: Mode | str | None = None) -> None:
        """Let the mode improve only when no call through a breaker has failed for `hold` seconds.

        Calls of breakers whose name is a component of this mode count. It is a strict condition:
        one failure in 5 minutes is enough. Parameters: `to` as for `require`. Default 300, from
        the checklist of "Success and Failure States". Raises `ConfigError`.

        Example::

            mode.require_no_error(300, to="normal")
        """
        self._employ(NoCallFailed(seconds("hold", hold), _goal(to), self._time.now))

    def unrequire(self, name: str) -> bool:
        """Take a condition off the checklist; False if there is none of that name.

        Example::

            mode.unrequire("backlog below 100")
        """
        job = self._ledger.jobs.get((Requirement.kind, name))
        if job is None or not self._ledger.dismiss(job):
            return False
        if isinstance(job, Asked):
            job.retire()
        self._touch()
        self._refresh()
        return True

    @property
    def checklist(self) -> tuple[RequirementStatus, ...]:
        """Every condition, and how it stands, in the order in which they were required.

        Example::

            for line in mode.checklist:
                print(line)
        """
        self.evaluate()
        jobs = self._ledger.jobs.values()
        return tuple(job.status() for job in jobs if isinstance(job, Requirement))

    def _answers_otherwise(self, _: object) -> None:
        self._nudge()


def _goal(to: Mode | str | None) -> Mode | None:
    if to is not None and Mode.of(to, "to") is Mode.EMERGENCY:
        raise ConfigError("to", to, "NORMAL, DEGRADED or None: nothing improves to EMERGENCY")
    return None if to is None else Mode.of(to, "to")

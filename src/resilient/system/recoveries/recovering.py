"""Bringing components back: which action is tried, when, and how it is checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar, overload

from resilient.clock import Duration, seconds
from resilient.core.hub import hub
from resilient.core.inspection import is_async_callable
from resilient.errors import ConfigError
from resilient.policies.match import jittered, named, positive, whole
from resilient.system.decision.score import IMPAIRED
from resilient.system.employing import Employing
from resilient.system.recoveries.recovery import Recovery
from resilient.system.recoveries.rules import LONGEST, Move, RecoveryRules
from resilient.system.recoveries.stage import RecoveryChanged, RecoveryStatus

__all__ = ["Recovering"]

F = TypeVar("F", bound=Callable[..., Any])


class Recovering(Employing):
    """The part of the mode that heals."""

    @overload
    def recovery(
        self,
        name: str,
        fn: F,
        /,
        *,
        backoff: Duration = ...,
        factor: float = ...,
        attempts: int = ...,
        max_backoff: Duration | None = ...,
        timeout: Duration = ...,
        below: float = ...,
        verify: Callable[[], Any] | None = ...,
        jitter: float = ...,
    ) -> F: ...

    @overload
    def recovery(
        self,
        name: str,
        fn: None = None,
        /,
        *,
        backoff: Duration = ...,
        factor: float = ...,
        attempts: int = ...,
        max_backoff: Duration | None = ...,
        timeout: Duration = ...,
        below: float = ...,
        verify: Callable[[], Any] | None = ...,
        jitter: float = ...,
    ) -> Callable[[F], F]: ...

    def recovery(  # noqa: PLR0913  (all but the first two are keywords)
        self,
        name: str,
        fn: F | None = None,
        /,
        *,
        backoff: Duration = 30.0,
        factor: float = 2.0,
        attempts: int = 5,
        max_backoff: Duration | None = None,
        timeout: Duration = 60.0,
        below: float = 0.4,
        verify: Callable[[], Any] | None = None,
        jitter: float = 0.0,
    ) -> F | Callable[[F], F]:
        """Call `fn`, sync or async, to bring the component `name` back when it has failed.

        A component is whatever the mode knows by a name: a breaker, a probe, a metric. It runs in
        the background, never twice at once; a return is an attempt that ended well, but for
        `False`. Whether it helped is then found out: by the first answer of the component's probe
        to a question put after the attempt; else by `verify`; else by what the mode knows of the
        component when the next wait is over.

        * `backoff`, `factor`, `max_backoff`: the first attempt comes `backoff` seconds after the
          failure was noticed, and each further one waits `factor` times as long after the end of
          the last, at most `max_backoff`. Default 30, 2 and no limit: 30 s, 60, 120, 240, 480.
        * `attempts`: so many, and it gives up, which is among the reasons of the mode until the
          component is well or `recover` is called. Default 5.
        * `timeout`: seconds after which an attempt, or a verification, has failed. Default 60. An
          async one is cancelled then; a sync one goes on, and no other begins before it ends.
        * `below`: health below which the component has failed, at most 0.7. Default 0.4. At 0.7 or
          more it is well, and the recovery ends, also while it waits.
        * `verify`: a function of nothing, sync or async, that raises or returns False if the
          component is not back.
        * `jitter`: random share by which each wait is shorter or longer, in [0, 1). Default 0.

        An attempt waits for what the component depends on (see `component`): as long as that has
        failed, nothing is tried, and when it is back the wait begins anew. A component that fails
        again before the next wait would have been over goes on where it stopped.

        30 s, doubled, 5 attempts: "Graceful Degradation". Returns `fn`. A second recovery of a
        name takes the place of the first.
        Raises `ConfigError`, and `TypeError` if `fn` or `verify` cannot be called.

        Example::

            @mode.recovery("redis", backoff=30, attempts=5)
            async def reconnect() -> None:
                await client.connection_pool.disconnect()
        """
        rules = RecoveryRules(
            seconds("backoff", backoff, zero=True),
            _at_least_one("factor", factor),
            whole("attempts", attempts),
            LONGEST if max_backoff is None else seconds("max_backoff", max_backoff),
            positive("below", below, most=IMPAIRED),
            jittered(jitter),
        )
        limit, name = seconds("timeout", timeout), named(name)
        errand = f"recovery of {name}"
        if verify is not None:
            is_async_callable(verify)

        def add(given: F) -> F:
            is_async_callable(given)
            replaced = self._ledger.jobs.get((Recovery.kind, name))
            self._employ(
                Recovery(
                    name,
                    rules,
                    timeout=limit,
                    action=lambda done: self._errand(errand, given, limit, done),
                    verify=None
                    if verify is None
                    else lambda done: self._errand(errand, verify, limit, done),
                    ledger=self._ledger,
                    told=self._weakly(Recovering._soon_again),
                    moved=self._weakly(Recovering._recovery_moved),
                )
            )
            if isinstance(replaced, Recovery):
                replaced.retire()
            return given

        return add if fn is None else add(fn)

    def recover(self, name: str) -> bool:
        """Make an attempt now, whatever the health of the component; False if one is under way.

        A recovery that gave up begins anew. It does not wait for the attempt.
        Raises `ConfigError` if there is no recovery of that name.

        Example::

            mode.recover("redis")
        """
        job = self._ledger.jobs.get((Recovery.kind, name))
        if not isinstance(job, Recovery):
            raise ConfigError("name", name, "a component with a recovery")
        ordered = job.order()
        self._nudge()
        return ordered

    @property
    def recoveries(self) -> Mapping[str, RecoveryStatus]:
        """Where each recovery stands, by the name of its component.

        Example::

            for found in mode.recoveries.values():
                print(found)
        """
        self.evaluate()
        found = self._under_lock(self._standing)
        return MappingProxyType(self._standing() if found is None else found)

    def _standing(self) -> dict[str, RecoveryStatus]:
        now = self._time.now()
        jobs = [job for job in self._ledger.jobs.values() if isinstance(job, Recovery)]
        return {job.name: job.status(now) for job in jobs}

    def _soon_again(self, _: object) -> None:
        self._nudge()

    def _recovery_moved(self, news: tuple[str, int, Move]) -> None:
        name, attempts, move = news
        hub.bus.publish(
            RecoveryChanged(
                name=name,
                mode=self.name,
                old=move.old,
                new=move.new,
                attempt=move.attempt,
                of=attempts,
                next_in=move.next_in,
                error=move.error,
                seconds=move.seconds,
            )
        )


def _at_least_one(setting: str, value: float) -> float:
    factor = positive(setting, value)
    if factor < 1:
        raise ConfigError(setting, value, "a number >= 1")
    return factor

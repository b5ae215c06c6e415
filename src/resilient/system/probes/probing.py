"""Asking components how they are, whether or not anybody calls them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar, overload

from resilient.clock import Duration, seconds
from resilient.core.hub import hub
from resilient.core.inspection import is_async_callable
from resilient.core.ports import Criticality
from resilient.policies.match import jittered, named, whole
from resilient.system.decision.engine import Trip
from resilient.system.employing import Employing
from resilient.system.probes.probe import Probe, ProbeChanged, ProbeReading, ProbeRules, ProbeStatus

__all__ = ["Probing"]

F = TypeVar("F", bound=Callable[..., Any])


class Probing(Employing):
    """The part of the mode that asks."""

    @overload
    def probe(
        self,
        name: str,
        fn: F,
        /,
        *,
        interval: Duration = ...,
        timeout: Duration = ...,
        degraded_above: Duration | None = ...,
        failed_after: int = ...,
        jitter: float = ...,
        trips: bool = ...,
        weight: float | None = ...,
        criticality: Criticality | str | None = ...,
    ) -> F: ...

    @overload
    def probe(
        self,
        name: str,
        fn: None = None,
        /,
        *,
        interval: Duration = ...,
        timeout: Duration = ...,
        degraded_above: Duration | None = ...,
        failed_after: int = ...,
        jitter: float = ...,
        trips: bool = ...,
        weight: float | None = ...,
        criticality: Criticality | str | None = ...,
    ) -> Callable[[F], F]: ...

    def probe(  # noqa: PLR0913  (all but the first two are keywords)
        self,
        name: str,
        fn: F | None = None,
        /,
        *,
        interval: Duration = 10.0,
        timeout: Duration = 1.0,
        degraded_above: Duration | None = None,
        failed_after: int = 3,
        jitter: float = 0.2,
        trips: bool = False,
        weight: float | None = None,
        criticality: Criticality | str | None = None,
    ) -> F | Callable[[F], F]:
        """Call `fn`, sync or async, from time to time, and take how it ends as evidence for `name`.

        It runs in the background: never on a caller's call, never twice at once. What it returns
        is well, but for `False`, a `ProbeStatus` and a `ProbeResult`; what it raises is a failure.
        A mode that has a probe ticks by itself (see `start`) unless its clock is injected.

        * `interval`: seconds between questions. Default 10.
        * `timeout`: seconds after which there is no answer. Default 1. An async `fn` is cancelled
          then; a sync one goes on, is not asked again before it ends, and counts as failing.
        * `degraded_above`: an answer that took longer is DEGRADED (health 0.6). Default: none is.
        * `failed_after`: so many failures in a row are FAILED (0), before that UNHEALTHY (0.3).
          Default 3.
        * `jitter`: random share of the interval by which each question comes earlier or later, in
          [0, 1), so that a fleet does not ask in step. Default 0.2.
        * `trips`: while FAILED, this process is in EMERGENCY and not ready: for local causes such
          as memory. Default no.
        * `weight`, `criticality`: of the component, as in `component`. A CRITICAL one that has
          FAILED is EMERGENCY at once, unless a working fallback answers for it.

        10 s and 3 failures are the figures of the source documents. Silence for two intervals
        makes the component BLIND. Returns `fn`; `mode.probes` has the probe. A second probe of a
        name takes the place of the first.
        Raises `ConfigError`, and `TypeError` if `fn` cannot be called.

        Example::

            @mode.probe("redis", interval=10, timeout=0.5, degraded_above=0.1, failed_after=3)
            async def redis_answers() -> None:
                await client.ping()
        """
        rules = ProbeRules(
            seconds("interval", interval),
            None if degraded_above is None else seconds("degraded_above", degraded_above),
            whole("failed_after", failed_after),
            jittered(jitter),
        )
        limit, name = seconds("timeout", timeout), named(name)

        def add(given: F) -> F:
            is_async_callable(given)  # refuses what cannot be called
            self._declare(name, weight, criticality)
            replaced = self.probes.get(name)
            self._employ(
                Probe(
                    name,
                    rules,
                    now=self._time.now(),
                    errand=lambda done: self._errand(name, given, limit, done),
                    told=self._weakly(Probing._answered_trips if trips else Probing._answered),
                )
            )
            if replaced is not None:
                replaced.retire()
            if not trips:
                self._untrip(name)
            return given

        return add if fn is None else add(fn)

    @property
    def probes(self) -> Mapping[str, Probe]:
        """The probes, by the name of their component.

        Example::

            mode.probes["redis"].last
        """
        jobs = self._ledger.jobs.values()
        return MappingProxyType({job.name: job for job in jobs if isinstance(job, Probe)})

    def _answered(self, news: tuple[Probe, ProbeReading | None]) -> None:
        probe, before = news
        last = probe.last
        if self.probes.get(probe.name) is not probe:
            return  # another has taken its place
        self._witnessed(probe)
        if last is None or (before is not None and before.status is last.status):
            return
        hub.bus.publish(
            ProbeChanged(
                name=probe.name,
                mode=self.name,
                old=None if before is None else before.status,
                new=last.status,
                detail=last.detail,
                seconds=last.seconds,
            )
        )

    def _answered_trips(self, news: tuple[Probe, ProbeReading | None]) -> None:
        probe, before = news
        if self.probes.get(probe.name) is not probe:
            return
        if probe.status is ProbeStatus.FAILED:
            trip = Trip(_reason(probe.name), local=True)
            self._order(lambda engine, _: engine.trip(trip))
        else:
            self._untrip(probe.name, due=before is not None and before.status is ProbeStatus.FAILED)
        self._answered(news)

    def _untrip(self, name: str, *, due: bool = False) -> None:
        """End the trip of a probe: one that is `due` may still be in the inbox."""
        reason = _reason(name)
        if due or reason in self._engine.trips:
            self._order(lambda engine, _: engine.untrip(reason))


def _reason(name: str) -> str:
    return f"the probe of {name} failed"

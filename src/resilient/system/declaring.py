"""What an application says of its components: weights, dependencies, figures, marks."""

from __future__ import annotations

import math
from collections.abc import Iterable

from resilient.clock import Duration, seconds
from resilient.core.ports import Criticality
from resilient.errors import ConfigError
from resilient.policies.match import named
from resilient.system.decision.component import Evidence
from resilient.system.decision.evidence import MARKS, Latency
from resilient.system.employing import Employing, level, weighing
from resilient.system.ledger import Declared
from resilient.system.metric import Metric, Score

__all__ = ["Declaring"]


class Declaring(Employing):
    """The part of the mode that is told."""

    def component(  # noqa: PLR0913  (all but the first are keywords)
        self,
        name: str,
        *,
        weight: float | None = None,
        criticality: Criticality | str | None = None,
        depends_on: Iterable[str] | None = None,
        latency_target: Duration | None = None,
        latency_limit: Duration | None = None,
    ) -> None:
        """Declare a component, or add to what was declared. It wins over what its breakers say.

        Parameters: `weight` in the score, by default that of the `criticality` (CRITICAL 8, HIGH 4,
        MEDIUM 2, LOW 1); `depends_on`, names of components whose failure brings it down;
        `latency_target` and `latency_limit`, both or none, the 95th percentile that is well and the
        one that is as bad as dead.
        Raises `ConfigError`.

        Example::

            mode.component("orders", criticality="high", depends_on=["orders-db"])
        """
        depends = None if depends_on is None else _names(name, depends_on)
        latency = _latency(latency_target, latency_limit)
        said = Declared(weighing(weight), level(criticality), depends, latency)
        self._ledger.declare(named(name), said)
        self._touch()
        self._refresh()

    def metric(
        self,
        name: str,
        *,
        weight: float | None = None,
        criticality: Criticality | str | None = None,
        score: Score | None = None,
        expect_every: Duration | None = None,
    ) -> Metric:
        """Declare a figure of the application's own as evidence for the component `name`.

        Parameters: `weight` and `criticality` as for `component`; `score`, a plain function to
        [0, 1], called on a thread of the library's own: of nothing, then it is asked at every tick,
        or of the value that was `set`. One that raises drops the evidence and gives a reason, one
        that hangs delays nobody. `expect_every`, in seconds: silence for twice as long is BLIND.
        Raises `ConfigError`, and `TypeError` if `score` takes something else.

        Example::

            mode.metric("message_delivery", weight=0.3).set(0.98)
        """
        every = None if expect_every is None else seconds("expect_every", expect_every)
        made = Metric(
            named(name),
            score,
            every,
            every=self.interval,
            now=self._time.now,
            touched=self._weakly(Declaring._reported),
        )
        self._declare(name, weight, criticality)
        self._employ(made)
        return made

    def mark_degraded(
        self, component: str, reason: str, *, severity: str = "medium", ttl: Duration | None = None
    ) -> None:
        """Say by hand that a component is ill, in place of an earlier mark.

        Parameters: `severity`, ``low`` (health 0.9), ``medium`` (0.7), ``high`` (0.4) or
        ``critical`` (0); `ttl`, seconds after which the mark ends by itself.
        Raises `ConfigError`.

        Example::

            mode.mark_degraded("search", "reindexing", severity="high", ttl=600)
        """
        level = str(severity).lower()
        if level not in MARKS:
            raise ConfigError("severity", severity, "one of " + ", ".join(MARKS))
        evidence = Evidence("mark", MARKS[level], self._end(ttl), f"{level}: {reason}")
        self._ledger.mark(named(component), evidence)
        self._touch()
        self.evaluate()

    def clear(self, component: str) -> bool:
        """Take the manual mark off a component; False if there was none.

        Example::

            mode.clear("search")
        """
        had = self._ledger.mark(component, None)
        self._touch()
        self.evaluate()
        return had

    def _end(self, ttl: Duration | None) -> float:
        """The instant at which something that is said now ends."""
        return math.inf if ttl is None else self._time.now() + seconds("ttl", ttl)


def _names(component: str, given: Iterable[str]) -> tuple[str, ...]:
    names = (given,) if isinstance(given, str) else tuple(given)
    if component in names or not all(isinstance(name, str) for name in names):
        raise ConfigError("depends_on", given, "names of other components")
    return names


def _latency(target: Duration | None, limit: Duration | None) -> Latency | None:
    if target is None and limit is None:
        return None
    if target is None or limit is None:
        missing = "latency_target" if target is None else "latency_limit"
        raise ConfigError(missing, None, "given together with the other one")
    bounds = Latency(seconds("latency_target", target), seconds("latency_limit", limit))
    if bounds.limit <= bounds.target:
        raise ConfigError("latency_limit", limit, f"more than latency_target={target}")
    return bounds

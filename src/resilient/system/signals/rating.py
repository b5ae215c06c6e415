"""Signals of rates, and of several figures in one."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from resilient.clock import Duration, seconds
from resilient.core.ports import Criticality
from resilient.errors import ConfigError
from resilient.policies.match import named, positive, whole
from resilient.system.signals.anomaly import ACTIONS, RateSignal
from resilient.system.signals.baseline import BaselineRules
from resilient.system.signals.composite import CompositeSignal
from resilient.system.signals.desk import SignalDesk
from resilient.system.signals.level import SignalLevel
from resilient.system.signals.reader import figure
from resilient.system.signals.weighing import SignalPart

__all__ = ["Rating"]

SIDES = ("both", "below", "above")
NO_ACTIONS: Mapping[SignalLevel | str, str] = MappingProxyType({})


class Rating(SignalDesk):
    """The part of the mode that compares rates with what is usual, and weighs figures."""

    def rate(  # noqa: PLR0913  (all but the first are keywords)
        self,
        name: str,
        *,
        window: Duration = 60.0,
        baseline: float | None = None,
        half_life: Duration | None = None,
        warm_up: int = 10,
        accept_after: Duration | None = 1800.0,
        minimum_expected: float = 20.0,
        noise: float = 5.0,
        side: str = "both",
        actions: Mapping[SignalLevel | str, str] = NO_ACTIONS,
        weight: float | None = None,
        criticality: Criticality | str | None = None,
    ) -> RateSignal:
        """Compare how often something happens with how often it usually does.

        Health is 1 up to a deviation of 50 % from the baseline; beyond it 0.75 (MEDIUM), beyond
        70 % 0.5 (HIGH), beyond 90 % 0.25 (CRITICAL), beyond 100 % 0; the steps are those of
        "Success and Failure States". Not one event in a window is 0, once there is a baseline:
        given and a window old, or learned.

        * `window`: seconds that are counted, sliding. Default 60.
        * `baseline`: events in a window that are usual, at least `minimum_expected`. Default: it is
          learned from windows that are not unusual, as a mean in which one counts half as much
          after each `half_life` (seconds, by default 10 windows), after `warm_up` windows
          (default 10), of which the median counts. Before that nothing is said.
        * `accept_after`: seconds for which an unusual level on one side must last to become the
          usual one; `None`: never. Default 1800. A level below `minimum_expected` never does, so
          an outage is one for as long as it lasts.
        * `minimum_expected`: where fewer events than this are usual in a window, nothing is said.
          Default 20: then an empty window is no chance (1 in 5e8).
        * `noise`: deviations that chance explains do not count: so many standard deviations of
          a Poisson count. Default 5: in 24 simulated days with 20 and 40 events in a window not
          one false alarm, where 4.5 gave 12. From 125 events in a window on it hides nothing.
        * `side`: ``both``, or only what is ``below`` or ``above`` the baseline.
        * `actions`: what to recommend, by level; there are defaults.
        * `weight`, `criticality`: of the component, as in `component`.

        Raises `ConfigError`.

        Example::

            orders = mode.rate("orders", baseline=120)  # 120 a minute
            orders.mark()
        """
        span = seconds("window", window)
        if side not in SIDES:
            raise ConfigError("side", side, "one of " + ", ".join(SIDES))
        rules = BaselineRules(
            None if baseline is None else positive("baseline", baseline),
            10 * span if half_life is None else seconds("half_life", half_life),
            whole("warm_up", warm_up),
            None if accept_after is None else seconds("accept_after", accept_after),
            positive("minimum_expected", minimum_expected),
            positive("noise", noise, zero=True),
            side,
        )
        if rules.given is not None and rules.given < rules.minimum_expected:
            allowed = f">= minimum_expected={minimum_expected:g} in a window; take a longer one"
            raise ConfigError("baseline", baseline, allowed)
        said = {SignalLevel.of(level, "actions"): text for level, text in actions.items()}
        made = RateSignal(named(name), self._ties(), rules, span, {**ACTIONS, **said})
        return self._take_on(made, weight, criticality)

    def composite(  # noqa: PLR0913  (all but the first two are keywords)
        self,
        name: str,
        parts: Mapping[str, SignalPart],
        /,
        *,
        limit: float = 0.8,
        full: float = 1.0,
        strategy: str = "",
        every: Duration | None = None,
        timeout: Duration = 1.0,
        hold: Duration = 30.0,
        weight: float | None = None,
        criticality: Criticality | str | None = None,
    ) -> CompositeSignal:
        """Weigh several figures into one score: the mean of ``value / scale`` by weight.

        Above `limit` it is congested. Health is 1 up to `limit` and falls to 0 at `full`. Parts
        without a fresh value are left out, the others stand in for them, and the detail says so.

        * `parts`: by name; see `SignalPart`. A part is read in the background, or `set` by hand.
        * `limit`, `full`: scores. Defaults 0.8 ("Success and Failure States") and 1.
        * `strategy`: what to do while it is congested; the action of the reading.
        * `every`: seconds between readings, by default the mode's interval; `timeout`: seconds for
          one. What does not come is missing after two intervals; when all are, it is BLIND.
        * `hold`: seconds for which a better level must last before it is announced. Default 30.
        * `weight`, `criticality`: of the component, as in `component`.

        Raises `ConfigError`.

        Example::

            parts = {"pending": SignalPart(1000, 0.4), "fee": SignalPart(100, 0.6)}
            congestion = mode.composite("congestion", parts, strategy="batch")
            congestion.set(pending=900, fee=40)
        """
        checked = {part: _part(part, given) for part, given in dict(parts).items()}
        if not checked:
            raise ConfigError("parts", parts, "at least one SignalPart by name")
        bounds = (positive("limit", limit), positive("full", full))
        if bounds[1] <= bounds[0]:
            raise ConfigError("full", full, f"more than limit={limit:g}")
        found = [
            (part, self._source("read", one.read, every, timeout)) for part, one in checked.items()
        ]
        sources = [(part, source) for part, source in found if source is not None]
        made = CompositeSignal(
            named(name),
            self._ties(),
            checked,
            bounds=bounds,
            strategy=strategy,
            life=self._settings.fresh_for,
            hold=seconds("hold", hold, zero=True),
            readers=lambda signal: {
                part: self._reader(f"{part} of {name}", source, figure, signal)
                for part, source in sources
            },
        )
        return self._take_on(made, weight, criticality)


def _part(name: str, given: object) -> SignalPart:
    if not isinstance(given, SignalPart):
        raise ConfigError("parts", {name: given}, "a SignalPart for each name")
    positive("scale", given.scale)
    positive("weight", given.weight)
    if given.drain is not None:
        positive("drain", given.drain)
    return given

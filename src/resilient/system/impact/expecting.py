"""Saying how well the application should work, and asking how well it does."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from resilient.clock import Duration, seconds
from resilient.policies.match import optional, positive, whole
from resilient.system.employing import Employing
from resilient.system.impact.figures import Impact, Performance, expected_in, impact, measured
from resilient.system.impact.incident import Incident
from resilient.system.impact.traffic import Traffic
from resilient.system.states import Mode

__all__ = ["Expecting"]


class Expecting(Employing):
    """The part of the mode that knows what a degradation costs."""

    def __init__(self, *given: Any) -> None:
        self._expected: Mapping[Mode, Performance] = MappingProxyType({})
        super().__init__(*given)

    def traffic(self, *, window: int = 60) -> Traffic:
        """What to put around the application's own entry points, so that they are counted.

        There is one for each mode; a later call returns the same. It counts over `window` whole
        seconds, which the first call sets, and refuses nothing.
        Raises `ConfigError`.

        Example::

            @mode.traffic()
            async def handle(request): ...
        """
        if self._traffic is None:
            self._traffic = Traffic(self.name, whole("window", window), self._clock)
        return self._traffic

    def expect(
        self,
        mode: Mode | str,
        *,
        latency: Duration | None = None,
        throughput: float | None = None,
        error_rate: float | None = None,
        availability: float | None = None,
    ) -> None:
        """Declare how well the application should work in `mode`, in place of what was declared.

        Parameters, each unknown by default: `latency`, mean seconds of a request; `throughput`,
        requests per second; `error_rate` and `availability`, shares from 0 to 1.
        Raises `ConfigError`.

        Example::

            mode.expect("normal", latency=0.05, throughput=1000, error_rate=0.001)
            mode.expect("degraded", latency=0.2, throughput=500, error_rate=0.01)
        """
        figures = Performance(
            None if latency is None else seconds("latency", latency),
            optional(_figure, "throughput", throughput),
            optional(_share, "error_rate", error_rate),
            optional(_share, "availability", availability),
        )
        self._expected = MappingProxyType({**self._expected, Mode.of(mode): figures})

    def expected(self, mode: Mode | str | None = None) -> Performance:
        """What was declared for `mode`, by default the current one, or else for the next better.

        Unknown figures are `None`.

        Example::

            mode.expected().latency
        """
        self._refresh()
        wanted = self._current if mode is None else Mode.of(mode)
        return expected_in(wanted, self._expected)

    def impact(self) -> Impact:
        """What is measured now, beside what this mode and NORMAL were declared to give.

        Nothing is measured before something was put under `traffic()`.

        Example::

            mode.impact().worse  # {'latency': 300.0, 'throughput': 50.0, ...} in percent
        """
        self._refresh()
        traffic = self._traffic
        now = Performance() if traffic is None else measured(traffic.seconds(), traffic.lasting())
        return impact(self._current, now, self._expected)

    @property
    def incidents(self) -> tuple[Incident, ...]:
        """The times NORMAL was left, the last 1000, oldest first; the last one may go on.

        Example::

            print(mode.incidents[-1].lasted)
        """
        self.evaluate()
        return self._incidents.known(self._totals())


def _figure(setting: str, value: float) -> float:
    return positive(setting, value, zero=True)


def _share(setting: str, value: float) -> float:
    return positive(setting, value, most=1, zero=True)

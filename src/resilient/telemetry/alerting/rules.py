"""What is told, and what is held back: pure decisions, with the time passed in.

Three rules in a row. The threshold: an event must be of a wanted kind and severe enough, or be the
end of something that was told. De-duplication: the same thing in the same state is told once in
`dedupe` seconds; its end is always told, and begins anew. The rate: a bucket of `rate` tokens, one
of which comes back every ``per / rate`` seconds, as in `resilient.rate_limit`; what finds none is
summed up in one alert as soon as there is one.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from dataclasses import dataclass

from resilient.events import Event, Severity
from resilient.policies.token_bucket import TokenBucket
from resilient.telemetry.alerting.alert import Alert, alert_of
from resilient.telemetry.alerting.held import Held
from resilient.telemetry.alerting.kinds import Kind, recovers, state_of, subject_of
from resilient.telemetry.severities import rank

__all__ = ["KEPT", "AlertRules", "Told"]

KEPT = 1000
"""Things that are remembered for de-duplication; the one told longest ago is forgotten first."""

_LOST = "they could not be delivered"

_log = logging.getLogger("resilient")


@dataclass(slots=True)
class Told:
    """One thing in one state: told first and last, and how often it was held back since."""

    since: float
    at: float
    held: int = 0


class AlertRules:
    """Decides for one channel. `suppressed` counts what was held back, for whichever reason.

    Example::

        rules = AlertRules(kinds, Severity.WARNING, dedupe=300, rate=10, per=60, now=0.0)
        rules.decide(event, 12.5, mode="NORMAL")  # the alerts to deliver now
    """

    def __init__(  # noqa: PLR0913  (its settings)
        self,
        kinds: tuple[Kind, ...],
        at_least: Severity,
        *,
        dedupe: float,
        rate: int,
        per: float,
        now: float,
    ) -> None:
        self.suppressed = 0
        self._kinds = kinds
        self._at_least = at_least
        self._dedupe = dedupe
        self._why = f"more than {rate} in {per:g} s"
        self._bucket = TokenBucket(step=per / rate, burst=rate, now=now)
        self._told: OrderedDict[str, dict[str, Told]] = OrderedDict()
        self._held = Held(self._why)
        self._lost = Held(_LOST)

    def decide(self, event: Event, now: float, mode: str | None) -> list[Alert]:
        """The alerts to deliver now: a summary that is due, and one for `event`."""
        alert = self._alert(event, now, mode)
        made = self.due(now, mode)
        if alert is None:
            return made
        if self._bucket.take(now) is not None:
            return [*made, alert]
        self.suppressed += 1
        self._held.add(alert)
        return made

    def due(self, now: float, mode: str | None, *, rest: bool = False) -> list[Alert]:
        """The summary of what was held back, if there is anything and room to tell it, or `rest`.

        `rest` is for the end: there will be no later time.
        """
        if not self._held or (self._bucket.take(now) is None and not rest):
            return []
        held, self._held = self._held, Held(self._why)
        return [held.summary(mode=mode)]

    def wait(self, now: float) -> float | None:
        """Seconds until a summary is due; `None` if nothing is held back."""
        return self._bucket.wait(now) if self._held else None

    def failed(self, alert: Alert) -> None:
        """Remember that `alert` did not arrive, until the channel `works`."""
        self._lost.add(alert)

    def works(self) -> None:
        """Sum up what did not arrive, now that something did."""
        if self._lost:
            lost, self._lost = self._lost, Held(_LOST)
            self._held.merge(lost)

    def _alert(self, event: Event, now: float, mode: str | None) -> Alert | None:
        """The alert for `event`, unless a threshold or de-duplication holds it back."""
        key = subject_of(event, self._kinds)
        if recovers(event, self._kinds) and (states := self._told.pop(key, None)):
            lasted = round(now - min(told.since for told in states.values()), 3)
            held = sum(told.held for told in states.values())
            return alert_of(event, key, mode=mode, recovered=True, suppressed=held, lasted=lasted)
        kind = next((each for each in self._kinds if isinstance(event, each.event)), None)
        if kind is None or not self._worth(kind, event):
            return None
        held_back = self._repeated(key, state_of(event), now)
        if held_back is None:
            self.suppressed += 1
            return None
        return alert_of(event, key, mode=mode, suppressed=held_back)

    def _worth(self, kind: Kind, event: Event) -> bool:
        if rank(event.severity) < rank(kind.at_least or self._at_least):
            return False
        if kind.to is not None and getattr(event, "new", None) is not kind.to:
            return False
        try:
            return kind.only is None or bool(kind.only(event))
        except BaseException:  # noqa: BLE001  (an application's function may raise anything)
            _log.warning("the filter of an alert raised; the event is told", exc_info=True)
            return True

    def _repeated(self, key: str, state: str, now: float) -> int | None:
        """How many repetitions were held back before this one; `None` if it is one itself."""
        states = self._told.setdefault(key, {})
        told = states.get(state)
        if told is not None and now - told.at < self._dedupe:
            told.held += 1
            return None
        states[state] = Told(now if told is None else told.since, now)
        self._told.move_to_end(key)
        while len(self._told) > KEPT:
            self._forget(*self._told.popitem(last=False))
        return 0 if told is None else told.held

    def _forget(self, key: str, states: dict[str, Told]) -> None:
        held = sum(told.held for told in states.values())
        if held:
            self._held.duplicates(key, held)

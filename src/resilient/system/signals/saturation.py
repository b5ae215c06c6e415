"""How full something is, as evidence; and a step aside before it is full."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from resilient.system.decision.evidence import clamp
from resilient.system.signals.level import SignalLevel
from resilient.system.signals.outlook import Forecast, Outlook, Usage, usage
from resilient.system.signals.reader import Reader
from resilient.system.signals.signal import Found, Signal, Ties
from resilient.system.signals.stepper import Stepper
from resilient.system.signals.stepping import StepRules
from resilient.system.view import View

__all__ = ["SaturationRules", "SaturationSignal"]


@dataclass(frozen=True, slots=True)
class SaturationRules:
    """When it is as good as full, how far ahead is looked, and when a step is taken."""

    capacity: float = 1.0
    scaling: float = 0.8
    full: float = 1.0
    horizon: float = 300.0
    steps: StepRules = field(default_factory=StepRules)


class SaturationSignal(Signal):
    """Made by `mode.saturation`. Health follows the pressure now; steps follow the forecast.

    Example::

        pool.set(83)
    """

    kind = "saturation"

    def __init__(  # noqa: PLR0913  (its settings, checked by `mode.saturation`)
        self,
        name: str,
        ties: Ties,
        rules: SaturationRules,
        *,
        life: float,
        reader: Callable[[Signal], Reader | None],
        stepper: Callable[[Signal], Stepper],
    ) -> None:
        self.rules = rules
        self._life = life
        self._outlook = Outlook(rules.horizon, rules.full)
        self._seen: tuple[Usage, float] | None = None
        self._added: tuple[Usage, float] | None = None
        self._forecast: Forecast | None = None
        self._stepped = False
        self._stepper = stepper(self)
        self._reader = reader(self)
        super().__init__(name, ties, rules.steps.pause)

    @property
    def steps(self) -> int:
        """How many steps up are taken.

        Example::

            pool.steps
        """
        return self._stepper.taken

    @property
    def forecast(self) -> Forecast | None:
        """What was to be expected at the last evaluation; `None` while nothing is known.

        Example::

            pool.forecast.full_in
        """
        return self._forecast

    def set(self, used: float, capacity: float | None = None) -> None:
        """Report a figure, and its capacity if that has changed. It counts for 90 s.

        Raises `TypeError` if the signal reads for itself, `ValueError` for what is no figure.

        Example::

            pool.set(83, capacity=100)
        """
        if self._reader is not None:
            message = f"saturation {self.name!r} reads for itself; nothing can be set"
            raise TypeError(message)
        of = self.rules.capacity if capacity is None else capacity
        self._seen = (usage(used, of), self._ties.now())
        self.stir()

    def look(self, now: float) -> Found:
        """Judge the pressure, look ahead, and decide whether to step."""
        rules, life = self.rules, self._take_up()
        seen = self._added
        if seen is None or now >= seen[1] + life:
            self._forecast = None
            return Found(None, None, rules.steps.above, "nothing fresh is known")
        self._forecast = found = self._outlook.at(now)
        self._stepper.look(found.highest, now)
        health = 1 - clamp((found.pressure - rules.scaling) / (rules.full - rules.scaling))
        until, action = seen[1] + life, self._stepper.action
        return Found(health, found.pressure, rules.steps.above, str(found), until, action)

    def level(self, found: Found) -> SignalLevel:
        """At least LOW while a step up stands."""
        level = super().level(found)
        return SignalLevel.LOW if level is SignalLevel.CLEAR and self.steps else level

    def turn(self) -> int:
        """How often it has stepped."""
        return self._stepper.turns

    def poll(self, view: View, /) -> None:
        """Tell of a step, and have it done."""
        super().poll(view)
        self._stepped |= self._stepper.poll(view.now, self.reading)

    def due(self) -> float:
        """When something is to be read, or something takes too long."""
        return min(super().due(), self._stepper.due())

    def notices(self) -> tuple[str, ...]:
        """What could not be read, and steps that failed."""
        return super().notices() + self._stepper.notices()

    def readers(self) -> tuple[Reader, ...]:
        """The one, if there is one."""
        return () if self._reader is None else (self._reader,)

    def close(self) -> None:
        """Read no more, and give up what runs."""
        super().close()
        self._stepper.close()

    def retire(self) -> None:
        """Never read or step again."""
        super().retire()
        self._stepper.retire()

    def after_fork(self) -> None:
        """Nothing runs in the child."""
        super().after_fork()
        self._stepper.after_fork()

    def _take_up(self) -> float:
        """Add the newest reading to the trend; return for how long such a reading counts."""
        reader = self._reader
        if self._stepped:
            self._stepped = False
            self._outlook.clear()  # what was before a step says nothing of what comes
        if reader is not None and reader.at is not None:
            self._seen = (reader.value, reader.at)
        if self._seen is not None and self._seen != self._added:
            self._outlook.add(*self._seen)
            self._added = self._seen
        return self._life if reader is None else reader.life

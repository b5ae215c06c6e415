"""Signals of what fills up, and of what passes a limit."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from resilient.clock import Duration, seconds
from resilient.core.ports import Criticality
from resilient.errors import ConfigError
from resilient.policies.match import named, positive, whole
from resilient.system.decision.evidence import MARKS
from resilient.system.signals.condition import Condition, Form, spell
from resilient.system.signals.desk import part_of
from resilient.system.signals.outlook import usage
from resilient.system.signals.rating import Rating
from resilient.system.signals.saturation import SaturationRules, SaturationSignal
from resilient.system.signals.stepper import Act, Stepper
from resilient.system.signals.stepping import StepRules
from resilient.system.signals.threshold import ThresholdSignal
from resilient.system.signals.words import parse

__all__ = ["Signalling"]

CROSSED = 0.3
"""Health while a threshold is crossed: below 0.4, so that the component counts as failed."""


class Signalling(Rating):
    """The part of the mode that has signals. See also `Rating`."""

    def saturation(  # noqa: PLR0913  (all but the first two are keywords)
        self,
        name: str,
        read: Callable[[], Any] | None = None,
        /,
        *,
        capacity: float = 1.0,
        scaling: float = 0.8,
        full: float = 1.0,
        horizon: Duration = 300.0,
        act_above: float = 0.8,
        back_below: float = 0.3,
        act: Callable[..., Any] | None = None,
        back: Callable[..., Any] | None = None,
        pause: Duration = 60.0,
        most: int = 1,
        every: Duration | None = None,
        timeout: Duration = 1.0,
        act_timeout: Duration = 60.0,
        weight: float | None = None,
        criticality: Criticality | str | None = None,
    ) -> SaturationSignal:
        """Watch how full something is, and step aside before it is full.

        The pressure is ``used / capacity``. Health is 1 up to `scaling` and falls to 0 at `full`.
        A straight line through the last `horizon` seconds says what the pressure will be at the
        horizon. When that, or the pressure itself, is above `act_above`, it steps up: a
        `SignalChanged` with the action ``act``, and `act` is called. When both are below
        `back_below`, it steps back.

        * `read`: returns what is used, or that and the capacity; sync or async, called in the
          background. Without one, use `set`.
        * `horizon`: seconds. It never looks further ahead than it can look back. Default 300.
        * `act_above`, `back_below`: pressures. Defaults 0.8 and 0.3 ("Success and Failure States").
        * `act`, `back`: called with the `SignalReading`, in the background, one run at a time, for
          at most `act_timeout` seconds (60). A step whose function fails is undone, shown among the
          reasons, and tried again after the pause.
        * `pause`: least seconds between two steps. Default 60. `most`: steps up at most. Default 1.
        * `every`: seconds between readings, by default the mode's interval; `timeout`: for one.
        * `weight`, `criticality`: of the component, as in `component`.

        Raises `ConfigError`.

        Example::

            mode.saturation("pool", lambda: pool.checkedout(), capacity=20, act=pool.grow)
        """
        bounds = (part_of("scaling", scaling, most=10), positive("full", full, most=10))
        if bounds[1] <= bounds[0]:
            raise ConfigError("full", full, f"more than scaling={scaling:g}")
        above, below = positive("act_above", act_above), part_of("back_below", back_below, most=10)
        if below >= above:
            raise ConfigError("back_below", back_below, f"less than act_above={act_above:g}")
        steps = StepRules(above, below, seconds("pause", pause), whole("most", most))
        held, ahead = positive("capacity", capacity), seconds("horizon", horizon)
        source = self._source("read", read, every, timeout)
        acts = self._acts(name, {1: act, -1: back}, seconds("act_timeout", act_timeout))
        made = SaturationSignal(
            named(name),
            self._ties(),
            SaturationRules(held, *bounds, ahead, steps),
            life=self._settings.fresh_for,
            reader=self._reading_of(name, source, lambda value: usage(value, held)),
            stepper=lambda one: Stepper(name, steps, acts, one.tell),
        )
        return self._take_on(made, weight, criticality)

    def threshold(  # noqa: PLR0913  (all but the first two are keywords)
        self,
        name: str,
        when: str | None = None,
        /,
        *,
        above: float | None = None,
        below: float | None = None,
        per: Duration | str | None = None,
        lasting: Duration | None = None,
        silent: Duration | None = None,
        read: Callable[[], Any] | None = None,
        every: Duration | None = None,
        timeout: Duration = 1.0,
        health: float | None = None,
        severity: str | None = None,
        action: str = "",
        weight: float | None = None,
        criticality: Criticality | str | None = None,
    ) -> ThresholdSignal:
        """Watch a limit: while it is crossed the component is ill, and then well again.

        In words, or by keywords:

        * ``> 5 per hour`` or ``above=5, per="hour"``: so many `mark` in a time; ``< 3 per 10 min``
          needs a whole such time first;
        * ``> 90% for 60 s`` or ``above=0.9, lasting=60``: a figure, from `read` or `set`, for so
          long without a break; without ``for``, at once. A percentage is a share: 90% is 0.9;
        * ``silent for 30 s`` or ``silent=30``: no `mark` for so long; having been made counts as
          one.

        Signs are ``> >= < <=``, units ``s min h day`` and their long names.

        * `read`: returns the figure; sync or async, called in the background, `every` so many
          seconds (the mode's interval), for at most `timeout`. Silence of two intervals is BLIND.
        * `health`: while crossed. Default 0.3, so that the component counts as failed. Or
          `severity`, that of a mark: ``low`` 0.9, ``medium`` 0.7, ``high`` 0.4, ``critical`` 0.
        * `action`: what to do while it is crossed, in words.
        * `weight`, `criticality`: of the component, as in `component`.

        A component may have several thresholds with different conditions.
        Raises `ConfigError`.

        Example::

            restarts = mode.threshold("worker", "> 5 per hour")
            mode.threshold("pool", "> 90% for 60 s", read=pool.share_in_use)
        """
        words: dict[str, Any] = {
            "above": above,
            "below": below,
            "per": per,
            "lasting": lasting,
            "silent": silent,
        }
        condition = _condition(when, words)
        if read is not None and condition.form is not Form.FIGURE:
            raise ConfigError("read", read, f"None, because '{condition}' counts marks")
        made = ThresholdSignal(
            named(name),
            self._ties(),
            condition,
            health=_health(health, severity),
            action=action,
            life=self._settings.fresh_for,
            reader=self._reading_of(name, self._source("read", read, every, timeout)),
        )
        return self._take_on(made, weight, criticality)

    def _acts(self, name: str, given: dict[int, Any], limit: float) -> dict[int, Act]:
        for step, fn in given.items():
            if fn is not None and not callable(fn):
                setting = "act" if step > 0 else "back"
                raise ConfigError(setting, fn, "a function, sync or async, or None")
        return {
            step: partial(self._errand, name, fn, limit)
            for step, fn in given.items()
            if fn is not None
        }


def _condition(when: str | None, words: dict[str, Any]) -> Condition:
    given = {name: value for name, value in words.items() if value is not None}
    if when is None:
        return spell(**given)
    if given:
        raise ConfigError("when", when, f"given without {', '.join(given)}=, which say the same")
    return parse(when)


def _health(health: float | None, severity: str | None) -> float:
    if severity is None:
        given = CROSSED if health is None else part_of("health", health)
        if given >= 1:
            raise ConfigError("health", health, "below 1, which would say nothing")
        return given
    if health is not None or str(severity).lower() not in MARKS:
        raise ConfigError("severity", severity, "one of " + ", ".join(MARKS) + "; without health=")
    return MARKS[str(severity).lower()]

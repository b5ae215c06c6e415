"""A figure that the application declares to be evidence."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any, NamedTuple

from resilient.core.hub import hub
from resilient.system.decision.component import Evidence
from resilient.system.decision.evidence import clamp
from resilient.system.view import View, Witness

__all__ = ["Metric", "Score"]

Score = Callable[..., float]
"""A function to [0, 1]: of nothing, asked at every tick, or of the value that was set."""

GRACE = 2.0
"""Missed by how many times `expect_every` a metric counts as silent."""


class _Last(NamedTuple):
    value: float | None
    at: float
    trouble: str = ""


class Metric(Witness):
    """Made by `mode.metric`. Attributes: `name`, and `value`, the last one from 0 to 1, or `None`.

    Example::

        delivered = mode.metric("message_delivery", weight=0.3, expect_every=10)
        delivered.set(0.98)
    """

    kind = "metric"

    def __init__(  # noqa: PLR0913  (its settings, checked by `mode.metric`)
        self,
        name: str,
        score: Score | None,
        expect_every: float | None,
        *,
        every: float,
        now: Callable[[], float],
        touched: Callable[[Metric], None],
    ) -> None:
        self.name = name
        self._score = score
        self._expect_every = expect_every
        self._every = every
        self._now = now
        self._touched = touched
        self._made = now()
        self._last: _Last | None = None
        self._asked = -math.inf
        self._maps = score is not None and _takes_a_value(name, score)
        self._judge = None if score is None else hub.dispatcher.listener(self._judged)

    @property
    def value(self) -> float | None:
        """The last value, 0 (dead) to 1 (well); `None` before the first, or after a failed one."""
        return None if self._last is None else self._last.value

    def set(self, value: float) -> None:
        """Report a value.

        Without a `score` function it is the health itself and is clamped to 0..1; with one that
        takes a value it is what that function is given, on a thread of the library's own. Not a
        number at all (NaN) counts as no evidence.
        Raises `TypeError` if the metric asks its own function, or `value` is no number.

        Example::

            mode.metric("lag", score=lambda seconds: 1 - seconds / 30).set(12.0)
        """
        if self._judge is not None:
            if not self._maps:
                message = f"metric {self.name!r} asks its score function; nothing can be set"
                raise TypeError(message)
            self._judge.offer((value, self._now()))
        else:
            self._keep(_number(self.name, value), self._now())

    def poll(self, view: View, /) -> None:
        """Have a score function of nothing asked, off this thread, unless that is under way."""
        judge, now = self._judge, view.now
        if judge is not None and not self._maps and now >= self._asked + self._every and judge.idle:
            self._asked = now
            judge.offer((None, now))

    def fresh_for(self, default: float) -> float:
        """Seconds for which a value counts."""
        return default if self._expect_every is None else GRACE * self._expect_every

    def evidence(self, fresh_for: float, /) -> tuple[Evidence, ...]:
        """The last value as evidence; `fresh_for` is its life in seconds if none was promised."""
        last = self._last
        if last is None or last.value is None:
            return ()
        detail = f"reported {last.value:.3g}"
        return (Evidence("metric", last.value, last.at + self.fresh_for(fresh_for), detail),)

    def blind_from(self) -> float:
        """The instant from which its silence means BLIND; never if nothing was promised."""
        if self._expect_every is None:
            return math.inf
        last = self._last
        heard = self._made if last is None or last.value is None else last.at
        return heard + self.fresh_for(0.0)

    def notices(self) -> tuple[str, ...]:
        """What went wrong with the last value, if anything."""
        return (self._last.trouble,) if self._last and self._last.trouble else ()

    def _judged(self, item: tuple[Any, float]) -> None:
        """Ask the score function; runs on the dispatcher."""
        value, at = item
        score = self._score
        assert score is not None  # noqa: S101  (only a metric with a function has a judge)
        try:
            found = float(score(value) if self._maps else score())
        except Exception as error:  # noqa: BLE001  (whatever it raises, the evidence is dropped)
            self._last = _Last(None, at, f"DROPPED: metric {self.name} raised {error!r}")
        else:
            self._keep(found, at)
        self._touched(self)

    def _keep(self, value: float, at: float) -> None:
        if math.isnan(value):
            self._last = _Last(None, at, f"DROPPED: metric {self.name} is not a number")
        else:
            self._last = _Last(clamp(value), at)
        self._touched(self)


def _number(name: str, value: Any) -> float:
    """`value`, of whatever type of numbers. Raises `TypeError`."""
    try:
        return float(value)
    except OverflowError:  # a whole number of more than 308 digits
        return math.inf if value > 0 else -math.inf
    except (TypeError, ValueError):
        message = f"metric {name!r} takes a number, not {value!r:.80}"
        raise TypeError(message) from None


def _takes_a_value(name: str, score: object) -> bool:
    """Whether `score` is a function of the value set, and not of nothing."""
    if not callable(score) or inspect.iscoroutinefunction(score):
        message = f"score of metric {name!r} must be a plain function, not {score!r}"
        raise TypeError(message)
    signature = inspect.signature(score)
    for arguments, takes in (((), False), ((0.0,), True)):
        try:
            signature.bind(*arguments)
        except TypeError:
            continue
        return takes
    message = f"score of metric {name!r} must take nothing, or the value that was set"
    raise TypeError(message)

"""What the mode adds to an answer of the application."""

from __future__ import annotations

from typing import Any

from resilient.core.outcome import Outcome
from resilient.system.decision.reasons import reasons_of
from resilient.system.degradation.freezing import Freezing
from resilient.system.degradation.reactions import Reacting
from resilient.system.degradation.response import ResponseContext, quality_of, words_of
from resilient.system.states import Mode

__all__ = ["Responding"]


class Responding(Freezing, Reacting):
    """The part of the mode that speaks to those who get an answer."""

    _said: tuple[object, tuple[str, ...]] = (None, ())

    def context(self, outcome: Outcome[Any] | None = None) -> ResponseContext:
        """What to tell with an answer: mode, score, quality, reasons, source, freshness, time.

        Cheap enough for every response: what the mode says is as of its last evaluation.

        Parameters: `outcome`, that of the call which gave the answer (`resilient.outcome`).

        Example::

            found = resilient.outcome(price, "zone-7")
            return Response(found.unwrap(), headers=mode.context(found).headers())
        """
        current, frozen = self._mode_now(), self.frozen
        reasons = () if outcome is None else (*outcome.reasons, *_last(outcome))
        got = None if outcome is None else outcome.at
        return ResponseContext(
            mode=current,
            score=self._engine.steady.smoothed * 100,
            quality=quality_of(current, outcome, frozen=frozen is not None),
            reasons=(*map(words_of, reasons), *self._why(current)),
            source=None if outcome is None else outcome.source,
            freshness=None if outcome is None else outcome.freshness,
            at=self._clock.time() if got is None else got,
        )

    def _why(self, current: Mode) -> tuple[str, ...]:
        """Why the mode is no better, as of the last evaluation; what is frozen, in any mode."""
        if current is Mode.NORMAL:
            frozen = self.frozen
            return () if frozen is None else (str(frozen),)
        stamp = (self._fresh_from, self._dirt)
        if self._said[0] != stamp:
            found = self._under_lock(lambda: tuple(reasons_of(self._engine)))
            self._said = (stamp, found or self._said[1])
        return self._said[1]


def _last(outcome: Outcome[Any]) -> tuple[Exception, ...]:
    return () if outcome.error is None else (outcome.error,)

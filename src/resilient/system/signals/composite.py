"""A composite of several figures as a signal."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from resilient.system.decision.evidence import clamp
from resilient.system.signals.reader import Reader, figure
from resilient.system.signals.signal import Found, Signal, Ties
from resilient.system.signals.weighing import SignalPart, Weighed, weigh

__all__ = ["CompositeSignal"]


class CompositeSignal(Signal):
    """Made by `mode.composite`. It is congested while its score is above the limit.

    Example::

        congestion.set(pending=900, fee=80)
    """

    kind = "composite"

    def __init__(  # noqa: PLR0913  (its settings, checked by `mode.composite`)
        self,
        name: str,
        ties: Ties,
        parts: Mapping[str, SignalPart],
        *,
        bounds: tuple[float, float],
        strategy: str,
        life: float,
        hold: float,
        readers: Callable[[Signal], Mapping[str, Reader]],
    ) -> None:
        self.parts = parts
        self.strategy = strategy
        self._limit, self._full = bounds
        self._life = life
        # All keys are there from the start, so one thread may set while another one looks.
        self._given = dict.fromkeys(parts, (0.0, -math.inf))
        self._read = readers(self)
        self._found = Weighed(None, tuple(parts), None)
        super().__init__(name, ties, hold)

    @property
    def congested(self) -> bool:
        """Whether the score was above the limit at the last evaluation.

        Example::

            batch = congestion.congested
        """
        score = self._found.score
        return score is not None and score > self._limit

    @property
    def clears_in(self) -> float | None:
        """Seconds until its backlogs are empty, by the `drain` of the parts; `None` if unknown.

        Example::

            congestion.clears_in
        """
        return self._found.clears_in

    def set(self, /, **values: float) -> None:
        """Report the values of parts that are not read. Each counts for 90 s.

        Raises `TypeError` for what is no such part, `ValueError` for what is no finite number.

        Example::

            congestion.set(fee=80)
        """
        for name in values:
            if name not in self.parts or self.parts[name].read is not None:
                message = f"composite {self.name!r} has no part {name!r} to set"
                raise TypeError(message)
        now = self._ties.now()
        self._given.update({name: (figure(one), now) for name, one in values.items()})
        self.stir()

    def look(self, now: float) -> Found:
        """Weigh what is fresh."""
        fresh = {name: one for name, (one, at) in self._given.items() if now < at + self._life}
        for name, reader in self._read.items():
            if reader.at is not None and now < reader.at + reader.life:
                fresh[name] = reader.value
        self._found = found = weigh(self.parts, fresh)
        if found.score is None:
            return Found(None, None, self._limit, "no part is known")
        health = 1 - clamp((found.score - self._limit) / (self._full - self._limit))
        action = self.strategy if self.congested else ""
        return Found(health, found.score, self._limit, self._detail(found), action=action)

    def readers(self) -> tuple[Reader, ...]:
        """One for each part that is read."""
        return tuple(self._read.values())

    def _detail(self, found: Weighed) -> str:
        known = (f"{name}" for name in self.parts if name not in found.missing)
        text = f"{found.score:.3g}, limit {self._limit:g}, from {', '.join(known)}"
        if found.missing:
            text += f" (without {', '.join(found.missing)})"
        if self.congested and found.clears_in is not None:
            text += f"; empty in {found.clears_in:.0f} s"
        return text

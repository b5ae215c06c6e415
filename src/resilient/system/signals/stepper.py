"""Takes the steps that are decided: each runs in the background, and one that fails is undone."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping

from resilient.system.errand import Errand, Report
from resilient.system.signals.reading import SignalReading
from resilient.system.signals.stepping import StepRules, Steps

__all__ = ["Act", "Stepper"]

Act = Callable[[Callable[[Report], None]], Errand]
"""Makes the errand of a step, given whom to tell how it ended."""

WORDS = {1: "act", -1: "step back"}


class Stepper:
    """Steps up (1) and back (-1), with the functions that do them, if there are any.

    Example::

        stepper = Stepper("pool", StepRules(), {}, told=print)
        stepper.look(0.85, now=0.0)
        stepper.action  # "act"
    """

    def __init__(
        self, name: str, rules: StepRules, acts: Mapping[int, Act], told: Callable[[], None]
    ) -> None:
        self.turns = 0
        self._name = name
        self._told = told
        self._steps = Steps(rules)
        self._shown = 0
        self._troubles: dict[int, str] = {}
        self._due: deque[int] = deque()
        self._ended: deque[tuple[int, str]] = deque()
        self._errands = {step: act(self._ender(step)) for step, act in acts.items()}

    @property
    def taken(self) -> int:
        """How many steps up are taken."""
        return self._steps.taken

    @property
    def action(self) -> str:
        """The step that was just taken, or that stands."""
        return WORDS.get(self._shown or int(self.taken > 0), "")

    def look(self, highest: float, now: float) -> None:
        """Take note of steps that ended, and decide."""
        while self._ended:
            self._note(*self._ended.popleft())
        step = self._steps.decide(highest, now)
        if step:
            self._shown = step
            self._due.append(step)
            self.turns += 1

    def poll(self, now: float, reading: SignalReading) -> bool:
        """Have the step done that was decided; whether there was one."""
        for errand in self._errands.values():
            errand.expire(now)
        stepped = bool(self._due)
        while self._due:
            step = self._due.popleft()
            self._shown = 0
            errand_of = self._errands.get(step)
            if errand_of is not None and not errand_of.start(reading):
                self._ended.append((step, "has not ended yet"))
        return stepped

    def due(self) -> float:
        """When a step will have taken too long."""
        ends = [errand.expires for errand in self._errands.values()]
        return min((end for end in ends if end is not None), default=math.inf)

    def notices(self) -> tuple[str, ...]:
        """Steps that failed."""
        return tuple(self._troubles.values())

    def close(self) -> None:
        """Give up what runs."""
        for errand in self._errands.values():
            errand.cancel()

    def retire(self) -> None:
        """Never do anything again."""
        for errand in self._errands.values():
            errand.retire()

    def after_fork(self) -> None:
        """Nothing runs in the child."""
        for errand in self._errands.values():
            errand.after_fork()

    def _ender(self, step: int) -> Callable[[Report], None]:
        def ended(report: Report) -> None:
            error = report.error
            self._ended.append((step, "" if error is None else f"raised {error!r:.200}"))
            self._told()

        return ended

    def _note(self, step: int, trouble: str) -> None:
        """A step that failed was none; it is tried again after the pause."""
        kept = {one: text for one, text in self._troubles.items() if one != step}
        if trouble:
            self._steps.undo(step)
            self.turns += 1
            kept[step] = f"FAILED: to {WORDS[step]} for {self._name} {trouble}"
        self._troubles = kept

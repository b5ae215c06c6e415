"""What may start a runbook, and a condition of the application's own, asked in the background."""

from __future__ import annotations

from collections.abc import Callable

from resilient.core.inspection import is_async_callable, label
from resilient.errors import ConfigError
from resilient.system.runbooks.context import RunContext
from resilient.system.runbooks.crew import Crew, Finding, Hire
from resilient.system.runbooks.plan import Do, Stage
from resilient.system.runbooks.step import Step, wants_context
from resilient.system.runbooks.trigger import (
    Cascading,
    Entering,
    Failing,
    Never,
    Returning,
    Trigger,
)
from resilient.system.states import Mode
from resilient.system.view import View

__all__ = ["Condition", "Start", "started_by"]

Start = Mode | str | Failing | Callable[[], object]
"""A mode or its name, ``"cascade"``, ``failure_of(...)``, or a function of no argument."""

_ALLOWED = "a Mode or its name, 'cascade', failure_of(...), or a function of no argument"


class Condition:
    """Asks every so many seconds whether something holds, and remembers the last answer.

    An answer that cannot be had, or does not come in that time, changes nothing.
    """

    once = True

    def __init__(
        self, fn: Callable[[], object], every: float, hire: Hire, told: Callable[[object], None]
    ) -> None:
        self.name = label(fn)
        self.every = every
        self.trouble: str | None = None
        self._holds = False
        self._next = 0.0
        self._told = told
        asked = Step(self.name, None, every, when=fn)
        self._crew = Crew([asked], hire)
        self._crew.report = self._answered
        self._errand = self._crew.errand(Do(Stage.WHEN, 0, asked))

    def poll(self, now: float) -> None:
        """Ask, if it is time."""
        self._errand.expire(now)
        if now >= self._next:
            self._next = now + self.every
            self._errand.start(RunContext("", 0, "", ""))

    def due(self) -> float:
        """When to ask, or to give up the present question."""
        expires = self._errand.expires
        return self._next if expires is None else min(self._next, expires)

    def happens(self, view: View, before: Mode, /) -> str | None:
        """The last answer was true."""
        del view, before
        return f"condition {self.name}" if self._holds else None

    def passed(self, view: View, began: View, /) -> bool:
        """The last answer was false."""
        del view, began
        return not self._holds

    def close(self) -> None:
        """Give up the present question."""
        self._errand.cancel()

    def retire(self) -> None:
        """It is asked no more."""
        self._crew.disband()

    def after_fork(self) -> None:
        """Nobody is asked in the child yet."""
        self._crew.after_fork()

    def _answered(self, finding: Finding) -> None:
        before = self._holds, self.trouble
        self.trouble = finding.error
        if finding.error is None:
            self._holds = finding.report.value is True
        if (self._holds, self.trouble) != before:
            self._told(self)


def started_by(
    on: Start | None, every: float, hire: Hire, told: Callable[[object], None]
) -> Trigger | Condition:
    """What `on` means. Raises `ConfigError`.

    Parameters: `every`, seconds between questions to a function; `hire`, the mode's way of making
    an errand; `told`, who is to hear that the answer is a new one.
    """
    if on is None:
        return Never()
    if isinstance(on, Failing):
        return on
    if on == "cascade":
        return Cascading()
    if isinstance(on, Mode) or (isinstance(on, str) and on.upper() in Mode.__members__):
        mode = Mode.of(on, "on")
        return Returning() if mode is Mode.NORMAL else Entering(mode)
    if callable(on) and _can_be_asked(on):
        return Condition(on, every, hire, told)
    raise ConfigError("on", on, _ALLOWED)


def _can_be_asked(fn: Callable[..., object]) -> bool:
    try:
        is_async_callable(fn)
    except TypeError:  # a class, a generator function: what they give is true, whatever happens
        return False
    return wants_context(fn) is False

"""What starts a runbook, and when that is over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from resilient.errors import ConfigError
from resilient.policies.match import named
from resilient.system.decision.score import FAILED, IMPAIRED
from resilient.system.states import Mode
from resilient.system.view import View

__all__ = ["Cascading", "Entering", "Failing", "Never", "Returning", "Trigger", "failure_of"]


class Trigger(Protocol):
    """Asked at every evaluation. `once` an incident, or whenever it happens."""

    @property
    def once(self) -> bool:
        """Whether it starts one run in an incident."""
        ...

    def happens(self, view: View, before: Mode, /) -> str | None:
        """What happened, in words, if it did; `before` is the mode at the last evaluation."""
        ...

    def passed(self, view: View, began: View, /) -> bool:
        """Whether what happened is over; `began` is what was seen when it did."""
        ...


@dataclass(frozen=True, slots=True)
class Never:
    """Only by hand."""

    once: bool = True

    def happens(self, view: View, before: Mode, /) -> str | None:
        """It does not."""
        del view, before
        return None

    def passed(self, view: View, began: View, /) -> bool:
        """It never was."""
        del view, began
        return False


@dataclass(frozen=True, slots=True)
class Entering:
    """The mode worsens to DEGRADED or EMERGENCY; over when it is better again."""

    mode: Mode
    once: bool = True

    def happens(self, view: View, before: Mode, /) -> str | None:
        """Not on the way back from a worse mode."""
        entered = view.mode is self.mode and before.rank < self.mode.rank
        return f"{before.name} -> {self.mode.name}" if entered else None

    def passed(self, view: View, began: View, /) -> bool:
        """A worse mode is no way out."""
        del began
        return view.mode.rank < self.mode.rank


@dataclass(frozen=True, slots=True)
class Returning:
    """The mode is NORMAL again; over when it is not any more."""

    once: bool = False

    def happens(self, view: View, before: Mode, /) -> str | None:
        """From any other mode."""
        entered = view.mode is Mode.NORMAL and before is not Mode.NORMAL
        return f"{before.name} -> NORMAL" if entered else None

    def passed(self, view: View, began: View, /) -> bool:
        """The next incident."""
        del began
        return view.mode is not Mode.NORMAL


@dataclass(frozen=True, slots=True)
class Cascading:
    """One failure brings others with it; over when all of them are well again."""

    once: bool = True

    def happens(self, view: View, before: Mode, /) -> str | None:
        """As long as there is one."""
        del before
        return None if view.cascade is None else f"cascade {view.cascade}"

    def passed(self, view: View, began: View, /) -> bool:
        """The first to recover does not end it: the others still need help."""
        chain = () if began.cascade is None else began.cascade.chain
        return view.cascade is None and not _any_ill(view, chain)


@dataclass(frozen=True, slots=True)
class Failing:
    """Any of some components is as good as dead; over when all of them are well again."""

    components: tuple[str, ...]
    once: bool = True

    def happens(self, view: View, before: Mode, /) -> str | None:
        """A health below 0.4."""
        del before
        dead = [name for name in self.components if _below(view, name, FAILED)]
        return f"failure of {', '.join(dead)}" if dead else None

    def passed(self, view: View, began: View, /) -> bool:
        """A health of 0.7 or more, or nothing known any more."""
        del began
        return not _any_ill(view, self.components)


def failure_of(*components: str) -> Failing:
    """What ``mode.runbook(book, on=...)`` takes to start a book when a component fails.

    It fails when its health falls below 0.4, and is well again from 0.7 on.
    Raises `ConfigError` without a name.

    Example::

        mode.runbook(book, on=failure_of("redis", "sessions"))
    """
    if not components:
        raise ConfigError("components", components, "at least one name")
    return Failing(tuple(named(name) for name in components))


def _any_ill(view: View, components: tuple[str, ...]) -> bool:
    return any(_below(view, name, IMPAIRED) for name in components)


def _below(view: View, component: str, bound: float) -> bool:
    health = view.health(component)
    return health is not None and health < bound

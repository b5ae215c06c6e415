"""A runbook: what is to be done when something went wrong, step by step, as a description."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from resilient.errors import ConfigError
from resilient.policies.match import named
from resilient.system.runbooks.step import Step

__all__ = ["Runbook", "in_order", "runbook"]


@dataclass(frozen=True, slots=True)
class Runbook:
    """Steps in order, under a name; made by `runbook`. It does nothing by itself."""

    name: str
    steps: tuple[Step, ...]


def runbook(name: str, *steps: Step) -> Runbook:
    """Put steps together. Nothing happens before `mode.runbook` attaches it or `mode.run` runs it.

    Raises `ConfigError` if there is no step, or two of one name.

    Example::

        book = runbook("drain", step("stop intake", intake.stop, undo=intake.start))
    """
    if not steps:
        raise ConfigError("steps", steps, "at least one step(...)")
    seen: set[str] = set()
    for one in steps:
        if not isinstance(one, Step):
            raise ConfigError("steps", one, "what step(...) returned")
        if one.name in seen:
            raise ConfigError("steps", one.name, "a name of its own for each step")
        seen.add(one.name)
    return Runbook(named(name), steps)


def in_order(steps: Sequence[Step], depends_on: Mapping[str, Sequence[str]]) -> tuple[Step, ...]:
    """Steps in a row that name components, by what these depend on; the others stay in place.

    Within a circle of dependencies, and where nothing is declared, the given order stands.
    """
    found: list[Step] = []
    row: list[Step] = []
    for one in steps:
        if one.component is None:
            found += [*_sorted(row, depends_on), one]
            row = []
        else:
            row.append(one)
    return (*found, *_sorted(row, depends_on))


def _sorted(row: list[Step], depends_on: Mapping[str, Sequence[str]]) -> list[Step]:
    order: dict[str, None] = {}
    visited: set[str] = set()
    names = dict.fromkeys(one.component for one in row if one.component is not None)
    stack = [(name, False) for name in reversed(names)]
    while stack:  # depth first, without recursion: a chain may be long
        name, left = stack.pop()
        if left:
            order[name] = None
        elif name not in visited:
            visited.add(name)
            stack.append((name, True))
            stack += [(cause, False) for cause in reversed(depends_on.get(name, ()))]
    return [one for name in order for one in row if one.component == name]

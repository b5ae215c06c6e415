"""What a step of a runbook may know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from resilient.system.states import Mode

__all__ = ["RunContext"]


@dataclass(frozen=True, slots=True)
class RunContext:
    """What a step may know, as of its beginning.

    Fields: `run`, the name of the run, and `number`, which counts the runs of this mode; `book`;
    `cause`, what started it, in words; `incident`, which counts the times NORMAL was left, 0 while
    the mode is NORMAL; `mode`; `reasons`; `trigger` and `chain` of the cascade, if there is one;
    `failed`, the components that are as good as dead; `results`, what earlier steps returned, by
    their names; `since`, the instant at which this step was begun, on the mode's line of time;
    `at`, the wall-clock time of that; `system`, the `SystemOperationMode` itself.

    Example::

        async def page(context: RunContext) -> None:
            await send(f"{context.book}: {context.cause}", *context.failed)
    """

    run: str
    number: int
    book: str
    cause: str
    incident: int = 0
    mode: Mode = Mode.NORMAL
    reasons: tuple[str, ...] = ()
    trigger: str | None = None
    chain: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    results: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    since: float = 0.0
    at: float = 0.0
    system: Any = None

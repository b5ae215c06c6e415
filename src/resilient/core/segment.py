"""What a straight line needs to know."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from resilient.clock import Clock
from resilient.core.effects import Call, Guarded, Step
from resilient.core.outcome import Outcome
from resilient.core.policy import Gauge, Slots

__all__ = ["FreeGauge", "Segment", "SwiftGate", "Target"]


class Target:
    """The function in the middle, held in a cell so that a test can put another in its place."""

    __slots__ = ("fn",)

    def __init__(self, fn: Callable[..., Any]) -> None:
        self.fn = fn

    def invoke(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call it."""
        return self.fn(*args, **kwargs)


class _FreeMeter:
    __slots__ = ("edge", "limit", "ok")

    def __init__(self) -> None:
        self.ok = 0
        self.edge = self.limit = math.inf


class FreeGauge:
    """The gauge where no gate is but somebody needs to know when a call began."""

    __slots__ = ("barred", "live")

    def __init__(self) -> None:
        self.live = _FreeMeter()
        self.barred = -math.inf

    def passed(self, meter: Any, started: float, ended: float, /) -> None:
        """Nothing counts here."""

    def refused(self, left: float, /) -> Exception:
        """Nothing is refused here."""
        return RuntimeError(left)

    def permit(self, meter: Any, started: float, /) -> None:
        """Nothing is held here."""


class SwiftGate(Protocol):
    """What the straight line asks of a swift gate; see `resilient.core.gate.Gate`."""

    def at_once(self, /, *args: Any, **kwargs: Any) -> Any:
        """A permit, or `None`."""
        ...

    def succeeded(self, permit: Any, /) -> None:
        """The call returned."""
        ...

    def settle(self, permit: Any, outcome: Outcome[Any] | None) -> None:
        """The call was abandoned."""
        ...


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """A run of policies with few gates, and the step to resume in when not all is well.

    `target` is what this segment calls, `guard` the record of the whole guarded function.
    `gauge` belongs to the metered gate at `place`; if it depends on the call, `find` finds it.
    `slots` belong to the gate at `slot_place`. A segment with a `swift` gate, at `place`, has no
    other. `final` says that nobody in this segment repeats or answers a rejection of the metered
    gate. `clock` measures the calls, `None` if nobody needs that.
    """

    target: Target
    guard: Guarded
    step: Step
    gauge: Gauge | None
    find: Callable[..., Gauge]
    place: int
    final: bool
    clock: Clock | None
    straight: bool
    slots: Slots | None = None
    slot_place: int = 0
    swift: SwiftGate | None = None

    def call(  # noqa: PLR0913  (what the straight line has in its hands)
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        mark: int,
        first: Outcome[Any] | None = None,
        held: dict[int, Any] | None = None,
        began: float | None = None,
    ) -> Call:
        """The record with which the flow takes over from the straight line."""
        record = Call(self.guard, args, kwargs, mark=mark, first=first, held=held)
        record.began = began
        return record

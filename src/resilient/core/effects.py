"""What a flow may ask of its driver.

A flow is a generator: it yields effects, is sent their results, and returns an `Outcome`. It makes
every decision and performs nothing; a driver performs everything and decides nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any, Protocol, final

from resilient.clock import Clock
from resilient.core.outcome import Outcome
from resilient.core.waiting import Waiting

__all__ = [
    "Call",
    "Effect",
    "Flow",
    "Guarded",
    "Invoke",
    "Race",
    "Reply",
    "Sleep",
    "Step",
    "Wait",
    "Within",
]


class Guarded(Protocol):
    """What a policy may know of the function it protects.

    `fn` is what is called in the middle, `original` what was decorated, `label` its name.
    """

    is_async: bool
    fn: Callable[..., Any]
    original: Callable[..., Any]

    @property
    def label(self) -> str:
        """The name of the function, for messages and events."""
        ...

    def names_inside(self, place: int) -> tuple[str, ...]:
        """Names of the policies inside the one at `place`."""
        ...


class Call:
    """One call on its way through a pipeline.

    `guard` is the guarded function's own record (see `resilient.core.weave.Guard`).
    `held` is what the straight line hands over, by position in the pipeline: a permit already
    held there. `first` is the outcome it already has. `mark` is the serial number of retries
    when the call began; `began` its start on the clock, if anybody measured it.
    `attempts` counts how often the function was called.
    """

    __slots__ = ("args", "attempts", "began", "first", "fn", "guard", "held", "kwargs", "mark")

    def __init__(  # noqa: PLR0913  (a record, filled in one place)
        self,
        guard: Guarded,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        mark: int = 0,
        first: Outcome[Any] | None = None,
        held: dict[int, Any] | None = None,
    ) -> None:
        self.guard = guard
        self.fn = guard.fn
        self.args = args
        self.kwargs = kwargs
        self.mark = mark
        self.first = first
        self.held = held
        self.began: float | None = None
        self.attempts = 0

    def again(self) -> Call:
        """One more call of the same function; nothing was handed over to it."""
        return Call(self.guard, self.args, self.kwargs, mark=self.mark)

    def take(self, place: int) -> Any:
        """The permit handed over for `place`, once; `None` if there is none."""
        return self.held.pop(place, None) if self.held else None


@final
class Invoke:
    """Call the function. Its result is an `Outcome`; anything but an `Exception` passes through."""

    __slots__ = ("call",)

    def __init__(self, call: Call) -> None:
        self.call = call


@final
class Reply:
    """Call `fn`, an alternative, sync or async. Its result is an `Outcome`, as for `Invoke`."""

    __slots__ = ("args", "fn", "kwargs")

    def __init__(
        self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self.fn = fn
        self.args = args
        self.kwargs = kwargs


@final
class Sleep:
    """Wait `seconds` on `clock`; only where waiting blocks nobody else."""

    __slots__ = ("clock", "seconds")

    def __init__(self, seconds: float, clock: Clock) -> None:
        self.seconds = seconds
        self.clock = clock


@final
class Within:
    """Run `step` for at most `seconds`. Its result is an `Outcome`.

    If the time is over first, the error is the `CallTimeoutError` of the limit called `name`.
    """

    __slots__ = ("call", "name", "seconds", "step")

    def __init__(self, seconds: float, name: str, step: Step, call: Call) -> None:
        self.seconds = seconds
        self.name = name
        self.step = step
        self.call = call


@final
class Race:
    """Let `run` make attempts at `step`, several at once if it likes. Its result is an `Outcome`.

    `run` is given a function whose calls are attempts, each with an outcome of its own, and
    returns one of these. Only asyncio has tasks to run them in.
    """

    __slots__ = ("call", "run", "step")

    def __init__(
        self,
        run: Callable[[Callable[[], Awaitable[Outcome[Any]]]], Awaitable[Outcome[Any]]],
        step: Step,
        call: Call,
    ) -> None:
        self.run = run
        self.step = step
        self.call = call


@final
class Wait:
    """Wait in the queue of a gate until woken, or until the time is over."""

    __slots__ = ("waiting",)

    def __init__(self, waiting: Waiting) -> None:
        self.waiting = waiting


Effect = Invoke | Race | Reply | Sleep | Wait | Within
Flow = Generator[Effect, Any, Outcome[Any]]
Step = Callable[[Call], Flow]

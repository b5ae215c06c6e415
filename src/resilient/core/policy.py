"""What a policy is, to the parts that run policies."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property
from typing import Any, ParamSpec, Protocol, TypeVar

from resilient.clock import Clock, chosen
from resilient.core.effects import Call, Flow, Guarded, Step

__all__ = ["Gauge", "Line", "Meter", "Places", "Policy", "Protector", "Slots"]

P = ParamSpec("P")
R = TypeVar("R")
Line = Callable[..., Any]


class Meter(Protocol):
    """A counter that the straight line may increment without a lock.

    Only while the call ends before `edge` and took at most `limit` seconds. Both are plain
    attributes, so reading, comparing and adding happen without a call in between.
    """

    ok: int
    edge: float
    limit: float


class Gauge(Protocol):
    """A gate whose admission is free while `live` is not `None`.

    `barred` is the instant until which it refuses every call.
    """

    barred: float

    @property
    def live(self) -> Meter | None:
        """The counter, while the straight line may use it."""
        ...

    def passed(self, meter: Any, started: float, ended: float, /) -> None:
        """Record a success that the straight line may not count by itself."""
        ...

    def refused(self, left: float, /) -> Exception:
        """Count a rejection that holds for `left` more seconds, and make its error."""
        ...

    def permit(self, meter: Any, started: float, /) -> object:
        """The permit that the straight line held, for the flow."""
        ...


class Places(Protocol):
    """Free places, one entry each. Both operations are atomic."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def pop(self) -> object:
        """Take one. Raises `IndexError` if there is none."""
        ...

    def append(self, place: None, /) -> None:
        """Give one back."""
        ...


class Slots(Protocol):
    """A gate whose free places the straight line takes and gives back by itself.

    After giving one back to where it was taken, the line asks whether somebody is `waiting`.
    """

    waiting: bool

    @property
    def free(self) -> Places:
        """Where the next place is taken; empty for the line while somebody waits."""
        ...

    def hand_over(self) -> None:
        """Give free places to those who wait."""
        ...


class Protector(ABC):
    """Anything that can guard a function: a policy, or several joined in a pipeline."""

    @abstractmethod
    def layers(self) -> tuple[Policy, ...]:
        """The policies it stands for, outermost first."""

    @abstractmethod
    def describe(self) -> str:
        """What it is, in words."""

    def __call__(self, fn: Callable[P, R], /) -> Callable[P, R]:
        """Guard `fn`: a function, a coroutine function, or a method of any kind.

        Returns a plain function with the signature of `fn`; the undecorated one is its
        ``__wrapped__``. An already guarded function is joined into one pipeline.
        Raises `TypeError` for what cannot be protected: generators, classes, non-callables.
        """
        from resilient.core.weave import guard  # noqa: PLC0415  (weave builds on this module)

        return guard(self.layers(), fn)

    def call(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call `fn` once under this protection; an awaitable if `fn` is async.

        Example::

            payments.call(charge, 42)
            await payments.call(charge_async, 42)
        """
        from resilient.core.weave import call  # noqa: PLC0415  (weave builds on this module)

        result: R = call(self.layers(), self._woven, fn, args, kwargs)
        return result

    @cached_property
    def _woven(self) -> Step:
        from resilient.core.weave import weave  # noqa: PLC0415  (weave builds on this module)

        return weave(self.layers())


class Policy(Protector):
    """Base of every policy: a decorator, and a layer of a pipeline.

    A subclass writes its decisions once, as a flow; drivers for threads and for asyncio run it.
    """

    name: str = ""
    """What errors and events call it."""
    straight = True
    """Whether plain success needs nothing from this policy beyond what follows."""
    repeats = False
    """Whether it may answer or ask again, so that a rejection further in is not the end."""
    wraps = False
    """Whether it gives a straight line of its own, around that of what is inside: see `wrap`."""
    observes = False
    """Whether it wants to see every good answer of what is inside; then `observe` does."""
    gate = False
    """Whether it admits calls and settles them."""
    metered = False
    """Whether it is a gate with a `gauge`, whose meter the straight line may increment."""
    swift = False
    """Whether it is a gate with `at_once` and `succeeded`, which the straight line asks."""
    timed = False
    """Whether it must know when a call began, even one that succeeds at once."""
    marks = False
    """Whether it must know which errors were given up on before the call began."""
    clock: Clock = chosen(None)
    """What it measures with."""

    @abstractmethod
    def flow(self, call: Call, inner: Step, place: int) -> Flow:
        """The policy's decisions around `inner`; `place` is its position in the pipeline."""

    def wrap(self, line: Line, guard: Guarded) -> Line:
        """For a policy that `wraps`: its straight line, around `line`, which is what is inside."""
        del guard
        return line

    def observe(self, line: Line, guard: Guarded) -> Line:
        """`line`, with a look at what it returns."""
        del guard
        return line

    def gauge(self) -> Gauge | None:
        """A gate's gauge; `None` if it depends on the call's arguments."""
        return None

    def slots(self) -> Slots | None:
        """Its slots, if it is a gate that has nothing but a number of them."""
        return None

    def find(self, /, *args: Any, **kwargs: Any) -> Gauge:
        """The gauge for a call with these arguments."""
        raise LookupError(args, kwargs)

    def check(self, fn: Line, is_async: bool) -> None:  # noqa: FBT001
        """Raise `TypeError` if this policy cannot protect `fn`."""

    def layers(self) -> tuple[Policy, ...]:
        """Itself."""
        return (self,)

    def __repr__(self) -> str:
        """What it is, in words."""
        return f"<{self.describe()}>"

    def describe(self) -> str:
        """What it is, in words."""
        return f"{type(self).__name__}({self.name!r})" if self.name else type(self).__name__

"""From a list of policies to one guarded function.

The policies' flows are woven into one step, outermost first. Beside it, the straight line is
compiled: what a call costs when nothing goes wrong. A straight line covers a *segment*, which has
at most one gate, or a metered one and one with slots; another gate, or a policy that `wraps`,
starts another segment inside it. To an outer segment, the inner one is a function that returns or
raises.
"""

from __future__ import annotations

import functools
import types
import weakref
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar, cast

import msgspec

from resilient.clock import system_clock
from resilient.core import lines, threads
from resilient.core.effects import Call, Flow, Invoke, Step
from resilient.core.hub import hub
from resilient.core.inspection import is_async_callable, label, refuse_coroutine
from resilient.core.outcome import Outcome
from resilient.core.policy import Line, Policy
from resilient.core.segment import FreeGauge, Segment, SwiftGate, Target
from resilient.core.serial import serial

__all__ = ["Guard", "call", "guard", "guard_of", "weave"]

P = ParamSpec("P")
R = TypeVar("R")

_MARKER = "__resilient_guard__"
_NOWHERE = -1
"""The place of a segment's gate if it has none: a policy there would be taken for one with a permit
to settle, which it must do even while the library is switched off."""


class Guard(Target):
    """What a guarded function knows of itself: its policies, its function, its flow.

    `fn` is what is called in the middle; `original` is what was decorated.
    """

    __slots__ = (
        "__weakref__",
        "is_async",
        "original",
        "policies",
        "step",
        "wrapper",
    )

    def __init__(self, policies: tuple[Policy, ...], fn: Callable[..., Any]) -> None:
        super().__init__(fn)
        self.original = fn
        self.policies = policies
        self.is_async = is_async_callable(fn)
        self.wrapper: weakref.ref[Any] | None = None
        for policy in self.policies:
            policy.check(fn, self.is_async)
        self.step: Step = _invoke

    @property
    def label(self) -> str:
        """The name of the function, for messages and events."""
        return label(self.original)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of its policies."""
        return self.names_inside(-1)

    def inject(self) -> None:
        """Call the original with the faults that a test has set for its policies, if there are."""
        fn = self.original
        for name in dict.fromkeys(self.names) if hub.faults else ():
            if name in hub.faults:
                fn = hub.faults[name](fn)
        self.fn = fn

    def names_inside(self, place: int) -> tuple[str, ...]:
        """Names of the policies inside the one at `place`."""
        return tuple(policy.name for policy in self.policies[place + 1 :] if policy.name)


def _invoke(call: Call) -> Flow:
    """The innermost step."""
    call.attempts += 1
    outcome: Outcome[Any] = yield Invoke(call)
    return outcome


def _replayable(step: Step) -> Step:
    """`step`, except that an outcome handed over by the straight line is taken first, once."""

    def replay(call: Call) -> Flow:
        return step(call) if call.first is None else _handed_over(call)

    return replay


def _handed_over(call: Call) -> Flow:
    """The outcome that the straight line has already."""
    first, call.first = call.first, None
    call.attempts += 1
    assert first is not None  # noqa: S101  (the caller looked)
    yield from ()  # what makes it a flow
    return first


def _layer(policy: Policy, inner: Step, place: int) -> Step:
    """`policy` around `inner`; nothing at all while the library is switched off."""

    def layer(call: Call) -> Flow:
        if hub.active or (call.held and place in call.held):
            return policy.flow(call, inner, place)
        return inner(call)

    return layer


def weave(policies: Sequence[Policy], inner: Step = _invoke, start: int = 0) -> Step:
    """Join the flows of `policies`, outermost first, into one step around `inner`."""
    step = _replayable(inner)
    for place in reversed(range(len(policies))):
        step = _layer(policies[place], step, start + place)
    return step


def guard(policies: tuple[Policy, ...], fn: Callable[P, R]) -> Callable[P, R]:
    """Guard `fn` with `policies`, outermost first. See `Policy.__call__`."""
    if isinstance(fn, staticmethod | classmethod):
        return cast("Callable[P, R]", type(fn)(guard(policies, fn.__func__)))
    existing = guard_of(fn)
    if existing is not None:
        policies, fn = (*policies, *existing.policies), _rebind(existing.original, fn)
    made = Guard(policies, fn)
    line, made.step = _compile(made, made.policies)
    wrapper = functools.wraps(fn)(line)
    setattr(wrapper, _MARKER, made)
    made.wrapper = weakref.ref(wrapper)
    made.inject()
    hub.register_guard(made)
    return cast("Callable[P, R]", wrapper)


def guard_of(fn: object) -> Guard | None:
    """The guard of a guarded function or bound method, else `None`.

    ``functools.wraps`` copies our marker to a foreign decorator around it, so the marker counts
    only on the very function it names.
    """
    fn = getattr(fn, "__func__", fn)
    found = getattr(fn, _MARKER, None)
    if isinstance(found, Guard) and found.wrapper is not None and found.wrapper() is fn:
        return found
    return None


def _rebind(original: Callable[..., Any], fn: object) -> Callable[..., Any]:
    """`original`, bound to the same object as the method `fn` if it is one."""
    owner = getattr(fn, "__self__", None)
    return original if owner is None else types.MethodType(original, owner)


def call(
    policies: tuple[Policy, ...],
    step: Step,
    fn: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """Run `fn` once under `policies`, woven into `step`; an awaitable if it is async."""
    made = Guard(policies, fn)
    made.inject()
    made.step = step
    return outcome_of(made, args, kwargs, unwrapped=True)


def outcome_of(
    made: Guard, args: tuple[Any, ...], kwargs: dict[str, Any], *, unwrapped: bool = False
) -> Any:
    """Run a guard's whole flow: an outcome or, `unwrapped`, what the caller would have got."""
    record = Call(made, args, kwargs, mark=serial.value)
    if not made.is_async:
        if unwrapped:
            return threads.run(made.step, record)
        return _finished(threads.drive(made.step, record), record)
    from resilient.core import aio  # noqa: PLC0415  (threads-only programs never load asyncio)

    if unwrapped:
        return aio.run(made.step, record)

    async def finish() -> Outcome[Any]:
        return _finished(await aio.drive(made.step, record), record)

    return finish()


def _finished(outcome: Outcome[Any], record: Call) -> Outcome[Any]:
    """`outcome` with what only the record of the call knows."""
    at = system_clock.time() if outcome.at is None else outcome.at
    return msgspec.structs.replace(outcome, attempts=record.attempts, at=at)


def _compile(made: Guard, policies: Sequence[Policy], start: int = 0) -> tuple[Line, Step]:
    """Compile the straight line of `policies`, which begin at place `start`, and its step."""
    end = _segment_end(policies)
    here, rest = policies[:end], policies[end:]
    if not rest:
        step = weave(here, start=start)
        return _line(made, here, start, step, made), step
    if not here:
        return _wrapped(made, rest, start)
    line, inner = _compile(made, rest, start + end)
    step = weave(here, inner, start)
    return _line(made, here, start, step, Target(line)), step


def _wrapped(made: Guard, policies: Sequence[Policy], start: int) -> tuple[Line, Step]:
    """Compile a policy with a straight line of its own, and what is inside it."""
    outer, rest = policies[0], policies[1:]
    line, inner = _compile(made, rest, start + 1) if rest else (_innermost(made), _invoke)
    return outer.wrap(line, made), weave([outer], inner, start)


def _innermost(made: Guard) -> Line:
    """What a policy that `wraps` nothing else calls."""
    if made.is_async:
        return made.invoke

    def invoke(*args: Any, **kwargs: Any) -> Any:
        result = made.fn(*args, **kwargs)
        refuse_coroutine(made.original, result)
        return result

    return invoke


def _segment_end(policies: Sequence[Policy]) -> int:
    """Where the first segment ends: before one that `wraps`, or a gate that does not fit in."""
    gates: list[Policy] = []
    for index, policy in enumerate(policies):
        if policy.wraps or (policy.gate and not _fits(policy, gates, policies[:index])):
            return index
        if policy.gate:
            gates.append(policy)
    return len(policies)


def _fits(gate: Policy, gates: Sequence[Policy], outer: Sequence[Policy]) -> bool:
    """Whether the segment that has `gates` and `outer` policies so far may have `gate` too."""
    if not gates:
        return gate.metered or not any(policy.timed for policy in outer)
    kinds = {(each.metered, each.slots() is not None) for each in (*gates, gate)}
    return len(gates) == 1 and kinds == {(True, False), (False, True)}


def _line(made: Guard, policies: Sequence[Policy], start: int, step: Step, target: Target) -> Line:
    """The straight line of one segment."""
    places = {place: policy for place, policy in enumerate(policies) if policy.gate}
    meter = next((place for place, gate in places.items() if gate.metered), None)
    slot = next(
        (place for place, gate in places.items() if meter is not None and gate.slots()), None
    )
    lone = next((place for place, gate in places.items() if meter is None), None)
    held = lone if meter is None else meter
    clocks = [
        policy.clock
        for policy in policies
        if policy.metered or policy.timed or (policy.marks and meter is not None)
    ]
    for policy in policies:
        if policy.observes:
            target = Target(policy.observe(target.invoke, made))
    segment = Segment(
        target=target,
        guard=made,
        step=step,
        gauge=FreeGauge() if meter is None else policies[meter].gauge(),
        find=policies[meter or 0].find,
        place=_NOWHERE if held is None else start + held,
        final=meter is not None and not any(outer.repeats for outer in policies[:meter]),
        clock=clocks[0] if clocks else None,
        straight=all(policy.straight for policy in policies)
        and len(set(map(id, clocks))) <= 1
        and (lone is None or policies[lone].swift),
        slots=None if slot is None else policies[slot].slots(),
        slot_place=start + (slot or 0),
        swift=None if lone is None else cast("SwiftGate", policies[lone]),
    )
    if not made.is_async:
        return lines.line(segment)
    from resilient.core import aio_lines  # noqa: PLC0415  (threads-only programs never load asyncio)

    return aio_lines.line(segment)

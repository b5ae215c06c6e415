"""A world of its own for a test, around an application that knows nothing of it."""

from __future__ import annotations

from collections.abc import Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

from resilient.clock import system_clock
from resilient.core.configured import configured
from resilient.core.hub import hub
from resilient.events import CircuitState, Event
from resilient.mode import SystemOperationMode
from resilient.testing.clock import ManualClock
from resilient.testing.faults import Faults

__all__ = ["Events", "Resilience", "isolated"]

T = TypeVar("T")
E = TypeVar("E", bound=Event)

_BY_HAND = (CircuitState.FORCED_OPEN, CircuitState.DISABLED, CircuitState.METRICS_ONLY)


class Events(list[Event]):
    """What was published, oldest first."""

    def of(self, kind: type[E]) -> list[E]:
        """Those of one type, and of the types derived from it.

        Example::

            assert len(resilience.events.of(resilient.CircuitOpened)) == 1
        """
        return [event for event in self if isinstance(event, kind)]


class Resilience:
    """What the fixture `resilience` gives.

    * `clock`: the `ManualClock` of every policy that was given no clock of its own;
    * `mode`: a fresh mode, the default one as long as the test runs;
    * `events`: what was published since the test began, see `Events`;
    * `faults`: what goes wrong, see `Faults`.

    Example::

        def test_opens(resilience):
            resilience.faults.at("payments").fail(ConnectionError, times=5)
            ...
            resilience.clock.advance(60)
    """

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.mode = SystemOperationMode(clock=self.clock)
        self.events = Events()
        self.faults = Faults()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run `coroutine` to its end on a loop whose time is `clock` and jumps when idle.

        Example::

            assert resilience.run(charge(42)) == "paid"
        """
        from resilient.testing.loop import run  # noqa: PLC0415  (most tests need no event loop)

        return run(coroutine, self.clock)


@contextmanager
def isolated() -> Iterator[Resilience]:
    """Isolate what is inside: what the fixture `resilience` does, for other test runners.

    Time follows a `ManualClock`, the default mode is a fresh one, breakers begin closed and empty
    (one that was set by hand stays as it was set), and all of that, every fault, the settings of
    `configure` and the emergency switch are put back at the end. One at a time: it is about the
    whole process.

    Example::

        with isolated() as resilience:
            resilience.faults.at("payments").fail(ConnectionError)
    """
    world = Resilience()
    with ExitStack() as undo:
        undo.callback(world.mode.close)
        undo.callback(hub.swap_mode, hub.swap_mode(world.mode))
        undo.enter_context(_fresh_policies(world.clock))
        undo.callback(hub.set_active, hub.active)
        undo.callback(configured.apply, configured.values)
        undo.callback(hub.bus.tap(Event, world.events.append))
        undo.callback(world.faults.undo)
        yield world


@contextmanager
def _fresh_policies(clock: ManualClock) -> Iterator[None]:
    """Begin with policies as if just made, on `clock`; end with what they knew before."""
    before = [(policy, policy.snapshot()) for policy in hub.policies() if _resets(policy)]
    system_clock.follow(clock)
    try:
        for policy, snapshot in before:
            _begin(policy, snapshot)
        yield
    finally:
        system_clock.reset()
        known = {id(policy) for policy, _ in before}
        for policy in hub.policies():
            if _resets(policy) and id(policy) not in known:
                policy.reset()  # made meanwhile: its window is on the wrong clock
        for policy, snapshot in before:
            policy.restore(snapshot)


def _begin(policy: Any, snapshot: Any) -> None:
    if getattr(policy, "state", None) in _BY_HAND:
        policy.restore(snapshot)
    else:
        policy.reset()


def _resets(policy: Any) -> bool:
    return all(hasattr(policy, method) for method in ("reset", "snapshot", "restore"))

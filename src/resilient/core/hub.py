"""The one place where parts that do not know each other meet.

It holds the bus and its dispatcher, a weak register of policies and guarded functions, the slot
for the default mode (filled by wiring), the emergency switch, and the faults that a test injects:
by policy name, a function that takes the protected function and returns a faulty one.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from typing import Any, Protocol, cast

from resilient.core.dispatch import Dispatcher, Listener
from resilient.core.serial import serial
from resilient.events import Bus, Event

__all__ = ["Hub", "Parting", "Registered", "hub", "publish", "subscribe"]


class Registered(Protocol):
    """What the hub asks of every policy it holds."""

    def after_fork(self) -> None:
        """Forget the parent's locks, permits and waiters."""
        ...

    def set_active(self, active: bool, /) -> None:  # noqa: FBT001  (a switch is a boolean)
        """Work, or let everything pass."""
        ...


class Parting(Protocol):
    """What the hub asks of whoever holds something back."""

    def part(self) -> None:
        """Say what is still to be said: the dispatcher is about to stop. Must not wait."""
        ...


class Hub:
    """See the module. There is one, `hub`."""

    def __init__(self) -> None:
        self.bus = Bus()
        self.dispatcher = Dispatcher()
        self.active = True
        self.make_mode: Callable[[], Any] | None = None
        self.faults: dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]] = {}
        self._mode: Any = None
        self.registrations = 0
        """Changes whenever a policy is added, or the default mode."""
        self._lock = threading.RLock()
        self._policies: weakref.WeakSet[Registered] = weakref.WeakSet()
        self._modeless: weakref.WeakSet[Any] = weakref.WeakSet()
        self._by_mode: weakref.WeakKeyDictionary[Any, weakref.WeakSet[Any]]
        self._by_mode = weakref.WeakKeyDictionary()
        self._guards: weakref.WeakSet[Any] = weakref.WeakSet()
        self._parting: weakref.WeakSet[Parting] = weakref.WeakSet()

    def register(self, policy: Registered) -> None:
        """Hold `policy` weakly, and bring it in line with the emergency switch."""
        with self._lock:
            self._policies.add(policy)
            self.registrations += 1
            self._reporters(getattr(policy, "mode", None)).add(policy)
            if not self.active:
                policy.set_active(False)

    def register_guard(self, guard: Any) -> None:
        """Hold a guarded function weakly."""
        with self._lock:
            self._guards.add(guard)

    def register_parting(self, parting: Parting) -> None:
        """Hold weakly somebody who is told when the library shuts down."""
        with self._lock:
            self._parting.add(parting)

    def part(self) -> None:
        """Tell everybody who holds something back that the library shuts down."""
        with self._lock:
            told = list(self._parting)
        for parting in told:
            parting.part()

    def policies(self) -> list[Any]:
        """Every registered policy that is still alive."""
        with self._lock:
            return list(self._policies)

    def reporting_to(self, mode: object) -> list[Any]:
        """The policies that name `mode`; those that name none report to the default one."""
        with self._lock:
            named = list(self._by_mode.get(mode, ()))
            return named + list(self._modeless) if self._mode is mode else named

    def _reporters(self, mode: object) -> weakref.WeakSet[Any]:
        if mode is None:
            return self._modeless
        try:
            return self._by_mode.setdefault(mode, weakref.WeakSet())
        except TypeError:  # a stand-in that cannot be a key will not ask either
            return weakref.WeakSet()

    def holds_mode(self, mode: object) -> bool:
        """Whether `mode` is the default one. Makes none."""
        return self._mode is mode

    def guards(self) -> list[Any]:
        """Every guarded function that is still alive."""
        with self._lock:
            return list(self._guards)

    @property
    def mode(self) -> Any:
        """The default mode, made on first need; `None` if nothing can make one."""
        if self._mode is None and self.make_mode is not None:
            with self._lock:
                if self._mode is None:
                    self._mode = self.make_mode()
        return self._mode

    @property
    def made_mode(self) -> Any:
        """The default mode if there is one; makes none."""
        return self._mode

    def swap_mode(self, mode: Any) -> Any:
        """Put `mode` into the slot of the default mode; return what was there (or `None`)."""
        with self._lock:
            old, self._mode = self._mode, mode
            self.registrations += 1  # who reports where has changed
        return old

    def set_active(self, active: bool) -> None:  # noqa: FBT001  (a switch is a boolean)
        """Switch every policy on, or turn them all into pass-throughs."""
        with self._lock:
            self.active = active
            for policy in list(self._policies):
                policy.set_active(active)

    def after_fork(self) -> None:
        """Give the child fresh locks, no permits of the parent, and an idle dispatcher."""
        self._lock = threading.RLock()
        self.bus.after_fork()
        serial.after_fork()
        self.dispatcher.after_fork()
        for policy in list(self._policies):
            policy.after_fork()


hub = Hub()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=hub.after_fork)


def subscribe(event_type: type[Event], fn: Callable[[Any], object]) -> Listener:
    """Call `fn`, sync or async, with every event of `event_type` or a subclass.

    It runs on the dispatcher, in order, never on a caller's call; what it raises is logged. Its
    queue holds 1000 events; what does not fit is counted in ``.dropped``.

    Returns a subscription with ``.cancel()`` and ``.dropped``.
    Raises `TypeError` if `event_type` is no event type or `fn` cannot be called.

    Example::

        resilient.subscribe(resilient.CircuitOpened, lambda event: page(event.name))
    """
    if not _is_event_type(event_type):
        message = f"subscribe() takes a type of event, such as CircuitOpened, not {event_type!r}"
        raise TypeError(message)
    listener = hub.dispatcher.listener(fn)
    listener.on_cancel = hub.bus.tap(event_type, listener.offer)
    return listener


def publish(event: Event) -> None:
    """Tell an event of the application's own to whoever has subscribed to its type.

    Listeners hear it on the dispatcher. `event` is a frozen subclass of `Event`; it may have a
    `severity` of its own, and then alerts and logs can tell it like any other.
    Raises `TypeError` for anything else.

    Example::

        class Deployed(resilient.Event, frozen=True, kw_only=True):
            version: str

        resilient.publish(Deployed(name="shop", version="1.2"))
    """
    if not isinstance(cast("object", event), Event):
        message = f"publish() takes an event, an instance of a subclass of Event, not {event!r}"
        raise TypeError(message)
    hub.bus.publish(event)


def _is_event_type(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Event)

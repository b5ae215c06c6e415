"""What happened, as frozen records, and the table of who wants to know.

A policy publishes; it never calls a listener. Taps are the library's own receivers: they run at
once, must not wait, and are few. Listeners are the user's: each has a queue of its own and runs
on the dispatcher (see `resilient.core.dispatch`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from enum import Enum
from typing import Any, Protocol

import msgspec

from resilient.clock import system_clock

__all__ = [
    "Bus",
    "CallFailed",
    "CallRejected",
    "CallTimedOut",
    "CircuitChanged",
    "CircuitClosed",
    "CircuitHalfOpened",
    "CircuitOpened",
    "CircuitOverridden",
    "CircuitState",
    "ComponentFailed",
    "ComponentRecovered",
    "Event",
    "FallbackUsed",
    "LimitChanged",
    "RetryGaveUp",
    "RetryScheduled",
    "Severity",
    "Subscription",
    "TargetEjected",
    "TargetReturned",
]


class Severity(Enum):
    """How much an event matters; the values are the names of log levels."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class CircuitState(Enum):
    """Where a circuit breaker stands.

    The first three follow from its calls; the last three are set by hand and stay until changed.
    """

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"
    FORCED_OPEN = "forced-open"
    DISABLED = "disabled"
    METRICS_ONLY = "metrics-only"


def _now() -> float:
    # Looked up at each call: a test may swap the time.
    return system_clock.time()


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Base of every event. `name` is the policy's name, `at` the wall-clock time in seconds.

    Example::

        resilient.subscribe(resilient.events.Event, print)
    """

    name: str
    at: float = msgspec.field(default_factory=_now)

    @property
    def severity(self) -> Severity:
        """How much it matters."""
        return Severity.INFO


class CircuitChanged(Event, frozen=True, kw_only=True):
    """A breaker went from `old` to `new`.

    `key` names the circuit of a keyed breaker. `sequence` counts this circuit's transitions from 1.
    `origin` is the ``id`` of the breaker, by which namesakes are told apart; 0 if it is unknown.
    """

    old: CircuitState
    new: CircuitState
    reason: str
    sequence: int
    key: object = None
    origin: int = 0


class CircuitOpened(CircuitChanged, frozen=True, kw_only=True):
    """A breaker opened; calls are refused for `retry_after` seconds. `error` is what opened it."""

    retry_after: float | None
    error: str | None = None

    @property
    def severity(self) -> Severity:
        """A dependency was given up for a while."""
        return Severity.ERROR


class CircuitHalfOpened(CircuitChanged, frozen=True, kw_only=True):
    """A breaker lets a few trial calls through."""


class CircuitClosed(CircuitChanged, frozen=True, kw_only=True):
    """A breaker closed: calls flow again."""


class CircuitOverridden(CircuitChanged, frozen=True, kw_only=True):
    """A breaker was forced open, disabled, or set to count only."""

    @property
    def severity(self) -> Severity:
        """Somebody's hand is on the switch."""
        return Severity.WARNING


class CallRejected(Event, frozen=True, kw_only=True):
    """A policy refused to start a call."""

    reason: str
    retry_after: float | None = None

    @property
    def severity(self) -> Severity:
        """Frequent while a circuit is open."""
        return Severity.DEBUG


class CallFailed(Event, frozen=True, kw_only=True):
    """A call through a breaker counted as a failure."""

    error: str
    seconds: float

    @property
    def severity(self) -> Severity:
        """One failure is no outage."""
        return Severity.DEBUG


class CallTimedOut(Event, frozen=True, kw_only=True):
    """A call did not finish within `seconds`."""

    seconds: float

    @property
    def severity(self) -> Severity:
        """The caller got no answer from the dependency."""
        return Severity.WARNING


class LimitChanged(Event, frozen=True, kw_only=True):
    """An adaptive limit went from `old` to `new` calls in flight."""

    old: int
    new: int

    @property
    def severity(self) -> Severity:
        """It moves all the time."""
        return Severity.DEBUG


class RetryScheduled(Event, frozen=True, kw_only=True):
    """Attempt number `attempt` failed with `error`; the next one starts in `wait` seconds."""

    attempt: int
    wait: float
    error: str


class RetryGaveUp(Event, frozen=True, kw_only=True):
    """A retry gave up after `attempts` calls in `seconds`, because of `reason`."""

    attempts: int
    seconds: float | None
    reason: str
    error: str

    @property
    def severity(self) -> Severity:
        """The caller got the error."""
        return Severity.WARNING


class FallbackUsed(Event, frozen=True, kw_only=True):
    """A fallback was asked.

    `source` is the alternative that answered, or `None` when every alternative failed; `inside`
    names the policies whose calls it answers for.
    """

    source: str | None
    freshness: str
    error: str
    inside: tuple[str, ...] = ()

    @property
    def severity(self) -> Severity:
        """Answering from a fallback is normal work; failing to is not."""
        return Severity.INFO if self.source else Severity.WARNING


class TargetEjected(Event, frozen=True, kw_only=True):
    """A failover passes `target` over for `seconds`, because of `error`; `None` if by hand."""

    target: str
    seconds: float
    error: str | None = None

    @property
    def severity(self) -> Severity:
        """Others answer for it."""
        return Severity.WARNING


class TargetReturned(Event, frozen=True, kw_only=True):
    """A failover asks `target` again."""

    target: str


class ComponentFailed(Event, frozen=True, kw_only=True):
    """A component is as good as dead: its health fell below 0.4.

    `mode` is the name of the mode that says so; `health` from 0 to 1, and `signal` and `detail`,
    the evidence that set it.
    """

    mode: str
    health: float
    signal: str
    detail: str = ""

    @property
    def severity(self) -> Severity:
        """One component; what it means for the whole is the mode's to say."""
        return Severity.WARNING


class ComponentRecovered(Event, frozen=True, kw_only=True):
    """A component that had failed is well again, after `seconds`: its health is 0.7 or more."""

    mode: str
    health: float
    seconds: float


Receiver = Callable[[Any], object]


class Subscription(Protocol):
    """What `resilient.subscribe` returns."""

    dropped: int
    """Events that did not fit into the listener's queue."""

    def cancel(self) -> None:
        """Stop listening; what is queued is not delivered."""
        ...


class Bus:
    """Who wants to know of which type of event.

    ``wants(CallRejected)`` is one dictionary look-up, so an event that nobody wants is never made.

    Example::

        remove = bus.tap(CircuitOpened, seen.append)
        bus.publish(CircuitOpened(...))
        remove()
    """

    wants: Callable[[type[Event]], object]
    """Whether anybody listens to that type of event or one of its bases: true if so."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._taps: list[tuple[type[Event], Receiver]] = []
        self._forget()

    def tap(self, event_type: type[Event], receive: Receiver) -> Callable[[], None]:
        """Call `receive` at once, on the publisher's thread, for each event of that type.

        For the library's own use: `receive` must neither wait nor run user code.
        Returns the function that removes the tap.
        """
        entry = (event_type, receive)
        with self._lock:
            self._taps.append(entry)
            self._forget()

        def remove() -> None:
            with self._lock:
                if entry in self._taps:
                    self._taps.remove(entry)
                    self._forget()

        return remove

    def publish(self, event: Event) -> None:
        """Hand `event` to everybody who wants its type."""
        for receive in self._table[type(event)]:
            receive(event)

    def after_fork(self) -> None:
        """Start afresh with a new lock in a forked child; the taps stay."""
        self._lock = threading.RLock()

    def _forget(self) -> None:
        # A new table: whoever fills the old one meanwhile fills what nobody reads any more.
        self._table = _Table(self._receivers)
        # The table's own look-up, because most rejections ask it and find nobody.
        self.wants = self._table.__getitem__

    def _receivers(self, event_type: type[Event]) -> tuple[Receiver, ...]:
        with self._lock:
            taps = tuple(self._taps)
        return tuple(receive for wanted, receive in taps if issubclass(event_type, wanted))


class _Table(dict[type[Event], tuple[Receiver, ...]]):
    """Receivers by type of event; a type is looked up when it is first asked for."""

    def __init__(self, find: Callable[[type[Event]], tuple[Receiver, ...]]) -> None:
        super().__init__()
        self._find = find

    def __missing__(self, event_type: type[Event]) -> tuple[Receiver, ...]:
        """Find out, and keep it."""
        found = self[event_type] = self._find(event_type)
        return found

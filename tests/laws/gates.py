"""Every kind of gate beside the breaker: how to make one, what shuts it, what it says of itself."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import msgspec

from resilient import (
    Bulkhead,
    BulkheadFullError,
    CircuitBreaker,
    Feature,
    FeatureUnavailableError,
    Mode,
    ModeGate,
    RateLimitedError,
    Rejected,
    SlowStart,
    ThrottledError,
    bulkhead,
    feature,
    mode_gate,
    slow_start,
)
from resilient.core.waiting import Waiting
from resilient.policies.adaptive import adaptive_limit
from resilient.policies.adaptive_limit import AdaptiveLimit
from resilient.policies.rate_limit import rate_limit
from resilient.policies.rate_limiter import KeyedRate, RateLimit
from resilient.policies.throttle import Throttle, throttle
from resilient.testing import ManualClock
from tests.laws.harness import BrokenError, Ending, HarmlessError, block

ROOM = 100
"""How many calls at once the gates here admit, where they count."""


class Kind(NamedTuple):
    """A kind of gate.

    `make` takes a clock and settings, and `settings` let in `ROOM` calls. With `narrow` settings
    on top, `shut` brings it to where it refuses the next call, with `error` and `retry_after`.
    `books` is what it says of itself after one call that ended so.
    """

    make: Callable[..., Any]
    settings: dict[str, Any]
    narrow: dict[str, Any]
    shut: Callable[[Any], object]
    error: type[Rejected]
    books: Callable[[Ending], tuple[object, ...]]
    retry_after: float | None = None

    def open(self, **settings: Any) -> Any:
        """One that admits."""
        return self.make("law", clock=ManualClock(1000), **{**self.settings, **settings})

    def refusing(self) -> Any:
        """One that refuses the next call."""
        gate = self.open(**self.narrow)
        self.shut(block(gate))
        return gate


def hold(gate: Any) -> None:
    """Take a permit and keep it."""
    assert not isinstance(gate.admit(), Rejected | Waiting)


def hold_and_queue(gate: Any) -> None:
    """Take a permit, and the place in the queue."""
    hold(gate)
    place = gate.admit()
    assert isinstance(place, Waiting)
    place.notify(lambda: None)


def fail(gate: Any) -> None:
    """Let calls fail until one is refused."""
    for _ in range(100):
        try:
            gate.call(_fails)
        except BrokenError:
            continue
        except Rejected:
            return


def probe(gate: Any) -> None:
    """Let the system be unwell, and use up the call that is let through to see how it is."""
    gate.mode.current = Mode.EMERGENCY
    hold(gate)


def ramp(gate: Any) -> None:
    """Let it begin, and use up the first call of a thousand."""
    gate.start()
    hold(gate)


def _fails() -> None:
    raise BrokenError


def _made_mode_gate(name: str, **settings: Any) -> ModeGate:
    mode: Any = SimpleNamespace(current=Mode.NORMAL)
    return mode_gate(name, mode=mode, **settings)


def _made_feature(name: str, **settings: Any) -> Feature:
    mode: Any = SimpleNamespace(current=Mode.NORMAL, frozen=None)
    return feature(name, mode=mode, **settings)


def _bulkhead(_: Ending) -> tuple[object, ...]:
    return (0, 0, False, 0)


def _rate(ending: Ending) -> tuple[object, ...]:
    refunded = ending.name == "rejection"
    return (ROOM - 1 + refunded, 1, 0, 0, int(refunded))


def _throttle(ending: Ending) -> tuple[object, ...]:
    accepted, failed = ending.verdict == "success", ending.verdict == "failure"
    return (int(accepted), accepted + failed, 0)


def _adaptive(ending: Ending) -> tuple[object, ...]:
    return (0, 1, 0, int(ending.verdict == "failure"))


def _rejected(_: Ending) -> tuple[object, ...]:
    return (0,)


_RATE: dict[str, Any] = {"rate": ROOM, "per": 1000, "burst": ROOM}
_ONE: dict[str, Any] = {"rate": 1, "per": 10, "burst": 1}
_LEARNS: dict[str, Any] = {"on": (BrokenError, TimeoutError), "ignore": HarmlessError}
_WINDOW: dict[str, Any] = {"algorithm": "fixed_window", "burst": None}

KINDS: dict[str, Kind] = {
    "bulkhead": Kind(bulkhead, {"limit": ROOM}, {"limit": 1}, hold, BulkheadFullError, _bulkhead),
    "bulkhead with a queue": Kind(
        bulkhead,
        {"limit": ROOM, "queue": 1},
        {"limit": 1},
        hold_and_queue,
        BulkheadFullError,
        _bulkhead,
    ),
    "rate limit": Kind(rate_limit, _RATE, _ONE, hold, RateLimitedError, _rate, 10.0),
    "rate limit by windows": Kind(
        rate_limit, _RATE | _WINDOW, _ONE | _WINDOW, hold, RateLimitedError, _rate, 10.0
    ),
    "rate limit by key": Kind(
        rate_limit,
        {**_RATE, "key": lambda *_, **__: "k"},
        _ONE,
        hold,
        RateLimitedError,
        _rate,
        10.0,
    ),
    "throttle": Kind(
        throttle,
        {**_LEARNS, "draw": lambda: 0.0, "window": 1000},
        {},
        fail,
        ThrottledError,
        _throttle,
    ),
    "adaptive limit": Kind(
        adaptive_limit,
        {**_LEARNS, "initial": ROOM + 50, "algorithm": "aimd"},
        {"initial": 1, "max": 1},
        hold,
        ThrottledError,
        _adaptive,
    ),
    "adaptive limit with a queue": Kind(
        adaptive_limit,
        {**_LEARNS, "initial": ROOM + 50, "algorithm": "aimd", "queue": 1},
        {"initial": 1, "max": 1},
        hold_and_queue,
        ThrottledError,
        _adaptive,
    ),
    "mode gate": Kind(
        _made_mode_gate,
        {"emergency": "critical"},
        {},
        probe,
        FeatureUnavailableError,
        _rejected,
    ),
    "slow start": Kind(
        slow_start,
        {"over": 1000},
        {"first": 0.001},
        ramp,
        ThrottledError,
        _rejected,
        1000 * 0.001 * (1 - 0.001),
    ),
    "feature": Kind(_made_feature, {}, {}, probe, FeatureUnavailableError, _rejected),
}

WAITING: dict[str, Callable[[Any], Any]] = {
    "bulkhead": lambda clock: bulkhead("law", limit=1, queue=3, max_wait=5, clock=clock),
    "bulkhead, last in first out": lambda clock: bulkhead(
        "law", limit=1, queue=3, max_wait=5, order="lifo", clock=clock
    ),
    "adaptive limit": lambda clock: adaptive_limit(
        "law", initial=1, max=1, queue=3, max_wait=5, clock=clock
    ),
    "rate limit": lambda clock: rate_limit("law", **_ONE, max_wait=50, clock=clock),
    "rate limit by windows": lambda clock: rate_limit(
        "law", **_ONE | _WINDOW, max_wait=50, clock=clock
    ),
}
"""Gates that admit one call at once; the next one would have to wait."""


def _of_breaker(gate: CircuitBreaker) -> tuple[object, ...]:
    numbers = msgspec.structs.asdict(gate.metrics)
    numbers["last_error"] = str(numbers["last_error"])
    return (gate.state, *numbers.values())


def _of_rate(gate: RateLimit) -> tuple[object, ...]:
    # The tokens of a key are those of whoever asks for it.
    left = None if gate.keyed else gate.available
    return (left, *msgspec.structs.astuple(gate.metrics))


BOOKS: dict[type[Any], Callable[[Any], tuple[object, ...]]] = {
    CircuitBreaker: _of_breaker,
    Bulkhead: lambda gate: (gate.in_flight, gate.queued, gate.waiting, gate.rejected),
    RateLimit: _of_rate,
    KeyedRate: lambda gate: (gate.available, *_of_rate(gate._owner)[1:]),
    Throttle: lambda gate: (gate.accepts, gate.requests, gate.throttled),
    AdaptiveLimit: lambda gate: (gate.in_flight, gate.admitted, gate.rejected, gate.drops),
    ModeGate: lambda gate: (gate.rejected,),
    Feature: lambda gate: (gate.rejected,),
    SlowStart: lambda gate: (gate.rejected,),
}


def books(gate: Any) -> tuple[object, ...]:
    """What `gate` says of itself; nothing for a policy that is no gate."""
    made = BOOKS.get(type(gate))
    return () if made is None else made(gate)


class Ledger:
    """Permits that a gate gives out and gets back, as its callers see it.

    What the gate asks of itself on the way is its own business, so only the outermost call counts.
    """

    def __init__(self, gate: Any) -> None:
        self.given = self.back = 0
        self._inside = False
        if isinstance(gate, Bulkhead):
            gate._places = gate.free = _Watched(gate.limit, self)  # a straight line takes places
            return
        for name in ("admit", "at_once"):
            setattr(gate, name, self._watched(getattr(gate, name), self.gave))
        for name in ("settle", "succeeded"):
            setattr(gate, name, self._watched(getattr(gate, name), self.got))

    def _watched(
        self, method: Callable[..., Any], note: Callable[[Any], None]
    ) -> Callable[..., Any]:
        def watched(*args: Any, **kwargs: Any) -> Any:
            if self._inside:
                return method(*args, **kwargs)
            self._inside = True
            try:
                result = method(*args, **kwargs)
            finally:
                self._inside = False
            note(result)
            return result

        return watched

    def gave(self, permit: object) -> None:
        """A permit, or none."""
        self.given += permit is not None and not isinstance(permit, Rejected | Waiting)

    def got(self, _: object) -> None:
        """Back."""
        self.back += 1
        assert self.back <= self.given, "a permit was settled twice"


class _Watched(list[None]):
    """The places of a bulkhead, with a ledger."""

    def __init__(self, number: int, ledger: Ledger) -> None:
        super().__init__([None] * number)
        self._ledger = ledger

    def pop(self, index: Any = -1, /) -> None:
        super().pop(index)
        self._ledger.gave(self)

    def append(self, place: None, /) -> None:
        super().append(place)
        self._ledger.got(place)

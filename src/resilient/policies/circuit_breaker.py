"""The circuit breaker as a policy. Its decisions are in `resilient.policies.circuit`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import Any

import pybreaker

from resilient.clock import Clock
from resilient.core.copies import brief, without_traceback
from resilient.core.effects import Call
from resilient.core.hub import hub
from resilient.core.outcome import Outcome
from resilient.core.policy import Gauge
from resilient.core.ports import CircuitHealth, Criticality
from resilient.errors import ConfigError, Rejected
from resilient.events import CallFailed, CircuitState
from resilient.policies import announce
from resilient.policies.breaker_health import health_of
from resilient.policies.circuit import Circuit, Failure, Permit, Saved, Transition
from resilient.policies.judge import Judge, Verdict
from resilient.policies.keys import KeyedStore
from resilient.policies.latency import Latency
from resilient.policies.pybreaker_bridge import Bridge, StateName
from resilient.policies.rules import Rules
from resilient.policies.surface import Switchboard

__all__ = ["CircuitBreaker", "KeyedCircuit"]

_MANUAL = (CircuitState.FORCED_OPEN, CircuitState.DISABLED, CircuitState.METRICS_ONLY)


class CircuitBreaker(Switchboard):
    """Stops calling a dependency that fails, and tries again later. Made by `resilient.breaker`.

    One object serves threads and event loops at once, as a decorator, through `call`, and as a
    context manager.
    """

    def __init__(  # noqa: PLR0913  (its parts, put together by `resilient.breaker`)
        self,
        rules: Rules,
        judge: Judge,
        *,
        clock: Clock,
        bridge: Bridge | None = None,
        key: Callable[..., Hashable] | None = None,
        max_keys: int = 10_000,
        key_ttl: float = 3600.0,
        weight: float | None = None,
        criticality: Criticality | None = None,
        mode: object = None,
    ) -> None:
        self.name = rules.name
        self.clock = clock
        self.straight = rules.straight
        self.weight = weight
        self.criticality = criticality
        self.mode = mode
        self.rules = rules
        self._judge = judge
        self._bridge = bridge
        self._key = key
        self.lock = threading.RLock()
        self.active = True
        self.failure: Failure | None = None
        self.opened_at: float | None = None
        self._watching = False
        self._manual: CircuitState | None = None
        if key is None:
            self._circuit: Circuit | None = self._make(None)
            self._store: KeyedStore[Circuit] | None = None
        else:
            self._circuit = None
            self._store = KeyedStore(
                self._make,
                lambda circuit: circuit.window.recorded + circuit.rejected + circuit.sequence,
                most=max_keys,
                ttl=key_ttl,
                clock=clock,
            )
        hub.register(self)
        self._refresh()

    @property
    def keyed(self) -> bool:
        """Whether each key has a circuit of its own."""
        return self._key is not None

    # The policy

    def admit(self, /, *args: Any, **kwargs: Any) -> Permit | Rejected:
        """A permit, or a new `CircuitOpenError`, which is not raised."""
        self._refresh()
        return self.find(*args, **kwargs).admit()

    def settle(self, permit: Permit, outcome: Outcome[Any] | None) -> None:
        """Judge a call, or give its permit back (`None`, a rejection further in)."""
        circuit = permit.circuit
        if outcome is None or isinstance(outcome.error, Rejected):
            circuit.abandon(permit)
            return
        try:
            verdict, open_for = self._judge.verdict(outcome)
        except BaseException:
            circuit.abandon(permit)
            raise
        if verdict is Verdict.IGNORED:
            circuit.abandon(permit, ignored=True)
        elif verdict is Verdict.SUCCESS:
            circuit.settle(permit)
            self._tell_listeners("success")
        else:
            self._failed(permit, outcome, open_for)

    def begun(self, call: Call) -> None:
        """Tell pybreaker's listeners of a call that was admitted."""
        self._tell_listeners("before_call", call.fn, *call.args, **call.kwargs)

    def enter(self) -> Any:
        """Admit a block. Raises `Rejected`; `TypeError` on a keyed breaker, naming the cure."""
        self._refuse_blocks()
        return super().enter()

    async def enter_async(self) -> Any:
        """As `enter`, for ``async with``."""
        self._refuse_blocks()
        return await super().enter_async()

    def gauge(self) -> Gauge | None:
        """The only circuit of a breaker without a key."""
        return self._circuit

    def find(self, /, *args: Any, **kwargs: Any) -> Circuit:
        """The circuit for a call with these arguments."""
        if self._circuit is not None:
            return self._circuit
        assert self._store is not None and self._key is not None  # noqa: S101, PT018
        return self._store.get(self._key(*args, **kwargs))

    # The surface

    def circuits(self) -> Sequence[Circuit]:
        """Its circuit, or those of all live keys."""
        if self._circuit is not None:
            return (self._circuit,)
        assert self._store is not None  # noqa: S101  (there is one or the other)
        return list(self._store.values.values())

    def for_key(self, key: Hashable) -> KeyedCircuit:
        """The circuit of `key`, as a gate of its own. Raises `TypeError` on a breaker without keys.

        Example::

            with hosts.for_key("api.example.com"):
                ...
        """
        if self._store is None:
            message = f"{self.name} has no key; give breaker(..., key=) to have a circuit for each"
            raise TypeError(message)
        return KeyedCircuit(self, partial(self._store.get, key))

    def snapshot(self) -> dict[str, Any]:
        """Plain data to restore from: states, and seconds left instead of instants.

        A half-open circuit is written as open with nothing left, so it tries again at once.

        Example::

            json.dumps(payments.snapshot())
        """
        if self._circuit is not None:
            return self._circuit.snapshot(self.clock.monotonic())
        assert self._store is not None  # noqa: S101  (there is one or the other)
        return {
            "manual": None if self._manual is None else self._manual.value,
            "keys": [
                [key, circuit.snapshot(self.clock.monotonic())]
                for key, circuit in list(self._store.values.items())
            ],
        }

    def restore(self, data: Mapping[str, Any]) -> None:
        """Take over a `snapshot`; windows start empty. Raises `ConfigError` for anything else."""
        try:
            manual = data["manual"] if self.keyed else None
            self._manual = None if manual is None else CircuitState(manual)
            pairs = [(circuit, Saved.read(each)) for circuit, each in self._pairs(data)]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            allowed = "what snapshot() of such a breaker returned"
            raise ConfigError("snapshot", data, allowed) from error
        for circuit, saved in pairs:
            with self.lock:
                change = circuit.restore(saved, self.clock.monotonic())
            if change[0] is not change[1]:
                self.tell(circuit, change)

    def health(self) -> CircuitHealth:
        """What the mode asks; see `CircuitHealth`. Cheap, never waits for user code."""
        return health_of(self)

    def watch_latency(self) -> None:
        """Keep a latency histogram from now on, which takes calls off the straight line."""
        self._watching = True
        for circuit in self.circuits():
            self._watch(circuit)

    def describe(self) -> str:
        """One line for `pipeline.describe()`."""
        return f"breaker({self.name!r}): {self.rules.describe()}"

    def obey(self, rules: Rules, /) -> None:
        """Work by these rules from now on: states, windows and counts stay.

        An open time or trial calls that have begun end by the old ones.
        """
        with self.lock:
            self.rules = rules
            for circuit in self.circuits():
                circuit.obey(self.clock.monotonic())

    # What the hub asks

    def set_active(self, active: bool, /) -> None:  # noqa: FBT001  (a switch is a boolean)
        """Work, or let everything pass uncounted."""
        self.active = active
        with self.lock:
            for circuit in self.circuits():
                circuit.align(self.clock.monotonic())

    def after_fork(self) -> None:
        """Fresh locks; trial places that the parent holds are free."""
        super().after_fork()
        self.lock = threading.RLock()
        for circuit in self.circuits():
            circuit.after_fork()

    # Inside

    def _refuse_blocks(self) -> None:
        if self.keyed:
            message = f"{self.name} has a key for each call: use `with breaker.for_key(key):`"
            raise TypeError(message)

    def _pairs(self, data: Mapping[str, Any]) -> list[tuple[Circuit, Mapping[str, Any]]]:
        if self._circuit is not None:
            return [(self._circuit, data)]
        assert self._store is not None  # noqa: S101  (there is one or the other)
        return [(self._store.get(key), each) for key, each in data["keys"]]

    def reset(self) -> None:
        """Close with an empty window, and forget the openings so far."""
        self._manual = None
        super().reset()

    def _switch(self, state: CircuitState) -> None:
        self._manual = state if state in _MANUAL else None
        super()._switch(state)

    def _make(self, key: Hashable) -> Circuit:
        circuit = Circuit(self, key)
        if self._watching:
            self._watch(circuit)
        if self._manual is not None:
            circuit.move(self._manual, "set by hand for every key", self.clock.monotonic())
        return circuit

    def _watch(self, circuit: Circuit) -> None:
        now = self.clock.monotonic()
        with self.lock:
            if circuit.latency is None:
                circuit.latency = Latency(now)
            circuit.align(now)

    def _failed(self, permit: Permit, outcome: Outcome[Any], open_for: float | None) -> None:
        error = outcome.error
        if error is None:
            failure = Failure(None, "a result judged as failure", open_for)
        else:
            failure = Failure(without_traceback(error), brief(error), open_for)
        self._tell_listeners("failure", error)
        permit.circuit.settle(permit, failure)
        if hub.bus.wants(CallFailed):
            took = self.clock.monotonic() - permit.started
            hub.bus.publish(CallFailed(name=self.name, error=failure.text, seconds=took))

    def _latest(self) -> tuple[Failure | None, float | None]:
        return self.failure, self.opened_at

    def tell(self, circuit: Circuit, change: Transition, /) -> None:
        """Publish a committed transition."""
        announce.publish(circuit, change)
        if self._bridge is not None:
            self._bridge.tell("state_change", self, StateName(change[0]), StateName(change[1]))
            self._bridge.store(change[1], change[3])

    def _tell_listeners(self, method: str, /, *args: Any, **kwargs: Any) -> None:
        if self._bridge is not None:
            self._bridge.tell(method, self, *args, **kwargs)

    def _refresh(self) -> None:
        if self._bridge is not None:
            self._bridge.refresh(self.clock.monotonic(), self._adopt)

    def _adopt(self, name: str) -> None:
        """Follow a storage that another process has changed, unless this one was set by hand."""
        if self.state in _MANUAL:
            return
        moves = {
            pybreaker.STATE_OPEN: self.open,
            pybreaker.STATE_CLOSED: self.close,
            pybreaker.STATE_HALF_OPEN: self.half_open,
        }
        if name in moves:
            moves[name]()


class KeyedCircuit(Switchboard):
    """One key of a keyed breaker, with whatever circuit that has. Made by `for_key`."""

    def __init__(self, owner: CircuitBreaker, find: Callable[[], Circuit]) -> None:
        self.name = owner.name
        self.clock = owner.clock
        self.straight = owner.straight
        self._owner = owner
        self._find = find

    def circuits(self) -> Sequence[Circuit]:
        """The one."""
        return (self._find(),)

    def admit(self, /, *args: Any, **kwargs: Any) -> Permit | Rejected:
        """A permit, or a new `CircuitOpenError`, which is not raised."""
        del args, kwargs
        return self._find().admit()

    def settle(self, permit: Permit, outcome: Outcome[Any] | None) -> None:
        """Judge a call, or give its permit back."""
        self._owner.settle(permit, outcome)

    def begun(self, call: Call) -> None:
        """Tell pybreaker's listeners of a call that was admitted."""
        self._owner.begun(call)

    def find(self, /, *args: Any, **kwargs: Any) -> Circuit:
        """The key's circuit; it is made anew if it was forgotten meanwhile."""
        del args, kwargs
        return self._find()

    def _latest(self) -> tuple[Failure | None, float | None]:
        circuit = self._find()
        return circuit.failure, circuit.opened_at

    def _stack(self) -> Any:
        # `for_key` may be called anew to leave what was entered; the breaker keeps the stacks.
        return self._owner._stack()  # noqa: SLF001  (the two are one mechanism)

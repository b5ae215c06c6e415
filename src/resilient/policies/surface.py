"""What one may ask of a breaker, or of one circuit of a keyed breaker."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import msgspec

from resilient.core.gate import Gate
from resilient.events import CircuitState
from resilient.policies.circuit import Circuit, Failure
from resilient.policies.window import Counts

__all__ = ["BreakerMetrics", "Switchboard"]

_WORST = (
    CircuitState.FORCED_OPEN,
    CircuitState.OPEN,
    CircuitState.HALF_OPEN,
    CircuitState.METRICS_ONLY,
    CircuitState.DISABLED,
    CircuitState.CLOSED,
)


class BreakerMetrics(msgspec.Struct, frozen=True):
    """What a breaker has counted.

    Over the window: `calls`, `successes`, `failures`, `slow` (which may overlap with the two
    before it), `failure_rate` and `slow_rate` in [0, 1], `None` while there are fewer than
    ``minimum_calls`` of them. Since creation: `rejected`, `ignored`, `transitions`, `last_error` (a
    copy of the last failure, without traceback) and `opened_at` (wall-clock seconds, or `None`).

    Example::

        payments.metrics.failure_rate
    """

    calls: int
    successes: int
    failures: int
    slow: int
    failure_rate: float | None
    slow_rate: float | None
    rejected: int
    ignored: int
    transitions: int
    last_error: BaseException | str | None
    opened_at: float | None


class Switchboard(Gate):
    """State, metrics and manual control over one or several circuits."""

    metered = True

    @abstractmethod
    def circuits(self) -> Sequence[Circuit]:
        """The circuits this stands for; of a keyed breaker, those that are alive."""

    @abstractmethod
    def _latest(self) -> tuple[Failure | None, float | None]:
        """The last failure, and the wall-clock time of the last opening."""

    @property
    def state(self) -> CircuitState:
        """Where it stands; of a keyed breaker, where the worst of its circuits stands.

        An open circuit whose open time is over stays OPEN until the next call tries it.
        """
        states = {circuit.state for circuit in self.circuits()}
        return next((state for state in _WORST if state in states), CircuitState.CLOSED)

    @property
    def metrics(self) -> BreakerMetrics:
        """What was counted; of a keyed breaker, over all of its circuits."""
        circuits = self.circuits()
        counts = Counts(0, 0, 0)
        for circuit in circuits:
            with circuit.owner.lock:
                held = circuit.window.counts(circuit.owner.clock.monotonic())
            counts = Counts(
                counts.calls + held.calls, counts.failures + held.failures, counts.slow + held.slow
            )
        failure, opened_at = self._latest()
        failing, slow = circuits[0].owner.rules.rates(counts) if circuits else (None, None)
        return BreakerMetrics(
            calls=counts.calls,
            successes=counts.calls - counts.failures,
            failures=counts.failures,
            slow=counts.slow,
            failure_rate=failing,
            slow_rate=slow,
            rejected=sum(circuit.rejected for circuit in circuits),
            ignored=sum(circuit.ignored for circuit in circuits),
            transitions=sum(circuit.sequence for circuit in circuits),
            last_error=None if failure is None else failure.error,
            opened_at=opened_at,
        )

    def open(self) -> None:
        """Open now, for the open time that its settings give."""
        self._switch(CircuitState.OPEN)

    def close(self) -> None:
        """Close now, with an empty window."""
        self._switch(CircuitState.CLOSED)

    def half_open(self) -> None:
        """Let trial calls through now."""
        self._switch(CircuitState.HALF_OPEN)

    def force_open(self) -> None:
        """Refuse every call until another state is set."""
        self._switch(CircuitState.FORCED_OPEN)

    def disable(self) -> None:
        """Let every call pass uncounted until another state is set."""
        self._switch(CircuitState.DISABLED)

    def metrics_only(self) -> None:
        """Count but never open, until another state is set (shadow mode)."""
        self._switch(CircuitState.METRICS_ONLY)

    def reset(self) -> None:
        """Close with an empty window, and forget the openings so far."""
        for circuit in self.circuits():
            if circuit.state is CircuitState.CLOSED:
                with circuit.owner.lock:
                    now = circuit.owner.clock.monotonic()
                    circuit.clear(now)
                    circuit.align(now)
            else:
                self._move(circuit, CircuitState.CLOSED, "reset by hand")

    def _switch(self, state: CircuitState) -> None:
        for circuit in self.circuits():
            self._move(circuit, state, f"set to {state.value} by hand")

    def _move(self, circuit: Circuit, state: CircuitState, reason: str) -> None:
        now = circuit.owner.clock.monotonic()
        with circuit.owner.lock:
            if circuit.state is state:
                return
            change = circuit.move(state, reason, now)
        circuit.owner.tell(circuit, change)

"""What the bus is told of a circuit."""

from __future__ import annotations

from resilient.core.hub import hub
from resilient.events import (
    CircuitClosed,
    CircuitHalfOpened,
    CircuitOpened,
    CircuitOverridden,
    CircuitState,
)
from resilient.policies.circuit import Circuit, Transition

__all__ = ["publish"]

_KINDS = {CircuitState.HALF_OPEN: CircuitHalfOpened, CircuitState.CLOSED: CircuitClosed}


def publish(circuit: Circuit, change: Transition) -> None:
    """Publish a committed transition."""
    old, new, reason, sequence = change
    name, origin = circuit.owner.rules.name, id(circuit.owner)
    if new is CircuitState.OPEN:
        hub.bus.publish(
            CircuitOpened(
                name=name,
                key=circuit.key,
                origin=origin,
                old=old,
                new=new,
                reason=reason,
                sequence=sequence,
                retry_after=max(0.0, circuit.until - circuit.owner.clock.monotonic()),
                error=None if circuit.opened_by is None else circuit.opened_by.text,
            )
        )
        return
    hub.bus.publish(
        _KINDS.get(new, CircuitOverridden)(
            name=name,
            key=circuit.key,
            origin=origin,
            old=old,
            new=new,
            reason=reason,
            sequence=sequence,
        )
    )

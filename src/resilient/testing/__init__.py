"""Tests of an application that uses the library: time, faults and networks under control.

With pytest installed, the fixtures `resilience` and `tcp_proxy` are there without an import.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resilient.testing.clock import ManualClock
    from resilient.testing.faults import Fault, Faults, InjectedFault
    from resilient.testing.isolation import Events, Resilience, isolated
    from resilient.testing.loop import JumpingEventLoop
    from resilient.testing.proxy import TcpProxy

__all__ = [
    "Events",
    "Fault",
    "Faults",
    "InjectedFault",
    "JumpingEventLoop",
    "ManualClock",
    "Resilience",
    "TcpProxy",
    "isolated",
]

_HOMES = {
    "Events": "isolation",
    "Fault": "faults",
    "Faults": "faults",
    "InjectedFault": "faults",
    "JumpingEventLoop": "loop",
    "ManualClock": "clock",
    "Resilience": "isolation",
    "TcpProxy": "proxy",
    "isolated": "isolation",
}


def __getattr__(name: str) -> Any:
    """Load what is asked for: a clock should not cost an event loop."""
    if name not in _HOMES:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

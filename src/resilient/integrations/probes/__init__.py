"""Ready-made functions for `mode.probe`.

::

    from resilient import probes

    mode.probe("broker", probes.tcp("broker.internal", 5672))
    mode.probe("memory", probes.memory(), interval=5, trips=True)

Each gives a function without parameters. What such a function raises is a failure; what it finds
out it returns as a `ProbeResult`. Those that wait for somebody have a time limit of their own: the
mode gives up on time, but cannot end a sync function that hangs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resilient.integrations.probes.answers import WrongAnswerError
    from resilient.integrations.probes.databases import database, sqlite
    from resilient.integrations.probes.loops import loop_lag
    from resilient.integrations.probes.ram import memory
    from resilient.integrations.probes.remote import redis
    from resilient.integrations.probes.sockets import tcp, tcp_async
    from resilient.integrations.probes.volumes import disk
    from resilient.integrations.probes.web import http

__all__ = [
    "WrongAnswerError",
    "database",
    "disk",
    "http",
    "loop_lag",
    "memory",
    "redis",
    "sqlite",
    "tcp",
    "tcp_async",
]

_HOMES = {
    "WrongAnswerError": "answers",
    "database": "databases",
    "disk": "volumes",
    "http": "web",
    "loop_lag": "loops",
    "memory": "ram",
    "redis": "remote",
    "sqlite": "databases",
    "tcp": "sockets",
    "tcp_async": "sockets",
}


def __getattr__(name: str) -> Any:
    """Load what is asked for: looking at a disk should not cost an HTTP client."""
    if name not in _HOMES:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

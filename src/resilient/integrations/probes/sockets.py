"""Does anybody listen there?"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Coroutine
from typing import Any

from resilient.clock import Duration, seconds
from resilient.errors import ConfigError
from resilient.integrations.probes.answers import text
from resilient.policies.match import whole

__all__ = ["address", "dial", "tcp", "tcp_async"]

LAST_PORT = 65535


def tcp(host: str, port: int, *, timeout: Duration = 1.0) -> Callable[[], None]:
    """Make a probe that opens a TCP connection and closes it.

    Parameters: `host`, a name or an address; `port`; `timeout` in seconds for all of it but the
    look-up of the name, which nothing can end. Default 1.
    Raises `ConfigError`. The probe raises `OSError`: refused, unreachable, not in time.

    That somebody listens does not say that he works: the kernel takes connections for a process
    that hangs. Ask for an answer where there is one to be had.

    Example::

        mode.probe("broker", probes.tcp("broker.internal", 5672), degraded_above=0.1)
    """
    target, limit = address(host, port), seconds("timeout", timeout)

    def connects() -> None:
        dial(*target, time.monotonic() + limit).close()

    return connects


def tcp_async(
    host: str, port: int, *, timeout: Duration = 1.0
) -> Callable[[], Coroutine[Any, Any, None]]:
    """Make an async probe that opens a TCP connection and closes it: `tcp`, on an event loop.

    There is one reason to prefer it: a look-up of the name that hangs is given up, too.
    Raises `ConfigError`. The probe raises `OSError`.

    Example::

        mode.probe("broker", probes.tcp_async("broker.internal", 5672))
    """
    (name, number), limit = address(host, port), seconds("timeout", timeout)

    async def connects() -> None:
        import asyncio  # noqa: PLC0415  (loaded already: a loop runs)

        async with asyncio.timeout(limit):
            _, writer = await asyncio.open_connection(name, number)
        writer.transport.abort()  # nothing was said, so there is no good-bye to wait for

    return connects


def address(host: str, port: int) -> tuple[str, int]:
    """Check where to connect. Raises `ConfigError`."""
    if whole("port", port) > LAST_PORT:
        raise ConfigError("port", port, f"a whole number from 1 to {LAST_PORT}")
    return text("host", host, "a name or an address"), port


def dial(host: str, port: int, until: float) -> socket.socket:
    """Connect before `until` on the machine's monotonic clock: no test's clock moves a network.

    Each address of the host has its share of the time. Raises `OSError`.
    """
    error: OSError | None = None
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for number, (family, kind, protocol, _, where) in enumerate(found):
        share = (until - time.monotonic()) / (len(found) - number)
        line = socket.socket(family, kind, protocol)
        try:
            line.settimeout(max(share, 0.001))
            line.connect(where)
        except BaseException as caught:
            line.close()
            if not isinstance(caught, OSError):
                raise
            error = caught
        else:
            return line
    raise error or TimeoutError

"""The fixtures. Nothing of the library is loaded before a test asks for one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from resilient.testing.isolation import Resilience
    from resilient.testing.proxy import TcpProxy

__all__ = ["resilience", "tcp_proxy"]


@pytest.fixture
def resilience() -> Iterator[Resilience]:
    """The policies of the application, with time, mode, events and faults under control.

    See `resilient.testing.Resilience`. All of it is undone at the end of the test.

    Example::

        def test_refuses_while_payments_are_down(resilience):
            resilience.faults.at("payments").fail(ConnectionError)
    """
    from resilient.testing.isolation import isolated  # noqa: PLC0415  (on first use only)

    with isolated() as world:
        yield world


@pytest.fixture
def tcp_proxy() -> Iterator[Callable[[str, int], TcpProxy]]:
    """A function of host and port that puts a `resilient.testing.TcpProxy` in front of a server.

    Proxies are closed at the end of the test.

    Example::

        def test_survives_a_reset(tcp_proxy, redis_server):
            proxy = tcp_proxy("127.0.0.1", redis_server.port)
            client = connect(proxy.host, proxy.port)
            proxy.reset()
    """
    from resilient.testing.proxy import TcpProxy  # noqa: PLC0415  (on first use only)

    with ExitStack() as proxies:
        yield lambda host, port: proxies.enter_context(TcpProxy(host, port))

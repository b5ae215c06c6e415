"""Each thing that the proxy can do is seen by a real client of a real server."""

from __future__ import annotations

import contextlib
import gc
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from resilient.errors import ConfigError
from resilient.testing import TcpProxy

Proxies = Callable[[str, int], TcpProxy]


class _Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        with contextlib.suppress(OSError):
            while data := self.request.recv(65536):
                self.request.sendall(data)


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True


@pytest.fixture
def port() -> Iterator[int]:
    """The port of a server that says back what it hears."""
    with _Server(("127.0.0.1", 0), _Echo) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def connected(proxy: TcpProxy, patience: float = 5) -> socket.socket:
    """A client of the proxy."""
    return socket.create_connection((proxy.host, proxy.port), timeout=patience)


def hear(client: socket.socket, length: int) -> bytes:
    """Exactly so many bytes, or what came before the end."""
    data = b""
    while len(data) < length and (piece := client.recv(length - len(data))):
        data += piece
    return data


def ask(client: socket.socket, data: bytes = b"hello") -> bytes:
    """Say, and hear as much."""
    client.sendall(data)
    return hear(client, len(data))


def test_passes_bytes_on_unchanged(tcp_proxy: Proxies, port: int) -> None:
    """A megabyte comes back as it went, and the end of the stream with it."""
    data = bytes(range(256)) * 4096
    with connected(tcp_proxy("127.0.0.1", port)) as client:
        sender = threading.Thread(target=client.sendall, args=(data,))
        sender.start()
        assert hear(client, len(data)) == data
        sender.join()
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""


def test_delays_each_direction(tcp_proxy: Proxies, port: int) -> None:
    """An answer is late by the delay there and the delay back; data on its way delays none."""
    proxy = tcp_proxy("127.0.0.1", port)
    proxy.delay(0.1)
    with connected(proxy) as client:
        began = time.monotonic()
        for _ in range(5):
            client.sendall(b"ab")
            time.sleep(0.01)
        assert hear(client, 10) == b"ab" * 5
        assert 0.2 <= time.monotonic() - began < 0.8


def test_throttles(tcp_proxy: Proxies, port: int) -> None:
    """So many bytes take so much time."""
    proxy = tcp_proxy("127.0.0.1", port)
    proxy.throttle(20_000)
    with connected(proxy) as client:
        began = time.monotonic()
        assert len(ask(client, b"x" * 5_000)) == 5_000
        assert time.monotonic() - began >= 0.25


def test_a_black_hole_holds_everything_until_it_heals(tcp_proxy: Proxies, port: int) -> None:
    """No byte, no error: only silence, on old connections and new ones. Then all of it arrives."""
    proxy = tcp_proxy("127.0.0.1", port)
    with connected(proxy, patience=0.1) as old:
        assert ask(old) == b"hello"
        proxy.blackhole()
        with connected(proxy, patience=0.1) as new:
            for client in (old, new):
                with pytest.raises(TimeoutError):
                    ask(client)
            proxy.heal()
            for client in (old, new):
                client.settimeout(5)
                assert hear(client, 5) == b"hello"


def test_resets(tcp_proxy: Proxies, port: int) -> None:
    """A connection breaks as when a host crashes; the next one works."""
    proxy = tcp_proxy("127.0.0.1", port)
    with connected(proxy) as client:
        assert ask(client) == b"hello"
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    with connected(proxy) as client:
        assert ask(client) == b"hello"
    assert proxy.connections == 2


def test_cut_refuses_until_it_heals(tcp_proxy: Proxies, port: int) -> None:
    """Nobody listens, and what was connected is closed; afterwards the address is the same."""
    proxy = tcp_proxy("127.0.0.1", port)
    address = proxy.port
    with connected(proxy) as client:
        assert ask(client) == b"hello"
        proxy.cut()
        assert client.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        connected(proxy)
    proxy.heal()
    with connected(proxy) as client:
        assert ask(client) == b"hello"
    assert proxy.port == address


def test_a_server_that_is_gone_looks_gone(tcp_proxy: Proxies) -> None:
    """The client's connection breaks when there is nothing behind the proxy."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        free = unused.getsockname()[1]
    proxy = tcp_proxy("127.0.0.1", free)
    with pytest.raises(ConnectionResetError), connected(proxy) as client:
        client.recv(1)


def test_leaves_nothing_behind(port: int) -> None:
    """After the block no thread runs, no socket is open, and clients see the end."""
    before = set(threading.enumerate())
    with TcpProxy("127.0.0.1", port) as proxy:
        clients = [connected(proxy) for _ in range(3)]
        assert [ask(client) for client in clients] == [b"hello"] * 3
        waiting = connected(proxy)
    ours = {t for t in threading.enumerate() if t.name == "resilient-proxy"}
    assert not ours - before
    for client in (*clients, waiting):
        # One that was not taken up yet sees a reset.
        with client, contextlib.suppress(ConnectionResetError):
            assert client.recv(1) == b""
    gc.collect()  # an open socket would warn now, and a warning is an error


@pytest.mark.parametrize("rate", [0, -1])
def test_refuses_impossible_weather(tcp_proxy: Proxies, port: int, rate: float) -> None:
    """A throttle of nothing is a black hole by another name; time does not run back."""
    proxy = tcp_proxy("127.0.0.1", port)
    with pytest.raises(ConfigError, match="throttle="):
        proxy.throttle(rate)
    with pytest.raises(ConfigError, match="delay="):
        proxy.delay(-1)

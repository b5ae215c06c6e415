"""Laws of the probes of TCP: real listeners, that accept, refuse, or have no room."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from resilient import probes
from resilient.errors import ConfigError
from tests.servers import HOST, free_port

LONG = 10.0
"""Seconds; a test that took so long would have failed."""
SOON = 0.1
"""Seconds that something which never answers is given."""

Ask = Callable[[str, int, float], None]


def ask_sync(host: str, port: int, timeout: float) -> None:
    """Ask once."""
    probes.tcp(host, port, timeout=timeout)()


def ask_async(host: str, port: int, timeout: float) -> None:
    """Ask once, on a loop of its own."""

    async def ask() -> None:
        await probes.tcp_async(host, port, timeout=timeout)()

    asyncio.run(ask())


both = pytest.mark.parametrize("ask", [ask_sync, ask_async])


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Somebody who listens."""
    with socket.create_server((HOST, 0)) as found:
        found.settimeout(LONG)
        yield found


@both
def test_a_listener_is_well_and_the_connection_is_closed(ask: Ask, listener: socket.socket) -> None:
    """The other side sees the end, whichever way it was closed."""
    ask(HOST, listener.getsockname()[1], LONG)
    accepted, _ = listener.accept()
    with accepted:
        accepted.settimeout(LONG)
        with contextlib.suppress(ConnectionResetError):
            assert accepted.recv(1) == b""


@both
def test_a_port_that_refuses_is_a_failure(ask: Ask) -> None:
    """Nobody listens."""
    with pytest.raises(ConnectionRefusedError):
        ask(HOST, free_port(), LONG)


@both
def test_a_listener_without_room_is_a_failure_in_time(ask: Ask) -> None:
    """Its queue is full, so the kernel answers nothing at all; the thread is let go."""
    with socket.create_server((HOST, 0), backlog=0) as full:
        taken = []
        try:
            for _ in range(8):
                one = socket.socket()
                one.settimeout(0)
                one.connect_ex(full.getsockname())
                taken.append(one)
            began = time.monotonic()
            with pytest.raises(TimeoutError):
                ask(HOST, full.getsockname()[1], SOON)
            assert SOON * 0.9 <= time.monotonic() - began < LONG
        finally:
            for one in taken:
                one.close()


@both
def test_the_second_address_of_a_name_has_its_share(
    ask: Ask, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name has two addresses, the first of which refuses."""
    real = socket.getaddrinfo(HOST, listener.getsockname()[1], type=socket.SOCK_STREAM)
    dead = socket.getaddrinfo(HOST, free_port(), type=socket.SOCK_STREAM)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: dead + real)
    ask("two.example", listener.getsockname()[1], LONG)


@both
def test_a_name_that_is_none_is_a_failure(ask: Ask) -> None:
    """Of the look-up."""
    with pytest.raises(OSError):  # noqa: PT011  (gaierror here, others elsewhere)
        ask("nobody.invalid", 80, LONG)


async def test_one_that_is_cancelled_leaves_nothing() -> None:
    """Neither a task nor a socket."""
    with socket.create_server((HOST, 0), backlog=0) as full:
        task = asyncio.create_task(probes.tcp_async(HOST, full.getsockname()[1])())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.parametrize(
    ("setting", "host", "port", "timeout"),
    [
        ("host", "", 80, 1),
        ("host", 7, 80, 1),
        ("port", "db", 0, 1),
        ("port", "db", 65536, 1),
        ("port", "db", True, 1),
        ("port", "db", "80", 1),
        ("timeout", "db", 80, 0),
    ],
)
@pytest.mark.parametrize("make", [probes.tcp, probes.tcp_async])
def test_bad_settings_are_refused_by_name(
    make: Callable[..., object], setting: str, host: object, port: object, timeout: object
) -> None:
    """When the probe is made."""
    with pytest.raises(ConfigError) as caught:
        make(host, port, timeout=timeout)
    assert caught.value.setting == setting


def test_no_thread_is_left() -> None:
    """Neither kind starts one that stays."""
    before = threading.active_count()
    with socket.create_server((HOST, 0)) as found:
        ask_sync(HOST, found.getsockname()[1], LONG)
        ask_async(HOST, found.getsockname()[1], LONG)
    assert threading.active_count() <= before

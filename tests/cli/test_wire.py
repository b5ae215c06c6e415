"""The demo's HTTP and its recorded prices do what the story relies on."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from resilient.cli.demo import prices, wire
from resilient.cli.demo.restorer import Restorer

PATIENCE = 5.0


async def echo(path: str) -> wire.Answer:
    """Answer the path; fail where it says so; never answer where it says so."""
    if path == "/fail":
        raise LookupError(path)
    if path == "/hang":
        await asyncio.Event().wait()
    return wire.Answer(200, path.encode(), {"X-Path": path})


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[tuple[wire.Client, socket.socket]]:
    """Serve `echo`, and give a client of it and the socket."""
    bound = wire.listen()
    server = await wire.serve(bound, echo)
    client = wire.Client(wire.port_of(bound))
    try:
        yield client, bound
    finally:
        client.close()
        server.close()
        # Let the connections notice, so that none is left to the garbage collector.
        for _ in range(5):
            await asyncio.sleep(0)


async def test_answers_over_one_connection_and_counts() -> None:
    """Requests one after the other share a connection; each is counted."""
    async with serving() as (client, _):
        for path in ("/a", "/b", "/c"):
            assert (await client.get(path))[:2] == (200, path.encode())
        assert client.sent == 3
        assert len(client._idle) == 1


async def test_a_handler_that_raises_answers_500() -> None:
    """The connection lives on."""
    async with serving() as (client, _):
        assert (await client.get("/fail"))[:2] == (500, b"LookupError: /fail")
        answer = await client.get("/well")
        assert (answer.status, answer.headers["x-path"]) == (200, "/well")


async def test_a_timeout_drops_the_connection() -> None:
    """A late answer must not be taken for the next one."""
    async with serving() as (client, _):
        client.timeout = 0.05
        with pytest.raises(TimeoutError):
            await client.get("/hang")
        client.timeout = PATIENCE
        assert (await client.get("/next")).body == b"/next"


async def test_a_connection_closed_before_the_answer_is_an_error() -> None:
    """It is a `ConnectionError`, and so an `OSError` like every failure of the network."""

    async def slam(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    bound = wire.listen()
    async with await asyncio.start_server(slam, sock=bound):
        with pytest.raises(ConnectionError):
            await wire.Client(wire.port_of(bound)).get("/price/z01")


@pytest.mark.skipif(not hasattr(socket, "SO_REUSEPORT"), reason="the system cannot share a port")
async def test_a_held_port_refuses_until_somebody_listens() -> None:
    """While the upstream is down nobody can take its port, and connections are refused."""
    with wire.listen(shared=True) as held:
        port = wire.port_of(held)
        client = wire.Client(port)
        with pytest.raises(ConnectionRefusedError):
            await client.get("/a")
        server = await wire.serve(wire.listen(port, shared=True), echo)
        assert (await client.get("/a")).body == b"/a"
        client.close()
        server.close()
        await asyncio.sleep(0.01)


def test_prices_are_recorded(tmp_path: Path) -> None:
    """The last one wins, and a zone without one says so."""
    path = tmp_path / "prices.sqlite"
    prices.create(path)
    recorded = prices.Prices(path)
    recorded.write("z01", 1.0, 10.0)
    recorded.write("z01", 2.0, 11.0)
    assert recorded.read("z01") == (2.0, 11.0)
    with pytest.raises(LookupError, match="z02"):
        recorded.read("z02")
    for zone, price in (("z03", 1.5), ("z04", 9.0), ("z05", 0.5), ("z06", 1.9)):
        recorded.write(zone, price, 10.0)
    assert recorded.cheaper(2.0) == ["z06", "z03", "z05"]
    recorded.close()


def test_a_restored_file_wants_connections_reopened(tmp_path: Path) -> None:
    """A connection to the file that was there before cannot write; a new one can."""
    path = tmp_path / "prices.sqlite"
    prices.create(path)
    recorded = prices.Prices(path)
    recorded.write("z01", 1.0, 10.0)
    restorer = Restorer([str(path)])
    restorer.obey({"lock": True})
    restorer.obey({"lock": False})
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        recorded.write("z01", 2.0, 11.0)
    recorded.reopen()
    recorded.write("z01", 2.0, 11.0)
    assert recorded.read("z01") == (2.0, 11.0)
    recorded.close()


def test_a_lock_fails_reads_and_writes(tmp_path: Path) -> None:
    """What the restorer does to both services: SQLite gives up after its patience."""
    path = tmp_path / "prices.sqlite"
    prices.create(path)
    recorded = prices.Prices(path, patience=0.01)
    locker = sqlite3.connect(path, isolation_level=None)
    locker.execute("begin exclusive")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        recorded.read("z01")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        recorded.write("z01", 1.0, 10.0)
    locker.execute("rollback")
    locker.close()
    recorded.write("z01", 1.0, 10.0)
    recorded.close()

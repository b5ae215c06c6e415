"""What both services share: the HTTP front, the shape of an answer, the status for the views."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from resilient.cli.demo import child, wire

__all__ = ["OK", "Pricing", "Quote", "Setup", "Status", "main"]

OK = 200
STATUS_EVERY = 0.2

Status = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Quote:
    """An answer: the price, and where it came from, how fresh it is, of when, and why.

    `at` is the wall-clock time at which the price was live, `None` for a default; `suggestions` are
    cheaper zones, the extra that an answer can do without. `reasons` says what was tried before;
    `headers` go above the answer.
    """

    zone: str
    price: float
    at: float | None
    source: str
    freshness: str
    suggestions: Sequence[str] = ()
    reasons: tuple[str, ...] = ()
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Setup:
    """What a service is given: the upstream's port, the file of its database, and the pace.

    The pace is the length of the run as a share of the length that the script was written for.
    """

    upstream: int
    database: Path
    pace: float


class Pricing(Protocol):
    """What an arm of the demo is to the front."""

    async def quote(self, zone: str) -> Quote:
        """Return a price for `zone`."""
        ...

    def status(self) -> Status:
        """Return what the views show, as plain data."""
        ...


def main(make: Callable[[Setup], Pricing]) -> None:
    """Serve what `make` returns, until the parent is gone."""

    async def started(_: asyncio.Queue[child.Message]) -> None:
        port, database, pace = sys.argv[1:]
        pricing = make(Setup(int(port), Path(database), float(pace)))

        async def answer(path: str) -> wire.Answer:
            body = asdict(await pricing.quote(path.rpartition("/")[2]))
            headers = body.pop("headers")
            return wire.Answer(OK, json.dumps(body).encode(), headers)

        bound = wire.listen()
        async with await wire.serve(bound, answer):
            child.say(ready=wire.port_of(bound))
            while True:
                await asyncio.sleep(STATUS_EVERY)
                child.say(status=pricing.status())

    child.run(started)

"""What is known at a bad moment, written to a file that is whole or not there."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import time
from pathlib import Path
from typing import Any

import msgspec

from resilient.core.hub import hub
from resilient.policies.circuit_breaker import CircuitBreaker
from resilient.system.runbooks.context import RunContext
from resilient.system.shown import shown

__all__ = ["dump", "evidence_of", "snapshot_of", "write_whole"]

LONGEST = 40
"""Characters of a book's name in that of a file: most systems allow 255 bytes for all of it."""


def dump(directory: Path, context: RunContext, what: str, data: Any) -> str:
    """Write `data` as JSON, into a file named after run, time and process; returns its path.

    What JSON does not know is written as its ``repr``; if the whole cannot be put together, as when
    it holds itself or has keys that JSON has not, it is one long ``repr``. A file that is there
    stays: another one gets a number. Raises `OSError`.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(context.at))
    run = f"{context.book[:LONGEST]}-{context.number}"
    name = re.sub(r"[^\w.-]", "-", f"{run}-{stamp}-{os.getpid()}-{what}")
    more = itertools.chain([""], (f"-{n}" for n in itertools.count(2)))
    path = next(path for one in more if not (path := directory / f"{name}{one}.json").exists())
    write_whole(path, msgspec.json.format(_encoded(data)))
    return str(path)


def _encoded(data: Any) -> bytes:
    """Something is better than nothing: what was drained from a queue is nowhere else any more."""

    def whole(value: object) -> str:
        return shown(value, None)

    try:
        return msgspec.json.encode(msgspec.to_builtins(data, enc_hook=whole, str_keys=True))
    except Exception:  # noqa: BLE001  (odd keys, circles, halves of characters, what else)
        return msgspec.json.encode(ascii(data))


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that whoever looks finds all of it or none, even after a power cut.

    It is written under another name, brought to the disk, and renamed. Directories are made.
    Raises `OSError`; nothing is left behind then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    """Bring the name itself to the disk, where a system lets one do that."""
    with contextlib.suppress(OSError):
        handle = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def snapshot_of(context: RunContext) -> dict[str, Any]:
    """The mode with its reasons, every component, and every breaker that reports to it."""
    system = context.system
    explanation = system.explain()
    return {
        "run": context.run,
        "cause": context.cause,
        "at": context.at,
        "incident": context.incident,
        "trigger": context.trigger,
        "chain": context.chain,
        "failed": context.failed,
        "mode": explanation.mode.name,
        "state": explanation.state.name,
        "score": explanation.score,
        "reasons": explanation.reasons,
        "components": [_row(one) for one in explanation.contributions],
        "breakers": [_breaker(one) for one in _breakers(system)],
    }


def evidence_of(context: RunContext) -> dict[str, Any]:
    """A snapshot, and what came before: changes of mode, and runs of books."""
    system = context.system
    runs = [{"run": one.name, "told": str(one).splitlines()} for one in system.runs]
    return {**snapshot_of(context), "history": list(system.history), "runs": runs}


def _breakers(system: Any) -> list[CircuitBreaker]:
    found = [one for one in hub.reporting_to(system) if isinstance(one, CircuitBreaker)]
    return sorted(found, key=lambda one: one.name)


def _breaker(one: CircuitBreaker) -> dict[str, Any]:
    return {"name": one.name, "state": one.state.value, "snapshot": one.snapshot()}


def _row(row: Any) -> dict[str, Any]:
    fields = ("name", "weight", "health", "signal", "detail", "loss")
    return {name: getattr(row, name) for name in fields}

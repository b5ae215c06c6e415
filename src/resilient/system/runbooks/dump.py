"""What is known at a bad moment, written to a file that is whole or not there."""

from __future__ import annotations

import contextlib
import os
import re
import time
from pathlib import Path
from typing import Any

import msgspec

from resilient.core.hub import hub
from resilient.policies.circuit_breaker import CircuitBreaker
from resilient.system.runbooks.context import RunContext

__all__ = ["dump", "evidence_of", "snapshot_of", "write_whole"]


def dump(directory: Path, context: RunContext, what: str, data: Any) -> str:
    """Write `data` as JSON, into a file named after run, time and process; returns its path.

    What JSON does not know is written as its ``repr``. Raises `OSError`.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(context.at))
    name = f"{context.run}-{stamp}-{os.getpid()}-{what}.json"
    path = directory / re.sub(r"[^\w.-]", "-", name)
    encoded = msgspec.json.encode(msgspec.to_builtins(data, enc_hook=repr, str_keys=True))
    write_whole(path, msgspec.json.format(encoded))
    return str(path)


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

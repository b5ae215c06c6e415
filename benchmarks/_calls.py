"""Measuring a row that times one call: build the subjects, check them, time them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from _measure import Effort, Timings, measure, measure_async, ratio
from _result import Result
from ours import OURS
from peers import PEERS
from rows import CallRow
from stacks import STACKS

__all__ = ["measure_row"]

Fn = Callable[..., Any]

_OURS = ("ours", "reference", "function")
"""Subjects that must be there; all others are peers."""


def _tripped(guarded: Fn) -> None:
    """Fail `guarded` until it rejects."""
    for _ in range(30):
        try:
            guarded(1)
        except Exception as error:
            if not isinstance(error, ConnectionError):
                return
    message = "thirty failures did not make it reject"
    raise AssertionError(message)


async def _tripped_async(guarded: Fn) -> None:
    for _ in range(30):
        try:
            await guarded(1)
        except Exception as error:
            if not isinstance(error, ConnectionError):
                return
    message = "thirty failures did not make it reject"
    raise AssertionError(message)


def _build(row: CallRow, *, with_peers: bool) -> tuple[dict[str, Fn], dict[str, str]]:
    """Build the subjects of `row`; also say which of the others are missing, and why."""
    subjects: dict[str, Fn] = {
        "ours": OURS[row.ours](row.fn()),
        "reference": row.reference(row.fn()),
    }
    missing: dict[str, str] = {}
    for peer in (*PEERS, *STACKS) if with_peers else ():
        if peer.situation != row.peers or peer.name == row.reference_name:
            continue
        try:
            subjects[peer.name] = peer.build(row.fn())
        except ImportError as error:
            missing[peer.name] = f"missing: {error}"
        except Exception as error:
            missing[peer.name] = f"failed: {error!r}"
    if row.net:
        subjects["function"] = row.fn()
    return subjects, missing


async def _run_async(
    row: CallRow, effort: Effort, *, with_peers: bool
) -> tuple[dict[str, Timings], dict[str, str]]:
    subjects, missing = _build(row, with_peers=with_peers)
    for name, guarded in list(subjects.items()):
        try:
            if row.trips and name != "reference":
                await _tripped_async(guarded)
            elif row.answers and not (row.trips or row.raises):
                _expect(await guarded(1))
        except Exception as error:
            if name in _OURS:
                raise
            missing[name] = f"failed: {error!r}"
            del subjects[name]
    return await measure_async(subjects, raises=row.trips or row.raises, effort=effort), missing


def _run_sync(
    row: CallRow, effort: Effort, *, with_peers: bool
) -> tuple[dict[str, Timings], dict[str, str]]:
    subjects, missing = _build(row, with_peers=with_peers)
    for name, guarded in list(subjects.items()):
        try:
            if row.trips and name != "reference":
                _tripped(guarded)
            elif row.answers and not (row.trips or row.raises):
                _expect(guarded(1))
        except Exception as error:
            if name in _OURS:
                raise
            missing[name] = f"failed: {error!r}"
            del subjects[name]
    return measure(subjects, raises=row.trips or row.raises, effort=effort), missing


def _expect(answer: object) -> None:
    if answer != 1:
        message = f"it answered {answer!r}, so it is not what the row wants to time"
        raise AssertionError(message)


def measure_row(row: CallRow, effort: Effort, *, with_peers: bool = True) -> Result:
    """Measure one row in this process."""
    if row.is_async:
        times, missing = asyncio.run(_run_async(row, effort, with_peers=with_peers))
    else:
        times, missing = _run_sync(row, effort, with_peers=with_peers)
    base = times.get("function")
    less = base.median if base else 0.0
    ours, reference = times["ours"], times["reference"]
    return Result(
        id=row.id,
        what=row.what,
        target=row.target,
        ours=ours.median - less,
        reference=reference.median - less,
        reference_name=row.reference_name,
        ratio=ratio(ours, reference, base),
        peers={name: timings.median - less for name, timings in times.items() if name not in _OURS},
        missing=missing,
        note=row.note,
    )

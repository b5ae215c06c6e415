"""How results are shown: a table on the screen, one in the README, or JSON."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from _result import Result
from peers import PEERS
from stacks import STACKS

__all__ = ["as_json", "as_markdown", "as_text", "machine", "versions", "write_between_markers"]

_MILLISECOND = 1e6  # in ns

_PACKAGES = (
    "tenacity",
    "pybreaker",
    "cachetools",
    "structlog",
    "msgspec",
    "aiobreaker",
    "backoff",
    "circuitbreaker",
    "grelmicro",
    "hyx",
    "interlock-cb",
    "purgatory",
    "stamina",
)


def machine() -> str:
    """The kind of machine in a few words."""
    model = platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return f"{os.cpu_count()} cores {model}, {platform.system()}"


def versions() -> dict[str, str]:
    """Versions of Python and of every package that took part."""
    found = {"Python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "missing"
    return found


def _number(value: float, unit: str) -> str:
    if unit == "ns" and value >= _MILLISECOND:
        return f"{value / _MILLISECOND:,.1f} ms"
    return f"{value:,.0f} {unit}"


def _cells(result: Result) -> list[str]:
    sign = ">=" if result.at_least else "<="
    target = "-" if result.target is None else f"{sign} {result.target:g} x"
    verdict = {True: "pass", False: "MISS", None: ""}[result.passed]
    best = result.best_peer
    quotient = f"{result.ratio.value:.2f} ({result.ratio.low:.2f}..{result.ratio.high:.2f})"
    return [
        result.what,
        target,
        _number(result.ours, result.unit),
        f"{_number(result.reference, result.unit)} {result.reference_name}",
        quotient,
        verdict,
        f"{best[0]} {_number(best[1], result.unit)}" if best else "-",
    ]


_HEAD = ["what", "target", "ours", "reference", "ratio (middle half)", "", "best peer"]


def as_text(results: Sequence[Result]) -> str:
    """A table for the screen, and every peer of every row below it."""
    table = [_HEAD, *(_cells(result) for result in results)]
    widths = [max(len(row[column]) for row in table) for column in range(len(_HEAD))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]
    lines.append("")
    for result in results:
        for name, value in sorted(result.peers.items(), key=lambda pair: pair[1]):
            lines.append(f"{result.id}: {name} {_number(value, result.unit)}")
        lines += [f"{result.id}: {name} {why}" for name, why in result.missing.items()]
    return "\n".join(lines)


def as_json(results: Sequence[Result]) -> str:
    """Everything that was measured."""
    document = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "versions": versions(),
        "rows": [asdict(result) | {"passed": result.passed} for result in results],
    }
    return json.dumps(document, indent=2)


def as_markdown(results: Sequence[Result]) -> str:
    """The README's table, with what it was measured on."""
    lines = [
        f"Measured {datetime.now(UTC).date().isoformat()} on {machine()}; "
        + ", ".join(f"{name} {number}" for name, number in versions().items())
        + ".",
        "",
        "| " + " | ".join(_HEAD) + " |",
        "|" + "---|" * len(_HEAD),
    ]
    lines += ["| " + " | ".join(_cells(result)) + " |" for result in results]
    notes = [f"* {result.what}: {result.note}." for result in results if result.note]
    missing = [
        f"* {result.what}: {name} {why}."
        for result in results
        for name, why in result.missing.items()
    ]
    peers = _peer_lines(results)
    blocks = {
        "Notes": notes,
        "Not measured": missing,
        "All peers": peers,
        "How the peers differ from ours": _differences(results) if peers else [],
    }
    for title, block in blocks.items():
        if block:
            lines += ["", f"{title}:", "", *block]
    return "\n".join(lines)


def _peer_lines(results: Sequence[Result]) -> list[str]:
    lines = []
    for result in results:
        if len(result.peers) > 1:
            each = sorted(result.peers.items(), key=lambda pair: pair[1], reverse=result.at_least)
            told = ", ".join(f"{name} {_number(value, result.unit)}" for name, value in each)
            lines.append(f"* {result.id}: {told}")
    return lines


def _differences(results: Sequence[Result]) -> list[str]:
    measured = {name for result in results for name in result.peers}
    told: dict[str, list[str]] = {}
    for peer in (*PEERS, *STACKS):
        if peer.name in measured:
            told.setdefault(f"{peer.name}: {peer.differs}", []).append(peer.situation)
    return [f"* {text} ({', '.join(situations)})" for text, situations in sorted(told.items())]


def write_between_markers(path: Path, text: str) -> None:
    """Replace what stands between this Python version's markers in `path`."""
    label = f"overhead {sys.version_info.major}.{sys.version_info.minor}"
    begin, end = f"<!-- begin {label} -->", f"<!-- end {label} -->"
    page = path.read_text(encoding="utf-8")
    if begin not in page or end not in page:
        message = f"{path.name} has no markers {begin} and {end}"
        raise ValueError(message)
    head, rest = page.split(begin, 1)
    tail = rest.split(end, 1)[1]
    path.write_text(f"{head}{begin}\n{text}\n{end}{tail}", encoding="utf-8")

"""What a view is, and the one that needs no terminal: a plain line a second."""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import AbstractContextManager
from typing import Protocol, Self, TextIO

from resilient.cli.demo.arm import ARMS, FAILED, KINDS, Arm
from resilient.cli.demo.tally import Tally

__all__ = ["PlainView", "View", "recent"]


REPORTED = 0.4
"""Seconds in which the loader's records have surely arrived."""


class View(Protocol):
    """Shows the tally while it grows; a context manager that owns the screen meanwhile.

    `every` is the time between two updates, in seconds.
    """

    every: float

    def update(self, tally: Tally, now: float) -> None:
        """Show how things stand at `now` seconds."""
        ...

    def __enter__(self) -> Self:
        """Take the screen."""
        ...

    def __exit__(self, *_: object) -> None:
        """Give it back."""
        ...


def recent(arm: Arm, now: float) -> Counter[str]:
    """Return the kinds of answer of the last full second."""
    return arm.ended.get(int(now - REPORTED) - 1, Counter())


class PlainView(AbstractContextManager["PlainView"]):
    """Writes one line a second to `stream` (default: standard output)."""

    every = 1.0

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout

    def update(self, tally: Tally, now: float) -> None:
        """Write a line."""
        status = tally.status
        faults = " + ".join(kind.value for kind in tally.current_faults()) or "no fault"
        mode = f"{status.get('mode', 'NORMAL')} {status.get('score', 100):3.0f}"
        circuits = " ".join(f"{name}={state}" for name, state in status.get("circuits", {}).items())
        off = [name for name, state in status.get("features", {}).items() if state != "on"]
        circuits += f" off: {', '.join(off)}" if off else ""
        arms = " | ".join(f"{name}: {self._arm(tally.arms[name], now)}" for name in ARMS)
        self._stream.write(f"{now:3.0f} s  {faults} | {arms} | {mode} {circuits}\n")
        self._stream.flush()

    def __exit__(self, *_: object) -> None:
        """Nothing to give back."""

    @staticmethod
    def _arm(arm: Arm, now: float) -> str:
        counts = recent(arm, now)
        kinds = [f"{counts[kind]} {kind}" for kind in KINDS if counts[kind] and kind not in FAILED]
        failed = sum(counts[kind] for kind in FAILED)
        return ", ".join([*kinds, *([f"{failed} failed"] if failed else [])]) or "no answer"

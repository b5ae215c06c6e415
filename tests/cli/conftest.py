"""A made-up run of the demo, for what only needs to be drawn or counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from resilient.cli.demo import faults, loader
from resilient.cli.demo.faults import FaultKind
from resilient.cli.demo.loader import Record
from resilient.cli.demo.tally import Change, Note, Tally

_BARE = {FaultKind.KILL: "error", FaultKind.SLOW: "late", FaultKind.ERRORS: "error"}


@pytest.fixture
def tell() -> Callable[[float], Tally]:
    """Give what makes the tally of a run of some seconds in which all happened as it should."""
    return _tell


@pytest.fixture
def tally() -> Tally:
    """Give the tally of such a run of 45 seconds."""
    return _tell(45.0)


def _tell(seconds: float) -> Tally:
    tally = Tally(seconds, rate=40.0, seed=1)
    script = faults.script(seconds)
    for cue in faults.cues(script):
        tally.fault(cue.fault, cue.at, begins=cue.begins)
    for at, zone in loader.arrivals(40, seconds, seed=1):
        wrong = [fault.kind for fault in script if fault.start <= at < fault.end]
        bare = next((_BARE[kind] for kind in wrong if kind in _BARE), "live")
        protected = "default" if zone.startswith("new") else "database"
        protected = protected if wrong else "live"
        tally.record([Record("bare", at, 1.0 if bare == "late" else 0.004, bare)])
        quality = "reduced" if wrong else "full"
        tally.record([Record("protected", at, 0.006, protected, "fresh", not wrong, quality)])
    tally.changes.append(Change(5.0, "NORMAL", "DEGRADED", 60.0, ("upstream: <open> & refused",)))
    tally.changes.append(Change(9.0, "DEGRADED", "NORMAL", 97.0, ()))
    for i in range(int(seconds * 5)):
        tally.stand(_status(i / 5), i / 5)
    for at, said in ((0.5, "healthy"), (4.2, "unhealthy"), (4.8, "failed"), (9.6, "healthy")):
        tally.probe("upstream", said, at, "ConnectionRefusedError: <gone>")
    tally.notes.append(Note(4.6, "alert", "upstream: component failed", bad=True))
    tally.samples["normal"] = {"x-system-mode": "normal", "content-length": "7"}
    for at, state in ((0.0, "closed"), (4.5, "open"), (8.0, "half-open"), (8.1, "closed")):
        tally.circuit("upstream", state, at)
    return tally


def _status(at: float) -> dict[str, Any]:
    """What the service says of itself: not well from 5 s to 9 s, in one incident."""
    well = not 5 <= at < 9
    incident = {"number": 1, "at": 5.0, "worst": "DEGRADED", "detected_in": 0.5, "calls": 160,
                "lasted": 4.0 if at > 9 else None, "availability": 1.0}  # fmt: skip
    figures = {"latency": at / 1000, "throughput": 40.0, "error_rate": 0.0, "availability": 1.0}
    declared = {"latency": 0.02, "throughput": None, "error_rate": None, "availability": None}
    return {
        "mode": "NORMAL" if well else "DEGRADED",
        "score": 100.0 if well else 60.0,
        "features": {"suggestions": "on" if well else "shut"},
        "times": {"NORMAL": 40.0, "DEGRADED": 4.0, "EMERGENCY": 0.0},
        "incidents": [] if at < 5 else [incident],
        "impact": {"measured": figures, "expected": declared, "normal": declared,
                   "worse": {"latency": 12.0}},
    }  # fmt: skip

"""A made-up run of the demo, for what only needs to be drawn or counted."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from resilient.cli.demo import faults, loader
from resilient.cli.demo.faults import FaultKind
from resilient.cli.demo.tally import Change, Tally

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
        tally.record([("bare", at, 1.0 if bare == "late" else 0.004, bare, "")])
        tally.record([("protected", at, 0.006, protected, "fresh")])
    tally.changes.append(Change(5.0, "NORMAL", "DEGRADED", 60.0, ("upstream: <open> & refused",)))
    tally.changes.append(Change(9.0, "DEGRADED", "NORMAL", 97.0, ()))
    tally.scores += [(i / 5, 100.0 - i % 40) for i in range(int(seconds * 5))]
    for at, state in ((0.0, "closed"), (4.5, "open"), (8.0, "half-open"), (8.1, "closed")):
        tally.circuit("upstream", state, at)
    return tally

"""Whether an attempt to bring a component back has helped, and what is known of it meanwhile."""

from __future__ import annotations

import math
from typing import NamedTuple

from resilient.errors import CallTimeoutError
from resilient.system.decision.component import Standing
from resilient.system.decision.score import FAILED
from resilient.system.errand import Errand, Report
from resilient.system.ledger import Ledger
from resilient.system.probes.probe import Probe, ProbeStatus
from resilient.system.recoveries.rules import Sight
from resilient.system.shown import shown
from resilient.system.view import View

__all__ = ["Verdict", "Verifier", "sight_of", "verdict_of"]

WELL = (ProbeStatus.HEALTHY, ProbeStatus.DEGRADED)


class Verdict(NamedTuple):
    """What was found at instant `at`; no `error` means that it helped."""

    at: float
    error: str = ""


class _Asked(NamedTuple):
    """Which probe was asked, and which of its answers count."""

    probe: Probe
    done: int
    after: float


class Verifier:
    """Asks the probe of a component if it has one, else a function, if there is one.

    Example::

        if verifier.ask(after=now):
            ...  # some polls later
            verifier.verdict(now)
    """

    def __init__(self, name: str, ledger: Ledger, timeout: float) -> None:
        self.errand: Errand | None = None
        self._timeout = timeout
        self._name = name
        self._ledger = ledger
        self._asked: _Asked | None = None
        self._found: Verdict | None = None
        self._until = math.inf

    def ask(self, after: float) -> bool:
        """Find out about an attempt that ended at `after`; False if there is nobody to ask."""
        self.forget()
        probe = self._ledger.jobs.get((Probe.kind, self._name))
        if isinstance(probe, Probe):
            self._asked = _Asked(probe, probe.done, after)
            self._until = after + max(self._timeout, 2 * probe.rules.interval)
            probe.hasten()
            return True
        if self.errand is None:
            return False
        self._until = after + 2 * self._timeout
        if not self.errand.start():
            self._found = Verdict(after, "the verification before this one has not ended yet")
        return True

    def heard(self, found: Verdict) -> None:
        """The function has ended."""
        self._found = found._replace(error=f"not verified: {found.error}" if found.error else "")

    def verdict(self, now: float) -> Verdict | None:
        """What was found, once; `None` as long as nothing was."""
        found = self._found
        if found is None and self._asked is not None:
            found = self._said(self._asked)
        if found is None and now >= self._until:
            found = Verdict(now, "whoever was asked whether it helped did not answer")
        if found is not None:
            self.forget()
        return found

    def due(self) -> float:
        """When it is not waited for any longer."""
        return self._until

    def forget(self) -> None:
        """Nobody was asked."""
        self._asked = self._found = None
        self._until = math.inf

    def _said(self, asked: _Asked) -> Verdict | None:
        """The first answer to a question that the probe put after the attempt."""
        probe, last = asked.probe, asked.probe.last
        if self._ledger.jobs.get((Probe.kind, self._name)) is not probe:
            return Verdict(asked.after, "its probe was replaced meanwhile")
        if last is None or probe.done <= asked.done or last.at < asked.after:
            return None
        bad = "" if last.status in WELL else f"the probe says {last.status.value}: {last.detail}"
        return Verdict(last.at + last.seconds, bad)


def verdict_of(report: Report) -> Verdict:
    """When a run ended, and what was wrong with it; it may run code of the application's."""
    return Verdict(report.began + report.seconds, _trouble(report))


def _trouble(report: Report) -> str:
    error = report.error
    if isinstance(error, CallTimeoutError):
        return f"it did not end within {error.seconds:.3g} s"
    if error is not None:
        return shown(error)
    return "it returned False" if report.value is False else ""


def sight_of(name: str, view: View, ledger: Ledger) -> Sight:
    """What is known of a component, and what has to be well before it."""
    row = view.components.get(name)
    if row is None:
        return Sight(view.now)
    said = f"{name} is unknown"
    if row.health is not None:
        said = f"{name} is still {row.health:.2f} by {row.signal} ({row.detail})"
    failed = [one for one in set(_depends_on(name, ledger)) if _is_dead(one, view)]
    first = tuple(sorted(one for one in failed if name not in _ancestry(one, ledger)))
    return Sight(view.now, row.health, row.standing is Standing.BLIND, first, said)


def _is_dead(name: str, view: View) -> bool:
    health = view.health(name)
    return health is not None and health < FAILED


def _depends_on(name: str, ledger: Ledger) -> tuple[str, ...]:
    said = ledger.declared.get(name)
    return () if said is None else said.depends_on or ()


def _ancestry(name: str, ledger: Ledger) -> set[str]:
    """All that a component depends on, directly or not: two that need each other do not wait."""
    found: set[str] = set()
    ahead = [name]
    while ahead:
        new = set(_depends_on(ahead.pop(), ledger)) - found
        found |= new
        ahead += new
    return found

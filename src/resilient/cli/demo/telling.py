"""What the protected service tells the parent of itself: events as they come, and how it stands."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict

import resilient
from resilient import Mode, RecoveryStage, SystemOperationMode, alerts
from resilient.cli.demo import child, service

__all__ = ["standing", "tell_all"]


class Pager:
    """A channel of alerts: the log of the views."""

    def send(self, alert: alerts.Alert) -> None:
        """Pass the alert on."""
        child.say(note="alert", words=alert.title, bad=not alert.recovered)


def tell_all(mode: SystemOperationMode, circuits: Iterable[resilient.CircuitBreaker]) -> None:
    """Pass on what happens to `mode` and `circuits` from now on; runs on the dispatcher."""
    mode.on_change(_change)
    resilient.subscribe(resilient.CircuitChanged, _circuit)
    resilient.subscribe(resilient.ProbeChanged, _probe)
    resilient.subscribe(resilient.RecoveryChanged, _recovery)
    alerts.send(Pager(), rate=40, mode=mode)
    for policy in circuits:
        child.say(circuit=policy.name, state=policy.state.value)


def standing(mode: SystemOperationMode) -> service.Status:
    """How things stand, as plain data."""
    impact, times = mode.impact(), mode.statistics().time_in
    return {
        "mode": mode.current.name,
        "score": mode.score,
        "reasons": mode.reasons,
        "features": {found.name: found.state.value for found in mode.features},
        "probes": {name: _said(probe) for name, probe in mode.probes.items()},
        "recoveries": [str(found) for found in mode.recoveries.values()],
        "times": {one.name: times[one] for one in Mode},
        "incidents": [_incident(found) for found in mode.incidents],
        "impact": {
            "measured": asdict(impact.measured),
            "expected": asdict(impact.expected),
            "normal": asdict(impact.normal),
            "worse": dict(impact.worse),
        },
    }


def _said(probe: resilient.Probe) -> str:
    last = probe.last
    return "not asked yet" if last is None else f"{last.status.value}: {last.detail}"


def _incident(found: resilient.Incident) -> dict[str, object]:
    return {
        "number": found.number,
        "at": found.at,
        "worst": found.worst.name,
        "detected_in": found.detected_in,
        "lasted": found.lasted,
        "calls": found.calls,
        "availability": found.availability,
    }


def _change(change: resilient.ModeChange) -> None:
    child.say(
        change={
            "old": change.old.name,
            "new": change.new.name,
            "score": change.score,
            "reasons": change.reasons,
        }
    )


def _circuit(event: resilient.CircuitChanged) -> None:
    child.say(circuit=event.name, state=event.new.value)


def _probe(event: resilient.ProbeChanged) -> None:
    child.say(probe=event.name, state=event.new.value, detail=event.detail)


def _recovery(event: resilient.RecoveryChanged) -> None:
    """What became of an attempt; that one is waited for or under way is shown by the status."""
    attempt = f"{event.name}, attempt {event.attempt} of {event.of}: "
    if event.new is RecoveryStage.SUCCEEDED:
        child.say(note="recovery", words=attempt + "it helped", bad=False)
    elif event.error and event.old in (RecoveryStage.ATTEMPTING, RecoveryStage.VERIFYING):
        child.say(note="recovery", words=f"{attempt}no help: {event.error}", bad=True)

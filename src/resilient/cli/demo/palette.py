"""Colours and words that the chart and the page share."""

from __future__ import annotations

__all__ = ["FAULT", "FAULT_EDGE", "GRID", "INK", "KIND", "MODE", "MUTED", "STATE", "STATES"]

INK = "#1f2a37"
MUTED = "#5b6675"
GRID = "#e3e8ee"
FAULT = "#fbeaea"
FAULT_EDGE = "#c0504d"

KIND = {
    "live": "#3f9e73",
    "database": "#4f8fd6",
    "stale": "#f0b23e",
    "default": "#a68bd3",
    "late": "#eb9a94",
    "error": "#c94040",
}
"""The colour of a kind of answer."""

MODE = {
    "NORMAL": ("#dff1e7", "#1f6b49"),
    "DEGRADED": ("#fdeec9", "#7a5200"),
    "EMERGENCY": ("#f9d5d2", "#962a24"),
}
"""The ground and the ink of a mode."""

_WELL, _BETWEEN, _BAD, _OFF = "#bfe3cf", "#f0b23e", "#d9635c", "#97a3b4"

STATE = {
    **dict.fromkeys(("on", "closed", "healthy"), _WELL),
    **dict.fromkeys(("half-open", "degraded", "unhealthy"), _BETWEEN),
    **dict.fromkeys(("open", "failed"), _BAD),
    **dict.fromkeys(("shut", "frozen", "disabled"), _OFF),
}
"""The colour of the state of a feature, a circuit, or a component as its probe sees it."""

STATES = {
    "feature on, circuit closed, probe: healthy": _WELL,
    "circuit half-open, probe: degraded or unhealthy": _BETWEEN,
    "circuit open, probe: failed": _BAD,
    "feature off": _OFF,
}
"""What the colours of states mean."""

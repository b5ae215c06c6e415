"""Colours and words that the chart and the page share."""

from __future__ import annotations

__all__ = ["CIRCUIT", "FAULT", "FAULT_EDGE", "GRID", "INK", "KIND", "MODE", "MUTED"]

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

CIRCUIT = {"closed": "#bfe3cf", "open": "#d9635c", "half-open": "#f0b23e"}
"""The colour of a circuit's state."""

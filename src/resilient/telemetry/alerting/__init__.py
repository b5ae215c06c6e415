"""Alerts: which event is told, when, and to whom."""

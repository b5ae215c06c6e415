"""Fixtures that any test may ask for, and what holds for all property tests."""

from __future__ import annotations

from hypothesis import settings

from tests.servers import valkey

__all__ = ["valkey"]

# How long an example takes says how busy the machine is, and nothing about a law.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")

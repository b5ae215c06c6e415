"""Fixtures that any test may ask for."""

from __future__ import annotations

from tests.servers import valkey

__all__ = ["valkey"]

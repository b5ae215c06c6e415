"""Fixtures that any test may ask for, and what holds for all property tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from resilient.core.hub import hub
from tests.servers import valkey

__all__ = ["no_mode_of_another_test", "valkey"]

# How long an example takes says how busy the machine is, and nothing about a law.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")


@pytest.fixture(autouse=True)
def no_mode_of_another_test() -> Iterator[None]:
    """What policies learned in one test must not make those of the next one step back."""
    before = hub.swap_mode(None)
    yield
    hub.swap_mode(before)

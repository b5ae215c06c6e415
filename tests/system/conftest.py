"""A clock with hands that only a test turns."""

from __future__ import annotations

import pytest

from tests.hands import HandClock


@pytest.fixture
def clock() -> HandClock:
    """A clock of this test's own."""
    return HandClock(1000.0)

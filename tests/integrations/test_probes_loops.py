"""Laws of the probe of an event loop: seen from outside, so also when the loop sees nothing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from resilient import probes
from resilient.errors import ConfigError
from resilient.mode import Mode, SystemOperationMode
from resilient.system.probes.probe import ProbeStatus
from resilient.testing import ManualClock

HEALTHY, DEGRADED, _, FAILED = ProbeStatus
LONG = 10.0
"""Seconds; a test that took so long would have failed."""


class Home:
    """A loop on a thread of its own, that can be blocked."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.let_go = threading.Event()
        self.thread.start()

    def block(self) -> None:
        """Keep it from doing anything until `let_go`; it is blocked when this returns."""
        blocked = threading.Event()

        def hold() -> None:
            blocked.set()
            self.let_go.wait(LONG)

        self.loop.call_soon_threadsafe(hold)
        assert blocked.wait(LONG)

    def close(self) -> None:
        """Stop and close it."""
        self.let_go.set()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


@pytest.fixture
def home() -> Iterator[Home]:
    """A loop that runs."""
    made = Home()
    yield made
    if not made.loop.is_closed():
        made.close()


def test_a_loop_that_takes_turns_is_well(home: Home) -> None:
    """However often it is asked; it says how long it took."""
    lag = probes.loop_lag(home.loop, degraded_above=LONG, failed_above=LONG)
    for _ in range(3):
        found = lag()
        assert found.status is HEALTHY
        assert found.detail.startswith("lag ")


def test_a_loop_that_is_blocked_is_noticed_and_so_is_its_return(home: Home) -> None:
    """While it is blocked, not afterwards."""
    strict = probes.loop_lag(home.loop, degraded_above=0.01, failed_above=0.02)
    mild = probes.loop_lag(home.loop, degraded_above=0.01, failed_above=LONG)
    home.block()
    assert strict().status is FAILED
    found = mild()
    assert found.status is DEGRADED
    assert found.detail.startswith("no sign for ")
    home.let_go.set()
    again = probes.loop_lag(home.loop, degraded_above=LONG, failed_above=LONG)
    assert again().status is HEALTHY


def test_a_lag_adds_up_over_questions(home: Home) -> None:
    """Each waits half a second at most, for the same sign; no second one is sent meanwhile."""
    lag = probes.loop_lag(home.loop, degraded_above=0.1, failed_above=0.9)
    home.block()
    assert lag().status is DEGRADED
    found = lag()
    assert found.status is FAILED
    assert found.detail.startswith("no sign for ")


async def test_the_loop_that_runs_is_the_default() -> None:
    """Asked from another thread, as the mode does."""
    lag = probes.loop_lag(degraded_above=LONG, failed_above=LONG)
    found = await asyncio.to_thread(lag)
    assert found.status is HEALTHY


def test_a_loop_that_is_closed_is_a_failure(home: Home) -> None:
    """Each time."""
    lag = probes.loop_lag(home.loop)
    home.close()
    for _ in range(2):
        with pytest.raises(RuntimeError, match="closed"):
            lag()


def test_a_blocked_loop_takes_the_process_out_of_rotation(home: Home) -> None:
    """EMERGENCY and not ready while it is blocked; the mode's time is the test's."""
    clock = ManualClock()
    mode = SystemOperationMode(clock=clock)
    patient = probes.loop_lag(home.loop, degraded_above=LONG, failed_above=LONG)
    strict = probes.loop_lag(home.loop, degraded_above=0.01, failed_above=0.02)
    lag = patient
    mode.probe("event loop", lambda: lag(), interval=1, jitter=0, trips=True)  # noqa: PLW0108  (it changes)

    def look() -> tuple[Mode, bool]:
        clock.advance(1)
        mode.evaluate()
        assert mode.flush()
        return mode.current, mode.ready()

    assert look() == (Mode.NORMAL, True)
    home.block()
    lag = strict
    assert look() == (Mode.EMERGENCY, False)
    assert look() == (Mode.EMERGENCY, False)
    home.let_go.set()
    lag = patient
    assert look() == (Mode.EMERGENCY, True)
    for _ in range(120):
        look()
    assert look() == (Mode.NORMAL, True)
    mode.close()


@pytest.mark.parametrize(
    ("setting", "given"),
    [
        ("loop", {}),
        ("loop", {"loop": 7}),
        ("degraded_above", {"degraded_above": 0}),
        ("failed_above", {"failed_above": -1}),
        ("failed_above", {"degraded_above": 2, "failed_above": 1}),
    ],
)
def test_bad_settings_are_refused_by_name(
    home: Home, setting: str, given: dict[str, object]
) -> None:
    """When the probe is made; a loop must run there, or be given."""
    given = given if setting == "loop" else {"loop": home.loop, **given}
    with pytest.raises(ConfigError) as caught:
        probes.loop_lag(**given)  # type: ignore[arg-type]  # wrong on purpose
    assert caught.value.setting == setting

"""A test gets a world of its own, and the process its old one back."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from pathlib import Path

import pytest

import resilient
from resilient import (
    CircuitOpened,
    CircuitState,
    Mode,
    breaker,
    configure,
    fallback,
    stale,
    value,
)
from resilient.clock import system_clock
from resilient.core.hub import hub
from resilient.errors import CircuitOpenError
from resilient.testing import ManualClock, Resilience, isolated

shared = breaker("shared", failure_threshold=1, reset_timeout=60)


@shared
def fail() -> None:
    """Does."""
    raise ConnectionError


def test_time_is_the_manual_clock(resilience: Resilience) -> None:
    """A policy without a clock of its own follows it; an hour's wait takes none."""
    with pytest.raises(ConnectionError):
        fail()
    with pytest.raises(CircuitOpenError) as refusal:
        fail()
    assert refusal.value.retry_after == 60
    resilience.clock.advance(60)
    with pytest.raises(ConnectionError):
        fail()


def test_time_is_the_machines_again_afterwards() -> None:
    """Nothing follows the manual clock once the block is left, even by an error."""
    with contextlib.suppress(ZeroDivisionError), isolated():
        assert system_clock.monotonic() == 0
        _ = 1 / 0
    assert system_clock.monotonic is time.monotonic
    assert system_clock.sleep is time.sleep


def test_the_default_mode_is_fresh(resilience: Resilience) -> None:
    """It is this test's own, and hears the policies that name no mode."""
    assert resilient.default_mode() is resilience.mode
    assert resilience.mode.current is Mode.NORMAL
    with pytest.raises(ConnectionError):
        fail()
    resilience.clock.advance(30)
    assert any("shared" in reason for reason in resilience.mode.reasons)
    assert resilience.mode.current is not Mode.NORMAL


def test_the_default_mode_comes_back() -> None:
    """Whoever asked before and asks again gets the same one."""
    before = resilient.default_mode()
    with isolated() as world:
        assert resilient.default_mode() is world.mode is not before
    assert resilient.default_mode() is before


def test_events_are_recorded_in_order(resilience: Resilience) -> None:
    """Each is there as soon as it happened, and can be asked for by type."""
    with pytest.raises(ConnectionError):
        fail()
    (opened,) = resilience.events.of(CircuitOpened)
    assert (opened.name, opened.at) == ("shared", 0)
    resilience.clock.advance(5)
    shared.close()
    assert [event.name for event in resilience.events].count("shared") >= 2
    assert resilience.events[-1].at == 5


def test_recording_ends() -> None:
    """What happens later is nobody's business."""
    with isolated() as world:
        pass
    shared.force_open()
    shared.reset()
    assert not world.events


def test_a_breaker_begins_closed_and_ends_as_it_was() -> None:
    """A test neither meets nor leaves what other calls did to a breaker."""
    shared.open()
    with isolated() as world:
        assert shared.state is CircuitState.CLOSED
        with pytest.raises(ConnectionError):
            fail()
        world.clock.advance(1e6)
    assert shared.state is CircuitState.OPEN
    with pytest.raises(CircuitOpenError) as refusal:
        fail()
    assert refusal.value.retry_after == pytest.approx(60, abs=5)
    shared.reset()


@pytest.mark.parametrize("switch", ["force_open", "disable", "metrics_only"])
def test_what_was_set_by_hand_stays(switch: str) -> None:
    """A breaker that an operator has switched stays switched, in the test and after it."""
    getattr(shared, switch)()
    state = shared.state
    with isolated():
        assert shared.state is state
        shared.close()
    assert shared.state is state
    shared.reset()


def test_a_breaker_made_meanwhile_lives_on() -> None:
    """What a test imports for the first time keeps working in real time."""
    with isolated() as world:
        world.clock.advance(1e9)
        late = breaker("late", failure_threshold=1, reset_timeout=1e5)
        with pytest.raises(ZeroDivisionError):
            late.call(lambda: 1 / 0)
        assert late.state is CircuitState.OPEN
    assert late.state is CircuitState.CLOSED
    assert late.call(abs, -1) == 1
    assert late.metrics.calls == 1


def test_answers_that_are_kept_stay_in_their_world() -> None:
    """A test meets no answer from outside, its own stay inside, and those from before come back."""
    answers: list[object] = ["before"]

    @fallback(stale(max_age=60), value("default"))
    def rate() -> object:
        if not answers:
            raise ConnectionError
        return answers.pop()

    assert rate() == "before"
    with isolated() as world:
        assert rate() == "default"
        world.clock.advance(3600)
        answers.append("inside")
        assert (rate(), rate()) == ("inside", "inside")
        world.clock.advance(61)
        assert rate() == "default"
    assert rate() == "before"
    with isolated():
        assert rate() == "default"


def test_answers_kept_by_what_a_test_has_made_end_with_it() -> None:
    """A fallback that a test imports for the first time remembers nothing of it."""
    answers = ["inside"]
    with isolated():

        @fallback(stale(), value("default"))
        def rate() -> object:
            if not answers:
                raise ConnectionError
            return answers.pop()

        assert (rate(), rate()) == ("inside", "inside")
    assert rate() == "default"


def test_the_emergency_switch_comes_back() -> None:
    """A test that switches the library off leaves it switched on."""
    with isolated():
        resilient.set_active(False)
    assert hub.active


def test_the_loop_of_the_fixture_lives_on_its_clock(resilience: Resilience) -> None:
    """`run` needs no plugin for asyncio, and no time."""
    resilience.run(resilience.clock.sleep_async(3600))
    assert resilience.clock.monotonic() == 3600


def test_an_own_clock_is_left_alone(resilience: Resilience) -> None:
    """A policy that was given a clock keeps it."""
    own = ManualClock(100)
    with_own = breaker("own", clock=own)
    resilience.clock.advance(1)
    with_own.call(abs, -1)
    assert with_own.clock.monotonic() == 100


def test_the_plugin_costs_nothing_unused() -> None:
    """Loading it loads no part of the kit, and no event loop's driver."""
    script = (
        "import sys, resilient.testing.plugin\n"
        "heavy = ('resilient.testing.', 'resilient.core.aio')\n"
        "print(*(m for m in sys.modules if m.startswith(heavy)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["resilient.testing.plugin"]


def test_the_plugin_is_found_by_pytest(pytestconfig: pytest.Config) -> None:
    """Installing the distribution is all that is needed for the fixtures."""
    assert pytestconfig.pluginmanager.hasplugin("resilient")


def test_settings_of_a_test_end_with_it(tmp_path: Path) -> None:
    """What `configure` said inside does not reach what comes after."""
    nowhere = tmp_path / "resilient.toml"
    nowhere.write_text("")
    made = breaker("settled")
    with isolated():
        configure(path=nowhere, environ={}, breaker={"failure_threshold": 1})
        assert "1 failure" in made.describe()
    assert "5 failures" in made.describe()

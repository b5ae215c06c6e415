"""The worked example of "How the mode is decided", with real breakers: it holds to the last digit.

Every figure is read off the page, so whoever changes a constant is told to change the page.
"""

from __future__ import annotations

import re
from contextlib import suppress

import pytest

from resilient import CircuitBreaker, Mode, SystemOperationMode, breaker
from resilient.system.decision.steady import Steady
from resilient.system.settings import DEFAULTS
from resilient.testing import ManualClock
from tests.source import PROJECT

PAGE = (PROJECT / "docs" / "explanation" / "mode.md").read_text("utf-8")


def table(heading: str) -> list[list[str]]:
    """The rows below a heading row of the page, without heading and rule."""
    _, _, rest = PAGE.partition(heading)
    found = []
    for line in rest.splitlines()[2:]:
        if not line.startswith("|"):
            break
        found.append([cell.strip() for cell in line.strip("|").split("|")])
    assert found, heading
    return found


def last_number(text: str) -> float:
    """The result at the end of a calculation."""
    return float(re.findall(r"\d+\.\d+", text)[-1])


def number(pattern: str) -> float:
    """The one figure that a pattern finds on the page."""
    (found,) = re.findall(pattern, PAGE)
    return float(found)


class Shop:
    """The shop of the page: four breakers of one mode, before anything went wrong."""

    def __init__(self, redis: str = "high") -> None:
        self.clock = ManualClock()
        self.mode = SystemOperationMode(clock=self.clock)
        self.guards = {
            name: breaker(
                name,
                criticality=criticality,
                failure_rate=0.9,
                reset_timeout=60,
                mode=self.mode,
                clock=self.clock,
            )
            for name, criticality in (
                ("payments", "critical"),
                ("orders-db", "critical"),
                ("redis", redis),
                ("search", "medium"),
            )
        }
        self.mode.evaluate()

    def calls(self, name: str, *answered: bool) -> None:
        """Calls through a breaker, of which some are answered."""
        guard: CircuitBreaker = self.guards[name]
        for well in answered:
            with suppress(ConnectionError):
                guard.call(_answer, well)

    def goes_wrong(self) -> None:
        """What the page tells, all at one instant."""
        self.calls("payments", *[True] * 40)
        self.calls("orders-db", *[True] * 40)
        self.calls("search", *[True, True, True, False] * 10)
        self.calls("redis", *[False] * 5)
        self.mode.evaluate()


def _answer(well: bool) -> None:  # noqa: FBT001  (an argument of a call)
    if not well:
        raise ConnectionError


@pytest.fixture
def shop() -> Shop:
    """A shop in which it has just happened."""
    made = Shop()
    made.goes_wrong()
    return made


def test_each_component_has_the_health_and_loss_of_the_page(shop: Shop) -> None:
    """Weights, criticalities, healths and losses, to four digits; nothing is left out."""
    rows = {row.name: row for row in shop.mode.explain().contributions}
    told = table("| component | weight | evidence | health | loss |")
    assert {name for name, *_ in told} == set(rows)
    for name, weight, _, health, loss in told:
        row = rows[name]
        assert weight == f"{row.weight:g} ({row.criticality.name})"
        assert row.health == pytest.approx(float(health), abs=5e-5)
        assert row.loss == pytest.approx(last_number(loss), abs=5e-5)


def test_mean_and_cap_are_those_of_the_page(shop: Shop) -> None:
    """What the losses leave, and the gate of redis."""
    told = shop.mode.explain()
    assert told.mean == pytest.approx(number(r"0\.1818 - 0\.0445 = (\d\.\d+)"), abs=5e-5)
    assert told.capped == number(r"Capped: (\d\.\d+)\.")
    assert [gate.component for gate in told.gates] == ["redis"]


def test_score_state_and_mode_over_time_are_those_of_the_page(shop: Shop) -> None:
    """Second by second, to four digits."""
    for seconds, smoothed, state, mode in table("| seconds | smoothed | state | mode |"):
        shop.clock.advance(float(seconds) - shop.clock.monotonic())
        told = shop.mode.explain()
        assert told.smoothed == pytest.approx(float(smoothed), abs=5e-5), seconds
        assert (told.state.name, told.mode.name) == (state, mode), seconds


def test_the_change_and_the_way_back_are_those_of_the_page(shop: Shop) -> None:
    """DEGRADED 2.915 s after it began, NORMAL 51.13 s after redis is back."""
    shop.clock.advance(60)
    for name in shop.guards:
        shop.calls(name, *[True] * 40)
    shop.mode.evaluate()
    shop.clock.advance(80)
    worse, better = shop.mode.history
    assert worse.at == pytest.approx(number(r"DEGRADED after (\d\.\d+) s: not"), abs=5e-3)
    assert better.at - 60 == pytest.approx(
        number(r"48 s later, (\d+\.\d+) s after redis"), abs=5e-3
    )
    assert (worse.new, better.new) == (Mode.DEGRADED, Mode.NORMAL)


def test_what_would_be_if_redis_mattered_more_or_less() -> None:
    """CRITICAL: an EMERGENCY at once. MEDIUM: no gate, and a mean that is just NORMAL."""
    more, less = Shop("critical"), Shop("medium")
    more.goes_wrong()
    less.goes_wrong()
    assert more.mode.current is Mode.EMERGENCY
    less.clock.advance(20)
    told = less.mode.explain()
    assert (told.mode, told.gates) == (Mode.NORMAL, ())
    assert told.mean == pytest.approx(number(r"0\.98/20 = (\d\.\d+)"), abs=5e-5)


def test_the_times_are_those_of_the_page() -> None:
    """A fall to 0 and back, a fall to 70 and back: each instant to a hundredth."""
    told = table("| what happens to the score | mode | after |")
    made: list[tuple[str, float]] = []
    for low in (0.0, 0.7):
        steady = Steady(DEFAULTS, now=0.0)
        for begin, score in ((0.0, low), (1000.0, 1.0)):
            steady.feed(score)
            made += [(one.new.name, one.at - begin) for one in steady.advance(begin + 1000)]
    assert [mode for _, mode, _ in told] == [mode for mode, _ in made]
    for (_, _, after), (_, seconds) in zip(told, made, strict=True):
        assert seconds == pytest.approx(last_number(after), abs=5e-3)

"""Laws of naming a cascade."""

from __future__ import annotations

import pytest

from resilient.core.ports import Criticality
from resilient.system.decision.cascade import Onsets, name_cascade
from resilient.system.decision.component import Standing
from resilient.system.decision.score import Contribution


def chain(since: dict[str, float], **depends_on: tuple[str, ...]) -> tuple[str, ...]:
    """The chain that is named, empty for none."""
    found = name_cascade(since, depends_on, window=30.0)
    return found.chain if found else ()


def test_undeclared_failures_join_within_the_window_of_the_trigger() -> None:
    """Thirty seconds after the first failure it is the same cascade; later it is another one."""
    assert chain({"redis": 0.0, "web": 30.0}) == ("redis", "web")
    assert chain({"redis": 0.0, "web": 30.1}) == ()


def test_one_failure_is_no_cascade() -> None:
    """A lone failure names no chain."""
    assert chain({"redis": 0.0}) == ()
    assert chain({}) == ()


def test_declared_dependants_are_followed_link_by_link() -> None:
    """Each link has its own window, so a declared chain may outlast one."""
    found = chain({"db": 0.0, "api": 25.0, "web": 50.0}, api=("db",), web=("api",))
    assert found == ("db", "api", "web")


def test_what_declares_other_dependencies_does_not_join() -> None:
    """A failure explained by nothing that failed stands alone."""
    assert chain({"redis": 0.0, "web": 5.0}, web=("queue",)) == ()


def test_the_dependency_is_the_trigger_even_if_its_caller_noticed_first() -> None:
    """Declared knowledge beats the order in which breakers happened to open."""
    assert chain({"web": 0.0, "db": 2.0}, web=("db",)) == ("db", "web")


def test_a_circle_of_dependencies_is_survived() -> None:
    """Nonsense declarations name something, and end."""
    assert set(chain({"a": 0.0, "b": 1.0}, a=("b",), b=("a",))) == {"a", "b"}


@pytest.mark.parametrize(
    ("health", "failed"), [(0.39, True), (0.5, True), (0.69, True), (0.70, False), (None, False)]
)
def test_the_onset_is_kept_until_the_component_is_well(health: float | None, failed: bool) -> None:  # noqa: FBT001
    """A trial call of a half-open circuit (0.5) is no recovery: who failed first stays first."""
    onsets = Onsets()
    row = Contribution("db", 1.0, Criticality.LOW, Standing.KNOWN, 0.0)
    onsets.update([row], 5.0)
    later = Contribution("db", 1.0, Criticality.LOW, Standing.KNOWN, health)
    onsets.update([later], 9.0)
    assert onsets.since == ({"db": 5.0} if failed else {})

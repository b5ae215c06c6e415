"""Laws of naming a cascade."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


names = st.sampled_from("abcdefg")
failing = st.dictionaries(names, st.integers(0, 12).map(lambda tenth: tenth * 10.0), max_size=7)
needs = st.dictionaries(names, st.lists(names, max_size=3, unique=True).map(tuple), max_size=7)


@given(failing, needs)
def test_the_chain_is_what_joining_one_by_one_gives(
    since: dict[str, float], depends_on: dict[str, tuple[str, ...]]
) -> None:
    """By the rule itself, however slowly: the first that may join does, until nobody may."""
    needed = {name: tuple(one for one in deps if one != name) for name, deps in depends_on.items()}
    order = sorted(since, key=lambda name: (since[name], name))

    def caused(cause: str, name: str) -> bool:
        return cause in needed.get(name, ()) and abs(since[name] - since[cause]) <= 30

    def joins(name: str, chain: list[str]) -> bool:
        late = since[name] - since[chain[0]]
        alone = not needed.get(name) and 0 <= late <= 30
        return name not in chain and (alone or any(caused(one, name) for one in chain))

    longest: list[str] = []
    for trigger in [n for n in order if not any(caused(o, n) for o in order)] or order:
        grown = [trigger]
        while more := [name for name in order if joins(name, grown)]:
            grown.append(more[0])
        longest = max(longest, grown, key=len)
    expected = tuple(longest) if len(longest) > 1 else ()
    assert chain(since, **needed) == expected


def test_a_thousand_that_fail_together_are_named_at_once() -> None:
    """Each is looked at about once, and not once for every pair of the others."""
    looked = 0

    class Counted(dict[str, float]):
        def __getitem__(self, name: str) -> float:
            nonlocal looked
            looked += 1
            return super().__getitem__(name)

    since = Counted({f"c{number}": 0.0 for number in range(1000)})
    found = name_cascade(since, {}, window=30.0)
    assert found is not None
    assert len(found.chain) == 1000
    assert looked < 10_000

"""A feature serves down to a mode; beyond it is answered for or refused, and says why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import resilient
from resilient import (
    ConfigError,
    Criticality,
    FallbackUsed,
    FeatureState,
    FeatureSwitched,
    FeatureUnavailableError,
    Freshness,
    Mode,
    SystemOperationMode,
    breaker,
    feature,
    stale,
)
from resilient.core.hub import hub
from resilient.testing import ManualClock
from resilient.testing.loop import run
from tests.laws.harness import history, in_threads

MODES = list(Mode)


class World:
    """A clock, a mode on it, and features of that mode that never look by themselves."""

    def __init__(self) -> None:
        self.clock = ManualClock(1000)
        self.mode = SystemOperationMode(clock=self.clock)

    def feature(self, name: str = "search", **settings: Any) -> Any:
        """One that lets no call pass to look, unless told otherwise."""
        settings = {"mode": self.mode, "clock": self.clock, "probe_every": None, **settings}
        return feature(name, **settings)

    def be(self, mode: Mode) -> None:
        """Let the mode be that."""
        self.mode.force(mode, reason="a test")


@pytest.fixture
def world() -> World:
    """One of this test's own."""
    return World()


def ask(user: int) -> str:
    """The feature itself."""
    return f"asked for {user}"


async def ask_async(user: int) -> str:
    """The same for a loop."""
    return f"asked for {user}"


@pytest.mark.parametrize("current", MODES)
@pytest.mark.parametrize("down_to", MODES)
def test_it_serves_down_to_its_mode(world: World, down_to: Mode, current: Mode) -> None:
    """By every surface: made while the mode is no worse than `down_to`, else refused."""
    gate = world.feature(down_to=down_to)
    world.be(current)
    serves = MODES.index(current) <= MODES.index(down_to)

    class Shop:
        @gate
        def ask(self, user: int) -> str:
            return ask(user)

    def in_block() -> str:
        with gate:
            return ask(1)

    async def in_async_block() -> str:
        async with gate:
            return ask(1)

    surfaces: list[Callable[[], Any]] = [
        lambda: gate(ask)(1),
        lambda: gate.call(ask, 1),
        lambda: run(gate(ask_async)(1), world.clock),
        lambda: Shop().ask(1),
        lambda: resilient.retry(on=OSError)(gate(ask))(1),
        in_block,
        lambda: run(in_async_block(), world.clock),
    ]
    assert gate.enabled is serves
    for surface in surfaces:
        if serves:
            assert surface() == "asked for 1"
        else:
            with pytest.raises(FeatureUnavailableError) as refusal:
                surface()
            assert (refusal.value.name, refusal.value.mode) == ("search", current.name)
    assert gate.rejected == (0 if serves else len(surfaces))


async def from_cache(user: int) -> str:
    """An async answer."""
    return f"cached {user}"


# otherwise, the answer for user 7, its source, its freshness
ANSWERS: list[tuple[object, object, str, Freshness]] = [
    ([], [], "default", Freshness.DEFAULT),
    (None, None, "default", Freshness.DEFAULT),
    (lambda user: user + 1, 8, "<lambda>", Freshness.FRESH),
    (resilient.value("off", source="notice"), "off", "notice", Freshness.DEFAULT),
    (
        resilient.alternative(lambda _: "old", source="archive", freshness=Freshness.STALE),
        "old",
        "archive",
        Freshness.STALE,
    ),
]


@pytest.mark.parametrize(("otherwise", "answer", "source", "freshness"), ANSWERS)
def test_otherwise_answers_and_says_what_it_is(
    world: World, otherwise: object, answer: object, source: str, freshness: Freshness
) -> None:
    """A value, a function of the arguments, a named alternative; `def` and `async def` alike."""
    gate = world.feature(otherwise=otherwise)
    guarded, guarded_async = gate(ask), gate(ask_async)
    assert guarded(7) == "asked for 7"
    world.be(Mode.DEGRADED)
    assert guarded(7) == answer
    assert run(guarded_async(7), world.clock) == answer
    found = resilient.outcome(guarded, 7)
    assert (found.value, found.source, found.freshness) == (answer, source, freshness)
    assert [type(reason) for reason in found.reasons] == [FeatureUnavailableError]
    assert found.attempts == 0


def test_an_async_answer_is_awaited(world: World) -> None:
    """For an `async def`; a `def` that has one is refused when it is decorated."""
    gate = world.feature(otherwise=from_cache)
    world.be(Mode.EMERGENCY)
    assert run(gate(ask_async)(7), world.clock) == "cached 7"
    with pytest.raises(TypeError, match="from_cache"):
        gate(ask)


def test_the_last_good_answer_may_answer(world: World) -> None:
    """`stale()` remembers what the feature said while it served."""
    guarded = world.feature(otherwise=stale(clock=world.clock))(ask)
    guarded(1)
    world.be(Mode.DEGRADED)
    assert resilient.outcome(guarded, 1).freshness is Freshness.STALE
    with pytest.raises(FeatureUnavailableError):
        guarded(2)


def test_otherwise_is_for_this_feature_alone(world: World) -> None:
    """An error of the function, or a refusal of another feature inside, passes through."""
    inner = world.feature("inner", probe_every=None)

    def fails(_: int) -> str:
        raise LookupError

    with pytest.raises(LookupError):
        world.feature(otherwise=[])(fails)(1)
    nested = world.feature("outer", down_to="emergency", otherwise=[])(inner(ask))
    world.be(Mode.DEGRADED)
    with pytest.raises(FeatureUnavailableError) as refusal:
        nested(1)
    assert refusal.value.name == "inner"


def test_a_block_cannot_be_answered_for(world: World) -> None:
    """With `otherwise` a `with` is refused, shut or not, and says what to do."""
    gate = world.feature(otherwise=[])

    async def block() -> None:
        async with gate:
            pytest.fail("entered")

    with pytest.raises(TypeError, match="otherwise"), gate:
        pytest.fail("entered")
    with pytest.raises(TypeError, match="otherwise"):
        run(block(), world.clock)


@pytest.mark.parametrize(("every", "passing"), [(10, [0, 10, 20, 30]), (7, [0, 7, 14, 21, 28])])
def test_once_in_a_while_a_call_passes_to_look(
    world: World, every: float, passing: list[int]
) -> None:
    """One in `probe_every` seconds while the mode has shut it; none while frozen or disabled."""
    gate = world.feature(probe_every=every, otherwise="shut")
    guarded = gate(ask)
    world.be(Mode.EMERGENCY)
    passed = []
    for second in range(31):
        passed += [second] if guarded(1) != "shut" else []
        world.clock.advance(1)
    assert passed == passing
    world.clock.advance(100)
    gate.disable("a test")
    assert guarded(1) == "shut"
    gate.enable()
    world.mode.freeze("a test")
    assert guarded(1) == "shut"
    world.mode.thaw()
    assert guarded(1) == "asked for 1"


def test_the_only_user_of_a_component_does_not_starve_it(world: World) -> None:
    """A CRITICAL breaker behind a shut feature closes again, the mode recovers, and it serves."""
    down = True

    @feature("reports", mode=world.mode, clock=world.clock, otherwise="later")
    @breaker(
        "db",
        failure_threshold=1,
        reset_timeout=20,
        mode=world.mode,
        criticality=Criticality.CRITICAL,
        clock=world.clock,
    )
    def report() -> str:
        if down:
            raise ConnectionError
        return "served"

    with pytest.raises(ConnectionError):
        report()
    assert world.mode.current is Mode.EMERGENCY
    down, answers = False, []
    for _ in range(300):
        world.clock.advance(1)
        try:
            answers.append(report())
        except resilient.CircuitOpenError:  # a look, while the breaker is open
            answers.append("open")
    assert answers[15] == "later"
    assert answers[-60:] == ["served"] * 60
    assert world.mode.current is Mode.NORMAL


def test_its_answers_do_not_soften_a_component(world: World) -> None:
    """The mode shut it, so that it can answer proves nothing about what is inside."""
    guarded = world.feature(otherwise=[])(breaker("db", clock=world.clock)(ask))
    world.be(Mode.DEGRADED)
    with history() as seen:
        guarded(1)
    used = [event for event in seen if isinstance(event, FallbackUsed)]
    assert [(event.source, event.inside) for event in used] == [("default", ())]


def test_the_kill_switch(world: World) -> None:
    """Off until it is put back, or for `ttl` seconds; the mode and a freeze go on beside it."""
    gate = world.feature(down_to="emergency")
    guarded = gate(ask)
    gate.disable("wrong prices")
    assert not gate.enabled
    world.clock.advance(1e6)
    with pytest.raises(FeatureUnavailableError, match="switched off: wrong prices") as refusal:
        guarded(1)
    assert refusal.value.retry_after is None
    assert gate.enable()
    assert not gate.enable()
    assert guarded(1) == "asked for 1"
    gate.disable("wrong prices", ttl=60)
    world.clock.advance(45)
    with pytest.raises(FeatureUnavailableError) as refusal:
        guarded(1)
    assert refusal.value.retry_after == 15
    world.clock.advance(15)
    assert guarded(1) == "asked for 1"
    assert not gate.enable()


def test_the_switch_is_published(world: World) -> None:
    """Who finds a feature off wants to know when, why and for how long; nothing else is news."""
    gate = world.feature()
    with history() as seen:
        gate.disable("wrong prices", ttl=60)
        gate.enable()
        gate.enable()
        gate.disable("for good")
    found = [
        (event.name, event.enabled, event.reason, event.seconds, event.severity.value)
        for event in seen
        if isinstance(event, FeatureSwitched)
    ]
    assert found == [
        ("search", False, "wrong prices", 60, "warning"),
        ("search", True, None, None, "info"),
        ("search", False, "for good", None, "warning"),
    ]


def test_the_mode_lists_its_features(world: World) -> None:
    """By name, with state, reason, time left and refusals; those of other modes are not shown."""
    gates = {name: world.feature(name) for name in ("d", "c", "b", "a")}
    gates["e"] = world.feature("e", down_to="degraded")
    other = feature("z", mode=SystemOperationMode(clock=world.clock))
    world.be(Mode.DEGRADED)
    gates["b"].disable("why not", ttl=10)
    world.mode.freeze("restoring", ttl=20, features=["c"])
    with pytest.raises(FeatureUnavailableError):
        gates["a"].call(ask, 1)
    found = [
        (one.name, one.state, one.ends_in, one.refused, one.down_to) for one in world.mode.features
    ]
    assert found == [
        ("a", FeatureState.SHUT, None, 1, Mode.NORMAL),
        ("b", FeatureState.DISABLED, 10, 0, Mode.NORMAL),
        ("c", FeatureState.FROZEN, 20, 0, Mode.NORMAL),
        ("d", FeatureState.SHUT, None, 0, Mode.NORMAL),
        ("e", FeatureState.ON, None, 0, Mode.DEGRADED),
    ]
    assert [str(one) for one in world.mode.features] == [
        "a: not in DEGRADED: it serves down to NORMAL",
        "b: switched off: why not, for 10 s more",
        "c: frozen: restoring, for 20 s more",
        "d: not in DEGRADED: it serves down to NORMAL",
        "e: on",
    ]
    assert other.enabled


def test_the_default_mode_is_found_when_it_is_needed(resilience: Any) -> None:
    """A feature made at import obeys, and is listed by, whatever the default mode is."""
    gate = feature("search", probe_every=None)
    assert gate.call(ask, 1) == "asked for 1"
    resilience.mode.force(Mode.DEGRADED, reason="a test")
    with pytest.raises(FeatureUnavailableError):
        gate.call(ask, 1)
    assert [one.name for one in resilience.mode.features if one.refused] == ["search"]


def test_while_the_library_is_inactive_everybody_passes(world: World) -> None:
    """`set_active(False)`: function, block and `enabled`; nothing is counted."""
    gate = world.feature()
    world.be(Mode.EMERGENCY)
    gate.disable("a test")
    resilient.set_active(False)
    try:
        assert gate(ask)(1) == "asked for 1"
        assert gate.enabled
        with gate:
            pass
    finally:
        resilient.set_active(True)
    assert gate.rejected == 0


def test_threads_may_ask_while_it_is_switched(world: World) -> None:
    """Each call is made or answered instead, every refusal is counted once, and nobody hangs."""
    gate = world.feature(otherwise="instead")
    guarded = gate(ask)
    told: list[str] = []

    def work(index: int) -> None:
        for number in range(40):
            if index:
                told.append(guarded(1))
            elif number % 4 == 0:
                gate.disable("a test")
            elif number % 4 == 1:
                world.mode.freeze("a test")
                gate.enable()
            elif number % 4 == 2:
                world.mode.thaw()
                world.be(Mode.EMERGENCY)
            else:
                world.be(Mode.NORMAL)

    in_threads(work, 5, traced=True)
    assert set(told) <= {"instead", "asked for 1"}
    assert gate.rejected == told.count("instead")
    assert guarded(1) == "asked for 1"


def test_what_was_known_can_be_taken_over(world: World) -> None:
    """Refusals and the kill switch with what is left of its time; bad data is refused."""
    gate, twin = world.feature(), world.feature()
    gate.disable("why not", ttl=10)
    with pytest.raises(FeatureUnavailableError):
        gate.call(ask, 1)
    world.clock.advance(4)
    twin.restore(gate.snapshot())
    assert (twin.rejected, twin.status.reason, twin.status.ends_in) == (
        1,
        "switched off: why not",
        6,
    )
    gate.reset()
    assert (gate.rejected, gate.enabled) == (0, False)
    gate.enable()
    twin.restore(gate.snapshot())
    assert twin.enabled
    bad: Any
    for bad in ({}, {"rejected": 0}, {"rejected": -1, "disabled": None}, None):
        with pytest.raises(ConfigError):
            twin.restore(bad)


@pytest.mark.parametrize(
    ("settings", "setting"),
    [
        ({"name": ""}, "name"),
        ({"mode": 3}, "mode"),
        ({"down_to": "worse"}, "down_to"),
        ({"probe_every": 0}, "probe_every"),
        ({"clock": 3}, "clock"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], setting: str) -> None:
    """Law 12: the error names the setting."""
    make: Callable[..., Any] = feature
    with pytest.raises(ConfigError) as error:
        make(**{"name": "search", **settings})
    assert error.value.setting == setting


@pytest.mark.parametrize(
    ("given", "setting"), [(("", None), "reason"), ((3, None), "reason"), (("why", -1), "ttl")]
)
def test_a_switch_needs_a_reason(world: World, given: Any, setting: str) -> None:
    """Whoever finds it switched off at night wants to know why."""
    with pytest.raises(ConfigError) as error:
        world.feature().disable(*given)
    assert error.value.setting == setting


def test_what_it_says_of_itself(world: World) -> None:
    """Two lines: what answers, and the feature."""
    gate = world.feature(otherwise=[])
    assert resilient.describe(gate(ask)).splitlines()[:2] == [
        "otherwise: default",
        "   +- feature('search'): serves down to NORMAL",
    ]
    assert gate in hub.policies()

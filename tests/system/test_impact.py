"""What a degradation costs: expected, measured, and the difference in percent."""

from __future__ import annotations

import asyncio
import threading

import pytest

from resilient import ConfigError, Mode, SystemOperationMode, outcome
from resilient.system.impact.figures import Performance, expected_in, impact, measured
from resilient.system.impact.traffic import Served, Traffic
from resilient.testing import ManualClock

# The figures of the source document on graceful degradation: 50 ms, 1000 per second, 0.1 %, 99.9 %
# in normal operation; 200 ms, 500, 1 %, 99 % degraded; 500 ms, 100, 5 %, 95 % in an emergency.
DECLARED = {
    Mode.NORMAL: Performance(0.050, 1000, 0.001, 0.999),
    Mode.DEGRADED: Performance(0.200, 500, 0.01, 0.99),
    Mode.EMERGENCY: Performance(0.500, 100, 0.05, 0.95),
}


@pytest.fixture
def clock() -> ManualClock:
    """A clock that begins in the middle of nowhere."""
    return ManualClock(1000.25)


@pytest.fixture
def mode(clock: ManualClock) -> SystemOperationMode:
    """A mode with the figures above."""
    mode = SystemOperationMode(clock=clock)
    for one, figures in DECLARED.items():
        mode.expect(
            one,
            latency=figures.latency,
            throughput=figures.throughput,
            error_rate=figures.error_rate,
            availability=figures.availability,
        )
    return mode


@pytest.mark.parametrize(
    ("mode", "worse"),
    [
        (Mode.NORMAL, {"latency": 0, "throughput": 0, "error_rate": 0, "availability": 0}),
        (
            Mode.DEGRADED,
            {"latency": 300, "throughput": 50, "error_rate": 900, "availability": 0.9009009},
        ),
        (
            Mode.EMERGENCY,
            {"latency": 900, "throughput": 90, "error_rate": 4900, "availability": 4.9049049},
        ),
    ],
)
def test_worse_is_told_in_percent_of_normal(mode: Mode, worse: dict[str, float]) -> None:
    """A figure as declared for a mode is as many percent worse than NORMAL as by hand."""
    found = impact(mode, DECLARED[mode], DECLARED)
    assert found.worse == pytest.approx(worse)
    assert found.than_expected == pytest.approx(dict.fromkeys(worse, 0.0))


def test_what_is_unknown_has_no_percentage() -> None:
    """Neither an undeclared figure nor a base of zero makes up a number."""
    declared = {Mode.NORMAL: Performance(latency=0.05, error_rate=0.0)}
    found = impact(Mode.NORMAL, Performance(latency=0.1, throughput=3, error_rate=0.5), declared)
    assert found.worse == pytest.approx({"latency": 100})


def test_an_undeclared_mode_is_expected_to_be_like_the_next_better() -> None:
    """DEGRADED declared: so is EMERGENCY; nothing declared: nothing known."""
    declared = {Mode.NORMAL: DECLARED[Mode.NORMAL], Mode.DEGRADED: DECLARED[Mode.DEGRADED]}
    assert expected_in(Mode.EMERGENCY, declared) == DECLARED[Mode.DEGRADED]
    assert expected_in(Mode.NORMAL, {Mode.DEGRADED: DECLARED[Mode.DEGRADED]}) == Performance()


def test_measured_by_hand() -> None:
    """Four calls in two of five seconds, one of them failing, one second mostly failing."""
    seconds = [Served(3, 0, 0.6), Served(1, 1, 0.2)]
    assert measured(seconds, 5.0) == Performance(0.2, 0.8, 0.25, 0.5)


def test_nothing_served_is_no_failure() -> None:
    """Without a request only the throughput is known, and it is zero."""
    assert measured([], 60.0) == Performance(throughput=0.0)


def test_requests_are_measured_where_they_come_in(
    mode: SystemOperationMode, clock: ManualClock
) -> None:
    """Ten calls of 0.1 s, every second one failing: mean, rate and share are exact."""

    @mode.traffic(window=10)
    def handle(number: int) -> int:
        clock.advance(0.1)
        if number % 2:
            raise ConnectionError(number)
        return number

    clock.advance(9.0)
    for number in range(10):
        outcome(handle, number)
    now = mode.impact().measured
    assert (now.latency, now.throughput, now.error_rate) == pytest.approx((0.1, 1.0, 0.5))
    assert mode.impact().worse["latency"] == pytest.approx(100.0)
    assert "latency  0.1  0.05  0.05  +100.0 % worse" in str(mode.impact())


def test_old_seconds_leave_the_window(mode: SystemOperationMode, clock: ManualClock) -> None:
    """What ended before the window is forgotten, and the totals are not."""
    serving = mode.traffic(window=5)
    for _ in range(200):
        with serving:
            clock.advance(0.5)
    assert len(serving._buckets) <= 6
    assert sum(second.calls for second in serving.seconds()) == pytest.approx(10, abs=1)
    clock.advance(100)
    assert serving.seconds() == []
    assert serving.totals.calls == 200


def test_there_is_one_traffic(mode: SystemOperationMode) -> None:
    """However often it is asked for."""
    assert mode.traffic(window=7) is mode.traffic()
    assert mode.traffic().window == 7
    assert isinstance(mode.traffic(), Traffic)


def test_who_gave_up_is_not_counted(mode: SystemOperationMode) -> None:
    """A request whose client went away was neither answered nor failed."""

    @mode.traffic()
    async def handle() -> None:
        await asyncio.sleep(3600)

    async def leave() -> None:
        task = asyncio.ensure_future(handle())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(leave())
    assert mode.traffic().totals.calls == 0


def test_counts_are_exact_for_many_threads(mode: SystemOperationMode) -> None:
    """8 threads with 2000 requests each are 16,000 requests, a quarter of them failed."""

    @mode.traffic()
    def handle(number: int) -> None:
        if number % 4 == 0:
            raise ConnectionError(number)

    def work() -> None:
        for number in range(2000):
            outcome(handle, number)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert mode.traffic().totals == (16_000, 4000)


def test_nothing_is_measured_without_traffic(mode: SystemOperationMode) -> None:
    """Expected figures are no measurement."""
    assert mode.impact().measured == Performance()
    assert mode.impact().expected == DECLARED[Mode.NORMAL]


@pytest.mark.parametrize(
    ("setting", "value"),
    [("latency", 0), ("throughput", -1), ("error_rate", 1.5), ("availability", "high")],
)
def test_a_bad_figure_is_refused(mode: SystemOperationMode, setting: str, value: object) -> None:
    """The error names the figure."""
    with pytest.raises(ConfigError, match=f"^{setting}="):
        mode.expect("normal", **{setting: value})  # type: ignore[arg-type]  # that is the point
    with pytest.raises(ConfigError, match=r"^window="):
        SystemOperationMode().traffic(window=0)


def test_an_incident_is_timed_and_weighed(mode: SystemOperationMode, clock: ManualClock) -> None:
    """Detected after, worst mode, duration and the share of requests answered meanwhile."""
    serving = mode.traffic()
    health = mode.metric("db", weight=1.0)

    def live(seconds: int, value: float, *, failing: bool) -> None:
        for number in range(seconds):
            health.set(value)
            try:
                with serving:
                    if failing and number % 2:
                        raise ConnectionError
            except ConnectionError:
                pass
            clock.advance(1.0)
            mode.evaluate()

    live(10, 1.0, failing=False)
    live(40, 0.0, failing=True)
    (going_on,) = mode.incidents
    assert going_on.lasted is None
    live(200, 1.0, failing=False)
    (incident,) = mode.incidents
    changes = mode.history
    assert (incident.number, incident.worst, incident.forced) == (1, Mode.EMERGENCY, False)
    assert incident.detected_in == pytest.approx(mode.statistics().mean_time_to_detect)
    assert incident.lasted == pytest.approx(changes[-1].at - changes[0].at)
    assert incident.lasted == pytest.approx(mode.statistics().mean_time_to_recover)
    assert incident.reasons == changes[0].reasons
    assert incident.failures == pytest.approx(20, abs=2)
    assert incident.availability == pytest.approx(1 - incident.failures / incident.calls)


def test_a_forced_mode_is_an_incident_of_its_own_kind(
    mode: SystemOperationMode, clock: ManualClock
) -> None:
    """Nobody detected it, and without requests nothing is known of them."""
    mode.force("degraded", reason="migration", ttl=10)
    clock.advance(5)
    (incident,) = mode.incidents
    assert (incident.forced, incident.detected_in, incident.availability) == (True, None, None)

"""Waiting for a place under an adaptive limit: the same rules as at a bulkhead."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

import resilient
from resilient import ConfigError, ThrottledError, adaptive_limit, criticality
from resilient.core.waiting import Waiting
from resilient.testing import ManualClock
from resilient.testing.loop import run


async def settle() -> None:
    """Give everybody his turn."""
    for _ in range(10):
        await asyncio.sleep(0)


def limit(places: int, **settings: Any) -> Any:
    """A limit that stays where it is, with a queue of 3."""
    bounds = {"initial": places, "min": places, "max": places}
    return adaptive_limit("db", **{**bounds, "queue": 3, **settings})


async def test_a_burst_waits_and_is_answered() -> None:
    """What is beyond the limit waits for a place instead of being refused, up to the queue."""
    gate = limit(2, partitions={"high": 1.0})
    proceed = asyncio.Event()
    order: list[int] = []

    @gate
    async def work(number: int) -> None:
        order.append(number)
        await proceed.wait()

    tasks = [asyncio.create_task(work(number)) for number in range(5)]
    await settle()
    assert (gate.in_flight, gate.queued) == (2, 3)
    with pytest.raises(ThrottledError, match="every place in the queue"):
        await work(5)
    proceed.set()
    await asyncio.gather(*tasks)
    assert order == [0, 1, 2, 3, 4]
    assert (gate.in_flight, gate.queued, gate.admitted, gate.rejected) == (0, 0, 5, 1)


async def test_who_matters_more_does_not_wait_behind_who_matters_less() -> None:
    """LOW calls wait for their share; a CRITICAL one, for which there is room, passes them."""
    gate = limit(4)  # LOW: 2 in flight, HIGH: 3, CRITICAL: 4
    proceed = asyncio.Event()
    order: list[str] = []

    @gate
    async def work(level: str) -> None:
        order.append(level)
        await proceed.wait()

    tasks = []
    for level in ("low", "low", "low", "high", "critical", "critical"):
        tasks.append(asyncio.create_task(criticality(level)(work)(level)))
        await settle()
    assert order == ["low", "low", "high", "critical"]
    assert (gate.in_flight, gate.queued) == (4, 2)
    proceed.set()
    await asyncio.gather(*tasks)
    assert order[4:] == ["critical", "low"]
    assert (gate.in_flight, gate.queued) == (0, 0)


def test_a_place_comes_free_with_every_kind_of_end() -> None:
    """An answer, a drop, an abandoned call and a departure all wake who is next."""
    gate = limit(1)
    ends: list[Any] = [
        resilient.Outcome(1),
        resilient.Outcome(error=TimeoutError()),
        resilient.Outcome(error=LookupError()),
        None,
    ]
    permit: Any = gate.admit()
    for end in ends:
        place: Any = gate.admit()
        assert isinstance(place, Waiting)
        woken: list[None] = []
        place.notify(partial(woken.append, None))
        assert woken == []
        gate.settle(permit, end)
        assert woken == [None]
        permit = place.finish()
        assert not isinstance(permit, ThrottledError)
    departing, staying = gate.admit(), gate.admit()
    departing.notify(lambda: None)
    staying.notify(lambda: None)
    gate.settle(permit, None)
    departing.cancel()
    permit = staying.finish()
    assert not isinstance(permit, ThrottledError)
    gate.settle(permit, None)
    assert (gate.in_flight, gate.queued, gate.waiting) == (0, 0, False)


def test_a_predicate_that_raises_strands_nobody() -> None:
    """A user's own `on` may fail; the place is free all the same, and who waits has it."""

    def fails(error: Exception) -> bool:
        raise LookupError(error)

    gate = limit(1, on=fails)
    permit: Any = gate.admit()
    place: Any = gate.admit()
    place.notify(lambda: None)
    with pytest.raises(LookupError):
        gate.settle(permit, resilient.Outcome(error=ValueError()))
    permit = place.finish()
    assert not isinstance(permit, ThrottledError)
    gate.settle(permit, None)
    assert (gate.in_flight, gate.queued) == (0, 0)


def test_waiting_ends_with_patience() -> None:
    """After `max_wait`, a refusal that says how long it took."""
    clock = ManualClock()
    gate = limit(1, max_wait=0.25, clock=clock)
    with gate, pytest.raises(ThrottledError, match=r"1 in flight.*within 0\.25 s"):
        gate.call(lambda: None)
    assert clock.monotonic() == 0.25
    assert (gate.in_flight, gate.queued) == (0, 0)


def test_a_limit_that_grows_lets_in_who_waits() -> None:
    """Growth makes places, and nobody sleeps through that."""
    clock = ManualClock()
    gate = adaptive_limit("db", algorithm="aimd", initial=1, min=1, max=50, queue=30, clock=clock)

    @gate
    async def work() -> None:
        await asyncio.sleep(0.1)

    async def scene() -> None:
        await asyncio.gather(*(work() for _ in range(31)))

    run(scene(), clock)
    assert gate.limit > 1
    assert gate.admitted == 31
    assert clock.monotonic() < 3.1
    assert (gate.in_flight, gate.queued) == (0, 0)


def test_a_limit_that_is_restored_lets_in_who_waits() -> None:
    """A greater limit makes places at once, not only when the next call ends."""
    gate = adaptive_limit("db", algorithm="aimd", initial=1, queue=3, clock=ManualClock())
    held = gate.admit()
    places = [gate.admit() for _ in range(3)]
    for place in places:
        assert isinstance(place, Waiting)
        place.notify(lambda: None)
    gate.restore({"limit": 4, "base": 0.0})  # of which HIGH may use 90 %, rounded up
    assert (gate.in_flight, gate.queued, gate.waiting) == (4, 0, False)
    for permit in (held, *(place.finish() for place in places)):
        gate.settle(permit, None)
    assert gate.in_flight == 0


def test_switched_off_who_waits_passes() -> None:
    """The emergency switch lets everybody in, uncounted."""
    gate = limit(1)
    permit: Any = gate.admit()
    place: Any = gate.admit()
    place.notify(lambda: None)
    try:
        resilient.set_active(False)
        passed = place.finish()
        assert not isinstance(passed, ThrottledError)
        gate.settle(permit, None)
    finally:
        resilient.set_active(True)
    gate.settle(passed, None)
    assert (gate.in_flight, gate.queued) == (0, 0)


def test_a_child_has_no_waiters() -> None:
    """Law 15: who waits is the parent's."""
    gate = limit(1)
    gate.admit()
    place: Any = gate.admit()
    place.notify(lambda: None)
    gate.after_fork()
    assert (gate.in_flight, gate.queued, gate.waiting) == (0, 0, False)
    with gate:
        assert gate.in_flight == 1


@pytest.mark.parametrize(
    ("settings", "setting"),
    [
        ({"queue": -1}, "queue"),
        ({"queue": 0, "max_wait": 1}, "max_wait"),
        ({"order": "random"}, "order"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], setting: str) -> None:
    """Law 12: the error names the setting."""
    with pytest.raises(ConfigError) as error:
        limit(1, **settings)
    assert error.value.setting == setting

"""Faults reach every policy of their name, do what they say, and are gone afterwards."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator

import pytest

import resilient
from resilient import CallTimeoutError, CircuitOpenError, breaker, point, retry, timeout
from resilient.core.hub import hub
from resilient.errors import ConfigError
from resilient.testing import Fault, InjectedFault, Resilience, isolated

# Made at import, as an application would, long before any fixture.
payments = breaker("payments", failure_threshold=3, reset_timeout=60)
ledger = point("ledger")


@payments
def charge(order: int) -> str:
    """Pays."""
    return f"paid {order}"


@payments
async def charge_async(order: int) -> str:
    """Pays, in time."""
    return f"paid {order}"


@ledger
def book(order: int) -> str:
    """Writes down."""
    return f"booked {order}"


class Shop:
    """Has protected methods."""

    @payments
    def charge(self, order: int) -> str:
        """Pays."""
        return f"{type(self).__name__} paid {order}"


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    """After each test, everything works as if it had never been otherwise."""
    yield
    assert not hub.faults
    assert (charge(1), book(1), Shop().charge(1)) == ("paid 1", "booked 1", "Shop paid 1")


Use = Callable[[], object]


def blocks() -> None:
    """Use a breaker as a context manager."""
    with payments:
        pass


async def async_blocks() -> None:
    """Use a breaker as an async context manager."""
    async with payments:
        pass


@pytest.mark.parametrize(
    "use",
    [
        lambda: charge(1),
        lambda: Shop().charge(1),
        lambda: asyncio.run(charge_async(1)),
        lambda: payments.call(abs, -1),
        lambda: asyncio.run(payments.call(asyncio.sleep, 0)),
        blocks,
        lambda: asyncio.run(async_blocks()),
    ],
    ids=["function", "method", "coroutine", "call", "async call", "with", "async with"],
)
def test_reaches_every_way_of_use(resilience: Resilience, use: Use) -> None:
    """Whatever passes a policy of that name fails, counts as its failure, and opens it."""
    resilience.faults.at("payments").fail(LookupError)
    for _ in range(3):
        with pytest.raises(LookupError):
            use()
    with pytest.raises(CircuitOpenError):
        use()
    assert resilience.faults.at("payments").struck == 3


def test_reaches_what_is_protected_later(resilience: Resilience) -> None:
    """A function decorated inside the test, after the fault was set, obeys it too."""
    resilience.faults.at("late").fail()

    @breaker("late")
    def call() -> None: ...

    with pytest.raises(InjectedFault):
        call()
    resilience.faults.undo()
    call()


def test_reaches_a_point_and_nothing_else(resilience: Resilience) -> None:
    """A name hits its own."""
    resilience.faults.at("ledger").fail(LookupError)
    with pytest.raises(LookupError):
        book(1)
    assert charge(1) == "paid 1"


def test_an_unset_fault_does_nothing(resilience: Resilience) -> None:
    """To ask for a fault is not to set it."""
    resilience.faults.at("payments")
    assert charge(1) == "paid 1"


def test_fails_so_many_times(resilience: Resilience) -> None:
    """After that many failures the dependency is well again; a retry sees it through."""
    resilience.faults.at("payments").fail(ConnectionError, times=2)
    assert retry(on=ConnectionError, attempts=3)(charge)(7) == "paid 7"


def test_raises_a_fresh_copy_each_time(resilience: Resilience) -> None:
    """An error given as an object keeps its arguments, and gathers no traceback."""
    given = ConnectionError("no route")
    resilience.faults.at("payments").fail(given)
    seen = []
    for _ in range(2):
        with pytest.raises(ConnectionError, match="no route") as caught:
            charge(1)
        seen.append(caught.value)
    assert seen[0] is not seen[1]
    assert given.__traceback__ is None


def test_a_delay_passes_on_the_clock(resilience: Resilience) -> None:
    """It takes time for the policies, none for the test."""
    resilience.faults.at("payments").delay(30, jitter=10)
    assert charge(1) == "paid 1"
    assert 20 <= resilience.clock.monotonic() <= 40


def test_a_delay_runs_into_a_timeout(resilience: Resilience) -> None:
    """On the jumping loop, a slow dependency is given up at the limit and not later."""
    resilience.faults.at("payments").delay(30)
    with pytest.raises(CallTimeoutError):
        resilience.run(timeout(2)(charge_async)(1))
    assert resilience.clock.monotonic() == pytest.approx(2, abs=0.1)


def test_a_hang_runs_into_a_timeout(resilience: Resilience) -> None:
    """What never answers is given up at the limit, at once."""
    resilience.faults.at("payments").hang()
    with pytest.raises(CallTimeoutError):
        resilience.run(timeout(2)(charge_async)(1))
    assert resilience.clock.monotonic() == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize("release", [Fault.clear, None], ids=["clear", "end of the test"])
def test_a_hanging_thread_is_released(release: Callable[[Fault], object] | None) -> None:
    """A thread that hangs goes on when the fault is cleared, at the latest with the test's end."""
    raised: list[Exception | None] = []
    with isolated() as world:
        fault = world.faults.at("payments").hang()
        thread = threading.Thread(target=lambda: raised.append(resilient.outcome(charge, 1).error))
        thread.start()
        while not fault.struck:
            thread.join(0.001)
        assert not raised
        if release is not None:
            release(fault)
            thread.join(5)
    thread.join(5)
    assert [type(error) for error in raised] == [InjectedFault]


def test_a_test_does_not_hang_itself(resilience: Resilience) -> None:
    """Where nothing could end a hang, it is refused with a way out."""
    resilience.faults.at("payments").hang()
    with pytest.raises(RuntimeError, match=r"\.delay\(seconds\)"):
        charge(1)


def test_corrupts_results(resilience: Resilience) -> None:
    """The function runs; its caller gets something else."""
    resilience.faults.at("payments").corrupt(str.upper)
    assert charge(1) == "PAID 1"
    assert asyncio.run(charge_async(2)) == "PAID 2"


def hits(resilience: Resilience, seed: int) -> list[bool]:
    """Which of 200 calls failed."""
    resilience.faults.at("ledger").clear().rate(0.3, seed=seed)
    return [resilient.outcome(book, n).error is not None for n in range(200)]


def test_a_rate_is_repeatable(resilience: Resilience) -> None:
    """The same seed hits the same calls; about the share that was asked for."""
    first, again, other = (hits(resilience, seed) for seed in (1, 1, 2))
    assert first == again != other
    assert 40 <= sum(first) <= 80


def test_a_rate_limits_what_else_is_set(resilience: Resilience) -> None:
    """It says how often, the rest says with what."""
    fault = resilience.faults.at("ledger").corrupt(str.upper).rate(0.5)
    results = {book(1) for _ in range(50)}
    assert results == {"booked 1", "BOOKED 1"}
    assert 0 < fault.struck < 50


def test_faults_of_several_names_add_up(resilience: Resilience) -> None:
    """A call under two policies meets the faults of both, whichever was set first."""
    both = ledger(charge)
    resilience.faults.at("payments").corrupt(str.upper)
    resilience.faults.at("ledger").corrupt(lambda answer: answer + "!")
    assert both(1) == "PAID 1!"
    assert charge(1) == "PAID 1"


def test_a_name_that_is_there_twice_strikes_once(resilience: Resilience) -> None:
    """A call through two policies of one name is one call."""
    twice = payments(charge)
    fault = resilience.faults.at("payments").corrupt(lambda answer: answer + "!")
    assert twice(1) == "paid 1!"
    assert fault.struck == 1


@pytest.mark.parametrize(
    "set_it",
    [
        lambda fault: fault.fail("boom"),
        lambda fault: fault.fail(UnicodeDecodeError),
        lambda fault: fault.fail(OSError, times=0),
        lambda fault: fault.delay(-1),
        lambda fault: fault.delay(1, jitter=-1),
        lambda fault: fault.corrupt("not a function"),
        lambda fault: fault.rate(1.5),
    ],
)
def test_refuses_what_makes_no_sense(
    resilience: Resilience, set_it: Callable[[object], object]
) -> None:
    """A wrong fault is an error where it is set, and no call is hurt by it."""
    with pytest.raises(ConfigError):
        set_it(resilience.faults.at("payments"))
    assert charge(1) == "paid 1"

"""Who matters is known wherever somebody has to lose."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import Any

import pytest

import resilient
from resilient import ConfigError, Criticality, criticality, importance, pipeline, retry
from tests.laws.harness import NeverError, finish

LEVELS = list(Criticality)


def see() -> Criticality:
    """What a gate would be told here."""
    return importance()


async def see_async() -> Criticality:
    """What a gate would be told here, after a turn of the loop."""
    await asyncio.sleep(0)
    return importance()


def test_an_unmarked_call_counts_as_high() -> None:
    """What is meant to be shed says so (SRE book, chapter 21)."""
    assert see() is Criticality.HIGH


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("judged", [False, True])
async def test_every_way_to_mark(level: Criticality, *, judged: bool) -> None:
    """Decorator, block, pipeline, the flow and an outcome all mark, and end with the call."""
    marks = criticality(level.name.lower())
    policies: Any = (
        pipeline(retry(on=NeverError, on_result=lambda _: False), marks) if judged else marks
    )
    assert policies(see)() is level
    assert policies.call(see) is level
    assert resilient.outcome(policies(see)).value is level
    assert await policies(see_async)() is level
    assert (await resilient.outcome(policies(see_async))).value is level
    with marks:
        assert see() is level
    async with marks:
        assert await see_async() is level
    assert see() is Criticality.HIGH


def test_the_innermost_mark_counts() -> None:
    """Whoever knows better is further in, unless it says that it does not."""
    with criticality("critical"):
        assert criticality("low")(see)() is Criticality.LOW
        assert criticality("low", only_unmarked=True)(see)() is Criticality.CRITICAL
        with criticality("low", only_unmarked=True):
            assert see() is Criticality.CRITICAL
        assert see() is Criticality.CRITICAL
    assert criticality("low", only_unmarked=True)(see)() is Criticality.LOW


async def test_tasks_inherit_and_do_not_mix() -> None:
    """Each task has its own mark, taken over from whoever made it."""

    async def under(level: str) -> tuple[Criticality, Criticality]:
        async with criticality(level):
            return await see_async(), await asyncio.create_task(see_async())

    marks = await asyncio.gather(*(under(level.name) for level in LEVELS))
    assert marks == [(level, level) for level in LEVELS]


def test_a_thread_starts_unmarked_unless_given_the_context() -> None:
    """As every context variable does."""
    seen: list[Criticality] = []
    with criticality("low"):
        context = contextvars.copy_context()
        for run in (lambda: seen.append(see()), lambda: seen.append(context.run(see))):
            thread = threading.Thread(target=run)
            thread.start()
            thread.join()
    assert seen == [Criticality.HIGH, Criticality.LOW]


def test_a_failing_call_ends_its_mark() -> None:
    """However it ends, the mark ends with it."""

    @criticality("low")
    def fails() -> None:
        raise LookupError

    @criticality("low")
    async def fails_async() -> None:
        raise KeyboardInterrupt

    with pytest.raises(LookupError):
        fails()
    with pytest.raises(KeyboardInterrupt):
        finish(fails_async())
    assert see() is Criticality.HIGH


def test_switched_off_nothing_is_marked() -> None:
    """The emergency switch lets everything pass as it is."""
    marked = criticality("low")(see)
    resilient.set_active(False)
    try:
        assert marked() is Criticality.HIGH
    finally:
        resilient.set_active(True)


@pytest.mark.parametrize("level", ["urgent", 3, None, ""])
def test_what_is_no_level_is_refused(level: Any) -> None:
    """Law 12: the error names the levels."""
    with pytest.raises(ConfigError, match="CRITICAL, HIGH, MEDIUM, LOW"):
        criticality(level)


def test_what_it_says_of_itself() -> None:
    """One line."""
    assert criticality("low").describe() == "criticality: LOW"
    assert criticality("low", only_unmarked=True).describe() == "criticality: LOW unless marked"

"""Finalisers and signal handlers run between any two lines, also while a lock of ours is held.

What they call comes back to the policy that is at work on this very thread.
"""

from __future__ import annotations

import sys
import threading
import types
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from resilient import hedge, retry_budget
from resilient.errors import Rejected
from resilient.testing import ManualClock
from tests.laws.gates import KINDS, ROOM
from tests.laws.harness import BrokenError, block

GUARD = 10.0
"""Seconds until a thread that has locked itself out is given up."""
OURS = ("resilient.core", "resilient.policies")


def interrupted(work: Callable[[], object]) -> None:
    """Do `work`, and before each line of the library's that it takes, do it from the beginning."""
    busy = False

    def between(frame: types.FrameType, event: str, _: object) -> Any:
        nonlocal busy
        if event == "line" and not busy:
            busy = True
            work()
            busy = False
        return between if frame.f_globals["__name__"].startswith(OURS) else None

    def run() -> None:
        sys.settrace(between)
        try:
            work()
        finally:
            sys.settrace(None)
        ended.set()

    ended = threading.Event()
    threading.Thread(target=run, daemon=True).start()
    assert ended.wait(GUARD)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shut", [False, True], ids=["open", "shut"])
def test_a_call_within_a_call(kind: str, shut: bool) -> None:  # noqa: FBT001
    """A gate at work may be called, whether that call fails or is refused."""
    # A limit that failures lower would make the inner call wait for the outer one, and rightly so.
    roomy = {"min": ROOM} if "adaptive" in kind else {}
    gate = KINDS[kind].refusing() if shut else KINDS[kind].open(**roomy)
    before = getattr(gate, "in_flight", 0)

    def fails() -> None:
        raise BrokenError

    def work() -> None:
        with suppress(BrokenError, Rejected):
            gate.call(fails)

    interrupted(work)
    assert getattr(gate, "in_flight", 0) == before


@pytest.mark.parametrize("kind", KINDS)
def test_a_block_within_a_call(kind: str) -> None:
    """So may one that lets blocks in, or does not."""
    gate = block(KINDS[kind].refusing())

    def work() -> None:
        with suppress(Rejected), gate:
            pass

    interrupted(work)


def test_what_is_no_gate() -> None:
    """A budget is asked, and a hedge tells and learns, while they are at work."""
    clock = ManualClock()
    budget = retry_budget(0, 1000, clock=clock)
    learned = hedge(quantile=0.9, idempotent=True, clock=clock)

    def work() -> None:
        budget.withdraw()
        clock.advance(2)
        assert learned.delay is None
        assert learned.metrics.started == 0

    interrupted(work)
    before = budget.remaining
    assert budget.withdraw()
    assert budget.remaining == before - 1

"""Counting is exact, and says what it leaves out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilient.cli.demo import summary
from resilient.cli.demo.arm import Arm, percentile
from resilient.cli.demo.faults import Fault, FaultKind
from resilient.cli.demo.loader import Record
from resilient.cli.demo.tally import Change, Span, Tally


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 1), (0.25, 1), (0.5, 2), (0.51, 3), (0.99, 4), (1.0, 4)]
)
def test_percentile_of_four(share: float, expected: float) -> None:
    """The smallest value that at least that share of all does not exceed."""
    assert percentile([4, 1, 3, 2], share) == expected


def test_percentile_of_nothing_is_zero() -> None:
    """No requests, no wait."""
    assert percentile([], 0.99) == 0


@given(st.lists(st.floats(0, 10), min_size=1), st.floats(0.001, 1))
def test_percentile_holds_its_promise(values: list[float], share: float) -> None:
    """At least the share lies at or below it, and less than the share lies below it."""
    found = percentile(values, share)
    assert found in values
    assert sum(v <= found for v in values) >= share * len(values) - 1e-9
    assert sum(v < found for v in values) < share * len(values)


def test_an_arm_counts_what_failed_and_how_long_clients_waited() -> None:
    """Late answers count as the client's whole patience; errors have no wait."""
    arm = Arm()
    arm.add(Record("protected", 0.2, 0.01, "live", "fresh", extra=True, quality="full"))
    arm.add(Record("protected", 0.9, 1.004, "late"))
    arm.add(Record("protected", 1.1, 0.002, "error"))
    assert (arm.total, arm.failed) == (3, 2)
    assert arm.waits == [0.01, 1.0]
    assert arm.freshness == {"fresh": 1}
    assert (arm.extras, arm.qualities) == (1, {"full": 1})
    assert arm.course == {0: {"live": 1, "late": 1}, 1: {"error": 1}}


def test_faults_are_noted_when_they_take_effect() -> None:
    """A span opens with the fault and closes with its end; others stay open."""
    tally = Tally(45, 40, 1)
    kill, restore = Fault(FaultKind.KILL, 1, 2), Fault(FaultKind.RESTORE, 1, 3)
    tally.fault(kill, 1.1, begins=True)
    tally.fault(restore, 1.2, begins=True)
    assert tally.current_faults() == [FaultKind.KILL, FaultKind.RESTORE]
    tally.fault(kill, 2.3, begins=False)
    assert tally.current_faults() == [FaultKind.RESTORE]
    assert tally.faults == [Span("upstream killed", 1.1, 2.3), Span("database restored", 1.2)]


def test_modes_and_circuits_have_no_gaps() -> None:
    """Each span begins where the one before it ended."""
    tally = Tally(45, 40, 1)
    assert tally.modes() == [Span("NORMAL", 0.0)]
    tally.changes.append(Change(4.0, "NORMAL", "DEGRADED", 60, ("why",)))
    assert tally.modes() == [Span("NORMAL", 0.0, 4.0), Span("DEGRADED", 4.0)]
    tally.circuit("upstream", "closed", 0.0)
    tally.circuit("upstream", "open", 3.0)
    assert tally.circuits["upstream"] == [Span("closed", 0.0, 3.0), Span("open", 3.0)]


def test_states_are_noted_when_they_change(tally: Tally) -> None:
    """A feature is on, off while the mode is not well, and on again; a probe says why."""
    assert tally.features["suggestions"] == [
        Span("on", 0.0, 5.0), Span("shut", 5.0, 9.0), Span("on", 9.0)
    ]  # fmt: skip
    assert [span.what for span in tally.probes["upstream"]] == [
        "healthy", "unhealthy", "failed", "healthy"
    ]  # fmt: skip
    assert tally.probes["upstream"][1].why == "ConnectionRefusedError: <gone>"


def test_the_impact_of_a_mode_is_kept_at_its_slowest(tally: Tally) -> None:
    """Later and faster measurements of a mode do not replace it."""
    assert tally.impacts["DEGRADED"]["measured"]["latency"] == 8.8 / 1000
    status = {**tally.status, "mode": "DEGRADED", "impact": {"measured": {"latency": 0.001}}}
    tally.stand(status, 46.0)
    assert tally.impacts["DEGRADED"]["measured"]["latency"] == 8.8 / 1000


def test_the_summary_names_both_arms_and_every_change(tally: Tally) -> None:
    """The table has a figure per arm in every row; the verdict has both counts of failures."""
    assert {len(row) for row in summary.rows(tally)} == {3}
    words = summary.text(tally)
    bare = tally.arms["bare"]
    assert f"the bare service failed {bare.failed} of {bare.total} requests" in words
    assert f"the protected one 0 of {bare.total}" in words
    assert "NORMAL to DEGRADED, score 60: upstream: <open> & refused" in words
    assert "over 1 s" in words


def test_the_summary_of_a_quiet_run() -> None:
    """Nothing happened, and it says so."""
    assert "it stayed NORMAL" in summary.text(Tally(45, 40, 1))

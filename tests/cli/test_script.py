"""The script of faults and the load are data that can be checked before anything runs."""

from __future__ import annotations

import itertools

import pytest

from resilient.cli.demo import faults, loader

LENGTHS = [10.0, 12.0, 45.0, 55.0]


@pytest.mark.parametrize("seconds", LENGTHS)
def test_the_script_is_ordered_and_ends_with_recovery(seconds: float) -> None:
    """Cues come in order, each fault that begins ends, and time is left to recover."""
    cues = faults.cues(faults.script(seconds))
    assert [cue.at for cue in cues] == sorted(cue.at for cue in cues)
    wrong: set[faults.FaultKind] = set()
    for cue in cues:
        (wrong.add if cue.begins else wrong.remove)(cue.fault.kind)
    assert not wrong
    assert not cues[-1].begins
    assert cues[-1].at <= seconds * (1 - faults.CALM_END)


def test_the_script_shows_every_kind_of_fault() -> None:
    """Killed, slow, broken, and restored."""
    assert {fault.kind for fault in faults.script(45)} == set(faults.FaultKind)


def test_no_two_faults_of_the_upstream_overlap() -> None:
    """A behaviour that is set while another holds would hide it."""
    upstream = [f for f in faults.script(45) if f.kind is not faults.FaultKind.RESTORE]
    assert all(a.end < b.start for a, b in itertools.pairwise(upstream))


def test_the_load_repeats_with_its_seed() -> None:
    """The same seed gives the same requests at the same moments."""
    first, again, other = (list(loader.arrivals(40, 20, seed)) for seed in (1, 1, 2))
    assert first == again != other


def test_the_load_has_its_rate_and_new_zones() -> None:
    """About `rate` requests a second, in order, within the time; some for zones never seen."""
    load = list(loader.arrivals(40, 50, seed=7))
    times = [at for at, _ in load]
    assert times == sorted(times)
    assert 0 < times[0] <= times[-1] < 50
    assert 1700 < len(load) < 2300
    new = [zone for _, zone in load if zone.startswith("new")]
    assert len(new) == len(set(new)) > 0

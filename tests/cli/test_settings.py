"""What the demo says of its settings is true."""

from __future__ import annotations

from resilient.cli.demo.settings import Quick
from resilient.system.settings import Settings


def test_settings_follow_the_pace_and_are_compared_with_the_defaults() -> None:
    """A run half as long has settings half as long, and says so."""
    quick = Quick.at(0.5)
    assert quick == Quick(0.25, 0.25, 0.6, 0.6, 0.75, 0.5, 0.25, 0.75)
    usual = Settings()
    words = quick.words()
    assert words["smoothing of the score"] == f"0.25 s instead of {usual.tau:g} s"
    assert words["least time in a mode"] == f"0.75 s instead of {usual.dwell:g} s"
    assert words["time between two questions of a probe"] == "0.25 s instead of 10 s"
    assert words["wait of an open circuit"] == "0.5 s instead of 60 s"
    assert words["damping of relapses"] == f"at most 1 instead of {usual.flap_limit:g}"

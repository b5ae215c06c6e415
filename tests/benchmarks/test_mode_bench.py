"""The rules that are compared, and the pictures of the mode: they show what they claim."""

from __future__ import annotations

from itertools import pairwise
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks.mode_picture import Story, draw
from benchmarks.mode_simulation import RULES, brownout, flapping, noise, outage
from resilient import Mode

SVG = "{http://www.w3.org/2000/svg}"


def told(rule: str, scores: list[float]) -> list[tuple[Any, str]]:
    """The changes that a rule makes of scores."""
    return [(pytest.approx(at, abs=0.11), mode.name) for at, mode in RULES[rule](scores)]


def test_thresholds_follow_every_second() -> None:
    """One bad second is one change there and one back; bands keep the mode until 90."""
    scores = [1.0, 0.84, 0.86, 0.49, 0.55, 0.6, 0.9]
    modes = [(at, mode.name[0]) for at, mode in RULES["thresholds"](scores)]
    assert modes == [(1, "D"), (2, "N"), (3, "E"), (4, "D"), (6, "N")]
    modes = [(at, mode.name[0]) for at, mode in RULES["bands"](scores)]
    assert modes == [(1, "D"), (3, "E"), (5, "D"), (6, "N")]


@pytest.mark.parametrize(
    ("rule", "down", "half"), [("the defaults", 2.656, 3.983), ("a cumulative sum", 2.7, 4.0)]
)
def test_both_rules_detect_at_the_same_time(rule: str, down: float, half: float) -> None:
    """An outage and a fall to 70, to a tenth of a second."""
    assert told(rule, outage())[0] == (100 + down, "EMERGENCY")
    assert told(rule, brownout())[0] == (100 + half, "DEGRADED")
    assert [name for _, name in told(rule, outage())] == ["EMERGENCY", "DEGRADED", "NORMAL"]


def test_a_single_bad_second_does_not_add_up() -> None:
    """One second of the 2.65 that are needed; two of them, far apart, neither."""
    scores = [1.0] * 10 + [0.0] + [1.0] * 10 + [0.0] + [1.0] * 10
    assert RULES["a cumulative sum"](scores) == []


def test_an_hour_of_flapping() -> None:
    """Thirty illnesses: each is two changes for thresholds, and five in all for the defaults."""
    assert len(RULES["thresholds"](flapping())) == 59
    assert len(RULES["the defaults"](flapping())) == 5


def test_noise_is_the_same_each_time() -> None:
    """By its seed; within 0 and 1; and correlated, as is told."""
    scores = noise(1, [0.5] * 20_000, 0.1)
    assert scores == noise(1, [0.5] * 20_000, 0.1)
    assert 0 <= min(scores) <= max(scores) <= 1
    away = [score - 0.5 for score in scores]
    square = sum(one * one for one in away)
    assert square / len(away) == pytest.approx(0.01, rel=0.1)
    follow = sum(one * other for one, other in pairwise(away))
    assert follow / square == pytest.approx(0.6, abs=0.03)


def test_a_picture_shows_the_score_and_each_rule() -> None:
    """Well formed; a strip for each rule, whose modes fill the whole time; words escaped."""
    changes = [(10.0, Mode.EMERGENCY), (40.0, Mode.DEGRADED)]
    story = Story(
        "A & B",
        "<so>",
        [1.0] * 10 + [0.0] * 50,
        [(10, 60)],
        [("one", changes), ("none", [])],
        ticks=10,
        unit=(1, "seconds"),
        notes=[(10.0, 0.5, "now")],
    )
    picture = ElementTree.fromstring(draw(story))  # noqa: S314  (ours)
    words = [each.text for each in picture.iter(f"{SVG}text")]
    assert {"A & B", "<so>", "now", "one", "2 changes", "none", "0 changes"} <= set(words)
    strips = [each for each in picture.iter(f"{SVG}rect") if each.get("height") == "26"]
    assert sum(float(each.get("width") or 0) for each in strips) == pytest.approx(2 * 820, abs=0.5)
    assert len(strips) == 4

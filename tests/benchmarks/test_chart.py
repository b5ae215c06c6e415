"""Pictures are drawn by hand: they must be well formed, and show what was measured."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree

import pytest

from benchmarks.experiment.chart import Panel, chart

SVG = "{http://www.w3.org/2000/svg}"


def panel(**changes: object) -> Panel:
    """A panel of 80 seconds, of which 10 are the trigger."""
    given: dict[str, object] = {
        "title": "no retry",
        "note": "recovers",
        "good": [1.0] * 80,
        "attempts": [1.0] * 80,
        "trigger": 10.0,
    }
    return Panel(**(given | changes))  # type: ignore[arg-type]  # one dictionary for all fields


def drawn(*panels: Panel) -> ElementTree.Element:
    """The picture, parsed: whatever is not well formed raises."""
    return ElementTree.fromstring(chart("A & B <c>", "sub & title", panels))  # noqa: S314  (ours)


def texts(picture: ElementTree.Element) -> list[str]:
    """Every text in it."""
    return [each.text or "" for each in picture.iter(f"{SVG}text")]


def lines(picture: ElementTree.Element) -> Iterator[list[tuple[float, float]]]:
    """The points of every line."""
    for line in picture.iter(f"{SVG}polyline"):
        pairs = (line.get("points") or "").split()
        yield [(float(x), float(y)) for x, y in (pair.split(",") for pair in pairs)]


@pytest.mark.parametrize("number", [1, 3, 4, 14])
def test_a_picture_is_well_formed_and_large_enough(number: int) -> None:
    """Whatever the titles hold, and however many panels there are; each lies inside."""
    picture = drawn(*[panel(title=f"<arm {place}> & more") for place in range(number)])
    assert picture.get("viewBox") == f"0 0 {picture.get('width')} {picture.get('height')}"
    places = [group.get("transform", "") for group in picture.findall(f"{SVG}g")]
    assert len(set(places)) == number
    lowest = max(float(place.rstrip(")").split()[1]) for place in places)
    assert lowest + 150 < float(picture.get("height") or 0)
    assert f"<arm {number - 1}> & more" in texts(picture)


def test_axes_say_what_they_are() -> None:
    """Seconds along, shares up, a legend, a title for those who do not see it."""
    found = texts(drawn(panel()))
    assert {"0%", "100%", "200%", "-10", "0", "10", "70"} <= set(found)
    assert "seconds since the trigger began" in found
    assert "while the trigger lasts" in found
    assert drawn(panel()).findtext(f"{SVG}title") == "A & B <c>"


def test_a_line_is_as_high_as_what_it_shows() -> None:
    """Nothing is at the bottom, the offered load half-way up, and no line leaves the plot."""
    good, attempts = lines(drawn(panel(good=[0.0, 1.0], attempts=[2.0, 3.3])))
    assert [y for _, y in good] == [150, 75]
    assert [y for _, y in attempts] == [0, 0]


def test_what_is_cut_off_is_told() -> None:
    """Attempts beyond the top are written as a number."""
    assert "up to 330%" in texts(drawn(panel(attempts=[1.0, 3.3, 1.0])))
    assert not [text for text in texts(drawn(panel())) if text.startswith("up to")]


def test_a_long_trigger_is_shaded_to_its_end() -> None:
    """The shade is as wide as the trigger is long, whatever that is."""
    for trigger, seconds in ((10.0, 80), (60.0, 130)):
        shade = drawn(panel(trigger=trigger)).find(f"{SVG}g/{SVG}rect")
        assert shade is not None
        assert float(shade.get("width", 0)) == pytest.approx(300 * trigger / seconds, abs=0.1)

"""The report is one well-formed file that holds everything and loads nothing."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable

import pytest

from resilient.cli.demo import report
from resilient.cli.demo.markup import element
from resilient.cli.demo.tally import Tally


def parsed(page: str) -> ET.Element:
    """Parse `page` as XML; entities are never declared in it."""
    return ET.fromstring(page)  # noqa: S314  (our own page, just rendered)


@pytest.mark.parametrize("seconds", [10.0, 12.0, 45.0, 55.0])
def test_is_well_formed(seconds: float, tell: Callable[[float], Tally]) -> None:
    """Any run gives a page that an XML parser reads."""
    assert parsed(report.render(tell(seconds))).tag == "html"


def test_of_nothing_is_well_formed() -> None:
    """A run in which nothing was recorded still gives a page."""
    assert parsed(report.render(Tally(45, 40, 1))).tag == "html"


def test_contains_both_arms_the_faults_and_the_reasons(tally: Tally) -> None:
    """Both services, each fault, each mode with its reasons, and the figures as data."""
    page = parsed(report.render(tally))
    words = " ".join(page.itertext())
    for expected in ("bare service", "protected service", "upstream killed", "upstream slow",
                     "upstream answers 500", "database restored", "NORMAL", "DEGRADED",
                     "upstream: <open> & refused"):  # fmt: skip
        assert expected in words
    script = page.find(".//script")
    assert script is not None
    data = json.loads(script.text or "")
    assert data["arms"]["bare"]["kinds"]["late"] > 0
    assert data["changes"][0]["reasons"] == ["upstream: <open> & refused"]


def test_shows_what_the_mode_did_and_what_it_cost(tally: Tally) -> None:
    """Features and probes over time, incidents, times, the impact in percent, headers and a log."""
    page = parsed(report.render(tally))
    titles = {title.text for title in page.iter("{http://www.w3.org/2000/svg}title")}
    assert "suggestions: shut, from 5.0 s" in titles
    assert "upstream probe: failed, from 4.8 s; ConnectionRefusedError: <gone>" in titles
    rows = [[cell.text or "" for cell in row] for row in page.iter("tr")]
    assert ["1", "5.0 s", "DEGRADED", "0.5 s", "4.0 s", "160", "100.0 %"] in rows
    assert ["DEGRADED", "mean latency", "8.8 ms", "20.0 ms", "20.0 ms", "12 % worse"] in rows
    assert ["x-system-mode", "normal"] in rows
    assert ["4.6 s", "alert", "upstream: component failed"] in rows
    assert "NORMAL 40.0 s, DEGRADED 4.0 s" in " ".join(page.itertext())


def test_loads_nothing(tally: Tally) -> None:
    """No address but the names of XML itself, no link, no image, no style sheet elsewhere."""
    page = report.render(tally)
    assert set(re.findall(r"https?://[^\"' ]+", page)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"\b(src|href)=|url\(|@import", page)


def test_nothing_is_drawn_outside_the_drawing(tally: Tally) -> None:
    """Every bar and band lies within the view box and has no negative size."""
    svg = parsed(report.render(tally)).find(".//{http://www.w3.org/2000/svg}svg")
    assert svg is not None
    _, _, width, height = map(float, svg.attrib["viewBox"].split())
    for box in svg.iter("{http://www.w3.org/2000/svg}rect"):
        x, y, w, h = (float(box.attrib[key]) for key in ("x", "y", "width", "height"))
        assert 0 <= x <= x + w <= width
        assert 0 <= y <= y + h <= height


def test_markup_is_escaped() -> None:
    """What is not markup cannot become markup."""
    assert element("p", "a < b & c", class_='"x"', font_size=1.50) == (
        '<p class="&quot;x&quot;" font-size="1.5">a &lt; b &amp; c</p>'
    )
    assert element("div", [element("br"), "<i>"]) == "<div><br/>&lt;i&gt;</div>"

"""The report: one HTML file that needs nothing but itself."""

from __future__ import annotations

import json
from dataclasses import asdict

from resilient.cli.demo import chart, palette, summary, tables
from resilient.cli.demo.arm import ARMS
from resilient.cli.demo.loader import PATIENCE
from resilient.cli.demo.markup import Markup, element, raw
from resilient.cli.demo.tally import Course, Tally

__all__ = ["render"]

_STYLE = f"""
body {{ margin: 0; background: #f4f6f9; color: {palette.INK};
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }}
main {{ max-width: 1160px; margin: 0 auto; padding: 28px 20px 48px; }}
h1 {{ font-size: 26px; margin: 0 0 4px; }}
h2 {{ font-size: 17px; margin: 0 0 10px; }}
p {{ margin: 0 0 12px; color: {palette.MUTED}; max-width: 80ch; }}
section {{ background: #fff; border: 1px solid {palette.GRID}; border-radius: 10px;
  padding: 18px 20px; margin-top: 18px; }}
.cards {{ display: flex; gap: 18px; margin-top: 18px; }}
.cards section {{ flex: 1; margin: 0; }}
.cards b {{ display: block; font-size: 34px; line-height: 1.2; }}
.bad {{ color: {palette.KIND["error"]}; }}
.good {{ color: #1f6b49; }}
.legend {{ display: flex; flex-wrap: wrap; gap: 4px 20px; margin-bottom: 12px; font-size: 13px; }}
.legend i {{ display: inline-block; width: 12px; height: 12px; border-radius: 3px;
  margin-right: 6px; vertical-align: -1px; }}
table {{ border-collapse: collapse; width: 100%; font-size: 14px; }}
th, td {{ text-align: left; padding: 6px 14px 6px 0; border-top: 1px solid {palette.GRID};
  vertical-align: top; }}
thead th {{ border-top: 0; color: {palette.MUTED}; font-weight: 600; }}
.figures td {{ text-align: right; font-variant-numeric: tabular-nums; }}
.figures thead th + th {{ text-align: right; }}
.course td:not(:last-child) {{ white-space: nowrap; }}
.notes {{ font-size: 13px; }}
.notes td {{ padding-top: 3px; padding-bottom: 3px; overflow-wrap: anywhere; }}
.notes td:first-child, .notes td:nth-child(2) {{ white-space: nowrap; }}
.headers {{ table-layout: fixed; font-size: 13px; }}
.headers td {{ overflow-wrap: anywhere; }}
th {{ font-weight: 500; }}
table + p, svg + p {{ margin: 12px 0 0; }}
svg {{ display: block; width: 100%; height: auto; }}
svg text {{ font-size: 11.5px; }}
svg .small {{ font-size: 10.5px; }}
svg .head {{ font-size: 13px; font-weight: 600; }}
svg .mode {{ font-weight: 600; }}
"""


def render(tally: Tally) -> str:
    """Return the page. It is well-formed XML too, and carries its figures as JSON."""
    body = element(
        "main",
        element("h1", "The same service through the same faults, bare and protected"),
        element("p", _preface(tally)),
        _cards(tally),
        _section("What happened", _legend(), chart.draw(tally), element("p", summary.RESTORED)),
        _section("Both services", _table(tally)),
        _section("Modes of the protected service", _course(tally), tables.times(tally)),
        _section("Incidents of the protected service", tables.incidents(tally)),
        _section("What each mode cost", *tables.impacts(tally)),
        _section("What an answer said of itself, in its headers", *tables.headers(tally)),
        _section("What probes, alerts and the recovery said", tables.notes(tally)),
        _section("How it was set", _settings(tally)),
    )
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", "resilient demo"),
        element("style", raw(_STYLE)),
    )
    page = element("html", head, element("body", body, _data(tally)), lang="en")
    return f"<!DOCTYPE html>\n{page}\n"


def _preface(tally: Tally) -> str:
    return (
        f"A pricing service was run twice for {tally.seconds:g} s. Both got the same requests at "
        f"the same moments, about {tally.rate:g} a second, from clients that wait {PATIENCE:g} s. "
        "The upstream was killed, slowed and broken, and the databases were restored from a backup "
        "(locked, then replaced by another file), by real processes on one machine."
    )


def _section(title: str, *content: str) -> Markup:
    return element("section", element("h2", title), *content)


def _cards(tally: Tally) -> Markup:
    cards = []
    for name in ARMS:
        arm = tally.arms[name]
        figure = element("b", f"{arm.failed}", class_="bad" if arm.failed else "good")
        words = f"of {arm.total} requests failed in the {name} service"
        cards.append(element("section", figure, words))
    return element("div", cards, class_="cards")


def _legend() -> Markup:
    entries = [
        element("span", element("i", style=f"background:{palette.KIND[kind]}"), label)
        for kind, label in summary.LABELS.items()
    ]
    entries += [
        element("span", element("i", style=f"background:{colour}"), words)
        for words, colour in palette.STATES.items()
    ]
    return element("div", entries, class_="legend")


def _table(tally: Tally) -> Markup:
    head, *rest = summary.rows(tally)
    lines = [
        element("tr", element("th", label), [element("td", figure) for figure in figures])
        for label, *figures in rest
    ]
    top = element("tr", [element("th", cell) for cell in head])
    note = "The wait is until an answer, or until the client gave up; quick errors are left out."
    table = element("table", element("thead", top), element("tbody", lines), class_="figures")
    return element("div", table, element("p", note))


def _course(tally: Tally) -> Markup:
    lines = [
        element("tr", element("td", f"{number}"), [element("td", cell) for cell in change])
        for number, change in enumerate(summary.course(tally), start=1)
    ]
    if not lines:
        return element("p", "It stayed NORMAL.")
    return element("table", element("tbody", lines), class_="course")


def _settings(tally: Tally) -> Markup:
    lines = [
        element("tr", element("th", name), element("td", value))
        for name, value in {"seed of the load": f"{tally.seed}", **tally.settings}.items()
    ]
    return element("table", element("tbody", lines))


def _courses(courses: Course) -> dict[str, list[dict[str, object]]]:
    return {name: [asdict(span) for span in spans] for name, spans in courses.items()}


def _data(tally: Tally) -> Markup:
    data = {
        "seconds": tally.seconds,
        "rate": tally.rate,
        "seed": tally.seed,
        "arms": {
            name: {
                "kinds": arm.kinds,
                "freshness": arm.freshness,
                "course": arm.course,
                "attempts": arm.attempts,
                "suggestions": arm.extras,
                "qualities": arm.qualities,
                "p50": arm.wait(0.50),
                "p99": arm.wait(0.99),
            }
            for name, arm in tally.arms.items()
        },
        "faults": [asdict(span) for span in tally.faults],
        "changes": [asdict(change) for change in tally.changes],
        "circuits": _courses(tally.circuits),
        "features": _courses(tally.features),
        "probes": _courses(tally.probes),
        "notes": [asdict(note) for note in tally.notes],
        "incidents": tally.status.get("incidents", []),
        "times": tally.status.get("times", {}),
        "impacts": tally.impacts,
        "headers": tally.samples,
        "scores": tally.scores,
    }
    # Neither XML nor HTML may meet a "<" or "&" of its own in here.
    text = json.dumps(data).replace("<", "\\u003c").replace("&", "\\u0026")
    return element("script", raw(text), type="application/json", id="data")

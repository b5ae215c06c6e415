"""Where results are kept: small JSON files, from which the page is written."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .report import as_markdown, comparison, table
from .runs import Run, as_data, from_data
from .scenario import TRIGGERS

__all__ = ["Kept", "Place", "block", "compared", "kept_results", "load", "machine", "page", "save"]

_PACKAGES = ("resilient-mode", "tenacity", "pybreaker")


@dataclass(frozen=True, slots=True)
class Place:
    """Where the results of one script go, and what they are called there."""

    name: str
    results: Path
    pictures: Path
    page: Path

    def result(self, trigger: str) -> Path:
        """The file of a trigger's results."""
        return self.results / f"{self.name}-{trigger}.json"

    def picture(self, trigger: str, load: float) -> Path:
        """The file of a picture."""
        prefix = "" if self.name == "brownout" else f"{self.name}-"
        return self.pictures / f"{prefix}{trigger}-{round(load * 100)}.svg"


@dataclass(frozen=True, slots=True)
class Kept:
    """Results with what they were measured on."""

    trigger: str
    about: dict[str, Any]
    runs: list[Run]


def machine() -> dict[str, Any]:
    """The kind of machine, the versions, the date."""
    model = platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text().splitlines()
        names = [line.partition(":")[2] for line in lines if line.startswith("model name")]
        model = f"{len(names)} cores {names[0].strip()}" if names else model
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{model}, {platform.system()}",
        "versions": {"Python": platform.python_version()}
        | {package: version(package) for package in _PACKAGES},
    }


def save(path: Path, kept: Kept) -> None:
    """Write results; the seconds only of each arm's first seed, which pictures are drawn from."""
    first = min(run.seed for run in kept.runs)
    runs = [as_data(run, with_series=run.seed == first) for run in kept.runs]
    path.parent.mkdir(parents=True, exist_ok=True)
    head = json.dumps({"trigger": kept.trigger, "about": kept.about}, indent=1)[:-2]
    body = ",\n".join(json.dumps(run) for run in runs)
    path.write_text(f'{head},\n "runs": [\n{body}\n]}}\n', encoding="utf-8")


def load(path: Path) -> Kept:
    """Read what `save` wrote."""
    data = json.loads(path.read_text(encoding="utf-8"))
    return Kept(data["trigger"], data["about"], [from_data(run) for run in data["runs"]])


def block(place: Place, found: Iterable[Kept]) -> str:
    """What the page says of the results of a script: a table for each trigger, and its pictures."""
    parts = []
    for kept in found:
        told = ", ".join(f"{name} {number}" for name, number in kept.about["versions"].items())
        parts.append(f"### {TRIGGERS[kept.trigger].title.capitalize()} (`{kept.trigger}`)")
        parts.append(
            f"{kept.about['settings']} Measured {kept.about['date']} on {kept.about['machine']}; "
            f"{told}."
        )
        parts.append(as_markdown(table(kept.trigger, kept.runs)))
        for load_ in sorted({run.load for run in kept.runs}):
            path = place.picture(kept.trigger, load_)
            if path.exists():
                relative = f"../docs/pictures/{path.name}"
                parts.append(f"![Answered calls over time at {load_:.0%} load]({relative})")
    return "\n\n".join(parts)


def compared(real: Iterable[Kept], simulated: Iterable[Kept]) -> str:
    """What the page says of the two worlds side by side."""
    others = {kept.trigger: kept.runs for kept in simulated}
    parts = []
    for kept in real:
        if kept.trigger in others:
            parts.append(f"`{kept.trigger}`:")
            parts.append(as_markdown(comparison(kept.trigger, kept.runs, others[kept.trigger])))
    return "\n\n".join(parts)


def page(text: str, label: str, new: str) -> str:
    """`text` with `new` between the markers of `label`. Raises `ValueError` if there are none."""
    begin, end = f"<!-- begin {label} -->", f"<!-- end {label} -->"
    if begin not in text or end not in text:
        message = f"there are no markers {begin} and {end}"
        raise ValueError(message)
    head, rest = text.split(begin, 1)
    return f"{head}{begin}\n{new}\n{end}{rest.split(end, 1)[1]}"


def kept_results(place: Place) -> list[Kept]:
    """Every trigger's results that are there, in the order of the triggers."""
    paths: Sequence[Path] = [place.result(trigger) for trigger in TRIGGERS]
    return [load(path) for path in paths if path.exists()]

"""The live view, for terminals; needs rich."""

from __future__ import annotations

from typing import Self

from resilient.cli.demo import palette
from resilient.cli.demo.arm import ARMS, KINDS, Arm
from resilient.cli.demo.loader import PATIENCE
from resilient.cli.demo.tally import Tally
from resilient.cli.demo.views import recent
from resilient.errors import MissingExtraError

try:
    from rich.console import Group, RenderableType
    from rich.live import Live
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text
except ModuleNotFoundError as error:
    raise MissingExtraError(extra="demo", package="rich") from error

__all__ = ["LiveView", "screen"]

REST = 27
"""What a row of an arm takes besides its bar, border and padding included."""
EVENTS = 8
_MODE = {"NORMAL": "green", "DEGRADED": "yellow", "EMERGENCY": "red"}
_CIRCUIT = {"closed": "green", "open": "red", "half-open": "yellow"}


class LiveView:
    """Redraws the terminal four times a second."""

    every = 0.25

    def __init__(self) -> None:
        self._live = Live(auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        """Take the screen."""
        self._live.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        """Give it back as it was."""
        self._live.__exit__(None, None, None)

    def update(self, tally: Tally, now: float) -> None:
        """Draw how things stand at `now` seconds."""
        drawn = screen(tally, now, self._live.console.width)
        self._live.update(drawn, refresh=True)


def screen(tally: Tally, now: float, width: int) -> RenderableType:
    """Return what a terminal of `width` columns shows at `now` seconds."""
    arms = Table.grid(expand=True)
    bar = max(1, width // 2 - REST)
    for _ in ARMS:
        arms.add_column(ratio=1)
    arms.add_row(
        *(Panel(_arm(tally.arms[name], now, bar), title=f"{name} service") for name in ARMS)
    )
    mode = Panel(_mode(tally), title="mode of the protected service")
    return Group(_head(tally, now), arms, mode, Panel(_events(tally), title="so far"))


def _head(tally: Tally, now: float) -> Text:
    text = Text(f" {now:4.1f} of {tally.seconds:g} s   ")
    faults = [kind.value for kind in tally.current_faults()]
    if faults:
        return text.append(f" {' + '.join(faults)} ", style="bold white on red")
    return text.append("no fault", style="dim")


def _arm(arm: Arm, now: float, width: int) -> RenderableType:
    """The last full second as bars, and the counts since the beginning."""
    counts = recent(arm, now)
    most = max(counts.total(), 1)
    table = Table.grid(padding=(0, 1))
    for kind in KINDS:
        bar = "█" * round(width * counts[kind] / most)
        table.add_row(
            Text(kind),
            Text(bar.ljust(width), style=palette.KIND[kind]),
            Text(f"{counts[kind]:>3}/s"),
            Text(f"{arm.kinds[kind]:>5}", style="bold" if arm.kinds[kind] else "dim"),
        )
    wait = arm.wait(0.99)
    slow = f"over {PATIENCE:g} s" if wait >= PATIENCE else f"{wait * 1000:.0f} ms"
    foot = f"p50 {arm.wait(0.5) * 1000:.0f} ms, p99 {slow}\nupstream asked {arm.attempts} times"
    return Group(table, Text(foot, style="dim"))


def _mode(tally: Tally) -> Text:
    status = tally.status
    mode = status.get("mode", "NORMAL")
    text = Text(f"{mode} ", style=f"bold {_MODE.get(mode, 'white')}")
    text.append(f"score {status.get('score', 100):.0f}  ", style="default")
    for name, state in status.get("circuits", {}).items():
        text.append(f"  {name} circuit ", style="default")
        text.append(state, style=_CIRCUIT.get(state, "white"))
    for name, state in status.get("features", {}).items():
        text.append(f"  {name} ", style="default")
        text.append(state, style="green" if state == "on" else "yellow")
    text.append("\n  probes:")
    for name, said in status.get("probes", {}).items():
        well = said.startswith("healthy")
        text.append(f"  {name} {'healthy' if well else said}", style="dim" if well else "yellow")
    for said in status.get("recoveries", ()):
        if not said.endswith(": idle"):
            # What was wrong with the last attempt is in the log, and its probe says it too.
            text.append(f"\n  recovery of {': '.join(said.split(': ')[:2])}", style="yellow")
    for reason in status.get("reasons", ()):
        text.append(f"\n  {reason}", style="dim")
    return text


def _events(tally: Tally) -> Text:
    """What happened last, in order: faults, alerts, features, and attempts of recovery."""
    events = [(s.start, s.what, "red") for s in tally.faults]
    events += [(s.end, f"end of: {s.what}", "default") for s in tally.faults if s.end is not None]
    for note in tally.notes:
        if note.source != "probe":  # what probes say is shown above
            words = f"{note.source}: {note.words}"
            events.append((note.at, words, "yellow" if note.bad else "green"))
    for name, course in tally.features.items():
        for span in course[1:]:
            off = span.what != "on"
            words = f"feature {name} is {'off' if off else 'on again'}"
            events.append((span.start, words, "yellow" if off else "green"))
    text = Text(overflow="ellipsis", no_wrap=True)
    for at, what, style in sorted(events)[-EVENTS:]:
        text.append(f"{at:5.1f} s  {what}\n", style=style)
    return text

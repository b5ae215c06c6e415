"""Pictures of a score, its bands and the modes that rules make of it, as SVG."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from resilient import Mode
from resilient.system.settings import DEFAULTS

__all__ = ["Story", "draw"]

_INK, _MUTED, _GRID, _BAND = "#1f2a37", "#5b6675", "#d9dee5", "#eef1f4"
# Green, yellow-orange and vermilion of Okabe and Ito (2008), which the colour blind tell apart;
# each strip of modes is also named in words.
_COLOURS = {Mode.NORMAL: "#009e73", Mode.DEGRADED: "#e69f00", Mode.EMERGENCY: "#d55e00"}
_RAW, _SMOOTH, _SHADE = "#9db4c8", "#0072b2", "#f1e6d0"

_WIDTH, _HEIGHT = 820, 250  # of the plot
_LEFT, _TOP, _RIGHT = 96, 96, 24
_STRIP, _GAP = 26, 10
_WORDS = 7.2  # of a letter, to know whether a name fits
_NAMESPACE = 'xmlns="http://www.w3.org/2000/svg"'
_STYLE = f'role="img" font-family="system-ui, sans-serif" font-size="12" fill="{_INK}"'

_Scale = Callable[[float], float]
_Changes = Sequence[tuple[float, Mode]]


@dataclass(frozen=True, slots=True)
class Story:
    """What happened: a score for each second, when it was ill, and what rules made of it.

    `rules` are names with their changes; `ticks` the seconds between numbers on the axis; `unit`
    what they are divided by, and its word; `notes` are instants with words.
    """

    title: str
    subtitle: str
    scores: Sequence[float]
    ill: Sequence[tuple[float, float]]
    rules: Sequence[tuple[str, _Changes]]
    ticks: int
    unit: tuple[float, str]
    notes: Sequence[tuple[float, float, str]] = ()


def draw(story: Story) -> str:
    """An SVG document."""
    across = _WIDTH / len(story.scores)

    def x(second: float) -> float:
        return round(second * across, 1)

    wide = _LEFT + _WIDTH + _RIGHT
    high = _TOP + _HEIGHT + 46 + len(story.rules) * (_STRIP + _GAP) + 8
    parts = [
        f'<svg {_NAMESPACE} viewBox="0 0 {wide} {high}" width="{wide}" height="{high}" {_STYLE}>',
        f"<title>{escape(story.title)}</title>",
        f"<desc>{escape(story.subtitle)}</desc>",
        f'<rect width="{wide}" height="{high}" fill="#ffffff"/>',
        _text(20, 28, story.title, size=18, weight=600),
        _text(20, 48, story.subtitle, colour=_MUTED),
        *_legend(20, 74),
        f'<g transform="translate({_LEFT} {_TOP})">',
        *_plot(story, x),
        *_key(),
        *_strips(story, x),
        "</g>",
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _y(score: float) -> float:
    return round(_HEIGHT * (1 - score), 1)


def _plot(story: Story, x: _Scale) -> list[str]:
    parts = [
        f'<rect x="{x(begin)}" width="{round(x(end) - x(begin), 1)}" height="{_HEIGHT}" '
        f'fill="{_SHADE}"/>'
        for begin, end in story.ill
    ]
    edges = (DEFAULTS.thresholds[1], DEFAULTS.thresholds[3])
    returns = (DEFAULTS.return_normal, DEFAULTS.return_degraded)
    for low, back in zip(edges, returns, strict=True):
        top, bottom = _y(back / 100), _y(low / 100)
        parts += [
            f'<rect y="{top}" width="{_WIDTH}" height="{round(bottom - top, 1)}" fill="{_BAND}"/>',
            f'<path d="M0 {bottom}H{_WIDTH}" stroke="{_INK}" stroke-dasharray="4 3"/>',
            f'<path d="M0 {top}H{_WIDTH}" stroke="{_MUTED}" stroke-dasharray="1.5 3"/>',
            _text(-8, bottom + 4, f"{low:g}", size=11, anchor="end"),
            _text(-8, top + 1, f"{back:g}", size=11, colour=_MUTED, anchor="end"),
        ]
    parts += _axes(story, x)
    steps = [
        point for second, score in enumerate(story.scores) for point in _step(x, second, score)
    ]
    smooth = [(x(at), _y(score)) for at, score in _smoothed(story.scores)]
    parts += [_line(steps, _RAW, 1.1), _line(smooth, _SMOOTH, 2.0)]
    for at, height, words in story.notes:
        level = _y(height)
        parts += [
            f'<path d="M{x(at)} {level}V{_HEIGHT}" stroke="{_INK}" stroke-width="1"/>',
            _text(x(at) + 5, level + 10, words, size=11.5, weight=600),
        ]
    return parts


def _step(x: _Scale, second: int, score: float) -> list[tuple[float, float]]:
    return [(x(second), _y(score)), (x(second + 1), _y(score))]


def _smoothed(scores: Sequence[float]) -> list[tuple[float, float]]:
    """Five points a second, or one where there are many seconds."""
    found, level = [(0.0, 1.0)], 1.0
    parts = 5 if len(scores) < _WIDTH else 1
    for second, score in enumerate(scores):
        for part in range(1, parts + 1):
            passed = score + (level - score) * math.exp(-part / parts / DEFAULTS.tau)
            found.append((second + part / parts, passed))
        level = passed
    return found


def _axes(story: Story, x: _Scale) -> list[str]:
    parts = [
        f'<path d="M0 {_y(score)}H{_WIDTH}" stroke="{colour}"/>'
        for score, colour in ((0.0, _INK), (1.0, _GRID))
    ]
    parts += [
        _text(-8, _y(score) + 4, f"{score * 100:g}", size=11, anchor="end") for score in (0, 1)
    ]
    divisor, word = story.unit
    for second in range(0, len(story.scores) + 1, story.ticks):
        parts += [
            f'<path d="M{x(second)} {_HEIGHT}v4" stroke="{_INK}"/>',
            _text(x(second), _HEIGHT + 17, f"{second / divisor:g}", size=11, anchor="middle"),
        ]
    return [*parts, _text(_WIDTH, _HEIGHT + 32, word, size=11, colour=_MUTED, anchor="end")]


def _strips(story: Story, x: _Scale) -> list[str]:
    parts = []
    end = float(len(story.scores))
    for number, (name, changes) in enumerate(story.rules):
        top = _HEIGHT + 44 + number * (_STRIP + _GAP)
        parts.append(_text(-8, top + 12, name, size=11, weight=600, anchor="end"))
        count = f"{len(changes)} changes"
        parts.append(_text(-8, top + 24, count, size=10, colour=_MUTED, anchor="end"))
        begins = [(0.0, Mode.NORMAL), *changes]
        for (begin, mode), (until, _) in zip(begins, [*changes, (end, None)], strict=True):
            left, wide = x(begin), round(x(until) - x(begin), 1)
            parts.append(
                f'<rect x="{left}" y="{top}" width="{wide}" height="{_STRIP}" '
                f'fill="{_COLOURS[mode]}"/>'
            )
            if wide > _WORDS * len(mode.name) + 10:
                parts.append(_text(left + 6, top + 17, mode.name, size=11, weight=600))
    return parts


def _key() -> list[str]:
    """The colours of the modes, for strips too narrow for words."""
    parts, left, top = [], 0.0, _HEIGHT + 24
    for mode, colour in _COLOURS.items():
        parts += [
            f'<rect x="{left}" y="{top}" width="10" height="10" fill="{colour}"/>',
            _text(left + 15, top + 9, mode.name, size=10.5, colour=_MUTED),
        ]
        left += 28 + _WORDS * len(mode.name)
    return parts


def _legend(left: float, middle: float) -> list[str]:
    return [
        _stroke(left, middle - 4, _RAW, 1.1),
        _text(left + 34, middle, "score of this second"),
        _stroke(left + 180, middle - 4, _SMOOTH, 2.0),
        _text(left + 214, middle, "smoothed"),
        f'<rect x="{left + 300}" y="{middle - 11}" width="26" height="14" fill="{_BAND}"/>',
        _text(left + 334, middle, "between leaving a mode and coming back"),
        f'<rect x="{left + 640}" y="{middle - 11}" width="26" height="14" fill="{_SHADE}"/>',
        _text(left + 674, middle, "the dependency is ill"),
    ]


def _stroke(x: float, y: float, colour: str, width: float) -> str:
    return f'<path d="M{x} {y}h26" stroke="{colour}" stroke-width="{width}"/>'


def _line(points: Sequence[tuple[float, float]], colour: str, width: float) -> str:
    path = " ".join(f"{x:g},{y:g}" for x, y in points)
    line = f'fill="none" stroke="{colour}" stroke-width="{width}" stroke-linejoin="round"'
    return f'<polyline points="{path}" {line}/>'


def _text(  # noqa: PLR0913  (where, what, and how it looks)
    x: float,
    y: float,
    text: str,
    *,
    size: float = 12,
    weight: int = 400,
    colour: str = _INK,
    anchor: str = "start",
) -> str:
    return (
        f'<text x="{x}" y="{y}" font-size="{size}" font-weight="{weight}" fill="{colour}" '
        f'text-anchor="{anchor}">{escape(text)}</text>'
    )

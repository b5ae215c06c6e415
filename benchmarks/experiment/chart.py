"""Pictures: goodput and attempts over time, a panel for each arm, as SVG."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

__all__ = ["Panel", "chart"]

_INK, _MUTED, _GRID = "#1f2a37", "#5b6675", "#d9dee5"
# Blue and vermilion of Okabe and Ito (2008), which the colour blind tell apart; the attempts are
# dashed and the goodput is filled, so that they differ in grey too.
_GOOD, _GOOD_FILL, _ATTEMPTS, _SHADE = "#0072b2", "#a9d0e8", "#d55e00", "#f1e6d0"

_BEFORE, _AFTER = 10, 60  # seconds shown around the trigger
_TOP = 2.0  # the highest share of the offered load that is drawn
_WIDTH, _HEIGHT = 300, 150  # of a panel's plot
_LEFT, _RIGHT, _ABOVE, _BELOW = 52, 14, 44, 34
_COLUMNS = 3
_HEAD, _FOOT = 84, 14

_NAMESPACE = 'xmlns="http://www.w3.org/2000/svg"'
_STYLE = f'role="img" font-family="system-ui, sans-serif" font-size="12" fill="{_INK}"'

_Scale = Callable[[float], float]


@dataclass(frozen=True, slots=True)
class Panel:
    """One arm: its title, what is said below it, and shares of the offered load by second.

    Both lists begin ten seconds before the trigger, which takes `trigger` seconds.
    """

    title: str
    note: str
    good: Sequence[float]
    attempts: Sequence[float]
    trigger: float


def chart(title: str, subtitle: str, panels: Sequence[Panel]) -> str:
    """An SVG document with a panel for each of `panels`."""
    rows = -(-len(panels) // _COLUMNS)
    wide = _COLUMNS * (_LEFT + _WIDTH + _RIGHT) + 8
    high = _HEAD + rows * (_ABOVE + _HEIGHT + _BELOW) + _FOOT
    parts = [
        f'<svg {_NAMESPACE} viewBox="0 0 {wide} {high}" width="{wide}" height="{high}" {_STYLE}>',
        f"<title>{escape(title)}</title>",
        f"<desc>{escape(subtitle)}</desc>",
        f'<rect width="{wide}" height="{high}" fill="#ffffff"/>',
        _text(20, 28, title, size=18, weight=600),
        _text(20, 48, subtitle, colour=_MUTED),
        *_legend(20, 70),
    ]
    for number, panel in enumerate(panels):
        row, column = divmod(number, _COLUMNS)
        left = column * (_LEFT + _WIDTH + _RIGHT) + _LEFT
        top = _HEAD + row * (_ABOVE + _HEIGHT + _BELOW) + _ABOVE
        parts.append(f'<g transform="translate({left} {top})">')
        parts += _panel(panel, number)
        parts.append("</g>")
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


def _panel(panel: Panel, number: int) -> list[str]:
    seconds = _BEFORE + panel.trigger + _AFTER
    across = _WIDTH / seconds

    def x(second: float) -> float:
        return round(second * across, 1)

    def y(share: float) -> float:
        return round(_HEIGHT * (1 - share / _TOP), 1)

    good = [(x(second + 0.5), y(share)) for second, share in enumerate(panel.good)]
    attempts = [
        (x(second + 0.5), y(min(share, _TOP))) for second, share in enumerate(panel.attempts)
    ]
    clip = f"plot{number}"
    return [
        _text(0, -26, panel.title, size=13, weight=600),
        _text(0, -9, panel.note, size=11, colour=_MUTED),
        f'<clipPath id="{clip}"><rect width="{_WIDTH}" height="{_HEIGHT}"/></clipPath>',
        f'<rect x="{x(_BEFORE)}" width="{x(panel.trigger)}" height="{_HEIGHT}" fill="{_SHADE}"/>',
        *_axes(x, y, panel.trigger),
        f'<g clip-path="url(#{clip})" fill="none" stroke-width="1.8" stroke-linejoin="round">',
        _area(good),
        _line(good, _GOOD),
        _line(attempts, _ATTEMPTS, dash="5 3"),
        "</g>",
        *_peak(panel, x),
    ]


def _axes(x: _Scale, y: _Scale, trigger: float) -> list[str]:
    parts = []
    for share in (0, 0.5, 1, 1.5, 2):
        dash = ' stroke-dasharray="1.5 3"' if share == 1 else ""
        colour = _INK if share in {0, 1} else _GRID
        parts += [
            f'<path d="M0 {y(share)}H{_WIDTH}" stroke="{colour}"{dash}/>',
            _text(-6, y(share) + 4, f"{share:.0%}", size=10.5, colour=_MUTED, anchor="end"),
        ]
    step = 10 if trigger + _AFTER <= 80 else 20  # noqa: PLR2004  (so that the numbers fit)
    for second in range(-_BEFORE, int(trigger + _AFTER) + 1, step):
        at = x(second + _BEFORE)
        parts += [
            f'<path d="M{at} {_HEIGHT}v4" stroke="{_INK}"/>',
            _text(at, _HEIGHT + 16, str(second), size=10.5, colour=_MUTED, anchor="middle"),
        ]
    label = "seconds since the trigger began"
    parts.append(_text(_WIDTH / 2, _HEIGHT + 30, label, size=10.5, colour=_MUTED, anchor="middle"))
    return parts


def _peak(panel: Panel, x: _Scale) -> list[str]:
    """Say how far the attempts go beyond what is drawn."""
    highest = max(panel.attempts, default=0.0)
    if highest <= _TOP:
        return []
    second = panel.attempts.index(highest)
    at = min(max(x(second + 0.5), 40), _WIDTH - 60)
    return [
        f'<rect x="{at - 3}" y="3" width="82" height="15" fill="#ffffff" opacity="0.85"/>',
        _text(at, 14, f"up to {highest:.0%}", size=11, colour=_ATTEMPTS, weight=600),
    ]


def _legend(left: float, middle: float) -> list[str]:
    return [
        f'<rect x="{left}" y="{middle - 9}" width="26" height="11" fill="{_GOOD_FILL}"/>',
        f'<path d="M{left} {middle - 9}h26" stroke="{_GOOD}" stroke-width="1.8"/>',
        _text(left + 34, middle, "answered (share of the offered load)"),
        _stroke(left + 270, middle - 4, _ATTEMPTS, "5 3"),
        _text(left + 304, middle, "requests sent to the server"),
        _stroke(left + 490, middle - 4, _INK, "1.5 3"),
        _text(left + 524, middle, "offered load"),
        f'<rect x="{left + 630}" y="{middle - 11}" width="26" height="14" fill="{_SHADE}"/>',
        _text(left + 664, middle, "while the trigger lasts"),
    ]


def _stroke(x: float, y: float, colour: str, dash: str) -> str:
    line = f'd="M{x} {y}h26" stroke="{colour}"'
    return f'<path {line} stroke-width="1.8" stroke-dasharray="{dash}"/>'


def _area(points: list[tuple[float, float]]) -> str:
    if not points:
        return ""
    path = " ".join(f"L{x} {y}" for x, y in points)
    first, last = points[0][0], points[-1][0]
    return f'<path d="M{first} {_HEIGHT} {path} L{last} {_HEIGHT}Z" fill="{_GOOD_FILL}"/>'


def _line(points: list[tuple[float, float]], colour: str, dash: str = "") -> str:
    path = " ".join(f"{x},{y}" for x, y in points)
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<polyline points="{path}" stroke="{colour}"{dashes}/>'


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

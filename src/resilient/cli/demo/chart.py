"""The drawing of the report: both arms, faults, modes and what they did, on one time axis."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from resilient.cli.demo import palette
from resilient.cli.demo.arm import ARMS, KINDS
from resilient.cli.demo.markup import Markup, element
from resilient.cli.demo.tally import Course, Span, Tally

__all__ = ["draw"]

WIDTH, LEFT, RIGHT = 1120, 112, 20
PLOT = WIDTH - LEFT - RIGHT
LANE, BARS, SCORE, MODE, STRIP, AXIS, GAP = 24, 150, 70, 86, 18, 24, 26
CHARACTER = 6.1
"""How wide a character of the small type is, on the safe side."""
STEPS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
MARKS = 4
"""At most so many steps on a scale."""
WORDS_FROM = 10
"""Characters that must fit before reasons are written into a mode."""
TITLES = {"bare": "bare service", "protected": "protected service"}


class Chart:
    """Draws a tally from the top down; `y` is where the next row begins."""

    def __init__(self, tally: Tally) -> None:
        self.tally = tally
        self.y = 4.0
        self.bands_from = 0.0
        self.most = max(
            (sum(second.values()) for arm in tally.arms.values() for second in arm.course.values()),
            default=1,
        )

    def x(self, at: float) -> float:
        """Return where the second `at` lies."""
        return LEFT + PLOT * min(max(at, 0.0), self.tally.seconds) / self.tally.seconds

    def end(self, span: Span) -> float:
        """Return when `span` ended, the end of the run at the latest."""
        return self.tally.seconds if span.end is None else min(span.end, self.tally.seconds)

    def extent(self, span: Span) -> tuple[float, float]:
        """Return where `span` lies, and how wide it is."""
        x = self.x(span.start)
        return x, self.x(self.end(span)) - x

    def draw(self) -> Markup:
        """Return the whole drawing."""
        rows = [*self.fault_labels()]
        for name in ARMS:
            rows += self.arm(name)
        rows += [*self.score(), *self.modes(), *self.states(), *self.axis()]
        return element(
            "svg", self.fault_bands(), rows,
            viewBox=f"0 0 {WIDTH} {self.y:.0f}", role="img",
            aria_label="Answers per second of both services, faults and modes over time",
            xmlns="http://www.w3.org/2000/svg", fill=palette.INK,
        )  # fmt: skip

    def fault_labels(self) -> Iterator[Markup]:
        """Draw a pill for each fault; those that overlap get lanes of their own."""
        yield _side("faults", self.y + 16)
        lanes: list[float] = []
        for span in self.tally.faults:
            free = [i for i, busy_until in enumerate(lanes) if busy_until <= span.start]
            lane = free[0] if free else len(lanes)
            lanes[lane : lane + 1] = [self.end(span)]
            yield from self._pill(span, self.y + lane * LANE)
        self.y += max(1, len(lanes)) * LANE + 4
        self.bands_from = self.y

    def _pill(self, span: Span, y: float) -> Iterator[Markup]:
        x, width = self.extent(span)
        yield element("rect", _title(f"{span.what}, from {span.start:.1f} s"), x=x, y=y,
                      width=width, height=LANE - 4, rx=4, fill=palette.FAULT_EDGE)  # fmt: skip
        label = span.what
        if len(label) * CHARACTER > width:
            label = label.rpartition(" ")[2]
        yield _text(label, x + width / 2, y + 14, fill="#fff", text_anchor="middle")

    def fault_bands(self) -> list[Markup]:
        """Draw the bands of the faults behind everything else."""
        height = self.y - self.bands_from - AXIS
        return [
            element("rect", x=x, y=self.bands_from, width=width, height=height, fill=palette.FAULT)
            for x, width in map(self.extent, self.tally.faults)
        ]

    def arm(self, name: str) -> Iterator[Markup]:
        """Draw the answers per second of one arm, stacked by kind."""
        arm = self.tally.arms[name]
        yield _text(TITLES[name], LEFT, self.y + 15, class_="head")
        foot = self.y + GAP + BARS
        yield from self._scale(foot, BARS, self.most, "answers/s")
        width = PLOT / self.tally.seconds
        for second, counts in sorted(arm.course.items()):
            y = foot
            for kind in KINDS:
                height = BARS * counts[kind] / self.most
                y -= height
                if height:
                    title = _title(f"{second} s: {counts[kind]} {kind}")
                    yield element("rect", title, x=self.x(second) + 0.75, y=y, height=height,
                                  width=width - 1.5, fill=palette.KIND[kind])  # fmt: skip
        yield _line(LEFT, foot, LEFT + PLOT, foot, palette.MUTED)
        self.y = foot + 12

    def _scale(self, foot: float, height: float, most: float, unit: str) -> Iterator[Markup]:
        step = next((step for step in STEPS if most / step <= MARKS), STEPS[-1])
        for value in range(0, int(most) + 1, step):
            y = foot - height * value / most
            yield _line(LEFT, y, LEFT + PLOT, y, palette.GRID)
            yield _text(f"{value}", LEFT - 8, y + 4, text_anchor="end", class_="small")
        yield _side(unit, foot - height / 2 + 4)

    def score(self) -> Iterator[Markup]:
        """Draw the score of the mode, 0 to 100."""
        self.y += 10
        foot = self.y + SCORE
        for value in (0, 50, 100):
            y = foot - SCORE * value / 100
            yield _line(LEFT, y, LEFT + PLOT, y, palette.GRID)
            yield _text(f"{value}", LEFT - 8, y + 4, text_anchor="end", class_="small")
        yield _side("score", foot - SCORE / 2 + 4)
        points = " ".join(
            f"{self.x(at):.1f},{foot - SCORE * score / 100:.1f}" for at, score in self.tally.scores
        )
        yield element("polyline", points=points, fill="none", stroke=palette.INK, stroke_width=1.8)
        self.y = foot + 10

    def modes(self) -> Iterator[Markup]:
        """Draw the strip of modes; each change has a number, which the page's list explains."""
        yield _side("mode", self.y + 18)
        for number, span in enumerate(self.tally.modes()):
            x, width = self.extent(span)
            why = "; ".join(_telling(self.tally.changes[number - 1].reasons)) if number else ""
            ground, ink = palette.MODE.get(span.what, palette.MODE["DEGRADED"])
            yield element("rect", _title(f"{span.what}: {why or 'at first'}"), x=x, y=self.y,
                          width=width, height=MODE, fill=ground, stroke="#fff")  # fmt: skip
            words = [f"{number or ''} {span.what}".strip(), why]
            yield element("g", self._mode_words(words, x + 6, width - 10), fill=ink)
        self.y += MODE + 6

    def _mode_words(self, words: list[str], x: float, width: float) -> Iterator[Markup]:
        """Write the head, shortened to fit, and as much of the reasons as there is room for."""
        head, why = words
        room = int(width / CHARACTER)
        heads = (head, head[:5], head.partition(" ")[0])
        # The head is bold, and so a fifth wider.
        head = next((one for one in heads if len(one) * 1.2 <= room), "")
        yield _text(head, x, self.y + 17, class_="mode")
        if room >= WORDS_FROM:
            lines = textwrap.wrap(why, room, max_lines=5, placeholder=" ...")
            for i, line in enumerate(lines):
                yield _text(line, x, self.y + 32 + 12 * i, class_="small")

    def states(self) -> Iterator[Markup]:
        """Draw a strip of states for each feature, circuit breaker and probe."""
        yield from self._strips("", self.tally.features)
        yield from self._strips(" circuit", self.tally.circuits)
        yield from self._strips(" probe", self.tally.probes)

    def _strips(self, kind: str, courses: Course) -> Iterator[Markup]:
        for name, course in sorted(courses.items(), reverse=True):
            yield _side(f"{name}{kind}", self.y + 13)
            for span in course:
                x, width = self.extent(span)
                # One that began after the end of the load has no room at all.
                width = max(width, min(1.0, LEFT + PLOT - x))
                words = f"{name}{kind}: {span.what}, from {span.start:.1f} s; {span.why}"
                fill = palette.STATE.get(span.what, palette.MUTED)
                yield element("rect", _title(words.removesuffix("; ")), x=x, y=self.y,
                              width=width, height=STRIP, fill=fill)  # fmt: skip
            self.y += STRIP + 4

    def axis(self) -> Iterator[Markup]:
        """Draw the seconds."""
        step = next(step for step in STEPS if self.tally.seconds / step <= MARKS * 3)
        for second in range(0, int(self.tally.seconds) + 1, step):
            x = self.x(second)
            yield _line(x, self.y, x, self.y + 5, palette.MUTED)
            yield _text(f"{second} s", x, self.y + 18, text_anchor="middle", class_="small")
        self.y += AXIS


def draw(tally: Tally) -> Markup:
    """Return the drawing of `tally` as an ``svg`` element."""
    return Chart(tally).draw()


def _telling(reasons: tuple[str, ...]) -> list[str]:
    """Leave out that the score fell, which is drawn just above, if there is more to say."""
    return [one for one in reasons if not one.startswith("SCORE:")] or list(reasons)


def _title(words: str) -> Markup:
    return element("title", words)


def _text(words: str, x: float, y: float, **attributes: object) -> Markup:
    return element("text", words, x=x, y=y, **attributes)


def _side(words: str, y: float) -> Markup:
    return _text(words, 0.0, y, fill=palette.MUTED)


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> Markup:
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, stroke=colour)

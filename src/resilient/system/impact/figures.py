"""How well the application should work in each mode, how well it does, and the difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from types import MappingProxyType

from resilient.system.impact.traffic import Served
from resilient.system.states import Mode

__all__ = ["Impact", "Performance", "expected_in", "impact", "measured"]

LESS_IS_WORSE = ("throughput", "availability")
"""Figures that fall when things get worse; the others rise."""


@dataclass(frozen=True, slots=True)
class Performance:
    """Four figures; `None` is unknown.

    Fields: `latency`, mean seconds of a request; `throughput`, requests per second; `error_rate`,
    the share of them that fail, 0 to 1; `availability`, the share of seconds with requests in which
    at least half of them were answered, 0 to 1.

    Example::

        Performance(latency=0.05, throughput=1000, error_rate=0.001, availability=0.999)
    """

    latency: float | None = None
    throughput: float | None = None
    error_rate: float | None = None
    availability: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Impact:
    """What the present state costs.

    Fields: `mode`; `measured` now; `expected`, as declared for this mode, and `normal`, for NORMAL;
    `worse`, by figure, how many percent worse than NORMAL is measured (negative: better); and
    `than_expected`, how many percent worse than this mode was declared to be.

    Example::

        mode.impact().worse["latency"]  # 300.0: four times as slow as it should be
    """

    mode: Mode
    measured: Performance
    expected: Performance
    normal: Performance
    worse: Mapping[str, float] = field(default_factory=dict)
    than_expected: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        """One line for each figure that is known."""
        lines = [f"{self.mode.name}: measured, expected, in NORMAL"]
        for name, now in asdict(self.measured).items():
            if now is not None:
                change = f"  {self.worse[name]:+.1f} % worse" if name in self.worse else ""
                then = getattr(self.expected, name), getattr(self.normal, name)
                lines.append(f"  {name}  {now:g}  {_shown(then[0])}  {_shown(then[1])}{change}")
        return "\n".join(lines)


def measured(seconds: Sequence[Served], lasting: float) -> Performance:
    """What a window of `lasting` seconds shows; all but the throughput is unknown if it is empty.

    Example::

        measured([Served(calls=10, failures=1, seconds=0.5)], lasting=1.0).error_rate  # 0.1
    """
    calls = sum(one.calls for one in seconds)
    if not calls:
        return Performance(throughput=0.0)
    return Performance(
        latency=sum(one.seconds for one in seconds) / calls,
        throughput=calls / lasting,
        error_rate=sum(one.failures for one in seconds) / calls,
        availability=sum(one.up for one in seconds) / len(seconds),
    )


def expected_in(mode: Mode, declared: Mapping[Mode, Performance]) -> Performance:
    """What was declared for `mode`, or else for the next better one.

    Example::

        expected_in(Mode.EMERGENCY, {Mode.NORMAL: Performance(latency=0.05)}).latency  # 0.05
    """
    better = [declared[one] for one in Mode if one.rank <= mode.rank and one in declared]
    return better[-1] if better else Performance()


def impact(mode: Mode, now: Performance, declared: Mapping[Mode, Performance]) -> Impact:
    """Compare what is measured with what was declared.

    Example::

        impact(Mode.DEGRADED, Performance(latency=0.2), {Mode.NORMAL: Performance(latency=0.05)})
    """
    normal, expected = expected_in(Mode.NORMAL, declared), expected_in(mode, declared)
    return Impact(
        mode=mode,
        measured=now,
        expected=expected,
        normal=normal,
        worse=_worse(now, normal),
        than_expected=_worse(now, expected),
    )


def _worse(now: Performance, then: Performance) -> Mapping[str, float]:
    """By how many percent; what is unknown, or was zero, is left out."""
    found = {}
    for name, value in asdict(now).items():
        base = getattr(then, name)
        if value is not None and base:
            change = (value - base) / base * 100
            found[name] = -change if name in LESS_IS_WORSE else change
    return MappingProxyType(found)


def _shown(value: float | None) -> str:
    return "?" if value is None else f"{value:g}"

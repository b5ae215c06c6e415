"""What an answer says of itself, for whoever gets it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import msgspec

from resilient.core.outcome import Freshness, Outcome
from resilient.system.states import Mode

__all__ = ["Quality", "ResponseContext", "quality_of", "words_of"]

LONGEST = 256
"""Characters of a header's value. Servers commonly refuse 8 kB for all headers together."""

_UNSAFE = re.compile("[^ -~]")


class Quality(Enum):
    """How much of the usual answer this is.

    Members: `FULL`; `REDUCED`, a stale answer or one of a system in DEGRADED, or with features
    frozen; `MINIMAL`, a default, an error, or an answer of a system in EMERGENCY.
    """

    FULL = "full"
    REDUCED = "reduced"
    MINIMAL = "minimal"


_BY_FRESHNESS = {Freshness.FRESH: 0, Freshness.STALE: 1, Freshness.DEFAULT: 2}


class ResponseContext(msgspec.Struct, frozen=True, kw_only=True):
    """Where an answer comes from, how good it is, and why. Made by `mode.context`.

    Fields: `mode`; `score`, 0 to 100; `quality`; `reasons`, in words, those of the answer first,
    empty when all is well; `source` and `freshness` of the answer, `None` if no outcome was given;
    `at`, wall-clock seconds: when the answer was got, for a stale one long ago.

    Example::

        context = mode.context(outcome)
        response.headers.update(context.headers())
    """

    mode: Mode
    score: float
    quality: Quality
    reasons: tuple[str, ...]
    source: str | None
    freshness: Freshness | None
    at: float

    def headers(self, *, reasons: bool = True) -> dict[str, str]:
        """Headers of an HTTP response: printable ASCII, each at most 256 characters long.

        ``X-System-Mode``, ``X-System-Score``, ``X-Response-Quality``, ``X-Response-At`` (UTC, RFC
        3339) and, as far as known, ``X-Response-Source``, ``X-Response-Freshness`` and
        ``X-Response-Reason``. What cannot stand in a header is replaced, line breaks by a space.

        Parameters: `reasons`, false where strangers read them: they name components and errors.

        Example::

            context.headers()["X-Response-Quality"]  # 'reduced'
        """
        found = {
            "X-System-Mode": self.mode.value,
            "X-System-Score": f"{self.score:.0f}",
            "X-Response-Quality": self.quality.value,
            "X-Response-Source": self.source or "",
            "X-Response-Freshness": "" if self.freshness is None else self.freshness.value,
            "X-Response-At": _instant(self.at),
            "X-Response-Reason": "; ".join(self.reasons) if reasons else "",
        }
        return {name: safe for name, value in found.items() if (safe := _safe(value))}

    def as_dict(self) -> dict[str, Any]:
        """Plain data for a body: as the fields, with enum members by their values.

        Example::

            json.dumps({"items": items, "served": context.as_dict()})
        """
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return {**plain, "reasons": list(self.reasons)}


def quality_of(mode: Mode, outcome: Outcome[Any] | None, *, frozen: bool) -> Quality:
    """The worst of what the mode, a freeze and the outcome allow to say."""
    rank = max(mode.rank, int(frozen))
    if outcome is not None:
        rank = max(rank, 2 if outcome.error else _BY_FRESHNESS[outcome.freshness])
    return tuple(Quality)[rank]


def words_of(error: BaseException) -> str:
    """Type and message of `error` for a reader, whatever its ``str`` does."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001  (an application's exception may refuse in any way)
        text = ""
    name = type(error).__name__
    return f"{name}: {text}" if text else name


def _instant(at: float) -> str:
    shown = datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
    return shown.replace("+00:00", "Z")


def _safe(value: str) -> str:
    """`value` as one line of printable ASCII, cut where it is too long."""
    line = " ".join(value[: 4 * LONGEST].split()).encode("ascii", "backslashreplace").decode()
    line = _UNSAFE.sub("?", line)
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 3].rstrip()}..."

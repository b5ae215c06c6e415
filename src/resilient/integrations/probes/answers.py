"""What ready-made probes have in common: errors, levels, and words for sizes."""

from __future__ import annotations

import os
from typing import NamedTuple

from resilient.errors import ConfigError
from resilient.system.probes.probe import ProbeStatus

__all__ = ["Levels", "WrongAnswerError", "path_of", "percent", "size", "text"]

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_STEP = 1024
_MOST = 1000


class WrongAnswerError(Exception):
    """Something answered a probe, but not as it should; its text says how.

    Example::

        mode.probes["shop"].last.detail  # "WrongAnswerError: HTTP 500, not 200 to 399"
    """


class Levels(NamedTuple):
    """From which figures on something is DEGRADED and FAILED; the more, the worse."""

    degraded: float
    failed: float

    @classmethod
    def of(cls, degraded: float, failed: float) -> Levels:
        """Check the order. Raises `ConfigError`."""
        if failed < degraded:
            raise ConfigError("failed_above", failed, f"at least degraded_above, {degraded:g}")
        return cls(degraded, failed)

    def judge(self, figure: float) -> ProbeStatus:
        """What a figure says; the levels themselves belong to the worse side."""
        if figure >= self.failed:
            return ProbeStatus.FAILED
        return ProbeStatus.DEGRADED if figure >= self.degraded else ProbeStatus.HEALTHY


def size(count: float) -> str:
    """Bytes as a person reads them.

    Example::

        size(42949672960)  # "40 GiB"
    """
    unit = 0
    while count >= _MOST and unit < len(_UNITS) - 1:
        count, unit = count / _STEP, unit + 1
    return f"{count:.3g} {_UNITS[unit]}"


def percent(share: float) -> str:
    """A share as a person reads it.

    Example::

        percent(0.0724)  # "7.2 %"
    """
    return f"{share * 100:.1f} %"


def text(setting: str, value: object, allowed: str = "text on one line") -> str:
    """Check a text. Raises `ConfigError` for what is none, empty, or has several lines."""
    if not isinstance(value, str) or not value or any(sign in value for sign in "\r\n\0"):
        raise ConfigError(setting, value, allowed)
    return value


def path_of(value: object) -> str:
    """Check a path. Raises `ConfigError`."""
    found = os.fspath(value) if isinstance(value, os.PathLike) else value
    return text("path", found, "a path")

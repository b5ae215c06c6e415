"""Thresholds in a few words: ``> 5 per hour``, ``> 90% for 60 s``, ``silent for 30 s``."""

from __future__ import annotations

import re

from resilient.errors import ConfigError
from resilient.system.signals.condition import ALLOWED, UNITS, Condition, Form, checked

__all__ = ["parse"]

_SIGN = r"(?P<sign>[<>]=?)\s*(?P<limit>-?\d+(?:\.\d+)?)"
_TIME = r"(?P<length>\d+(?:\.\d+)?)\s*(?P<unit>s|seconds?|min|minutes?|h|hours?|days?)"
_EACH = rf"(?:{_TIME}|(?P<each>s|second|min|minute|h|hour|day))"

_FORMS = {
    Form.COUNT: re.compile(rf"{_SIGN}\s*(?:per\s+|/\s*){_EACH}"),
    Form.FIGURE: re.compile(rf"{_SIGN}\s*(?P<percent>%)?(?:\s+for\s+{_TIME})?"),
    Form.SILENCE: re.compile(rf"silent\s+for\s+{_TIME}"),
}


def parse(text: object) -> Condition:
    """Read a condition. Raises `ConfigError` that shows what is allowed.

    A percentage is a share: 90% is 0.9.

    Example::

        parse("> 90% for 60 s").limit  # 0.9
    """
    words = text.strip().lower() if isinstance(text, str) else ""
    for form, pattern in _FORMS.items():
        found = pattern.fullmatch(words)
        if found is not None:
            return checked(_condition(form, found.groupdict()), text)
    raise ConfigError("when", text, ALLOWED)


def _condition(form: Form, found: dict[str, str | None]) -> Condition:
    unit = (found.get("unit") or found.get("each") or "s").rstrip("s") or "s"
    length = float(found.get("length") or (1 if found.get("each") else 0)) * UNITS[unit]
    limit = float(found.get("limit") or 0)
    if found.get("percent"):
        limit /= 100
    return Condition(form, length, found.get("sign") or ">", limit)

"""What a source of settings says, in one shape, and what is wrong with it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from resilient.core.defaults import NAMED, SECTIONS
from resilient.core.setting import Setting, masked
from resilient.core.values import Given, Key
from resilient.errors import ConfigError

__all__ = ["CODE", "ENVIRONMENT", "FILE", "Source", "dotted", "near", "read_one"]
__all__ += ["read_tables"]

FILE, ENVIRONMENT, CODE = 1, 2, 3
"""Ranks: what the program says holds over the environment, and that over a file."""


class Source(NamedTuple):
    """What one source says, and what is wrong with it."""

    given: dict[Key, Given]
    problems: list[ConfigError]


def dotted(section: str, name: str | None, setting: str) -> str:
    """How a setting is called, such as ``breaker.reset_timeout`` or ``breaker."a.b".window``."""
    if name is None:
        return f"{section}.{setting}"
    plain = name.replace("-", "").replace("_", "").isalnum() and name.isascii()
    return f"{section}.{name if plain else _quoted(name)}.{setting}"


def _quoted(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def near(word: str, words: Iterable[str]) -> str:
    """What was probably meant, in words, or all there is."""
    known = list(words)
    close = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {close[0]}?" if close else f"one of {', '.join(known)}"


def read_tables(tables: Mapping[str, Any], origin: str, rank: int) -> Source:
    """The settings in tables of a file, or in the arguments of `configure`."""
    source = Source({}, [])
    for section, table in tables.items():
        if section not in SECTIONS:
            _refuse(source, section, table, f"a section: {near(section, SECTIONS)}", origin)
        elif not isinstance(table, Mapping):
            _refuse(source, section, table, f"a table of settings, [{section}]", origin)
        else:
            _read_table(source, section, None, table, Given(None, origin, rank))
    return source


def _read_table(
    source: Source, section: str, name: str | None, table: Mapping[str, Any], like: Given
) -> None:
    for key, value in ((str(key), value) for key, value in table.items()):
        if isinstance(value, Mapping) and name is None and section in NAMED:
            _read_table(source, section, key, value, like)
            continue
        setting = SECTIONS[section].get(key)
        if setting is None:
            allowed = f"a setting of [{section}]: {near(key, SECTIONS[section])}"
            _refuse(source, dotted(section, name, key), value, allowed, like.origin)
        else:
            read_one(source, setting, name, value, like)


def read_one(source: Source, setting: Setting, name: str | None, value: Any, like: Given) -> None:
    """Add one value to `source`, or what is wrong with it; only the environment has but texts."""
    try:
        read = setting.read(value, lax=like.rank == ENVIRONMENT)
    except ValueError:
        full = dotted(setting.section, name, setting.name)
        source.problems.append(setting.refusal(value, like.origin, full))
    else:
        source.given[setting.section, name, setting.name] = like._replace(value=read)


def _refuse(source: Source, setting: str, value: object, allowed: str, origin: str) -> None:
    source.problems.append(ConfigError(setting, masked(value, setting), allowed, origin))

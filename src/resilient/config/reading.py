"""All sources together: what holds, or everything that is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from resilient.config.environment import PATH, read_environment
from resilient.config.files import file_at
from resilient.config.sources import CODE, FILE, Source, dotted, read_tables
from resilient.core.defaults import SECTIONS, SETTINGS
from resilient.core.setting import masked
from resilient.core.values import Key, Values, folded
from resilient.errors import ConfigError
from resilient.system.tuning import tuned

__all__ = ["SettingValue", "listed", "read"]


class SettingValue(msgspec.Struct, frozen=True):
    """A setting as it stands.

    `name`, such as ``breaker.reset_timeout``; `value`; `origin`: ``default``, ``file <path>``,
    ``environment variable <name>`` or ``code``.

    Example::

        configuration.settings["breaker.reset_timeout"].origin
    """

    name: str
    value: Any
    origin: str

    @property
    def shown(self) -> object:
        """The value as it may be shown: an address without its password."""
        return masked(self.value)


def read(
    directory: Path, path: str | None, environ: Mapping[str, str], code: Mapping[str, Any]
) -> tuple[Path | None, Values]:
    """Read files, environment and code; the file that was read, and what was said.

    Raises the first `ConfigError`, with all others as its notes: whoever has made three mistakes
    wants to be told once.
    """
    origin = "code"
    if path is None and environ.get(PATH, "").strip():
        path, origin = environ[PATH].strip(), f"environment variable {PATH}"
    found = file_at(directory, path, origin)
    file = Source({}, [])
    if found is not None:
        file = read_tables(found[1], f"file {found[0]}", FILE)
    sources = (file, read_environment(environ), read_tables(code, "code", CODE))
    values = Values({**file.given, **sources[2].given}, sources[1].given)
    problems = [problem for source in sources for problem in source.problems]
    _raise(problems or _of_mode(values))
    return None if found is None else found[0], values


def _raise(problems: list[ConfigError]) -> None:
    if not problems:
        return
    first, *others = problems
    for other in others:
        first.add_note(f"and {other}")
    raise first


def _of_mode(values: Values) -> list[ConfigError]:
    """What is wrong with the settings of the mode taken together."""
    found = {setting: values.find("mode", setting) for setting in SECTIONS["mode"]}
    try:
        tuned({setting: given.value for setting, given in found.items()})
    except ConfigError as error:
        full, origin = f"mode.{error.setting}", found[error.setting].origin
        return [ConfigError(full, error.value, error.allowed, origin)]
    return []


def listed(values: Values) -> dict[str, SettingValue]:
    """Every setting, and those for one policy, by name."""
    keys: list[Key] = [(each.section, None, each.name) for each in SETTINGS]
    keys += [key for key in values.exact if key[1] is not None]
    known = {(section, folded(name or ""), setting) for section, name, setting in keys}
    keys += [key for key in values.environment if key[1] is not None and key not in known]
    found = {}
    for section, name, setting in keys:
        full = dotted(section, name, setting)
        given = values.find(section, setting, name)
        found[full] = SettingValue(full, given.value, given.origin)
    return found

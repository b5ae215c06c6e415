"""``resilient config``: every setting, its value, and where that comes from."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable

from resilient.config.configuration import Configuration, configure
from resilient.config.reading import SettingValue
from resilient.errors import ConfigError

__all__ = ["run", "table", "text"]


def table(settings: Iterable[SettingValue]) -> str:
    """The settings as aligned text, a line each.

    Example::

        print(table(resilient.configure().settings.values()))
    """
    rows = [(one.name, text(one.shown), one.origin) for one in settings]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    return "\n".join(
        f"{name:{widths[0]}}  {value:{widths[1]}}  {origin}" for name, value, origin in rows
    )


def run(path: str | None, *, as_json: bool = False) -> int:
    """Print the settings that a program in this directory and environment gets.

    Parameters: `path` of the file, or `None` for the usual ones; `as_json`, for programs.
    Returns the exit status: 2 if anything is not allowed.

    Example::

        run("resilient.toml")
    """
    try:
        configuration = configure(path=path)
    except ConfigError as error:
        notes: list[str] = getattr(error, "__notes__", [])
        for line in (str(error), *notes):
            print(f"resilient config: {line}", file=sys.stderr)  # noqa: T201  (a command)
        return 2
    _say(_json(configuration) if as_json else _plain(configuration))
    return 0


def _say(found: str) -> None:
    """Print what a terminal of any encoding can show, as far as the reader reads it."""
    encoding = sys.stdout.encoding or "utf-8"
    try:
        print(found.encode(encoding, "backslashreplace").decode(encoding), flush=True)  # noqa: T201  (a command)
    except BrokenPipeError:  # `head` has seen enough; nor shall the interpreter complain at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _plain(configuration: Configuration) -> str:
    path = configuration.path
    file = "no file" if path is None else f"file {path}"
    return f"# {file}\n{table(configuration.settings.values())}"


def _json(configuration: Configuration) -> str:
    path = configuration.path
    found = {
        "file": None if path is None else str(path),
        "settings": {
            name: {"value": one.shown, "origin": one.origin}
            for name, one in configuration.settings.items()
        },
    }
    return json.dumps(found, indent=2)


def text(value: object) -> str:
    """A value as a file or a variable would have it, or nearly.

    Example::

        text((95.0, 85.5))  # "95,85.5"
    """
    if value is None:
        return "none"
    if isinstance(value, tuple):
        return ",".join(map(text, value))
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)

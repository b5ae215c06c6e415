"""Which file holds settings, and its tables."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from resilient.errors import ConfigError

__all__ = ["file_at"]


def file_at(directory: Path, path: str | None, origin: str) -> tuple[Path, dict[str, Any]] | None:
    """The file that holds settings, and its tables; `None` if there is none and none was named.

    Parameters: `directory`, where ``resilient.toml`` or ``pyproject.toml`` may be; `path` of a file
    that must be there, and the `origin` of that. Raises `ConfigError`.
    """
    if path is not None:
        named = directory / Path(path).expanduser()
        return named, _read_file(named, origin)
    for name in ("resilient.toml", "pyproject.toml"):
        found = directory / name
        if found.is_file():
            tables = _read_file(found, "the working directory")
            if tables or name == "resilient.toml":
                return found, tables
    return None


def _read_file(path: Path, origin: str) -> dict[str, Any]:
    """The tables of a file; of a ``pyproject.toml`` those under ``tool.resilient``."""
    import tomllib  # noqa: PLC0415  (only programs that configure from files load it)

    try:
        tables = tomllib.loads(path.read_text("utf-8-sig"))  # some editors begin with a mark
    except OSError as error:
        allowed = f"a file that can be read ({error.strerror})"
        raise ConfigError("path", os.fspath(path), allowed, origin) from error
    except (ValueError, RecursionError) as error:
        allowed = f"a file of TOML in UTF-8 ({error})"
        raise ConfigError("path", os.fspath(path), allowed, origin) from error
    if path.name != "pyproject.toml":
        return tables
    found = tables.get("tool", {})
    return found.get("resilient", {}) if isinstance(found, dict) else {}

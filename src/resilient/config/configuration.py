"""Settings from files, the environment and the program, for policies that live.

::

    configuration = resilient.configure()        # at the start of the program
    ...
    configuration.reload()                       # after the file was edited

What was not given where a policy was made follows, in policies made earlier too. Nothing is read
before `configure` is called.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from resilient.config.reading import SettingValue, listed, read
from resilient.core.configured import configured

__all__ = ["Configuration", "SettingValue", "configure"]


class Configuration:
    """What `configure` read, and where; `reload` reads it again. Made by `resilient.configure`.

    Example::

        configuration = resilient.configure()
        print(configuration.settings["retry.attempts"])
    """

    def __init__(
        self, path: str | None, environ: Mapping[str, str], code: Mapping[str, Any]
    ) -> None:
        self._named = path
        self._directory = Path.cwd()
        self._environ = environ
        self._code = code
        self._lock = threading.Lock()
        self.path: Path | None = None
        self.settings: Mapping[str, SettingValue] = MappingProxyType({})
        _made.add(self)

    def reload(self) -> Mapping[str, SettingValue]:
        """Read files and environment again, and let every policy follow; return what changed.

        Limits change and nothing is forgotten: circuits keep state, window and counts, bulkheads
        the calls under way and those that wait, rate limits their tokens, a mode its score. What a
        policy was given in the program stays. Settings given to `configure` as arguments stay too.

        Raises `ConfigError`, and then nothing at all has changed. It names the first problem; the
        others are its notes. It is for any thread, but not for a signal handler, which may
        interrupt a call half-way: let that start a thread.

        Example::

            changed = configuration.reload()
        """
        with self._lock:
            path, values = read(self._directory, self._named, self._environ, self._code)
            configured.apply(values)
            old, self.settings, self.path = self.settings, MappingProxyType(listed(values)), path
            return {name: new for name, new in self.settings.items() if old.get(name) != new}


def configure(
    *,
    path: str | os.PathLike[str] | None = None,
    environ: Mapping[str, str] | None = None,
    **code: Mapping[str, Any],
) -> Configuration:
    """Read the settings, and let every policy follow them, those made earlier included.

    From the weakest to the strongest: the defaults; a file; the environment; `code`; and what a
    policy was given where it was made, which nothing overrides. Within each, a setting for one
    policy by its name is stronger than one for all; and it is so across them.

    * `path`: the file. Default: what the environment variable ``RESILIENT_CONFIG`` names, else
      ``resilient.toml`` in the working directory, else ``[tool.resilient]`` in the
      ``pyproject.toml`` there, else none.
    * `environ`: in place of the environment of the process.
    * `code`: one argument for each section, a mapping of settings; one of a mapping is about the
      policy of that name.

    A second call takes the place of the first. Raises `ConfigError`, which names setting, value,
    what is allowed and the origin; then nothing has changed. Every further problem is a note of it.
    `docs/how-to/settings.md` lists all settings.

    Example::

        resilient.configure(breaker={"reset_timeout": 30, "payments": {"reset_timeout": 10}})
    """
    named = None if path is None else os.fspath(path)
    made = Configuration(named, os.environ if environ is None else environ, code)
    made.reload()
    return made


_made: weakref.WeakSet[Configuration] = weakref.WeakSet()


def _after_fork() -> None:
    """A fresh lock for each: a thread of the parent may have been reading."""
    for one in _made:
        one._lock = threading.Lock()  # noqa: SLF001  (of this module)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

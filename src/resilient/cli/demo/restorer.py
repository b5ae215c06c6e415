"""Restores databases from a backup: locked meanwhile, and in the end the name has another file.

Connections that were open then belong to the old file, and cannot write any more.
"""

from __future__ import annotations

import contextlib
import sqlite3
import sys
import threading
from pathlib import Path

from resilient.cli.demo import child

PATIENCE = 3.0


class Restorer:
    """Holds an exclusive lock on each of `paths` while told to, and then puts the backups there."""

    def __init__(self, paths: list[str]) -> None:
        self._paths = [Path(path) for path in paths]
        self._connections: list[sqlite3.Connection] = []

    def obey(self, message: child.Message) -> None:
        """Lock, or replace what was locked."""
        if message["lock"]:
            self._connections = [self._locked(path) for path in self._paths]
        else:
            for path, connection in zip(self._paths, self._connections, strict=True):
                _backup(path).replace(path)
                connection.execute("rollback")
                connection.close()
        child.say(locked=message["lock"])

    @staticmethod
    def _locked(path: Path) -> sqlite3.Connection:
        connection = sqlite3.connect(
            path, timeout=PATIENCE, isolation_level=None, check_same_thread=False
        )
        with contextlib.closing(sqlite3.connect(_backup(path))) as copy:
            connection.backup(copy)
        connection.execute("begin exclusive")
        return connection


def _backup(path: Path) -> Path:
    return path.with_suffix(".backup")


def main() -> None:
    """Obey until the parent is gone."""
    restorer = Restorer(sys.argv[1:])
    child.commands(restorer.obey)
    child.say(ready=0)
    threading.Event().wait()


if __name__ == "__main__":
    main()

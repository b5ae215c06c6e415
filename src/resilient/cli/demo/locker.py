"""Locks databases, as a stuck maintenance job would: an exclusive transaction left open."""

from __future__ import annotations

import sqlite3
import sys
import threading

from resilient.cli.demo import child

PATIENCE = 3.0


class Locker:
    """Holds an exclusive lock on each of `paths` while told to."""

    def __init__(self, paths: list[str]) -> None:
        self._connections = [
            sqlite3.connect(p, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
            for p in paths
        ]

    def obey(self, message: child.Message) -> None:
        """Lock, or let go."""
        for connection in self._connections:
            connection.execute("begin exclusive" if message["lock"] else "rollback")
        child.say(locked=message["lock"])


def main() -> None:
    """Obey until the parent is gone."""
    locker = Locker(sys.argv[1:])
    child.commands(locker.obey)
    child.say(ready=0)
    threading.Event().wait()


if __name__ == "__main__":
    main()

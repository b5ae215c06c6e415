"""Nothing of SQLite may be open while a process forks.

SQLite remembers for the whole process which locks it holds on a file. A child that inherits this
believes to hold them too: it waits for ever for what the parent did at that instant, or takes no
lock at all (https://sqlite.org/howtocorrupt.html, section 2.6). So files are closed for a fork,
between two transactions, and opened again on need, on both sides.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol

__all__ = ["Forking", "watch"]


class Forking(Protocol):
    """A file that is told of forks."""

    def before_fork(self) -> None:
        """Close everything, and begin nothing."""
        ...

    def after_fork_in_parent(self) -> None:
        """Go on."""
        ...

    def after_fork(self) -> None:
        """Go on as a child."""
        ...


_watched: weakref.WeakSet[Forking] = weakref.WeakSet()
_told: list[Forking] = []


def watch(one: Forking) -> None:
    """Tell `one` of every fork from now on, while it lives.

    Example::

        watch(file)
    """
    _watched.add(one)


def _before() -> None:
    _told.extend(_watched)
    for one in _told:
        one.before_fork()


def _in_parent() -> None:
    while _told:
        _told.pop().after_fork_in_parent()


def _in_child() -> None:
    while _told:
        _told.pop().after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)

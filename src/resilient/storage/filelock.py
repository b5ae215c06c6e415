"""A lock between processes, on a file beside the one it guards."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["FileLock"]


class FileLock:
    """Advisory, exclusive, and let go of by the system when its process dies.

    Where the system has no `fcntl` it does nothing, and the waiting is left to SQLite.

    Example::

        with FileLock(Path("cache.db.lock")).held():
            ...
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Wait for the lock and hold it. Raises `OSError` if the file cannot be made."""
        try:
            import fcntl  # noqa: PLC0415  (not on every system)
        except ImportError:  # pragma: no cover
            yield
            return
        if self._descriptor is None:
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the file; it is opened again on need."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def after_fork(self) -> None:
        """Share no lock with the parent: one that both inherit would let both in."""
        self.close()

"""pybreaker's listeners and storages at the edge of our breaker.

Both are served by the dispatcher, never on a call's path.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import pybreaker

from resilient.core.hub import hub
from resilient.errors import ConfigError
from resilient.events import CircuitState

__all__ = ["Bridge", "StateName"]

REFRESH = 1.0
"""Seconds between two looks at a storage."""

_NAMES = {
    CircuitState.OPEN: pybreaker.STATE_OPEN,
    CircuitState.FORCED_OPEN: pybreaker.STATE_OPEN,
    CircuitState.HALF_OPEN: pybreaker.STATE_HALF_OPEN,
}


class StateName:
    """What a pybreaker listener gets for a state: an object with pybreaker's `name`."""

    __slots__ = ("name",)

    def __init__(self, state: CircuitState) -> None:
        self.name = _NAMES.get(state, pybreaker.STATE_CLOSED)


def _overrides(listener: pybreaker.CircuitBreakerListener, method: str) -> bool:
    return getattr(type(listener), method) is not getattr(pybreaker.CircuitBreakerListener, method)


class Bridge:
    """Tells the listeners, and keeps a storage and a breaker in step.

    `on_each_call` says that a listener overrides ``before_call`` or ``success``, which takes the
    breaker off the straight line.
    """

    def __init__(
        self,
        listeners: Iterable[pybreaker.CircuitBreakerListener],
        storage: pybreaker.CircuitBreakerStorage | None,
    ) -> None:
        self._listeners = tuple(listeners)
        for listener in self._listeners:
            if not isinstance(listener, pybreaker.CircuitBreakerListener):
                raise ConfigError("listeners", listener, "pybreaker.CircuitBreakerListener objects")
        if not (storage is None or isinstance(storage, pybreaker.CircuitBreakerStorage)):
            raise ConfigError("storage", storage, "a pybreaker.CircuitBreakerStorage")
        self.storage = storage
        self.on_each_call = any(
            _overrides(listener, "before_call") or _overrides(listener, "success")
            for listener in self._listeners
        )
        self._outboxes = [hub.dispatcher.listener(_run) for _ in self._listeners]
        self._storage_outbox = hub.dispatcher.listener(_run)
        self._seen: str | None = None
        self._written = 0
        self._refreshed = float("-inf")

    def tell(self, method: str, /, *args: Any, **kwargs: Any) -> None:
        """Have every listener's `method` called on the dispatcher."""
        for listener, outbox in zip(self._listeners, self._outboxes, strict=True):
            if _overrides(listener, method):
                outbox.offer(partial(getattr(listener, method), *args, **kwargs))

    def store(self, state: CircuitState, sequence: int) -> None:
        """Have the storage take over `state`, unless a later one has been written."""
        if self.storage is not None:
            self._storage_outbox.offer(partial(self._write, state, sequence))

    def refresh(self, now: float, adopt: Callable[[str], None]) -> None:
        """Have the storage read if the last look is old; `adopt` gets a state that is news."""
        if self.storage is not None and now - self._refreshed >= REFRESH:
            self._refreshed = now
            self._storage_outbox.offer(partial(self._read, adopt))

    def _write(self, state: CircuitState, sequence: int) -> None:
        storage = self.storage
        assert storage is not None  # noqa: S101  (asked only with a storage)
        if sequence < self._written:
            return
        self._written = sequence
        self._seen = StateName(state).name
        storage.state = self._seen
        if self._seen == pybreaker.STATE_OPEN:
            storage.opened_at = datetime.datetime.now(datetime.UTC)

    def _read(self, adopt: Callable[[str], None]) -> None:
        storage = self.storage
        assert storage is not None  # noqa: S101  (asked only with a storage)
        found, seen = storage.state, self._seen
        self._seen = found
        if found != seen and not (seen is None and found == pybreaker.STATE_CLOSED):
            adopt(found)


def _run(job: Callable[[], object]) -> None:
    job()

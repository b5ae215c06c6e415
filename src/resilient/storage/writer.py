"""Writing with few syncs: whoever comes while one transaction commits shares the next."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple, TypeVar

from resilient.errors import StoreError

__all__ = ["GroupWriter"]

T = TypeVar("T")

IDLE = 5.0
"""Seconds without work after which the thread ends; the next write starts another."""

BATCH = 1000
"""Writes in one transaction, at most: the first of them waits for the last."""


class _Job(NamedTuple):
    work: Callable[[Any], Any]
    done: Future[Any]


class GroupWriter:
    """A thread that hands batches of jobs to `commit`, in order. It starts on first need.

    `commit` is given functions of a connection. It returns one result or exception for each once
    all is on disk, or raises, and then none of them has happened.

    Example::

        writer = GroupWriter("cache.db", commit, limit=10_000)
        writer.submit(lambda db: db.execute("DELETE FROM entries")).result()
    """

    def __init__(
        self,
        name: str,
        commit: Callable[[list[Callable[[Any], Any]]], list[Any]],
        limit: int,
    ) -> None:
        self.name = name
        self.commits = 0
        self._commit = commit
        self._limit = limit
        self._changed = threading.Condition()
        self._jobs: deque[_Job] = deque()
        self._thread: threading.Thread | None = None
        self._busy = 0
        self._closed = False

    @property
    def waiting(self) -> int:
        """Jobs that are not yet on disk."""
        return len(self._jobs) + self._busy

    def submit(self, work: Callable[[Any], T]) -> Future[T]:
        """Have `work` done in a transaction; the future is told when it is on disk.

        Raises `StoreError` if `limit` jobs wait already, the writer is closed, or no thread is to
        be had.
        """
        job = _Job(work, Future())
        with self._changed:
            if self._closed:
                raise StoreError(self.name, "it is closed")
            if len(self._jobs) >= self._limit:
                raise StoreError(self.name, f"{self._limit} writes are waiting already")
            if self._thread is None:
                self._start()
            self._jobs.append(job)
            self._changed.notify_all()
        return job.done

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything submitted is on disk; False if `timeout` seconds passed first."""
        with self._changed:
            return self._changed.wait_for(lambda: not (self._jobs or self._busy), timeout)

    def close(self, timeout: float | None = None) -> bool:
        """Write what waits, end the thread and join it; False if that took longer."""
        with self._changed:
            self._closed = True
            thread = self._thread
            self._changed.notify_all()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)
        return thread is None or not thread.is_alive()

    def after_fork(self) -> None:
        """The parent's thread does not live here, and its jobs are its own."""
        self._changed = threading.Condition()
        self._jobs.clear()
        self._thread = None
        self._busy = 0

    def _start(self) -> None:
        name = f"resilient-writer-{self.name}"
        thread = threading.Thread(target=self._work, name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            raise StoreError(self.name, str(error)) from error
        self._thread = thread

    def _work(self) -> None:
        while batch := self._next():
            self._write([job for job in batch if job.done.set_running_or_notify_cancel()])
            with self._changed:
                self._busy = 0
                self._changed.notify_all()

    def _next(self) -> list[_Job]:
        """Wait for work; nothing if there is none for long, or no more to come."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._closed, IDLE)
            taken = [self._jobs.popleft() for _ in range(min(BATCH, len(self._jobs)))]
            self._busy = len(taken)
            if not taken:
                self._thread = None
            return taken

    def _write(self, batch: list[_Job]) -> None:
        if not batch:
            return
        try:
            results = self._commit([job.work for job in batch])
        except BaseException as error:  # noqa: BLE001  (told to everybody who waits)
            for job in batch:
                job.done.set_exception(_own(error))
            return
        self.commits += 1
        for job, result in zip(batch, results, strict=True):
            if isinstance(result, BaseException):
                job.done.set_exception(result)
            else:
                job.done.set_result(result)


def _own(error: BaseException) -> BaseException:
    """An object for each waiter: a traceback that all add to would grow without end."""
    if isinstance(error, StoreError):
        own = StoreError(*error.args)
        own.__cause__ = error.__cause__
        return own
    return error

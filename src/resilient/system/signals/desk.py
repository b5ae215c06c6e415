"""What signals need of the mode: somebody who reads for them, and somebody to tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from resilient.clock import Duration, seconds
from resilient.core.hub import hub
from resilient.core.ports import Criticality
from resilient.errors import ConfigError
from resilient.policies.match import positive
from resilient.system.employing import Employing
from resilient.system.signals.level import SignalLevel
from resilient.system.signals.reader import Reader, Source, figure
from resilient.system.signals.reading import SignalChanged, SignalReading
from resilient.system.signals.signal import Signal, Ties

__all__ = ["SignalDesk", "part_of"]

S = TypeVar("S", bound=Signal)


class SignalDesk(Employing):
    """The part of the mode that looks after signals."""

    @property
    def signals(self) -> tuple[SignalReading, ...]:
        """What every signal says now, by name and kind.

        Example::

            for reading in mode.signals:
                print(reading)
        """
        self.evaluate()
        jobs = sorted(self._ledger.jobs.items(), key=lambda item: (item[0][1], item[0][0]))
        return tuple(job.reading for _, job in jobs if isinstance(job, Signal))

    def _take_on(self, signal: S, weight: float | None, criticality: Criticality | str | None) -> S:
        """Look after a signal in place of one of its kind and name."""
        replaced = self._ledger.jobs.get((signal.kind, signal.name))
        self._declare(signal.name, weight, criticality)
        self._employ(signal)
        if isinstance(replaced, Signal):
            replaced.retire()
        return signal

    def _ties(self) -> Ties:
        changed, news = self._weakly(SignalDesk._signal_changed), self._weakly(SignalDesk._stirred)
        return Ties(self._time.now, news, changed, self.interval / 10)

    def _source(
        self, setting: str, read: object, every: Duration | None, timeout: Duration
    ) -> Source | None:
        """Check what is to be read. Raises `ConfigError`."""
        pause = self.interval if every is None else seconds("every", every)
        limit = seconds("timeout", timeout)
        if read is not None and not callable(read):
            raise ConfigError(setting, read, "a function, sync or async, or None")
        return None if read is None else Source(read, pause, limit)

    def _reading_of(
        self, what: str, source: Source | None, convert: Callable[[Any], Any] = figure
    ) -> Callable[[Signal], Reader | None]:
        """What makes the reader of a signal, if there is anything to read."""

        def made(signal: Signal) -> Reader | None:
            return None if source is None else self._reader(what, source, convert, signal)

        return made

    def _reader(
        self, what: str, source: Source, convert: Callable[[Any], Any], signal: Signal
    ) -> Reader:
        return Reader(
            what,
            source,
            lambda fn, timeout, done: self._errand(what, fn, timeout, done),
            self._time.now(),
            convert=convert,
            told=signal.tell,
        )

    def _stirred(self, signal: Signal) -> None:
        self._witnessed(signal)

    def _signal_changed(self, change: tuple[Signal, SignalLevel]) -> None:
        signal, old = change
        seen = signal.reading
        hub.bus.publish(
            SignalChanged(
                name=signal.name,
                mode=self.name,
                kind=seen.kind,
                old=old,
                new=seen.level,
                value=seen.value,
                limit=seen.limit,
                detail=seen.detail,
                action=seen.action,
            )
        )


def part_of(setting: str, value: float, *, most: float = 1.0) -> float:
    """Check a share in [0, `most`]. Raises `ConfigError`."""
    return positive(setting, value, most=most, zero=True)

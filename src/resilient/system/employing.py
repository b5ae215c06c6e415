"""What every part of the mode needs that works in the background on its behalf."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, Self, TypeVar

from resilient.core.ports import Criticality
from resilient.errors import ConfigError
from resilient.system.errand import Errand, Report
from resilient.system.ledger import Declared
from resilient.system.operation import Operation
from resilient.system.view import Job, Witness

__all__ = ["Employing", "level", "weighing"]

HEAVIEST = 1e9
"""Weights are compared with one another; nothing needs more."""

T = TypeVar("T")


class Employing(Operation):
    """The part of the mode that has jobs done. See `Job`, `Witness` and `Errand`."""

    def _employ(self, job: Job) -> None:
        """Look after `job` from now on, in place of one of the same kind and name."""
        replaced = self._ledger.employ(job)
        if replaced is not None:
            replaced.close()
        self._touch()
        self._refresh()

    def _errand(
        self,
        name: str,
        fn: Callable[..., Any],
        timeout: float | None,
        done: Callable[[Report], None],
    ) -> Errand:
        """Code of the application that a job may have run; a mode that is gone lets go of it."""
        errand = Errand(name, fn, timeout, self._time, done)
        self._own(errand.listener)
        return errand

    def _witnessed(self, witness: Witness) -> None:
        """A witness has news: take it up at its own instant, however late anybody looks."""
        self._reports[(witness.kind, witness.name)] = (self._time.now(), self._report(witness))
        self._nudge()

    def _declare(
        self, name: str, weight: float | None, criticality: Criticality | str | None
    ) -> None:
        """Say what a component weighs; what is `None` stays as it was."""
        self._ledger.declare(name, Declared(weighing(weight), level(criticality)))

    def _weakly(self, call: Callable[[Self, T], object]) -> Callable[[T], None]:
        """`call` with this mode, for somebody who must not keep the mode alive."""
        me = weakref.ref(self)

        def told(news: T) -> None:
            if (mode := me()) is not None:
                call(mode, news)

        return told


def weighing(value: float | None) -> float | None:
    """Check a weight. Raises `ConfigError`."""
    numeric = isinstance(value, int | float) and not isinstance(value, bool)
    if value is not None and not (numeric and 0 < value <= HEAVIEST):
        raise ConfigError("weight", value, f"a number > 0 and <= {HEAVIEST:g}, or None")
    return value


def level(value: Criticality | str | None) -> Criticality | None:
    """Check a criticality. Raises `ConfigError`."""
    return None if value is None else Criticality.of(value)

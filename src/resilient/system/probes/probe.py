"""A probe: a question put to a component from time to time, and what the answers say of it."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import NamedTuple

from resilient.errors import CallTimeoutError, ConfigError
from resilient.system.decision.component import Evidence
from resilient.system.errand import Errand, Report
from resilient.system.probes.reading import ProbeChanged, ProbeReading, ProbeResult, ProbeStatus
from resilient.system.view import View, Witness

__all__ = ["Probe", "ProbeChanged", "ProbeReading", "ProbeResult", "ProbeRules", "ProbeStatus"]


class ProbeRules(NamedTuple):
    """When a probe asks, and what it makes of an answer. Durations in seconds."""

    interval: float
    degraded_above: float | None
    failed_after: int
    jitter: float

    @property
    def spread(self) -> tuple[float, float]:
        """Least and greatest share of the interval between two questions."""
        return 1 - self.jitter, 1 + self.jitter

    def judge(self, report: Report, failures: int) -> ProbeReading:
        """What one more answer says, after `failures` bad ones in a row."""
        said, detail = self._said(report)
        if said is not None:
            count = failures + 1 if said.health <= ProbeStatus.UNHEALTHY.health else 0
            return ProbeReading(said, report.began, report.seconds, detail, count)
        count = failures + 1
        dead = count >= self.failed_after
        status = ProbeStatus.FAILED if dead else ProbeStatus.UNHEALTHY
        return ProbeReading(status, report.began, report.seconds, detail, count)

    def _said(self, report: Report) -> tuple[ProbeStatus | None, str]:
        """The status that an answer stands for by itself; `None` for a failure."""
        took = f"answered in {report.seconds:.3g} s"
        value = report.value
        if report.error is not None:
            return None, _trouble(report.error)
        if isinstance(value, ProbeStatus | ProbeResult):
            found = value if isinstance(value, ProbeResult) else ProbeResult(value)
            return ProbeStatus.of(found.status), found.detail or took
        if value is False:
            return None, "answered False"
        if self.degraded_above is not None and report.seconds > self.degraded_above:
            return ProbeStatus.DEGRADED, f"{took}, more than {self.degraded_above:g} s"
        return ProbeStatus.HEALTHY, took


def _trouble(error: BaseException) -> str:
    if isinstance(error, CallTimeoutError):
        return f"no answer within {error.seconds:.3g} s"
    # The repr of some clients' errors leaves out what happened.
    return f"{type(error).__name__}: {error}"[:200]


class Probe(Witness):
    """Made by `mode.probe`. Attributes: `name`, `rules`, `last` reading, and how many are `done`.

    Example::

        mode.probes["redis"].status
    """

    kind = "probe"

    def __init__(  # noqa: PLR0913  (its settings, checked by `mode.probe`)
        self,
        name: str,
        rules: ProbeRules,
        *,
        now: float,
        errand: Callable[[Callable[[Report], None]], Errand],
        told: Callable[[tuple[Probe, ProbeReading | None]], None],
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.name = name
        self.rules = rules
        self.last: ProbeReading | None = None
        self.done = 0
        self._told = told
        self._uniform = uniform
        self._heard = now
        self._next = now + uniform(0.0, rules.jitter * rules.interval)
        self._errand = errand(self._report)

    @property
    def status(self) -> ProbeStatus | None:
        """What it says of its component; `None` before the first answer."""
        return None if self.last is None else self.last.status

    def hasten(self) -> None:
        """Ask at the next evaluation, or as soon as the present question is over."""
        self._next = -math.inf

    def poll(self, view: View, /) -> None:
        """Ask, if it is time; give up an answer that does not come."""
        now = view.now
        self._errand.expire(now)
        if now < self._next or self._hastened_in_vain:
            return
        self._next = now + self.rules.interval * self._uniform(*self.rules.spread)
        began = self._errand.overdue_since
        if not self._errand.start() and began is not None:
            # Still the old question: that nobody answers it is an answer, too.
            late = CallTimeoutError(self.name, now - began)
            self._report(Report(began, now - began, error=late))

    def due(self) -> float:
        """When the next question is to be put, or the present one given up."""
        expires = self._errand.expires
        if expires is None:
            return self._next
        return expires if self._hastened_in_vain else min(self._next, expires)

    def evidence(self, fresh_for: float, /) -> tuple[Evidence, ...]:
        """The last answer, until the next but one should have come."""
        del fresh_for
        last = self.last
        if last is None:
            return ()
        detail = f"{last.status.value}: {last.detail}"
        return (Evidence("probe", last.status.health, self.blind_from(), detail),)

    def blind_from(self) -> float:
        """When two answers in a row are missing."""
        timeout = self._errand.timeout or 0.0
        return self._heard + 2 * self.rules.interval * (1 + self.rules.jitter) + timeout

    def close(self) -> None:
        """Give up the present question."""
        self._errand.cancel()

    def retire(self) -> None:
        """Ask no more; another probe has taken its place."""
        self._errand.retire()

    def after_fork(self) -> None:
        """Nobody is asked in the child yet."""
        self._errand.after_fork()

    @property
    def _hastened_in_vain(self) -> bool:
        """Whether it should ask at once, but the present question may still be answered in time."""
        return self._next == -math.inf and self._errand.expires is not None

    def _report(self, report: Report) -> None:
        before, failures = self.last, 0 if self.last is None else self.last.failures
        try:
            reading = self.rules.judge(report, failures)
        except ConfigError as error:  # the function returned a status that does not exist
            bad = Report(report.began, report.seconds, error=error)
            reading = self.rules.judge(bad, failures)
        self._heard = report.began + report.seconds
        self.last = reading
        self.done += 1
        self._told((self, before))

"""A circuit breaker written to be read: slow, small, and obviously right.

It keeps every outcome it was ever told, and looks at all of them each time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

CLOSED, OPEN, HALF_OPEN = "closed", "open", "half-open"
FORCED_OPEN, DISABLED, METRICS_ONLY = "forced-open", "disabled", "metrics-only"


@dataclass
class Settings:
    """As `breaker` takes them; `window_calls` or `window_seconds`."""

    failure_threshold: int | None = None
    failure_rate: float | None = None
    slow_call_duration: float | None = None
    slow_call_rate: float | None = 1.0
    window_calls: int | None = None
    window_seconds: float = 10.0
    minimum_calls: int = 1
    reset_timeout: float = 8.0
    reset_backoff: float = 1.0
    max_reset_timeout: float = 32.0
    half_open_calls: int = 1
    half_open_success_rate: float = 1.0
    half_open_timeout: float = 4.0


@dataclass(eq=False)
class Ticket:
    """A call that was admitted: when, and in which era."""

    began: float
    era: int
    judged: bool


@dataclass
class Model:
    """The state, and everything that has happened."""

    settings: Settings
    now: float = 0.0
    state: str = CLOSED
    era: int = 0
    until: float = 0.0
    openings: int = 0
    streak: int = 0
    rejected: int = 0
    ignored: int = 0
    outcomes: list[tuple[float, bool, bool]] = field(default_factory=list)
    out: list[Ticket] = field(default_factory=list)
    good: int = 0
    bad: int = 0
    transitions: list[tuple[str, str]] = field(default_factory=list)

    def admit(self) -> Ticket | float | None:
        """A ticket, or how long to stay away (`None`: unknown)."""
        if self.state == OPEN and self.now >= self.until:
            self.go(HALF_OPEN)
        if self.state == OPEN:
            self.rejected += 1
            return self.until - self.now
        if self.state == FORCED_OPEN:
            self.rejected += 1
            return None
        if self.state == HALF_OPEN and not self._has_place():
            self.rejected += 1
            oldest = self.out[0].began if self.out else self.now
            return oldest + self.settings.half_open_timeout - self.now
        ticket = Ticket(self.now, self.era, self.state != DISABLED)
        if self.state == HALF_OPEN:
            self.out.append(ticket)
        return ticket

    def _has_place(self) -> bool:
        if len(self.out) + self.good + self.bad < self.settings.half_open_calls:
            return True
        if self.out and self.now - self.out[0].began >= self.settings.half_open_timeout:
            del self.out[0]
            return True
        return False

    def end(self, ticket: Ticket, verdict: str) -> None:
        """A call has ended: "success", "failure", "ignored" or "abandoned"."""
        current = ticket.judged and ticket.era == self.era
        if self.state == HALF_OPEN and ticket not in self.out:
            current = False  # it took too long, and another has its place
        if verdict == "ignored" and current:
            self.ignored += 1
        if verdict in {"ignored", "abandoned"}:
            if ticket in self.out:
                self.out.remove(ticket)
        elif current and self.state in {CLOSED, METRICS_ONLY}:
            self._count(ticket, failed=verdict == "failure")
        elif current and self.state == HALF_OPEN:
            self._try(ticket, failed=verdict == "failure")

    def _slow(self, ticket: Ticket) -> bool:
        limit = self.settings.slow_call_duration
        return limit is not None and self.now - ticket.began > limit

    def _count(self, ticket: Ticket, *, failed: bool) -> None:
        self.outcomes.append((self.now, failed, self._slow(ticket)))
        self.streak = self.streak + 1 if failed else 0
        if self.state == CLOSED and self._must_open():
            self.go(OPEN)

    def _try(self, ticket: Ticket, *, failed: bool) -> None:
        self.out.remove(ticket)
        if failed or self._slow(ticket):
            self.bad += 1
        else:
            self.good += 1
        places = self.settings.half_open_calls
        wanted = self.settings.half_open_success_rate
        if self.good >= 1 and self.good / places >= wanted - 1e-9:
            self.go(CLOSED)
        elif (places - self.bad) / places < wanted - 1e-9 or self.bad == places:
            self.go(OPEN)

    def held(self) -> list[tuple[float, bool, bool]]:
        """The outcomes that the window holds now."""
        if self.settings.window_calls is not None:
            return self.outcomes[-self.settings.window_calls :]
        width = self.settings.window_seconds / 10
        here = math.floor(self.now / width)
        return [each for each in self.outcomes if math.floor(each[0] / width) > here - 10]

    def rates(self) -> tuple[float | None, float | None]:
        """Failure rate and slow rate, if enough calls are known."""
        held = self.held()
        if not held or len(held) < self.settings.minimum_calls:
            return None, None
        return (
            sum(failed for _, failed, _ in held) / len(held),
            sum(slow for _, _, slow in held) / len(held),
        )

    def _must_open(self) -> bool:
        settings = self.settings
        failing, slow = self.rates()
        by_streak = (
            settings.failure_threshold is not None and self.streak >= settings.failure_threshold
        )
        by_rate = (
            settings.failure_rate is not None
            and failing is not None
            and failing >= settings.failure_rate
        )
        by_slowness = (
            settings.slow_call_duration is not None
            and settings.slow_call_rate is not None
            and slow is not None
            and slow >= settings.slow_call_rate
        )
        return by_streak or by_rate or by_slowness

    def go(self, new: str) -> None:
        """Change the state; answers to what was asked before mean nothing any more."""
        settings = self.settings
        self.transitions.append((self.state, new))
        self.state = new
        self.era += 1
        self.out, self.good, self.bad = [], 0, 0
        if new == OPEN:
            grown = settings.reset_timeout * settings.reset_backoff**self.openings
            self.until = self.now + min(grown, settings.max_reset_timeout)
            self.openings += 1
        elif new == CLOSED:
            self.clear()

    def clear(self) -> None:
        """Forget what was counted."""
        self.era += 1
        self.outcomes = []
        self.streak = 0
        self.openings = 0

    def by_hand(self, new: str) -> None:
        """Somebody sets the state."""
        if new != self.state:
            self.go(new)

    def reset(self) -> None:
        """Somebody starts afresh."""
        self.by_hand(CLOSED)
        self.clear()

    def metrics(self) -> dict[str, Any]:
        """What `breaker.metrics` must say."""
        held = self.held()
        failing, slow = self.rates()
        failures = sum(failed for _, failed, _ in held)
        return {
            "calls": len(held),
            "successes": len(held) - failures,
            "failures": failures,
            "slow": sum(slow for _, _, slow in held),
            "failure_rate": failing,
            "slow_rate": slow,
            "rejected": self.rejected,
            "ignored": self.ignored,
            "transitions": len(self.transitions),
        }

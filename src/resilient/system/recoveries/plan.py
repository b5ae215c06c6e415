"""When to try again to bring a component back, and when to stop: pure, with the time passed in."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from resilient.system.decision.score import IMPAIRED
from resilient.system.recoveries.rules import Move, RecoveryRules, Sight
from resilient.system.recoveries.stage import RecoveryStage

__all__ = ["RecoveryPlan"]

IDLE, WAITING, ATTEMPTING, VERIFYING, SUCCEEDED, GAVE_UP = RecoveryStage


class RecoveryPlan:
    """The course of one recovery. It is shown what is known, and says when to make an attempt.

    An attempt that was verified is believed for as long as the next wait would have been: a
    component that fails again before that goes on where it stopped, so an action that helps for
    ten seconds does not run for ever. Not thread-safe; the caller holds a lock.

    Example::

        plan = RecoveryPlan(RecoveryRules())
        plan.look(Sight(now=0.0, health=0.0))  # False: WAITING
        plan.look(Sight(now=30.0, health=0.0))  # True: ATTEMPTING
    """

    def __init__(
        self, rules: RecoveryRules, uniform: Callable[[float, float], float] = random.uniform
    ) -> None:
        self.rules = rules
        self._uniform = uniform
        self.forget()

    def forget(self) -> None:
        """Begin anew, as if nothing had failed so far."""
        self.stage = IDLE
        self.attempt = 0
        self.error = ""
        self.next_at: float | None = None
        self.first: tuple[str, ...] = ()
        self.moves: list[Move] = []
        self.began = -math.inf
        self._since = math.inf
        self._until = math.inf
        self._lasts = True
        self._by_evidence = False

    @property
    def busy(self) -> bool:
        """Whether an attempt runs, or somebody was asked whether it helped."""
        return self.stage is ATTEMPTING or (self.stage is VERIFYING and not self._by_evidence)

    def look(self, sight: Sight) -> bool:
        """Take in what is known; whether an attempt is to begin now."""
        now, health = sight.now, sight.health
        well = health is not None and health >= IMPAIRED
        failed = health is not None and health < self.rules.below
        if self.stage is VERIFYING and self._by_evidence:
            self._weigh(sight, well=well, failed=failed)
        if self.stage is SUCCEEDED:
            self._watch(sight, failed=failed)
        if self.stage is GAVE_UP and (well or sight.silent):
            self._settle(now)
        if self.stage is IDLE and failed:
            self._since = now
            self._move(WAITING, now, now + self._pause())
        if self.stage is WAITING:
            return self._due(sight, well=well)
        return False

    def order(self, now: float) -> bool:
        """Begin an attempt by hand; False if one runs. A plan that gave up begins anew."""
        if self.busy:
            return False
        if self.stage in (IDLE, SUCCEEDED, GAVE_UP) or self.attempt >= self.rules.attempts:
            self.attempt = 0
            if self.stage in (IDLE, SUCCEEDED):
                self._since = now
        self._begin(now)
        return True

    def returned(self, at: float, *, by_evidence: bool) -> None:
        """The action has ended well; what is known of the component must show it, or a verifier."""
        self._by_evidence = by_evidence
        self.error = ""
        self._move(VERIFYING, at, at + self._pause() if by_evidence else None)

    def verified(self, at: float) -> None:
        """The component is well again, as far as the verifier can say."""
        self._lasts = False
        self.error = ""
        self._move(SUCCEEDED, at, None)
        self._until = at + self._pause()

    def failed(self, at: float, error: str, *, waited: bool = False) -> None:
        """The attempt has failed, or did not help; `waited` says that the next one is due."""
        self.error = error
        if self.attempt >= self.rules.attempts:
            self._move(GAVE_UP, at, None)
        else:
            self._move(WAITING, at, at + (0.0 if waited else self._pause()))

    def due(self) -> float:
        """The next instant at which time alone changes something."""
        if self.stage is SUCCEEDED:
            return self._until
        # Where others come first time changes nothing: `next_at` runs ahead of it.
        return math.inf if self.next_at is None or self.first else self.next_at

    def _due(self, sight: Sight, *, well: bool) -> bool:
        """While it waits: end, put off, or begin."""
        now = sight.now
        if well or sight.silent:
            self._ended(now)
            return False
        self.first = sight.first
        if sight.first:  # and afterwards it may well come back by itself
            self.next_at = now + self._pause()
        if self.first or self.next_at is None or now < self.next_at:
            return False
        self._begin(now)
        return True

    def _ended(self, now: float) -> None:
        if self.attempt:
            self.verified(now)
            self._lasts = True
        else:
            self._settle(now)

    def _weigh(self, sight: Sight, *, well: bool, failed: bool) -> None:
        """Whether what is known shows that a run of the action has helped."""
        now = sight.now
        if well:
            self.verified(now)
            self._lasts = True
        elif self.next_at is not None and now >= self.next_at:
            if failed or sight.blind:
                self.failed(now, f"it ended well, but {sight.said}", waited=True)
            else:
                self.verified(now)

    def _watch(self, sight: Sight, *, failed: bool) -> None:
        """Whether a success lasts."""
        over = sight.now >= self._until
        if not failed:
            self._lasts = True
            if over:
                self._settle(sight.now)
        elif self._lasts and over:
            self._settle(sight.now)
        elif self._lasts:
            self.failed(sight.now, "it was well again, and failed again")
        elif over:
            self.failed(sight.now, f"it was verified, but {sight.said}", waited=True)

    def _settle(self, now: float) -> None:
        self.error = ""
        self._move(IDLE, now, None)
        self.attempt = 0

    def _begin(self, now: float) -> None:
        self.attempt += 1
        self.began = now
        self._move(ATTEMPTING, now, None)

    def _pause(self) -> float:
        return self.rules.wait(self.attempt, self._uniform)

    def _move(self, to: RecoveryStage, at: float, next_at: float | None) -> None:
        old, self.stage, self.next_at, self.first = self.stage, to, next_at, ()
        left = None if next_at is None else next_at - at
        took = max(0.0, at - self._since)
        self.moves.append(Move(old, to, self.attempt, left, self.error, took))

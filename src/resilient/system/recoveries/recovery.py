"""A recovery: an action that is tried when a component has failed, and checked afterwards."""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable
from typing import Any

from resilient.system.errand import Errand, Report
from resilient.system.ledger import Ledger
from resilient.system.recoveries.plan import RecoveryPlan
from resilient.system.recoveries.rules import Move, RecoveryRules
from resilient.system.recoveries.stage import RecoveryStage, RecoveryStatus
from resilient.system.recoveries.verdict import Verdict, Verifier, sight_of, verdict_of
from resilient.system.view import Job, View

__all__ = ["Recovery"]

Hear = Callable[[Report], None]
Take = Callable[[Verdict], None]


class Recovery(Job):
    """Made by `mode.recovery`. Whatever ends elsewhere is only noted; `poll` moves the plan."""

    kind = "recovery"

    def __init__(  # noqa: PLR0913  (its settings, checked by `mode.recovery`)
        self,
        name: str,
        rules: RecoveryRules,
        *,
        timeout: float,
        action: Callable[[Hear], Errand],
        verify: Callable[[Hear], Errand] | None,
        ledger: Ledger,
        told: Callable[[Any], None],
        moved: Callable[[tuple[str, int, Move]], None],
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.name = name
        self.plan = RecoveryPlan(rules, uniform)
        self._ledger = ledger
        self._told = told
        self._moved = moved
        self._ordered = False
        self._closed = False
        self._news: deque[tuple[Take, Verdict]] = deque()
        self._timeout = timeout
        self._verifier = Verifier(name, ledger, timeout)
        self._action = action(self._noting(self._acted))
        if verify is not None:
            self._verifier.errand = verify(self._noting(self._verifier.heard))

    @property
    def busy(self) -> bool:
        """Whether an attempt runs, or somebody was asked whether it helped."""
        return self.plan.busy and not self._closed

    def order(self) -> bool:
        """Have an attempt made at the next evaluation; False if one is under way."""
        if self.busy or self._ordered:
            return False
        self._ordered = True
        return True

    def status(self, now: float) -> RecoveryStatus:
        """Where it stands."""
        plan = self.plan
        known = plan.next_at is not None and not plan.first
        return RecoveryStatus(
            name=self.name,
            stage=plan.stage,
            attempt=plan.attempt,
            of=plan.rules.attempts,
            next_in=max(0.0, (plan.next_at or 0.0) - now) if known else None,
            error=plan.error,
            waits_for=plan.first,
        )

    def poll(self, view: View, /) -> None:
        """Hear how the last attempt ended, look at what is known, and begin what is due."""
        plan, now = self.plan, view.now
        if self._closed:
            self._closed = False
            self._news.clear()
            self._verifier.forget()
            plan.forget()
        self._listen(now)
        ordered, self._ordered = self._ordered, False
        begins = plan.look(sight_of(self.name, view, self._ledger))
        if (begins or (ordered and plan.order(now))) and not self._action.start():
            plan.failed(now, "the attempt before this one has not ended yet")
        moves, plan.moves = plan.moves, []
        for move in moves:
            self._moved((self.name, plan.rules.attempts, move))

    def due(self) -> float:
        """When the next attempt, or the end of this one, is due."""
        if self._ordered or self._news:
            return -math.inf
        expires = [one.expires for one in self._errands()]
        known = [one for one in expires if one is not None]
        return min([self.plan.due(), self._verifier.due(), *known])

    def notices(self) -> tuple[str, ...]:
        """That it gave up, and why."""
        plan = self.plan
        if plan.stage is not RecoveryStage.GAVE_UP:
            return ()
        times = "1 attempt" if plan.attempt == 1 else f"{plan.attempt} attempts"
        gave_up = f"recovery of {self.name} gave up after {times}"
        return (f"GAVE_UP: {gave_up}: {plan.error}",)

    def close(self) -> None:
        """Give up the present attempt; what fails afterwards is a new failure."""
        self._closed, self._ordered = True, False
        for errand in self._errands():
            errand.cancel()

    def after_fork(self) -> None:
        """No attempt runs in the child, and none has been made."""
        self._closed, self._ordered = True, False
        for errand in self._errands():
            errand.after_fork()

    def retire(self) -> None:
        """Another recovery has taken its place: nothing of it runs again."""
        for errand in self._errands():
            errand.retire()

    def _errands(self) -> list[Errand]:
        verify = self._verifier.errand
        return [self._action] if verify is None else [self._action, verify]

    def _noting(self, take: Take) -> Hear:
        """What an errand calls, from whatever thread; the next poll takes it up.

        Words are found for it here, not there: an error may run code of the application's for them.
        """

        def note(report: Report) -> None:
            self._news.append((take, verdict_of(report)))
            self._told(self)

        return note

    def _listen(self, now: float) -> None:
        """Take up what has ended since the last poll."""
        for errand in self._errands():
            errand.expire(now)
        while self._news:
            take, found = self._news.popleft()
            take(found)
        self._notice_absence(now)
        verdict = self._verifier.verdict(now)
        if verdict is None or self.plan.stage is not RecoveryStage.VERIFYING:
            return
        if verdict.error:
            self.plan.failed(verdict.at, verdict.error)
        else:
            self.plan.verified(verdict.at)

    def _notice_absence(self, now: float) -> None:
        """An attempt that has not even begun, as its loop is blocked or gone, has failed, too."""
        late = self._action.expires is None and now >= self.plan.began + self._timeout
        if late and self.plan.stage is RecoveryStage.ATTEMPTING:
            self._action.cancel()
            self.plan.failed(now, f"it did not begin within {self._timeout:g} s")

    def _acted(self, found: Verdict) -> None:
        """The action has ended: if well, find out whether it helped."""
        if self.plan.stage is not RecoveryStage.ATTEMPTING:
            return
        if found.error:
            self.plan.failed(found.at, found.error)
            return
        asked = self._verifier.ask(found.at)
        self.plan.returned(found.at, by_evidence=not asked)
        if asked:
            self._told(self)  # a probe may have been polled already

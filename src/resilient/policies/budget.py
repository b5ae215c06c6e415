"""A budget for retries: what a crowd of callers may ask again, all together."""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Mapping
from typing import Any

from resilient.clock import Clock, Duration, chosen, seconds
from resilient.core.effects import Guarded
from resilient.core.hub import hub
from resilient.core.policy import Line
from resilient.core.ports import ReactingMode
from resilient.core.reacting import obeyed, reaction_of
from resilient.core.segment import Target
from resilient.errors import ConfigError
from resilient.policies.buckets import BUCKETS, Buckets
from resilient.policies.match import positive
from resilient.policies.rules import FREE_THREADED

__all__ = ["Deposits", "RetryBudget", "retry_budget"]

_ROUNDING = 1e-9
"""Sums of shares are a little off; a budget of exactly one token has one."""


class RetryBudget:
    """How many retries and hedges there may be. Made by `resilient.retry_budget`.

    Share one among everything that asks the same dependency again, in threads and event loops.
    `calls` is how many calls it has ever seen.
    """

    def __init__(
        self,
        ratio: float,
        min_per_second: float,
        window: float,
        *,
        clock: Clock,
        mode: ReactingMode | None = None,
    ) -> None:
        self.calls = 0
        self.mode = mode
        self.ratio = ratio
        self.min_per_second = min_per_second
        self.window = window
        self.clock = clock
        self._active = True
        self._lock = threading.RLock()  # reentrant: a finaliser may come back
        self._seen = 0
        self._looked = -math.inf
        self.reset()
        hub.register(self)

    def deposit(self) -> None:
        """Count a call. The straight line does the same without being asked."""
        if FREE_THREADED:
            with self._lock:
                self.calls += 1
        else:
            self.calls += 1

    def withdraw(self) -> bool:
        """Take a token, for one more attempt. False, and nothing is taken, if there is none.

        Example::

            if budget.withdraw():
                ask_again()
        """
        now, share = self.clock.monotonic(), reaction_of(self.mode).retries
        with self._lock:
            if self._left(now, share) < 1:
                return False
            self._spent.add(1)
            return True

    @property
    def refusal(self) -> str:
        """Why there is no token, in words, where there is none now.

        Example::

            budget.refusal  # 'the retry budget is spent'
        """
        share = reaction_of(self.mode).retries
        if share == 0:
            return "the mode allows no retries"
        left = "" if share == 1 else f", of which the mode leaves {share:.0%}"
        return f"the retry budget is spent{left}"

    @property
    def remaining(self) -> int:
        """How many tokens there are now.

        Example::

            budget.remaining  # 100 when nothing has happened yet
        """
        now, share = self.clock.monotonic(), reaction_of(self.mode).retries
        with self._lock:
            return max(0, math.floor(self._left(now, share)))

    def _left(self, now: float, share: float = 1.0) -> float:
        """Tokens at `now`, if `share` of them may be used; the caller holds the lock."""
        calls = self.calls
        self._earned.roll(now)
        self._spent.roll(now)
        if self._active:
            self._earned.spread(calls - self._seen, self._looked, now)
        self._seen, self._looked = calls, max(now, self._looked)
        earned = self.ratio * self._earned.total() + self.min_per_second * self.window
        return share * earned - self._spent.total() + _ROUNDING

    def reset(self) -> None:
        """Forget calls and retries: the reserve is there again, and nothing else."""
        now = self.clock.monotonic()
        with self._lock:
            self._begin(now)

    def _begin(self, now: float) -> None:
        width = self.window / BUCKETS
        # A withdrawal stays for a bucket longer than a call, so that neither errs on the wrong
        # side: calls are those of at most a window, withdrawals those of at least one.
        self._earned = Buckets(width, now)
        self._spent = Buckets(width, now, BUCKETS + 1)
        self._seen, self._looked = self.calls, now

    def snapshot(self) -> dict[str, list[float]]:
        """Plain data to restore from: calls and withdrawals, bucket by bucket, oldest first."""
        now = self.clock.monotonic()
        with self._lock:
            self._left(now)
            return {"calls": self._earned.snapshot(), "withdrawn": self._spent.snapshot()}

    def restore(self, data: Mapping[str, Any]) -> None:
        """Take over a `snapshot`, as if made now. Raises `ConfigError` for anything else."""
        now = self.clock.monotonic()
        width = self.window / BUCKETS
        earned, spent = Buckets(width, now), Buckets(width, now, BUCKETS + 1)
        try:
            earned.restore(data["calls"])
            spent.restore(data["withdrawn"])
        except (KeyError, TypeError, ValueError) as error:
            allowed = "what snapshot() of a retry budget returned"
            raise ConfigError("snapshot", data, allowed) from error
        with self._lock:
            self._begin(now)
            self._earned, self._spent = earned, spent

    def set_active(self, active: bool, /) -> None:  # noqa: FBT001  (a switch is a boolean)
        """Count the calls that are made from now on, or do not."""
        now = self.clock.monotonic()
        with self._lock:
            self._left(now)  # what has been so far, by the rule so far
            self._active = active

    def after_fork(self) -> None:
        """A fresh lock."""
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        """What it is, in words."""
        return f"<{self.describe()}>"

    def describe(self) -> str:
        """What it allows, in words."""
        return (
            f"a budget of {self.ratio:.4g} retries for each call and {self.min_per_second:g} a "
            f"second, over {self.window:g} s"
        )


class Deposits:
    """Sees to it that a call is counted once, however many policies around it share the budget.

    Of the policies around one function that have it as their `budget`, the outermost counts.
    """

    __slots__ = ("_budget", "_seen")

    def __init__(self, budget: RetryBudget) -> None:
        self._budget = budget
        self._seen: weakref.WeakSet[Any] = weakref.WeakSet()

    def line(self, line: Line, guard: Guarded, policy: object) -> Line:
        """`line`, counting its calls before it makes them; those are not for `begun` to count."""
        first = next(each for each in _policies(guard) if self._shares(each))
        if first is not policy or guard in self._seen:
            return line
        self._seen.add(guard)
        return _counting(self._budget, line)

    def begun(self, guard: object, place: int) -> None:
        """Count a call that begins in the flow of the policy at `place`."""
        if not any(map(self._shares, _policies(guard)[:place])):
            self._budget.deposit()

    def _shares(self, policy: object) -> bool:
        return getattr(policy, "budget", None) is self._budget


def _policies(guard: object) -> tuple[object, ...]:
    """The policies around a function, outermost first; a block has none."""
    found: tuple[object, ...] = getattr(guard, "policies", ())
    return found


def _counting(budget: RetryBudget, line: Line) -> Line:
    """`line`, counted before each call, so it need not be known whether that is async."""
    owner = getattr(line, "__self__", None)
    target = owner if isinstance(owner, Target) else Target(line)

    # What every good call costs, so it is written for the machine.
    def counting(*args: Any, **kwargs: Any) -> Any:
        budget.calls += 1
        return target.fn(*args, **kwargs) if kwargs else target.fn(*args)

    def counting_locked(*args: Any, **kwargs: Any) -> Any:
        budget.deposit()
        return target.fn(*args, **kwargs)

    return counting_locked if FREE_THREADED else counting


def retry_budget(
    ratio: float = 0.2,
    min_per_second: float = 10,
    window: Duration = 10,
    *,
    mode: ReactingMode | None = None,
    clock: Clock | None = None,
) -> RetryBudget:
    """Make a budget for any number of retries and hedges to share.

    Each call adds `ratio` of a token, whatever becomes of it; each further attempt takes a whole
    one, and is not made if there is none.

    * `ratio`: retries for each call, >= 0; 0.2 is one for five calls.
    * `min_per_second`: retries a second on top of that, >= 0, for clients that have few calls.
    * `window`: seconds, in 10 buckets.
    * `mode`: the `SystemOperationMode` to obey; by default the default one, if there is one. In
      DEGRADED half of all this may be used, in EMERGENCY nothing, unless its reactions say
      otherwise (`resilient.Reactions`).

    So, whenever a token is given, those given in the last `window` seconds, this one included, are
    at most `ratio` x the calls of these seconds + `min_per_second` x `window`. The second part is
    a reserve that is there at once, also in the first seconds of a program: by default 100
    retries. With both 0 there is never a retry. A token that was taken is missing for `window`
    seconds, and for up to a tenth longer.

    No clock is read when a call succeeds. When somebody withdraws or looks, the calls since the
    last time that anybody did are spread evenly over the time between, and what falls out of the
    window is dropped. After a quiet time the first look therefore takes the mean of that time for
    the load of now; while calls fail, looks are frequent and the counts are sharp.

    The semantics and the defaults are those of ``RetryBudget`` in Twitter's Finagle
    (``percentCanRetry`` 0.2, ``minRetriesPerSec`` 10, ``ttl`` 10 s).

    Raises `ConfigError` naming the setting, its value and what is allowed.

    Example::

        budget = resilient.retry_budget()
        fetch = retry(on=ConnectionError, budget=budget)(fetch)
        store = retry(on=ConnectionError, budget=budget)(store)
    """
    return RetryBudget(
        positive("ratio", ratio, zero=True),
        positive("min_per_second", min_per_second, zero=True),
        seconds("window", window),
        clock=chosen(clock),
        mode=obeyed(mode),
    )

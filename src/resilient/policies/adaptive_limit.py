"""The limit that finds itself: how many calls a dependency can take at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, TypeVar

from resilient.clock import Clock
from resilient.core.gate import Gate
from resilient.core.hub import hub
from resilient.core.importance import DEFAULT, current
from resilient.core.outcome import Outcome
from resilient.core.ports import Criticality
from resilient.errors import CallTimeoutError, ConfigError, Rejected, ThrottledError
from resilient.events import LimitChanged
from resilient.policies.keeper import Queueing
from resilient.policies.limit_algorithms import AIMD, LimitMaker
from resilient.policies.limit_rounds import PLENTY, Permit, Rounds
from resilient.policies.limit_shares import Room, highest
from resilient.policies.match import Matcher, positive
from resilient.policies.rules import FREE_THREADED
from resilient.policies.waiting_room import WaitingRoom

__all__ = ["AdaptiveLimit"]

M = TypeVar("M", bound=Callable[..., Any])


def _locked(method: M) -> M:
    @wraps(method)
    def locked(self: AdaptiveLimit, *args: Any, **kwargs: Any) -> Any:
        with self._lock:
            return method(self, *args, **kwargs)

    return locked  # type: ignore[return-value]  # the same signature, by construction


def _exact(method: M) -> M:
    """Lock where an increment is not atomic."""
    return _locked(method) if FREE_THREADED else method


class AdaptiveLimit(Gate):
    """Admits as many calls at a time as the dependency can take, and finds out how many that are.

    Made by `resilient.adaptive_limit`. One object serves threads and event loops at once, as a
    decorator, through `call`, and as a context manager.
    """

    swift = True

    # What every good call does takes no lock where the interpreter has one: looking for a place and
    # taking it is one statement with no call inside, so nobody comes in between; so is each count.

    def __init__(  # noqa: PLR0913  (its settings, checked by `resilient.adaptive_limit`)
        self,
        name: str,
        make: LimitMaker,
        bounds: tuple[int, int, int],
        shares: Mapping[Criticality, float],
        on: Matcher,
        ignore: Matcher,
        clock: Clock,
        queue: Queueing,
    ) -> None:
        self.name = name
        self.clock = clock
        self.limit, self.min, self.max = bounds
        self.in_flight = 0
        self.admitted = self.rejected = self.drops = 0
        self._initial = self.limit
        self._make = make
        self._on = on
        self._ignore = ignore
        self.waiting = False
        self._room = WaitingRoom(self, *queue)
        self._lock = self._room.lock
        self._rooms = {level: Room(share, self.limit) for level, share in shares.items()}
        self._usual = self._rooms[DEFAULT]
        self._carried = 0
        self._rounds = self._begin(self.limit)
        hub.register(self)

    def _begin(self, limit: float) -> Rounds:
        return Rounds(self._make(limit, self.min, self.max), self.clock.monotonic())

    # The policy

    @_exact
    def at_once(self, /, *args: Any, **kwargs: Any) -> Permit | None:  # noqa: ARG002  (it costs)
        """A permit, if fewer calls are in flight than this one's criticality may see."""
        if self.waiting:
            return None
        level = current.get()
        room = self._usual if level is None else self._rooms[level]
        self.in_flight += (free := self.in_flight < room.bound)
        if not free:
            return None
        self.admitted += 1
        if self.in_flight > room.peak:  # noqa: PLR1730  (a call would cost more)
            room.peak = self.in_flight
        rounds = self._rounds
        if rounds.count >= PLENTY and self.admitted & 7:
            return rounds.untimed
        return self.clock.monotonic(), rounds, True

    @_exact
    def succeeded(self, permit: Permit, /) -> None:
        """Give the place back, and count the answer."""
        started, rounds, timed = permit
        if rounds is not self._rounds:
            self._leave(permit)
        else:
            self.in_flight -= 1
            if timed and started >= rounds.since:
                now = self.clock.monotonic()
                rounds.total += now - started
                rounds.count += 1
                if now >= rounds.edge and rounds.count >= rounds.need:
                    self._close(now)
        if self.waiting:
            self._room.hand_over()

    def admit(self, /, *args: Any, **kwargs: Any) -> Any:
        """A permit, a place in the queue, or a new `ThrottledError`, which is not raised."""
        if not hub.active:
            return _NOBODY.untimed
        permit = self.at_once(*args, **kwargs)
        return self._room.ask() if permit is None else permit

    def settle(self, permit: Permit, outcome: Outcome[Any] | None) -> None:
        """Give the place back; an answer or a drop is a sample, anything else is none."""
        if outcome is not None and outcome.error is None:
            self.succeeded(permit)
            return
        self._leave(permit)
        try:
            error = None if outcome is None else outcome.error
            if error is not None and self._is_drop(error):
                self._drop(permit)
        finally:
            if self.waiting:
                self._room.hand_over()

    def _is_drop(self, error: Exception) -> bool:
        if isinstance(error, Rejected) or self._ignore(error):
            return False
        return isinstance(error, CallTimeoutError) or self._on(error)

    @_exact
    def _leave(self, permit: Permit) -> None:
        if permit[1].alive:
            self.in_flight -= 1

    def _close(self, now: float) -> None:
        with self._lock:
            rounds = self._rounds
            if not rounds.due(now):  # another thread was faster
                return
            used = max(self._carried, self.limit * highest(self._rooms.values()))
            self._carried = self.in_flight
            rounds.close(now, used)
            old = self._adopt()
        self._tell(old)

    def _drop(self, permit: Permit) -> None:
        started, rounds, _ = permit
        with self._lock:
            if rounds is not self._rounds:
                return
            self.drops += 1
            rounds.drop(started, self.clock.monotonic(), self.in_flight)
            old = self._adopt()
        self._tell(old)

    def _adopt(self) -> int:
        """With the lock: follow the algorithm; return the limit so far."""
        old, self.limit = self.limit, int(self._rounds.algorithm.limit)
        if self.limit != old:
            for room in self._rooms.values():
                room.resize(self.limit)
        return old

    def _tell(self, old: int) -> None:
        new = self.limit
        if new != old and hub.bus.wants(LimitChanged):
            hub.bus.publish(LimitChanged(name=self.name, old=old, new=new))

    # What its waiting room asks

    def take(self, level: Criticality, /) -> Permit | None:
        """A permit for a call of that level, also while others wait."""
        if not hub.active:
            return _NOBODY.untimed
        room = self._rooms[level]
        self.in_flight += (free := self.in_flight < room.bound)
        if not free:
            return None
        self.admitted += 1
        room.peak = max(room.peak, self.in_flight)
        return self.clock.monotonic(), self._rounds, True

    def give_back(self, permit: Permit, /) -> None:
        """Take a permit back that was not used."""
        self._leave(permit)

    def crowded(self, waiting: bool, /) -> None:  # noqa: FBT001  (a state, told as it is)
        """Shut the straight line while somebody waits."""
        self.waiting = waiting

    def busy(self, level: Criticality, /) -> str:
        """Why there is no permit."""
        bound = self._rooms[level].bound
        return f"{bound} in flight, as many as it may take for {level.name} calls now"

    def refused(self, reason: str, /) -> ThrottledError:
        """Count a rejection, and make its error."""
        with self._lock:
            self.rejected += 1
        self.announce(reason)
        return ThrottledError(self.name, None, reason)

    # The surface

    @property
    def queued(self) -> int:
        """Calls that wait for a place."""
        return len(self._room)

    def bound(self, level: Criticality | str) -> int:
        """How many calls may be in flight, of all levels, for one more of `level` to be refused.

        Raises `ConfigError` for what is no level.

        Example::

            search.bound("low")  # 10 of a limit of 20
        """
        return self._rooms[Criticality.of(level)].bound

    def reset(self) -> None:
        """Begin again with the first limit and counts of 0. Calls in flight stay in flight."""
        self._restart(self._initial, 0.0)
        with self._lock:
            self.admitted = self.rejected = self.drops = 0

    def snapshot(self) -> dict[str, Any]:
        """Plain data to restore from: the limit, and the latency without queueing, in seconds.

        Example::

            json.dumps(search.snapshot())
        """
        algorithm = self._rounds.algorithm
        return {"limit": algorithm.settled, "base": algorithm.base}

    def restore(self, data: Mapping[str, Any]) -> None:
        """Take over a `snapshot`. Raises `ConfigError` for anything else."""
        try:
            limit = positive("limit", data["limit"])
            base = positive("base", data["base"], zero=True)
        except (ConfigError, KeyError, TypeError) as error:
            allowed = "what snapshot() of an adaptive limit returned"
            raise ConfigError("snapshot", data, allowed) from error
        self._restart(min(max(limit, self.min), self.max), base)

    def _restart(self, limit: float, base: float) -> None:
        with self._lock:
            self._rounds = self._begin(limit)
            self._rounds.algorithm.base = base
            self._carried = 0
            highest(self._rooms.values())
            old = self._adopt()
        self._tell(old)
        if self.waiting:
            self._room.hand_over()

    def describe(self) -> str:
        """One line for `pipeline.describe()`."""
        kind = type(self._rounds.algorithm).__name__
        bounds = f"{self.limit} now, {self.min} to {self.max}, {kind}"
        return f"adaptive_limit({self.name!r}): {bounds}{self._room.describe()}"

    # What the hub asks

    def set_active(self, active: bool, /) -> None:  # noqa: FBT001  (a switch is a boolean)
        """Let those pass who wait; lines and blocks look at the switch, and count nothing then."""
        if not active:
            self._room.hand_over()

    def after_fork(self) -> None:
        """A fresh lock, and nothing in flight: those calls are the parent's. The limit stays."""
        super().after_fork()
        self._room.empty()
        self._lock = self._room.lock
        self.waiting = False
        self._rounds.alive = False
        self._rounds = Rounds(self._rounds.algorithm, self.clock.monotonic())
        self.in_flight = self._carried = 0


_NOBODY = Rounds(AIMD(1, 1, 1), 0.0)
"""Where a call counts that is let through uncounted: nowhere."""
_NOBODY.alive = False

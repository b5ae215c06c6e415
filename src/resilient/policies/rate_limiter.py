"""The rate limit as a policy. Its decisions are in `token_bucket` and `fixed_window`."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from resilient.clock import Clock
from resilient.core.deadline import remaining
from resilient.core.gate import Gate
from resilient.core.hub import hub
from resilient.core.importance import current
from resilient.core.outcome import Outcome
from resilient.core.waiting import Waiting
from resilient.errors import ConfigError, RateLimitedError, Rejected
from resilient.policies.keys import KeyedStore
from resilient.policies.rates import Bucket, Permit, RateMetrics, Rates
from resilient.policies.rules import FREE_THREADED
from resilient.policies.token_bucket import Place

__all__ = ["KeyedRate", "RateLimit"]

_USED_UP = "the rate is used up"
_KEYED = "{0} has a key for each call: use {0}.for_key(key)"


_PASS: Permit = (None, 0.0)


class RateLimit(Gate):
    """Admits so many calls in a time; others wait their turn, or are refused.

    Made by `resilient.rate_limit`. One object serves threads and event loops at once, as a
    decorator, through `call`, and as a context manager.
    """

    swift = not FREE_THREADED

    # Taking a token is a few reads and writes with no call in between, which no other thread can
    # interrupt while the interpreter has a lock of its own: measured, a lock of ours around them
    # costs more than they do. Everything else has the lock, a reentrant one, because a
    # finaliser may make a call of ours while this thread has it; and shuts the quick way meanwhile.

    def __init__(self, rates: Rates, clock: Clock) -> None:
        self.name = rates.name
        self.clock = clock
        self.rates = rates
        self._leaves = rates.leaves
        self._admitted = self._waited = self._rejected = self._refunded = 0
        self._lock = threading.RLock()
        self._turns: weakref.WeakSet[_Appointment] = weakref.WeakSet()
        self._begin()
        hub.register(self)

    def _begin(self) -> None:
        now = self.clock.monotonic()
        rates = self.rates
        self._only = rates.make(now) if rates.key is None else None
        self._store: KeyedStore[Bucket] = KeyedStore(
            lambda _: self.rates.make(self.clock.monotonic()),
            lambda bucket: bucket.used,
            most=rates.max_keys,
            # Who is forgotten begins with a full bucket, so it must have been full.
            ttl=rates.lifetime,
            clock=self.clock,
        )

    # The policy

    def at_once(self, /, *args: Any, **kwargs: Any) -> Permit | None:
        """A permit, if there is one without waiting."""
        # As `take`, spelled out: it is what every good call costs.
        bucket = self._only or self.find_bucket(args, kwargs)
        mark = bucket.take(self.clock.monotonic(), self._leaves[current.get()])
        if mark is None:
            return None
        self._admitted += 1
        return bucket, mark

    def admit(self, /, *args: Any, **kwargs: Any) -> Permit | Waiting | RateLimitedError:
        """A permit, an appointment, or a new `RateLimitedError`, which is not raised."""
        if not hub.active:
            return _PASS
        return self.ask(self._only or self.find_bucket(args, kwargs))

    def succeeded(self, permit: Permit, /) -> None:
        """Nothing is owed for a call that was made."""

    def settle(self, permit: Permit, outcome: Outcome[Any] | None) -> None:
        """Take back the token of a call that was rejected further in: the dependency was not asked.

        A call that was cancelled may have asked it, so its token is used up.
        """
        bucket, mark = permit
        if bucket is None or outcome is None or not isinstance(outcome.error, Rejected):
            return
        with self._alone(bucket) as now:
            self._refunded += 1
            bucket.refund(mark, now)

    def enter(self) -> Any:
        """Admit a block. Raises `Rejected`; `TypeError` if it has a key, naming the cure."""
        self._refuse_blocks()
        return super().enter()

    async def enter_async(self) -> Any:
        """As `enter`, for ``async with``."""
        self._refuse_blocks()
        return await super().enter_async()

    # For one bucket

    def take(self, bucket: Bucket) -> Permit | None:
        """A permit from `bucket`, if there is one without waiting."""
        mark = bucket.take(self.clock.monotonic(), self._leaves[current.get()])
        if mark is None:
            return None
        self._admitted += 1
        return bucket, mark

    def ask(self, bucket: Bucket) -> Permit | Waiting | RateLimitedError:
        """As `admit`, from `bucket`."""
        held = self._leaves[current.get()]
        left = remaining()
        with self._alone(bucket) as now:
            wait = bucket.wait(now, held)
            reason = self._refusal(wait, left)
            if reason is None:
                place = bucket.reserve(now, held)
                self._admitted += not wait
        if reason is not None:
            return self.refused(wait, reason)
        if wait:
            return _Appointment(self, bucket, place, wait)
        return bucket, place.mark

    @contextmanager
    def _alone(self, bucket: Bucket) -> Iterator[float]:
        """Let nobody else touch `bucket`; the time."""
        with self._lock:
            bucket.alone()
            try:
                yield self.clock.monotonic()
            finally:
                bucket.done()

    def _refusal(self, wait: float, left: float | None) -> str | None:
        """Why nobody waits so long; `None` if it is done."""
        if wait > self.rates.max_wait:
            return _USED_UP
        if left is not None and wait and wait >= left:
            return f"a wait of {wait:.3g} s does not fit the {left:.3g} s left"
        return None

    def refused(self, wait: float, reason: str) -> RateLimitedError:
        """Count a rejection, and make its error."""
        with self._lock:
            self._rejected += 1
        self.announce(reason, wait)
        return RateLimitedError(self.name, wait, reason)

    def kept(self, bucket: Bucket, place: Place) -> Permit:
        """The permit of somebody whose appointment has come."""
        with self._lock:
            self._admitted += 1
            self._waited += 1
        return bucket, place.mark

    def expect(self, appointment: _Appointment) -> None:
        """Know of somebody who waits, weakly: a task that is dropped gives its turn back."""
        with self._lock:
            self._turns.add(appointment)

    def missed(self, bucket: Bucket, place: Place) -> float:
        """Give up an appointment; the wait that another call like this would have now."""
        held = self._leaves[current.get()]
        with self._alone(bucket) as now:
            bucket.withdraw(place, now)
            return bucket.wait(now, held)

    # Keys

    @property
    def keyed(self) -> bool:
        """Whether each key has a bucket of its own."""
        return self.rates.key is not None

    def for_key(self, key: Hashable) -> KeyedRate:
        """The limit of `key`, as a gate of its own. Raises `TypeError` on a limit without keys.

        Example::

            async with clients.for_key("10.0.0.7"):
                ...
        """
        if not self.keyed:
            message = f"{self.name} has no key; give rate_limit(..., key=) to have one for each"
            raise TypeError(message)
        return KeyedRate(self, key)

    def find_bucket(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Bucket:
        """The bucket for a call with these arguments."""
        if self._only is not None:
            return self._only
        assert self.rates.key is not None  # noqa: S101  (there is one or the other)
        return self.bucket_of(self.rates.key(*args, **kwargs))

    def bucket_of(self, key: Hashable) -> Bucket:
        """The bucket of `key`."""
        return self._store.get(key)

    def _refuse_blocks(self) -> None:
        if self.keyed:
            raise TypeError(_KEYED.format(self.name))

    # The surface

    @property
    def available(self) -> float:
        """Tokens that are there now, of a fixed window places. `TypeError` if it has a key."""
        if self._only is None:
            raise TypeError(_KEYED.format(self.name))
        return self.tokens(self._only)

    def tokens(self, bucket: Bucket) -> float:
        """What `bucket` has left now; 0 while calls wait."""
        with self._alone(bucket) as now:
            return max(0.0, bucket.tokens(now))

    @property
    def metrics(self) -> RateMetrics:
        """What was counted, over all keys."""
        with self._lock:
            return RateMetrics(self._admitted, self._waited, self._rejected, self._refunded)

    def reset(self) -> None:
        """Begin with full buckets; those who wait keep their appointments."""
        if self._only is None:
            self._begin()
            return
        with self._alone(self._only) as now:
            self._only.clear(now, self._only.burst)

    def snapshot(self) -> dict[str, Any]:
        """Plain data to restore from: tokens and seconds, no instants.

        Example::

            json.dumps(search.snapshot())
        """
        if self._only is not None:
            return self._saved(self._only)
        pairs = list(self._store.values.items())
        return {"keys": [[key, self._saved(bucket)] for key, bucket in pairs]}

    def _saved(self, bucket: Bucket) -> dict[str, Any]:
        with self._alone(bucket) as now:
            return bucket.snapshot(now)

    def restore(self, data: Mapping[str, Any]) -> None:
        """Take over a `snapshot`. Raises `ConfigError` for anything else."""
        try:
            if self._only is not None:
                self._load(self._only, data)
                return
            pairs = [(key, each) for key, each in data["keys"]]
            for _, each in pairs:
                self._load(self.rates.make(0.0), each)  # all of it is good, or nothing changes
            self._begin()
            for key, each in pairs:
                self._load(self.bucket_of(key), each)
        except (KeyError, OverflowError, TypeError, ValueError) as error:
            allowed = "what snapshot() of such a rate limit returned"
            raise ConfigError("snapshot", data, allowed) from error

    def _load(self, bucket: Bucket, data: Mapping[str, Any]) -> None:
        with self._alone(bucket) as now:
            bucket.restore(data, now)

    def obey(self, rates: Rates, /) -> None:
        """Work by these rates from now on; tokens stay, and appointments hold."""
        self.rates, self._leaves, self._store.ttl = rates, rates.leaves, rates.lifetime
        for bucket in self._buckets():
            with self._alone(bucket) as now:
                rates.change(bucket, now)

    def describe(self) -> str:
        """One line for `pipeline.describe()`."""
        return f"rate_limit({self.name!r}): {self.rates.words}"

    # What the hub asks

    def set_active(self, active: bool, /) -> None:  # noqa: FBT001  (a switch is a boolean)
        """Let those pass who wait; whoever asks for a permit looks at the switch first."""
        with self._lock:
            turns = [] if active else list(self._turns)
        for turn in turns:
            with suppress(RuntimeError):  # its event loop is closed: nobody is there
                turn.release()

    def after_fork(self) -> None:
        """A fresh lock, and nobody who waits: those are the parent's."""
        super().after_fork()
        self._lock = threading.RLock()
        self._turns = weakref.WeakSet()
        for bucket in self._buckets():
            bucket.after_fork(self.clock.monotonic())

    def _buckets(self) -> tuple[Bucket, ...]:
        return tuple(self._store.values.values()) if self._only is None else (self._only,)


class KeyedRate(Gate):
    """One key of a rate limit with keys, with whatever bucket that has. Made by `for_key`."""

    swift = RateLimit.swift

    def __init__(self, owner: RateLimit, key: Hashable) -> None:
        self.name = owner.name
        self.clock = owner.clock
        self._owner = owner
        self._key = key

    def at_once(self, /, *args: Any, **kwargs: Any) -> Permit | None:
        """A permit, if there is one without waiting."""
        del args, kwargs
        return self._owner.take(self._owner.bucket_of(self._key))

    def admit(self, /, *args: Any, **kwargs: Any) -> Permit | Waiting | RateLimitedError:
        """A permit, an appointment, or a new `RateLimitedError`, which is not raised."""
        del args, kwargs
        return self._owner.ask(self._owner.bucket_of(self._key)) if hub.active else _PASS

    def succeeded(self, permit: Permit, /) -> None:
        """Nothing is owed for a call that was made."""

    def settle(self, permit: Permit, outcome: Outcome[Any] | None) -> None:
        """As that of the whole."""
        self._owner.settle(permit, outcome)

    @property
    def available(self) -> float:
        """Tokens that are there now, of a fixed window places."""
        return self._owner.tokens(self._owner.bucket_of(self._key))

    def describe(self) -> str:
        """One line for `pipeline.describe()`."""
        return f"{self._owner.describe()}, for one key"

    def _stack(self) -> Any:
        # `for_key` may be called anew to leave what was entered; the limit keeps the stacks.
        return self._owner._stack()  # noqa: SLF001  (the two are one mechanism)


class _Appointment(Waiting):
    """The turn of a call that waits. Its time is known; only the emergency switch ends the wait."""

    def __init__(self, owner: RateLimit, bucket: Bucket, place: Place, wait: float) -> None:
        self.clock = owner.clock
        self.seconds = wait
        self._wake: Callable[[], object]
        self._released = False
        self._owner = owner
        self._bucket = bucket
        self._place = place

    def notify(self, wake: Callable[[], object]) -> None:
        """Wake if the library is switched off, which it may be already."""
        self._wake = wake
        self._owner.expect(self)
        if not hub.active:
            self.release()

    def release(self) -> None:
        """Wait no longer: the library is switched off."""
        self._released = True
        self._wake()

    def finish(self) -> Permit:
        """The permit; of who was released one that nobody counts, and the turn is given back."""
        if self._released:
            self.cancel()
            return _PASS
        return self._owner.kept(self._bucket, self._place)

    def cancel(self) -> None:
        """Leave; the turn is given back."""
        self._owner.missed(self._bucket, self._place)

    def refuse(self, reason: str) -> RateLimitedError:
        """Leave, and say why nobody waits."""
        wait = self._owner.missed(self._bucket, self._place)
        return self._owner.refused(wait, f"{_USED_UP}, and {reason}")

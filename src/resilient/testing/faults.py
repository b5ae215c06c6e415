"""Faults by name: what a policy protects goes wrong, and the application stays as it is."""

from __future__ import annotations

import asyncio
import functools
import random
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from resilient.clock import Duration, seconds, system_clock
from resilient.core.copies import without_traceback
from resilient.core.hub import hub
from resilient.core.inspection import is_async_callable
from resilient.errors import ConfigError

__all__ = ["Fault", "Faults", "InjectedFault"]


class InjectedFault(ConnectionError):  # noqa: N818  (what it is, to those who read a traceback)
    """What a fault raises when it was told how often to strike but not with what.

    Example::

        resilience.faults.at("payments").rate(0.3)
    """


class Fault:
    """What goes wrong at one name. Made by `Faults.at`.

    Settings add up, and each returns the fault, so they chain: a delay comes first, then a hang,
    then an error; `corrupt` changes what the real function returned. Asking again for the same
    name goes on with the same fault; `clear` ends it.

    Example::

        faults.at("payments").delay(0.2, jitter=0.1).fail(ConnectionError, times=5)
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.struck = 0
        """How many calls it has hit."""
        self._lock = threading.Lock()
        self._released = threading.Event()
        self._home = threading.get_ident()
        self.clear()

    def clear(self) -> Fault:
        """Let everything pass again, and release what hangs."""
        with self._lock:
            self._released.set()
            self._released = threading.Event()
            self._share = 1.0
            self._random = _draws(0)
            self._delay = self._jitter = 0.0
            self._hangs = False
            self._error: BaseException | type[BaseException] | None = None
            self._left: int | None = None
            self._corrupt: Callable[[Any], Any] | None = None
        return self

    def fail(
        self, error: BaseException | type[BaseException] = InjectedFault, times: int | None = None
    ) -> Fault:
        """Raise `error`, a class or an object of which each call gets a copy.

        `times` ends that after so many calls; `None` never does.
        Raises `ConfigError` if `error` is no exception, is a class that needs arguments, or if
        `times` is below 1.
        """
        allowed = "an exception, or an exception class that needs no arguments"
        if isinstance(error, type) and issubclass(error, BaseException):
            try:
                error()
            except TypeError:
                raise ConfigError("fail", error, allowed) from None
        elif not isinstance(error, BaseException):
            raise ConfigError("fail", error, allowed)
        if times is not None and times < 1:
            raise ConfigError("times", times, "a whole number >= 1, or None")
        with self._lock:
            self._error, self._left = error, times
        return self

    def delay(self, by: Duration, jitter: Duration = 0.0) -> Fault:
        """Wait before each call: `by` seconds, give or take up to `jitter` seconds.

        The wait passes on the clock that policies without a clock of their own use.
        Raises `ConfigError` for a time that is negative or not finite.
        """
        delay, spread = seconds("delay", by, zero=True), seconds("jitter", jitter, zero=True)
        with self._lock:
            self._delay, self._jitter = delay, spread
        return self

    def hang(self) -> Fault:
        """Never return.

        A coroutine function hangs until it is cancelled. A function hangs its thread until the
        fault is cleared or the test ends, and then raises `InjectedFault`; on the thread that set
        the fault nothing could ever end that, so there it is a `RuntimeError`.
        """
        self._hangs = True
        return self

    def corrupt(self, change: Callable[[Any], Any]) -> Fault:
        """Let the caller get ``change(result)`` instead of what the function returned.

        Raises `ConfigError` if `change` cannot be called.
        """
        if not callable(change):
            raise ConfigError("corrupt", change, "a function of the result")
        self._corrupt = change
        return self

    def rate(self, share: float, seed: int = 0) -> Fault:
        """Hit only this share of the calls, drawn at random but alike in every run of one `seed`.

        With nothing else set, the calls that it hits raise `InjectedFault`.
        Raises `ConfigError` if `share` is outside [0, 1].
        """
        if not 0 <= share <= 1:
            raise ConfigError("rate", share, "a number from 0 to 1")
        with self._lock:
            self._share, self._random = float(share), _draws(seed)
            if not (self._delay or self._hangs or self._error or self._corrupt):
                self._error = InjectedFault
        return self

    def around(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """`fn`, a function or a coroutine function, with this fault."""
        if is_async_callable(fn):
            return functools.partial(self._call_async, fn)
        return functools.partial(self._call, fn)

    def _call(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        strike = self._strike()
        if strike is None:
            return fn(*args, **kwargs)
        if strike.wait:
            system_clock.sleep(strike.wait)
        if strike.hang is not None:
            self._hang_thread(strike.hang)
        self._raise()
        return strike.corrupt(fn(*args, **kwargs))

    async def _call_async(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        strike = self._strike()
        if strike is None:
            return await fn(*args, **kwargs)
        if strike.wait:
            await system_clock.sleep_async(strike.wait)
        if strike.hang is not None:
            await asyncio.get_running_loop().create_future()
        self._raise()
        return strike.corrupt(await fn(*args, **kwargs))

    def _strike(self) -> _Strike | None:
        """What happens to this call; `None` if it is spared."""
        with self._lock:
            if self._share < 1 and self._random.random() >= self._share:
                return None
            self.struck += 1
            wait = self._delay + self._random.uniform(-self._jitter, self._jitter)
            return _Strike(
                max(0.0, wait), self._released if self._hangs else None, self._corrupt or _unchanged
            )

    def _hang_thread(self, released: threading.Event) -> None:
        if threading.get_ident() == self._home:
            message = (
                f"faults.at({self.name!r}).hang(): the test's own thread would hang for ever; use "
                ".delay(seconds), or protect the function with timeout(seconds, thread=True)"
            )
            raise RuntimeError(message)
        released.wait()
        raise InjectedFault(self.name)

    def _raise(self) -> None:
        with self._lock:
            error = self._error
            if error is None or self._left == 0:
                return
            if self._left is not None:
                self._left -= 1
        twin = error() if isinstance(error, type) else without_traceback(error)
        raise error if isinstance(twin, str) else twin


class _Strike(NamedTuple):
    """What happens to one call, decided when it begins."""

    wait: float
    hang: threading.Event | None
    corrupt: Callable[[Any], Any]


def _unchanged(result: Any) -> Any:
    return result


def _draws(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311  (to be repeatable, not secret)


class Faults:
    """Every fault of a test, by name. Made by the fixture `resilience`.

    A name is that of a policy, or of a `resilient.point`.
    """

    def __init__(self) -> None:
        self._faults: dict[str, Fault] = {}

    def at(self, name: str) -> Fault:
        """The fault at `name`; it does nothing until it is told what to do.

        Functions that are already protected by a policy of that name obey it, and so do those
        protected later, ``.call()``, ``with`` blocks and points. Threads may be at work.

        Example::

            resilience.faults.at("payments").fail(ConnectionError, times=5)
        """
        if name not in self._faults:
            fault = self._faults[name] = Fault(name)
            hub.faults[name] = fault.around
            self._inject()
        return self._faults[name]

    def undo(self) -> None:
        """Put everything back as it was, and release what hangs."""
        for name, fault in self._faults.items():
            hub.faults.pop(name, None)
            fault.clear()
        self._inject()
        self._faults.clear()

    def _inject(self) -> None:
        for guard in hub.guards():
            guard.inject()

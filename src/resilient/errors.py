"""The one error tree.

::

    ResilientError
    +- Rejected                    .name .retry_after .reason
    |  +- CircuitOpenError         also pybreaker.CircuitBreakerError; .last_error
    |  +- BulkheadFullError        no slot, and no place to wait for one
    |  +- RateLimitedError         too soon after the calls before
    |  +- ThrottledError           a limit that the dependency's own answers have lowered
    |  +- FeatureUnavailableError  not in this mode; .mode
    |  +- DeadlineExceededError    also TimeoutError: no time left to start
    +- CallTimeoutError            also TimeoutError: started, did not finish in time
    +- StoreError                  a file or a server did not do what it was asked; .name .reason
    +- ConfigError                 also ValueError: .setting .value .allowed .origin
    +- MissingExtraError           also ImportError: .extra .package

An application's own exceptions are never wrapped in one of these. Every error pickles with its
attributes; an attribute that cannot be pickled travels as its ``repr``.

``TimeoutError`` is an ``OSError``: ``except OSError`` and ``on=OSError`` therefore catch
`CallTimeoutError` and `DeadlineExceededError` too.
"""

from __future__ import annotations

from typing import Any

from pybreaker import CircuitBreakerError

__all__ = [
    "BulkheadFullError",
    "CallTimeoutError",
    "CircuitOpenError",
    "ConfigError",
    "DeadlineExceededError",
    "FeatureUnavailableError",
    "MissingExtraError",
    "RateLimitedError",
    "Rejected",
    "ResilientError",
    "StoreError",
    "ThrottledError",
]


def _portable(value: object) -> object:
    """Return `value` if it survives pickling, else its ``repr``."""
    import pickle  # noqa: PLC0415  (only a program that pickles errors pays for it)

    try:
        pickle.loads(pickle.dumps(value))  # noqa: S301  (our own bytes, just written)
    except Exception:  # noqa: BLE001  (any failure to travel has the same answer)
        return repr(value)
    return value


def _rebuild(cls: type[ResilientError], args: tuple[object, ...]) -> ResilientError:
    return cls(*args)


class ResilientError(Exception):
    """Base of every error that the library raises of itself.

    Example::

        try:
            charge(42)
        except resilient.ResilientError as error:
            log.warning("the library refused or gave up", error=str(error))
    """

    def _field(self, index: int) -> Any:
        """Read a positional argument, `None` when it was not given."""
        return self.args[index] if len(self.args) > index else None

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by arguments; what cannot travel travels as its ``repr``."""
        state = {name: _portable(value) for name, value in self.__dict__.items()}
        return (_rebuild, (type(self), tuple(_portable(arg) for arg in self.args)), state or None)


class Rejected(ResilientError):  # noqa: N818  (a verdict, not a fault: the name users catch)
    """A policy refused to start the call; the dependency was not asked.

    Every rejection is a new object. It never counts as a failure of the dependency.

    Arguments, in order: the policy's name, seconds until another try makes sense (or `None`),
    and the reason in words.

    Example::

        try:
            refund(42)
        except resilient.Rejected as refusal:
            return {"error": "busy", "retry_after": refusal.retry_after}
    """

    # No __init__: a rejection must cost little more than a bare raise, so what it knows
    # stays in `args` and is read through properties.

    @property
    def name(self) -> str:
        """Name of the policy that refused."""
        return str(self._field(0))

    @property
    def retry_after(self) -> float | None:
        """Seconds until another try makes sense; `None` when that is unknown."""
        seconds: float | None = self._field(1)
        return seconds

    @property
    def reason(self) -> str:
        """Why the call was refused, in words."""
        return self._field(2) or "rejected"

    def __str__(self) -> str:
        """Say who refused, why, and when to come back."""
        after = self.retry_after
        hint = "" if after is None else f"; retry after {after:.3g} s"
        return f"{self.name}: {self.reason}{hint}"


class CircuitOpenError(Rejected, CircuitBreakerError):
    """The circuit breaker is open, or half open with every trial place taken.

    It is also a `pybreaker.CircuitBreakerError`, so existing ``except`` clauses go on working.
    The fourth argument is the failure that opened the circuit.

    Example::

        except resilient.CircuitOpenError as refusal:
            print(refusal.name, refusal.retry_after, refusal.last_error)
    """

    @property
    def last_error(self) -> BaseException | str | None:
        """A copy, without traceback, of the failure that opened the circuit.

        `None` if it was opened by hand or by slow calls; a ``repr`` if it could not be copied
        or pickled.
        """
        error: BaseException | str | None = self._field(3)
        return error


class BulkheadFullError(Rejected):
    """Every slot of a bulkhead is taken, and its queue is full or was waited in for too long.

    ``retry_after`` is unknown (`None`): slots are freed by other calls, not by time.

    Example::

        except resilient.BulkheadFullError:
            return Response(status=503)
    """


class RateLimitedError(Rejected):
    """The rate is used up; ``retry_after`` says when the next call would be admitted.

    Example::

        except resilient.RateLimitedError as refusal:
            return Response(status=429, headers={"Retry-After": str(refusal.retry_after)})
    """


class ThrottledError(Rejected):
    """The dependency seems overloaded, so this call spares it: a throttle or an adaptive limit.

    Example::

        except resilient.ThrottledError:
            return cached_page
    """


class FeatureUnavailableError(Rejected):
    """The mode of the system does not allow this call. The fourth argument is the mode.

    Example::

        except resilient.FeatureUnavailableError as refusal:
            return f"not available while the system is {refusal.mode}"
    """

    @property
    def mode(self) -> str | None:
        """Name of the mode that shut the gate, such as ``EMERGENCY``."""
        mode: str | None = self._field(3)
        return mode


class _TimeError(ResilientError, TimeoutError):
    """Shares one construction: OSError would read two arguments as errno and strerror."""

    def __init__(self, *args: object) -> None:
        self.args = args


class DeadlineExceededError(_TimeError, Rejected):
    """No time was left to start the call; it is also a `TimeoutError`.

    Example::

        with resilient.deadline(0.5):
            charge(42)
            ship(42)    # raises DeadlineExceededError if it has a timeout, and nothing is left
    """


class CallTimeoutError(_TimeError):
    """The call started and did not finish in time; it is also a `TimeoutError`.

    Arguments, in order: the name of the function that was limited, or ``deadline``, and the length
    of the limit in seconds.

    Example::

        except resilient.CallTimeoutError as error:
            print(error.name, error.seconds)
    """

    @property
    def name(self) -> str:
        """Name of the function that was limited, or ``deadline``."""
        return str(self._field(0))

    @property
    def seconds(self) -> float:
        """Length of the limit in seconds."""
        return float(self._field(1))

    def __str__(self) -> str:
        """Say which limit fired."""
        return f"{self.name}: no answer within {self.seconds:.3g} s"


class StoreError(ResilientError):
    """A file or a server did not do what it was asked, or holds what it should not.

    Arguments, in order: the path or address, and what happened, in words.

    Example::

        except resilient.StoreError as error:
            print(error.name, error.reason)
    """

    @property
    def name(self) -> str:
        """The path or the address."""
        return str(self._field(0))

    @property
    def reason(self) -> str:
        """What happened, in words."""
        return str(self._field(1))

    def __str__(self) -> str:
        """Say where, and what."""
        return f"{self.name}: {self.reason}"


class ConfigError(ResilientError, ValueError):
    """A setting was refused when it was given.

    Arguments, in order: the setting, its value, what is allowed, and where the value came from.

    Example::

        breaker("payments", failure_threshold=0)
        # ConfigError: failure_threshold=0: allowed is a whole number >= 1 (from code)
    """

    @property
    def setting(self) -> str:
        """Name of the setting."""
        return str(self._field(0))

    @property
    def value(self) -> object:
        """The value that was refused."""
        return self._field(1)

    @property
    def allowed(self) -> str:
        """What would have been accepted, in words."""
        return str(self._field(2))

    @property
    def origin(self) -> str:
        """Where the value came from: ``code``, an environment variable, a file."""
        return self._field(3) or "code"

    def __str__(self) -> str:
        """Name the setting, its value, what is allowed, and the origin."""
        return f"{self.setting}={self.value!r}: allowed is {self.allowed} (from {self.origin})"


class MissingExtraError(ResilientError, ImportError):
    """An optional part was asked for and its package is not installed.

    Arguments, in order: the extra to install, and the package that was not found.

    Example::

        # MissingExtraError: rich is not installed; pip install 'resilient-mode[demo]'
    """

    def __init__(self, extra: str, package: str) -> None:
        super().__init__(extra, package)

    @property
    def extra(self) -> str:
        """The extra of the distribution that brings the package."""
        return str(self._field(0))

    @property
    def package(self) -> str:
        """The package that was not found."""
        return str(self._field(1))

    def __str__(self) -> str:
        """Say what to install."""
        return f"{self.package} is not installed; pip install 'resilient-mode[{self.extra}]'"

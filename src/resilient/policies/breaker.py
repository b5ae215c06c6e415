"""How a circuit breaker is made: every setting, its default, and what is allowed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from typing import Any

import pybreaker

from resilient.clock import Clock, Duration, chosen, seconds
from resilient.core.configured import UNSET, Recipe, UnsetType, configured
from resilient.core.ports import Criticality, ModePort
from resilient.errors import ConfigError
from resilient.policies.circuit_breaker import CircuitBreaker
from resilient.policies.judge import Judge
from resilient.policies.match import Catch, function, matcher, named, optional, positive, whole
from resilient.policies.pybreaker_bridge import Bridge
from resilient.policies.rules import Rules
from resilient.policies.window import LastCalls

__all__ = ["breaker"]


def breaker(  # noqa: PLR0913  (every setting of a breaker, all but the name optional)
    name: str,
    *,
    failure_threshold: int | UnsetType | None = UNSET,
    failure_rate: float | UnsetType | None = UNSET,
    window: Duration | LastCalls | UnsetType = UNSET,
    minimum_calls: int | None = None,
    slow_call_duration: Duration | UnsetType | None = UNSET,
    slow_call_rate: float | UnsetType | None = UNSET,
    reset_timeout: Duration | UnsetType = UNSET,
    reset_backoff: float | UnsetType = UNSET,
    max_reset_timeout: Duration | None = None,
    reset_jitter: float | UnsetType = UNSET,
    half_open_calls: int | UnsetType = UNSET,
    half_open_success_rate: float | UnsetType = UNSET,
    half_open_timeout: Duration | None = None,
    on: Catch = Exception,
    ignore: Catch = (),
    failure_result: Callable[[Any], bool] | None = None,
    retry_after: Callable[[Exception], float | None] | None = None,
    key: Callable[..., Hashable] | None = None,
    max_keys: int = 10_000,
    key_ttl: Duration = 3600,
    listeners: Iterable[pybreaker.CircuitBreakerListener] = (),
    storage: pybreaker.CircuitBreakerStorage | None = None,
    weight: float | None = None,
    criticality: Criticality | str | None = None,
    mode: object = None,
    clock: Clock | None = None,
) -> CircuitBreaker:
    """Make a circuit breaker: it stops calling a dependency that fails, and tries again later.

    Its numbers are, unless they are given here, those of the section ``breaker`` of the settings,
    or of ``breaker.<name>``; they follow `resilient.configure`. The defaults named below hold where
    nothing is configured.

    When it opens (each may be `None`; with none of the three it only counts):

    * `failure_threshold`: this many failures in a row. Default 5.
    * `failure_rate`: this share of the calls in the window failed, in (0, 1]. Default `None`.
    * `slow_call_duration`, `slow_call_rate`: this share of the calls took longer than so many
      seconds, failures included. Default `None`, and 1.0.

    What it counts over:

    * `window`: seconds, in 10 buckets, or ``resilient.calls(n)``, the last n outcomes. Default 30.
    * `minimum_calls`: below this many outcomes a rate is unknown. Default 20, or the n of
      ``calls(n)`` if that is smaller.

    How long it stays open:

    * `reset_timeout`: seconds. Default 60.
    * `reset_backoff`: factor for each opening since it was last closed, up to
      `max_reset_timeout` seconds (default 600, or `reset_timeout` if that is longer).
      Default 1.
    * `reset_jitter`: random share of the open time, up or down, in [0, 1]. Default 0.
    * `retry_after`: a function of the failure that opened it, giving seconds or `None`.

    How it closes again:

    * `half_open_calls`: trial calls let through, outstanding and judged together. Default 1.
    * `half_open_success_rate`: the share of them that must succeed, in (0, 1]. A trial call that is
      slow counts as failed. Default 1.
    * `half_open_timeout`: seconds after which a trial call that has not ended loses its place to
      the next caller. Default: `reset_timeout`.

    What counts as failure:

    * `on`, `ignore`: exception classes, tuples of them, or predicates. `ignore` wins. An exception
      outside `on` is a success: the dependency answered. An ignored one touches no counter.
    * `failure_result`: a predicate on results that were returned.

    Circuits for keys:

    * `key`: a function of the call's arguments; each key has a circuit of its own under this name,
      at most `max_keys` (default 10,000), forgotten after `key_ttl` seconds (default 3600) unused.

    Around it: pybreaker `listeners` and `storage`; `weight` and `criticality` of the component that
    the mode knows by this name; `mode`, the mode it reports to (default: the default mode);
    `clock`.

    The defaults of 5 failures and 60 s are those of pybreaker; 20 calls and 50 % where a rate is
    wanted are common in Hystrix and resilience4j.

    Raises `ConfigError` naming the setting, its value and what is allowed.

    Example::

        payments = breaker("payments", failure_rate=0.5, slow_call_duration=2)

        @payments
        def charge(order: int) -> Receipt: ...
    """
    if key is not None and storage is not None:
        raise ConfigError("storage", storage, "no storage for a breaker with a key")
    if not (mode is None or isinstance(mode, ModePort)):
        raise ConfigError("mode", mode, "a SystemOperationMode, or None for the default one")
    listeners = tuple(listeners)
    bridge = Bridge(listeners, storage) if listeners or storage is not None else None
    plain = failure_result is None and storage is None and not (bridge and bridge.on_each_call)
    given = {
        "failure_threshold": failure_threshold,
        "failure_rate": failure_rate,
        "window": window,
        "minimum_calls": _or_unset(minimum_calls),
        "slow_call_duration": slow_call_duration,
        "slow_call_rate": slow_call_rate,
        "reset_timeout": reset_timeout,
        "reset_backoff": reset_backoff,
        "max_reset_timeout": _or_unset(max_reset_timeout),
        "reset_jitter": reset_jitter,
        "half_open_calls": half_open_calls,
        "half_open_success_rate": half_open_success_rate,
        "half_open_timeout": _or_unset(half_open_timeout),
    }
    recipe = Recipe("breaker", named(name), given, _rules, name, plain)
    values = configured.values
    made = CircuitBreaker(
        recipe(values),
        Judge(
            matcher("on", on),
            matcher("ignore", ignore),
            optional(function, "failure_result", failure_result),
            optional(function, "retry_after", retry_after),
        ),
        clock=chosen(clock),
        bridge=bridge,
        key=optional(function, "key", key),
        max_keys=whole("max_keys", max_keys),
        key_ttl=seconds("key_ttl", key_ttl),
        weight=optional(positive, "weight", weight),
        criticality=None if criticality is None else Criticality.of(criticality),
        mode=mode,
    )
    configured.follow(made, recipe, values)
    return made


def _or_unset(value: Any) -> Any:
    return UNSET if value is None else value


def _rules(
    settings: Mapping[str, Any],
    given: Collection[str],
    name: str,
    plain: bool,  # noqa: FBT001  (bound by `breaker`)
) -> Rules:
    """Check every number; one that was not given gives way to what it must fit."""
    window, timeout = settings["window"], settings["half_open_timeout"]
    size = window.number if isinstance(window, LastCalls) else None
    reset = seconds("reset_timeout", settings["reset_timeout"])
    return Rules(
        name=name,
        failure_threshold=optional(whole, "failure_threshold", settings["failure_threshold"]),
        failure_rate=optional(_share, "failure_rate", settings["failure_rate"]),
        slow_call_duration=optional(seconds, "slow_call_duration", settings["slow_call_duration"]),
        slow_call_rate=optional(_share, "slow_call_rate", settings["slow_call_rate"]),
        minimum_calls=_minimum(settings["minimum_calls"], size, clips="minimum_calls" not in given),
        window_seconds=None if size is not None else seconds("window", window),
        window_calls=size or 0,
        reset_timeout=reset,
        reset_backoff=_backoff(settings["reset_backoff"]),
        max_reset_timeout=_cap(
            settings["max_reset_timeout"], reset, clips="max_reset_timeout" not in given
        ),
        reset_jitter=positive("reset_jitter", settings["reset_jitter"], most=1, zero=True),
        half_open_calls=whole("half_open_calls", settings["half_open_calls"]),
        half_open_success_rate=_share("half_open_success_rate", settings["half_open_success_rate"]),
        half_open_timeout=reset if timeout is None else seconds("half_open_timeout", timeout),
        straight=plain,
    )


def _share(setting: str, value: float) -> float:
    return positive(setting, value, most=1)


def _minimum(value: int, size: int | None, *, clips: bool) -> int:
    whole("minimum_calls", value)
    if size is None or value <= size:
        return value
    if not clips:
        raise ConfigError("minimum_calls", value, f"at most the {size} calls that the window holds")
    return size


def _backoff(value: float) -> float:
    if positive("reset_backoff", value) < 1:
        raise ConfigError("reset_backoff", value, "a number >= 1")
    return float(value)


def _cap(value: Duration, reset: float, *, clips: bool) -> float:
    cap = seconds("max_reset_timeout", value)
    if cap < reset and not clips:
        allowed = f"at least the reset_timeout of {reset:g} s"
        raise ConfigError("max_reset_timeout", value, allowed)
    return max(cap, reset)

"""How a rate limit is made: every setting, its default, and what is allowed."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Hashable, Mapping
from typing import Any

import msgspec

from resilient.clock import Clock, Duration, chosen, seconds
from resilient.core.configured import UNSET, Recipe, UnsetType, configured
from resilient.core.ports import Criticality
from resilient.errors import ConfigError
from resilient.policies.levels import shares
from resilient.policies.match import function, named, needed, optional, positive, whole
from resilient.policies.rate_limiter import RateLimit
from resilient.policies.rates import Algorithm, Rates

__all__ = ["rate_limit"]

RESERVE: Mapping[Criticality | str, float] = {Criticality.MEDIUM: 0.2, Criticality.LOW: 0.5}
"""Shares left for the more critical. There is no source for such figures: they are a choice."""
_ROUNDING = 1e-9  # 0.29 * 100 is a little less than 29


def rate_limit(  # noqa: PLR0913  (every setting of a rate limit)
    name: str,
    *,
    rate: float | UnsetType = UNSET,
    per: Duration | UnsetType = UNSET,
    burst: int | UnsetType | None = UNSET,
    max_wait: Duration | UnsetType = UNSET,
    algorithm: Algorithm = "token_bucket",
    reserve: Mapping[Criticality | str, float] = RESERVE,
    key: Callable[..., Hashable] | None = None,
    max_keys: int = 10_000,
    key_ttl: Duration = 3600,
    clock: Clock | None = None,
) -> RateLimit:
    """Let `rate` calls start in `per` seconds; those beyond wait their turn, or are refused.

    * `name`: what errors and events call it.
    * `rate`, `per`: so many calls in so many seconds; ``rate=0.5`` is one in two seconds. `rate`
      may only be left out if the setting ``rate_limit.rate`` or ``rate_limit.<name>.rate`` has a
      value; then `per` and `burst`, too, are taken from the settings. Default of `per`: 1 s.
    * `burst`: how many calls may start at once after a quiet time. In any time of length t, at most
      ``burst + rate * t / per`` calls start. Default: the whole calls of one `per`, at least 1
      (as a window of that length lets through, and as Guava and Bucket4j do); 1 paces calls evenly.
    * `max_wait`: a call that would be admitted within so many seconds waits for that, if the
      `deadline` leaves more; all others are refused with `RateLimitedError`, whose `retry_after` is
      the time until a call would be admitted. Default: the setting ``rate_limit.max_wait``, 0:
      nobody waits. On a thread that runs an event loop a ``def`` does not wait: it is refused.
    * `algorithm`: ``"token_bucket"``, or ``"fixed_window"``: `rate` calls, a whole number, in each
      window of `per` seconds, for a limit that is counted like that elsewhere.
    * `reserve`: shares of the burst (of a fixed window: of its places) that calls of a
      `Criticality` leave for others. Default: LOW leaves 0.5 and MEDIUM 0.2, rounded down, so that
      a burst of 1 reserves nothing.

    Limits for keys:

    * `key`: a function of the call's arguments; each key has a limit of its own under this name,
      at most `max_keys` (default 10,000), forgotten after `key_ttl` seconds (default 3600) unused,
      and not before it is full again.

    A call that was admitted and then rejected further in, and one that goes away while it waits,
    give their place back. `clock` is for tests.

    Raises `ConfigError` naming the setting, its value and what is allowed.

    Example::

        search = rate_limit("search", rate=100, per=60, max_wait=2)

        @search
        async def find(words: str) -> list[Hit]: ...
    """
    if rate is not UNSET:  # the numbers of one rate are not mixed with those of another
        per = 1.0 if per is UNSET else per
        burst = None if burst is UNSET else burst
    fixed = Rates(
        name=named(name),
        key=optional(function, "key", key),
        max_keys=whole("max_keys", max_keys),
        key_ttl=seconds("key_ttl", key_ttl),
        algorithm=algorithm,
    )
    given = {"rate": rate, "per": per, "burst": burst, "max_wait": max_wait}
    held = shares("reserve", reserve, zero=True)
    recipe = Recipe("rate_limit", name, given, _rates, fixed, held)
    values = configured.values
    made = RateLimit(recipe(values), chosen(clock))
    configured.follow(made, recipe, values)
    return made


def _rates(
    settings: Mapping[str, Any],
    given: Collection[str],
    fixed: Rates,
    reserve: Mapping[Criticality, float],
) -> Rates:
    """Check every number. A burst that was not given is no concern of a fixed window."""
    rate, burst, algorithm = settings["rate"], settings["burst"], fixed.algorithm
    if algorithm == "fixed_window" and "burst" not in given:
        burst = None
    if rate is None:
        raise ConfigError("rate", None, needed("a number > 0", "rate_limit", "rate", fixed.name))
    rate = positive("rate", rate)
    length = seconds("per", settings["per"])
    most = _burst(algorithm, rate, burst)
    step = length / rate
    if not 0 < step < math.inf:
        raise ConfigError("rate", rate, "a rate whose calls are a finite time apart")
    wait = seconds("max_wait", settings["max_wait"], zero=True)
    return msgspec.structs.replace(
        fixed,
        step=step,
        per=length,
        burst=most,
        held=_held(reserve, most),
        max_wait=wait,
        words=_words(algorithm, rate, length, most, wait),
    )


def _burst(algorithm: str, rate: float, burst: int | None) -> int:
    if algorithm == "token_bucket":
        return max(1, math.floor(rate)) if burst is None else whole("burst", burst)
    if algorithm != "fixed_window":
        raise ConfigError("algorithm", algorithm, '"token_bucket" or "fixed_window"')
    if burst is not None:
        raise ConfigError("burst", burst, "None for a fixed window, which has none")
    if not rate.is_integer():
        raise ConfigError("rate", rate, "a whole number of calls for a fixed window")
    return int(rate)


def _held(reserve: Mapping[Criticality, float], most: int) -> dict[Criticality, int]:
    """How many tokens each criticality leaves for others."""
    return {
        level: min(most - 1, math.floor(share * most + _ROUNDING))
        for level, share in reserve.items()
    }


def _words(algorithm: str, rate: float, per: float, most: int, wait: float) -> str:
    text = f"{rate:g} in {per:g} s"
    text += f", {most} at once" if algorithm == "token_bucket" else ", in fixed windows"
    return f"{text}, waits up to {wait:g} s" if wait else text

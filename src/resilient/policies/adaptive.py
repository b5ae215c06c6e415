"""Making an adaptive limit from its settings."""

from __future__ import annotations

from typing import Literal

from resilient.clock import Clock, Duration, chosen
from resilient.errors import ConfigError
from resilient.policies.adaptive_limit import AdaptiveLimit
from resilient.policies.keeper import queueing
from resilient.policies.limit_algorithms import AIMD, AIMDSettings, Gradient, LimitMaker, Vegas
from resilient.policies.limit_shares import Shares, read_shares
from resilient.policies.match import Catch, matcher, named, whole
from resilient.policies.ranks import Order

__all__ = ["adaptive_limit"]

_ALGORITHMS: dict[str, LimitMaker] = {"gradient": Gradient, "aimd": AIMD, "vegas": Vegas}


def adaptive_limit(  # noqa: PLR0913  (every setting of a limit, all but the name optional)
    name: str,
    *,
    algorithm: Literal["gradient", "aimd", "vegas"] | AIMDSettings = "gradient",
    initial: int = 20,
    min: int = 1,  # noqa: A002  (the word for it)
    max: int = 200,  # noqa: A002  (the word for it)
    partitions: Shares | None = None,
    queue: int = 0,
    max_wait: Duration | None = None,
    order: Order = "fifo",
    on: Catch = TimeoutError,
    ignore: Catch = (),
    clock: Clock | None = None,
) -> AdaptiveLimit:
    """Limit the calls in flight to what the dependency can take, found from its own answers.

    Answers that take longer than they should, and calls that are dropped, lower the limit; good
    answers while the limit is in use raise it. What is beyond waits in the queue, if there is one,
    or is refused with `ThrottledError`, the least critical first.

    * `name`: what errors and events call it.
    * `algorithm`: how to find it. ``"gradient"``: from the ratio of the usual latency to the
      present one. ``"vegas"``: from an estimate of the dependency's queue. ``"aimd"``: from drops
      alone; ``aimd(timeout=...)`` gives it settings of its own.
    * `initial`, `min`, `max`: where it starts, and what it stays within.
    * `partitions`: the share of the limit, in (0, 1], that calls of each criticality may see in
      flight. Default: CRITICAL 1, HIGH 0.9 (as is a call that nobody has marked), MEDIUM 0.75, LOW
      0.5; at least one call each. Levels that are not named keep their default.
    * `queue`, `max_wait`, `order`: as for `resilient.bulkhead`. A limit that is small lets a burst
      pass only if some of it may wait a little. Default: nobody waits.
    * `on`: exception classes, a tuple of them, or a predicate: what means overload. Such a call
      is a drop, as is every `CallTimeoutError`. Default `TimeoutError`.
    * `ignore`: the same, for what is no drop after all; it wins.
    * `clock`: for tests.

    A call that raises anything else gives no sample, and neither do one that was cancelled and one
    that was rejected further in; each gives its place back.

    The defaults of 20 and 200 are those of Gradient2Limit (Netflix concurrency-limits), whose
    constants `resilient.policies.limit_algorithms` lists; its minimum of 20 is too much for a
    client whose dependency can take 3, so here it is 1.

    Raises `ConfigError` naming the setting, its value and what is allowed.

    Example::

        search = adaptive_limit("search")

        @search
        @timeout(2)
        async def find(words: str) -> list[str]: ...
    """
    least, most = whole("min", min), whole("max", max)
    if most < least:
        raise ConfigError("max", max, f"at least the min of {least}")
    if not least <= whole("initial", initial) <= most:
        raise ConfigError("initial", initial, f"from the min of {least} to the max of {most}")
    return AdaptiveLimit(
        named(name),
        _maker(algorithm),
        (initial, least, most),
        read_shares(partitions),
        matcher("on", on),
        matcher("ignore", ignore),
        chosen(clock),
        queueing(queue, order, max_wait),
    )


def _maker(algorithm: object) -> LimitMaker:
    if isinstance(algorithm, AIMDSettings):
        return algorithm
    if isinstance(algorithm, str) and algorithm in _ALGORITHMS:
        return _ALGORITHMS[algorithm]
    allowed = '"gradient", "aimd", "vegas", or what aimd() returned'
    raise ConfigError("algorithm", algorithm, allowed)

"""Arms of this library: each policy alone, with its defaults, and the recommended pipeline."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import resilient

from .arms import FAILURES, Arm, Call, Client

__all__ = ["LIBRARY", "around"]

_NAME = "server"


def around(client: Client, *policies: Any) -> Call:
    """`policies`, outermost first, around an attempt with its timeout."""
    return resilient.pipeline(*policies, resilient.timeout(client.timeout))(client.ask)


def _timeout(client: Client) -> Call:
    return resilient.timeout(quantile=0.99, max=client.timeout, clock=client.clock)(client.ask)


def _retry(client: Client) -> Call:
    return around(client, resilient.retry(on=FAILURES, clock=client.clock))


def _budget(client: Client) -> Call:
    budget = resilient.retry_budget(clock=client.clock)
    return around(client, resilient.retry(on=FAILURES, budget=budget, clock=client.clock))


def _breaker(client: Client) -> Call:
    return around(client, resilient.breaker(_NAME, clock=client.clock))


def _keyed_breaker(client: Client) -> Call:
    """A circuit for each key, of which there are a thousand: few calls for each."""
    return around(client, resilient.breaker(_NAME, key=lambda key: key, clock=client.clock))


def _bulkhead(client: Client) -> Call:
    """Twice the client's share of the workers, and as many waiting."""
    limit = max(1, round(2 * client.share))
    return around(
        client,
        resilient.bulkhead(
            _NAME, limit=limit, queue=limit, max_wait=client.timeout, clock=client.clock
        ),
    )


def _rate_limit(client: Client) -> Call:
    """The client's share of the capacity."""
    return around(client, resilient.rate_limit(_NAME, rate=10 * client.share, clock=client.clock))


def _adaptive(algorithm: Literal["gradient", "aimd", "vegas"], client: Client) -> Call:
    limit = resilient.adaptive_limit(_NAME, algorithm=algorithm, clock=client.clock)
    return around(client, limit)


def _throttle(client: Client) -> Call:
    return around(client, resilient.throttle(_NAME, clock=client.clock))


def _hedge(client: Client) -> Call:
    """For lateness of one call in ten; at most one more request for ten calls."""
    budget = resilient.retry_budget(0.1, min_per_second=1, clock=client.clock)
    hedged = resilient.hedge(quantile=0.9, idempotent=True, budget=budget, clock=client.clock)
    return resilient.pipeline(hedged, resilient.timeout(client.timeout))(client.ask)


def _failover(client: Client) -> Call:
    """Each replica a target, the less busy of two first."""

    def target(replica: int) -> Call:
        async def ask(key: int) -> None:
            await client.ask_at(key, replica)

        return resilient.timeout(client.timeout)(ask)

    targets = [target(replica) for replica in range(client.replicas)]
    labels = [f"replica {number}" for number in range(client.replicas)]
    return resilient.failover(
        *targets, name=_NAME, labels=labels, on=FAILURES, spread=True, clock=client.clock
    )


class _Calm:
    """Always NORMAL, for fleets: a real mode looks at every breaker of its process."""

    name = "calm"
    current = resilient.Mode.NORMAL

    def evaluate(self) -> None:
        """There is nothing to bring up to date."""


_CALM = _Calm()
_FLEET = 100


def _protect(client: Client) -> Call:
    """The recommended pipeline, as it comes; each client is a system with a mode of its own."""
    mode = _CALM if client.clients > _FLEET else resilient.SystemOperationMode(clock=client.clock)
    return resilient.protect(
        _NAME, attempt_timeout=client.timeout, on=FAILURES, mode=mode, clock=client.clock
    )(client.ask)


LIBRARY = [
    Arm("timeout", "adaptive timeout", _timeout),
    Arm("retry", "retry", _retry),
    Arm("budget", "retry + budget", _budget, ("retry_budget",)),
    Arm("breaker", "breaker", _breaker),
    Arm("keyed-breaker", "breaker per key", _keyed_breaker),
    Arm("bulkhead", "bulkhead", _bulkhead, ("bulkhead",)),
    Arm("rate-limit", "rate limit", _rate_limit, ("rate_limit",)),
    *(
        Arm(name, f"adaptive limit, {name}", partial(_adaptive, name), ("adaptive_limit",))
        for name in ("gradient", "aimd", "vegas")
    ),
    Arm("throttle", "throttle", _throttle, ("throttle",)),
    Arm("hedge", "hedge", _hedge, ("hedge",)),
    Arm("failover", "failover", _failover, ("failover",)),
    Arm("protect", "recommended pipeline", _protect, ("protect",), judged=True),
]

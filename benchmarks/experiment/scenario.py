"""What is tried: the load, the trigger, the phases, and how long anybody waits."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["HEALTHY", "KEYS", "TRIGGERS", "Condition", "Scenario", "Trigger", "is_sick"]

SERVICE = 0.1
"""Mean time a worker needs for one request, in seconds; exponentially distributed."""
WORKERS = 30
"""At scale 1, so that the capacity is 300 requests/s."""
KEYS = 1000
"""Requests carry a key from 0 to 999, each as likely as the next."""


def is_sick(key: int) -> bool:
    """Whether `key` is one of the 10 % that can fail by themselves, and that no cache holds."""
    return key % 10 == 0


@dataclass(frozen=True, slots=True)
class Condition:
    """How the server is.

    `slowdown` multiplies service times; infinity stops it. `workers` is the share of the workers
    that work. `cache` is whether its cache answers, `sick_keys` whether a tenth of the keys fail,
    `slow_replica` what multiplies the service times of the first replica.
    """

    slowdown: float = 1.0
    workers: float = 1.0
    cache: bool = True
    sick_keys: bool = False
    slow_replica: float = 1.0


HEALTHY = Condition()


@dataclass(frozen=True, slots=True)
class Trigger:
    """What goes wrong, for how many seconds, and what has to be so for it to go wrong.

    `surge` multiplies the offered load meanwhile; `overload` sets it, as a multiple of capacity.
    `demand` multiplies it all the time. `sheddable` is the share of calls marked LOW, the others
    are CRITICAL; `None` marks none.
    """

    name: str
    title: str
    seconds: float = 10.0
    condition: Condition = HEALTHY
    surge: float = 1.0
    overload: float | None = None
    demand: float = 1.0
    replicas: int = 1
    cached: bool = False
    sheddable: float | None = None


TRIGGERS = {
    trigger.name: trigger
    for trigger in (
        Trigger("brownout", "service ten times slower", condition=Condition(slowdown=10)),
        Trigger("workers", "nine of ten workers gone", condition=Condition(workers=0.1)),
        Trigger("stall", "the server serves nothing", condition=Condition(slowdown=math.inf)),
        Trigger("spike", "twice the load", surge=2.0),
        Trigger(
            "cache",
            "a cache with a hit ratio of 90 % is gone, then empty",
            condition=Condition(cache=False),
            cached=True,
            demand=2.0,
        ),
        Trigger(
            "replica",
            "one replica of ten is ten times slower",
            seconds=60,
            condition=Condition(slow_replica=10),
            replicas=10,
        ),
        Trigger("keys", "10 % of the keys fail", seconds=60, condition=Condition(sick_keys=True)),
        Trigger("overload", "1.5 times the capacity", seconds=60, overload=1.5, sheddable=0.5),
    )
}


@dataclass(frozen=True, slots=True)
class Scenario:
    """One run. Times are seconds since its start.

    `load` is the offered load as a share of capacity, `scale` multiplies the workers and so the
    capacity. An attempt is given up after `timeout` seconds, in every arm; an answer counts if it
    comes within `patience` seconds of the call, which three attempts fit into.
    """

    trigger: Trigger = TRIGGERS["brownout"]
    load: float = 0.8
    seed: int = 1
    clients: int = 10
    scale: float = 1.0
    warm_up: float = 5.0
    steady: float = 20.0
    observe: float = 110.0
    timeout: float = 1.0
    patience: float = 3.5
    stop_early: bool = False

    @property
    def workers(self) -> int:
        """Of all replicas together."""
        return max(self.trigger.replicas, round(WORKERS * self.scale))

    @property
    def capacity(self) -> float:
        """Requests per second that the workers can serve."""
        return self.workers / SERVICE

    @property
    def rate(self) -> float:
        """Calls per second before and after the trigger."""
        return self.load * self.capacity * self.trigger.demand

    @property
    def begin(self) -> float:
        """When the trigger begins."""
        return self.warm_up + self.steady

    @property
    def end(self) -> float:
        """When the trigger ends."""
        return self.begin + self.trigger.seconds

    @property
    def finish(self) -> float:
        """When the last call is made."""
        return self.end + self.observe

    def offered(self, at: float) -> float:
        """Calls per second that are offered at `at`."""
        if not self.begin <= at < self.end:
            return self.rate
        if self.trigger.overload is not None:
            return self.trigger.overload * self.capacity
        return self.rate * self.trigger.surge

"""Slow start: a dependency that is back gets its calls back bit by bit."""

from __future__ import annotations

from resilient.clock import Clock, Duration, chosen, seconds
from resilient.policies.match import named, positive
from resilient.policies.ramp import Ramp
from resilient.policies.slow_start_gate import SlowStart

__all__ = ["slow_start"]


def slow_start(
    name: str, *, over: Duration = 60.0, first: float = 0.1, clock: Clock | None = None
) -> SlowStart:
    """Give a dependency its calls back bit by bit when it has come back.

    Its caches are cold, its pools empty, and everybody has waited: the full load at once brings it
    down again. After a recovery the share of calls that are made grows in a straight line from
    `first` to all; the rest is refused with `ThrottledError`, which says when to try again. Which
    calls pass is a matter of counting, not of chance: of ten at 10 %, exactly one.

    * `name`: of the component. It is back when a breaker of that name closes, or when a mode finds
      the component well that had failed (`resilient.events.ComponentRecovered`). A relapse begins
      the whole anew at the next recovery; while the breaker is open, it alone refuses. With several
      breakers of that name the ramp goes on while one that has closed is still closed. A circuit of
      a keyed breaker says nothing about the component.
    * `over`: seconds until every call is made. Load balancers allow 30 to 900 (AWS, "slow start"
      of a target group); 60 is the time that a breaker stays open by default.
    * `first`: the least share, in (0, 1]; 0.1 is Envoy's ``min_weight_percent``. The formula is
      that of Envoy's slow start mode.

    It belongs outside of the breaker and inside of the retry, so that each attempt counts. While
    nothing has just come back it costs one look at an attribute.

    Raises `ConfigError` naming the setting, its value and what is allowed.

    Example::

        @retry(on=ConnectionError)
        @slow_start("payments")
        @breaker("payments")
        def charge(order: int) -> str: ...
    """
    ramp = Ramp(seconds("over", over), positive("first", first, most=1))
    return SlowStart(named(name), ramp, chosen(clock))

"""How many calls in flight a dependency can take, found from its answers.

Three algorithms, pure: a sample is passed in, the new limit comes out. Their constants are those
of Netflix's concurrency-limits (github.com/Netflix/concurrency-limits: AIMDLimit, Gradient2Limit,
VegasLimit), where its README explains them; what differs here is said where it differs, and why.

A sample is the mean time of the good answers of one window, the highest number of calls in flight
in it, and whether a call was dropped: timed out, or refused because of overload. When a window
ends, `resilient.policies.limit_rounds` decides.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import msgspec

from resilient.clock import Duration, seconds
from resilient.errors import ConfigError
from resilient.policies.match import positive

__all__ = ["AIMD", "AIMDSettings", "Gradient", "LimitAlgorithm", "LimitMaker", "Vegas", "aimd"]

LEAST_RTT = 0.0001
"""Shorter answers count as this long, in seconds: below 100 µs a measurement is noise.
WindowedLimit drops such samples; here the limit of an instant dependency may grow all the same."""
WARM_UP = 10
"""Samples whose plain mean is the first base (Gradient2Limit's warm-up window)."""
PROBE_EVERY = 100
"""Samples from one probe to the next; see `Probing`."""
PROBE_DEPTH = 4
"""A probe lets through a quarter of the limit."""
PROBE_TRUST = 0.9
"""If a probe finds less than this part of the base so far, even a quarter may be too much yet: the
next probe follows after `WARM_UP` samples."""


class LimitAlgorithm(ABC):
    """Base of the algorithms: begins with `limit`, and stays within `low` and `high`."""

    settling = False
    """Whether the next sample must come from calls that begin after this answer."""

    def __init__(self, limit: float, low: float, high: float) -> None:
        self.limit = limit
        self.low = low
        self.high = high
        self.base = 0.0
        """Seconds that a call takes without queueing, as far as it knows; 0 for unknown."""

    @abstractmethod
    def sample(self, rtt: float, in_flight: float, dropped: bool) -> float:  # noqa: FBT001
        """Learn from one sample, and return the new limit.

        `rtt` is in seconds; of a drop it says nothing. `in_flight` is the highest number in flight,
        scaled up to the whole limit if the calls were allowed only a share of it.
        """

    @property
    def settled(self) -> float:
        """The limit, or the one to return to if it is lowered for a measurement."""
        return self.limit

    def wanted(self, in_flight: float) -> bool:
        """Whether the calls use the limit: at least half of it (the same half in all three).

        Below, the application is the limit, and answers say nothing about what more would do.
        """
        return in_flight * 2 >= self.limit

    def take(self, limit: float) -> float:
        """Make `limit` the limit, within the bounds."""
        self.limit = min(max(limit, self.low), self.high)
        return self.limit


LimitMaker = Callable[[float, float, float], LimitAlgorithm]
"""Makes an algorithm, with a state of its own, from its first limit and its bounds."""


class AIMD(LimitAlgorithm):
    """One more for each good window, a tenth less for a drop. Looks at no latency but the timeout.

    Constants of AIMDLimit: backoff ratio 0.9, and always at least 1 less; an answer that took more
    than 5 s is a drop. Published, it adds 1 for each good call; here for each good window, as TCP
    adds one segment for each round trip (RFC 5681, section 3.1), so that a fast dependency is not
    flooded within one second.

    Example::

        AIMD(20, 1, 200).sample(0.1, 20, dropped=True)  # 18.0
    """

    def __init__(
        self, limit: float, low: float, high: float, *, backoff: float = 0.9, timeout: float = 5.0
    ) -> None:
        super().__init__(limit, low, high)
        self.backoff = backoff
        self.timeout = timeout

    def sample(self, rtt: float, in_flight: float, dropped: bool) -> float:  # noqa: FBT001
        """See `LimitAlgorithm.sample`."""
        self.settling = not dropped and rtt > self.timeout
        if dropped or self.settling:
            return self.take(min(self.limit - 1, math.floor(self.limit * self.backoff)))
        return self.take(self.limit + 1) if self.wanted(in_flight) else self.limit


class Probing(LimitAlgorithm):
    """What the algorithms that compare latencies share: how they know one without queueing.

    A client that always uses its whole limit only ever sees answers behind its own queue, so what
    it takes for the base drifts upwards and the limit after it. Both published algorithms drift
    so: Gradient2Limit averages such answers into its base, VegasLimit takes one of them for a new
    base from time to time. Here, as BBR does (Cardwell et al., "BBR: Congestion-Based Congestion
    Control", 2016: 4 packets every 10 s), and Envoy's gradient controller, the limit goes down to
    a quarter for one window, and what the answers then take is the base. That is after the first
    10 samples, and every 100 samples after that (10 s of windows of 0.1 s), counting only samples
    of a limit that is in use: while the application is the limit, there is nothing to probe.
    """

    def __init__(self, limit: float, low: float, high: float) -> None:
        super().__init__(limit, low, high)
        self._resume: float | None = None
        self._until_probe = WARM_UP

    @property
    def settled(self) -> float:
        """The limit to return to after a probe."""
        return self.limit if self._resume is None else self._resume

    def sample(self, rtt: float, in_flight: float, dropped: bool) -> float:  # noqa: FBT001
        """See `LimitAlgorithm.sample`."""
        self.settling = False
        rtt = max(rtt, LEAST_RTT)
        if self._resume is not None:
            self.limit, self._resume = self._resume, None
            if not dropped:
                if rtt < self.base * PROBE_TRUST:
                    self._until_probe = WARM_UP
                self.base = rtt
                return self.limit
        if dropped:
            return self.take(self.cut())
        new = self.take(self.adapt(rtt, in_flight))
        return self._probed(new) if self.wanted(in_flight) else new

    def _probed(self, new: float) -> float:
        self._until_probe -= 1
        if self._until_probe > 0:
            return new
        self._until_probe, self._resume, self.settling = PROBE_EVERY, new, True
        return self.take(new / PROBE_DEPTH)

    @abstractmethod
    def adapt(self, rtt: float, in_flight: float) -> float:
        """The limit after a window of good answers."""

    @abstractmethod
    def cut(self) -> float:
        """The limit after a drop."""


class Gradient(Probing):
    """Follows the ratio of the usual latency to the present one.

    Constants of Gradient2Limit: the present latency may be 1.5 times the usual one (tolerance)
    before the limit shrinks; the ratio counts as at least 0.5 and at most 1; 4 calls may queue; the
    new limit enters with a weight of 0.2 (smoothing); the usual latency is an exponential mean
    over 600 samples (weight 2 / 601), of the first 10 a plain mean, and shrinks by 0.95 for each
    sample that it exceeds more than twice.

    Different here: after the first 10 samples the mean rises only while the application is the
    limit, otherwise probes raise it (see `Probing`). No more calls may queue than the square root
    of the limit (as in Netflix's first GradientLimit, and in Envoy): 4 that queue are little for
    the published minimum of 20, and double the latency of a limit of 4. A drop, which
    Gradient2Limit ignores, counts as the steepest ratio and no queue: 0.8 + 0.2 * 0.5 = 0.9.

    Example::

        Gradient(20, 1, 200).sample(0.1, 20, dropped=False)  # 20.8
    """

    tolerance = 1.5
    smoothing = 0.2
    weight = 2 / 601
    queue = 4.0
    steepest = 0.5
    decay = 0.95

    def __init__(self, limit: float, low: float, high: float) -> None:
        super().__init__(limit, low, high)
        self._seen = 0

    def adapt(self, rtt: float, in_flight: float) -> float:
        """See `Probing.adapt`."""
        self._learn(rtt, in_flight)
        if not self.wanted(in_flight):
            return self.limit
        ratio = max(self.steepest, min(1.0, self.tolerance * self.base / rtt))
        queue = min(self.queue, math.sqrt(self.limit))
        return self._smooth(self.limit * ratio + queue)

    def cut(self) -> float:
        """See `Probing.cut`."""
        return self._smooth(self.limit * self.steepest)

    def _smooth(self, new: float) -> float:
        return self.limit * (1 - self.smoothing) + new * self.smoothing

    def _learn(self, rtt: float, in_flight: float) -> None:
        if not self.base:
            self._seen = 0
        if self._seen < WARM_UP:
            self._seen += 1
            self.base += (rtt - self.base) / self._seen
        elif rtt < self.base or not self.wanted(in_flight):
            self.base += (rtt - self.base) * self.weight
        if self.base > 2 * rtt:
            self.base *= self.decay


class Vegas(Probing):
    """Estimates how many calls wait in the dependency's queue, and keeps a few there.

    The queue is ``limit * (1 - base / rtt)``, with the shortest latency as base (Brakmo and
    Peterson, "TCP Vegas: End to End Congestion Avoidance on a Global Internet", 1995). Constants of
    VegasLimit, with ``n = max(1, int(log10(limit)))``: up to n in the queue add 6 n (beta), fewer
    than 3 n (alpha) add n, more than 6 n take n away, as does a drop; smoothing 1, that is none.

    Different here: VegasLimit takes one sample in 30 * limit as a new base (its probe multiplier),
    with the queue in it; see `Probing` for why not. And a shorter latency is not the base at once,
    but moves it by a tenth: the shortest of many means of ten noisy answers is far below what the
    dependency can do, and kept the limit of 50 busy workers at 26.

    Example::

        Vegas(20, 1, 200).sample(0.1, 20, dropped=True)  # 19.0
    """

    alpha = 3
    beta = 6
    weight = 0.1

    def adapt(self, rtt: float, in_flight: float) -> float:
        """See `Probing.adapt`."""
        if not self.base:
            self.base = rtt
            return self.limit
        if rtt < self.base:
            self.base += (rtt - self.base) * self.weight
        if not self.wanted(in_flight):
            return self.limit
        queue, step = math.ceil(self.limit * (1 - self.base / rtt)), self._step()
        if queue <= step:
            return self.limit + self.beta * step
        if queue < self.alpha * step:
            return self.limit + step
        return self.limit - step if queue > self.beta * step else self.limit

    def cut(self) -> float:
        """See `Probing.cut`."""
        return self.limit - self._step()

    def _step(self) -> int:
        return max(1, int(math.log10(self.limit)))


class AIMDSettings(msgspec.Struct, frozen=True):
    """What `resilient.aimd` makes: settings without a state, which any number of limits may use."""

    backoff: float
    timeout: float

    def __call__(self, limit: float, low: float, high: float) -> AIMD:
        """Make the algorithm for one limit."""
        return AIMD(limit, low, high, backoff=self.backoff, timeout=self.timeout)


def aimd(*, backoff: float = 0.9, timeout: Duration = 5.0) -> AIMDSettings:
    """The algorithm AIMD with settings of its own, for `resilient.adaptive_limit`.

    `backoff` is what a drop leaves of the limit, in [0.5, 1) (as AIMDLimit allows); an answer that
    took longer than `timeout` seconds is a drop.
    Raises `ConfigError`.

    Example::

        adaptive_limit("reports", algorithm=aimd(timeout=30))
    """
    if not 0.5 <= positive("backoff", backoff, most=1) < 1:  # noqa: PLR2004  (the published range)
        raise ConfigError("backoff", backoff, "a number >= 0.5 and < 1")
    return AIMDSettings(backoff, seconds("timeout", timeout))

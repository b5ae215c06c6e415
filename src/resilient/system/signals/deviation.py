"""How far a count is from what is usual, and what that says."""

from __future__ import annotations

import math

__all__ = ["deviation", "health_of", "surprise"]

LADDER = ((1.0, 0.0), (0.9, 0.25), (0.7, 0.5), (0.5, 0.75))
"""Health beyond a deviation. 50, 70 and 90 % are the steps of "Success and Failure States"."""


def deviation(count: float, expected: float) -> float:
    """How far `count` is from what was expected, as a share of that.

    Example::

        deviation(150, 100)  # 0.5
    """
    return abs(count - expected) / expected


def health_of(deviating: float) -> float:
    """1 up to a deviation of 50 %; beyond it 0.75, beyond 70 % 0.5, 90 % 0.25, 100 % 0.

    Example::

        health_of(0.71)  # 0.5
    """
    return next((health for beyond, health in LADDER if deviating > beyond), 1.0)


def surprise(count: float, expected: float) -> float:
    """How many standard deviations of chance lie between the two.

    Counts of independent events are Poisson, and twice the root of such a count is nearly normal
    with a deviation of 1, whatever its mean (Anscombe, Biometrika 35, 1948).

    Example::

        surprise(30, 20)  # 2.0: 30 instead of 20 is nothing to speak of
    """
    return 2 * abs(math.sqrt(count + 0.375) - math.sqrt(expected + 0.375))

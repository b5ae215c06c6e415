"""Arms without this library: nothing, what is written by hand, and what people install."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pybreaker
import tenacity

from .arms import FAILURES, Arm, Call, Client

__all__ = ["BASELINES"]


def _none(client: Client) -> Call:
    return client.attempt


def _naive(client: Client) -> Call:
    """Two more attempts, each after up to 0.1 s."""

    async def call(key: int) -> None:
        for _ in range(2):
            with suppress(*FAILURES):
                return await client.attempt(key)
            await asyncio.sleep(client.chance.uniform(0, 0.1))
        return await client.attempt(key)

    return call


def _peers(client: Client) -> Call:
    """Tenacity around pybreaker, both with their defaults where they have any.

    The wait is that of this library's retry. pybreaker's decorator would protect no ``async def``;
    its context manager does.
    """
    breaker = pybreaker.CircuitBreaker(fail_max=5, reset_timeout=60)

    @tenacity.retry(
        stop=tenacity.stop_after_attempt(3),
        wait=tenacity.wait_random_exponential(multiplier=0.1, max=2),
        retry=tenacity.retry_if_exception_type(FAILURES),
        reraise=True,
    )
    async def call(key: int) -> None:
        with breaker.calling():
            await client.attempt(key)

    return call


BASELINES = [
    Arm("none", "no retry", _none),
    Arm("naive", "naive retry x3", _naive),
    Arm("peers", "tenacity + pybreaker", _peers),
]

"""The straight lines of a failover: what a call costs whose first target answers.

Written for the machine, as those of other policies. An increment without a call inside needs no
lock on builds with a GIL; on others a pool has no `front`, and every call takes the flow.
"""

from __future__ import annotations

from types import CoroutineType
from typing import TYPE_CHECKING, Any

from resilient.core import threads
from resilient.core.effects import Call, Guarded
from resilient.core.hub import hub
from resilient.core.inspection import refuse_coroutine
from resilient.core.outcome import Outcome
from resilient.core.policy import Line
from resilient.policies.pool import Ticket, lighter

if TYPE_CHECKING:
    from resilient.policies.failover_layer import FailoverLayer

__all__ = ["line_async", "line_sync"]


def line_sync(policy: FailoverLayer, line: Line, guard: Guarded) -> Line:
    """For functions; `line` calls the first target, for a library that is switched off."""
    pool, draw, clock, coroutine = policy.pool, policy.draw, policy.clock, CoroutineType
    spread, plain = pool.limits.spread, guard.original
    bound = hasattr(plain, "__self__")

    def failing_over(*args: Any, **kwargs: Any) -> Any:
        target, edge = pool.front, pool.edge
        if (
            target is None
            or guard.fn is not plain
            or bound
            or (edge is not None and clock.monotonic() >= edge)
        ):
            if not hub.active:
                return line(*args, **kwargs)
            return threads.run(policy.whole, Call(guard, args, kwargs))
        if spread:
            pairs = pool.pairs
            target = lighter(pairs[int(draw() * len(pairs))])
        era = target.era
        target.started += 1
        try:
            result = target.fn(*args, **kwargs) if kwargs else target.fn(*args)
        except Exception as error:  # noqa: BLE001  (judged by the flow)
            first: Outcome[Any] = Outcome(error=error)
        except BaseException:
            target.ended += 1
            raise
        else:
            target.ended += 1
            if target.streak:
                policy.cleared(Ticket(target, era))
            if type(result) is coroutine:
                refuse_coroutine(target.fn, result)
            return result
        call = Call(guard, args, kwargs, first=first)
        del first
        return threads.run(policy.rest(Ticket(target, era)), call)

    return failing_over


def line_async(policy: FailoverLayer, line: Line, guard: Guarded) -> Line:
    """For coroutine functions."""
    from resilient.core import aio  # noqa: PLC0415  (threads-only programs never load asyncio)

    pool, draw, clock = policy.pool, policy.draw, policy.clock
    spread, plain = pool.limits.spread, guard.original
    bound = hasattr(plain, "__self__")

    async def failing_over(*args: Any, **kwargs: Any) -> Any:
        target, edge = pool.front, pool.edge
        if (
            target is None
            or guard.fn is not plain
            or bound
            or (edge is not None and clock.monotonic() >= edge)
        ):
            if not hub.active:
                return await line(*args, **kwargs)
            return await aio.run(policy.whole, Call(guard, args, kwargs))
        if spread:
            pairs = pool.pairs
            target = lighter(pairs[int(draw() * len(pairs))])
        era = target.era
        target.started += 1
        try:
            result = await (target.fn(*args, **kwargs) if kwargs else target.fn(*args))
        except Exception as error:  # noqa: BLE001  (judged by the flow)
            first: Outcome[Any] = Outcome(error=error)
        except BaseException:
            target.ended += 1
            raise
        else:
            target.ended += 1
            if target.streak:
                policy.cleared(Ticket(target, era))
            return result
        call = Call(guard, args, kwargs, first=first)
        del first
        return await aio.run(policy.rest(Ticket(target, era)), call)

    return failing_over

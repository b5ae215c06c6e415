"""One dependency at several addresses: ask the next one when one fails, and spare the sick."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, Protocol, TypeVar, cast

from resilient.clock import Clock, Duration, chosen, seconds
from resilient.core.inspection import is_async_callable, label
from resilient.errors import ConfigError
from resilient.policies.failover_layer import FailoverLayer, FailoverTarget
from resilient.policies.match import Catch, function, matcher, named, positive, whole
from resilient.policies.pool import Limits, Pool, Target

__all__ = ["Failover", "FailoverTarget", "failover"]

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

_MOST = 0.5
"""The largest share of a pool that may be ejected: never most of it."""


class Failover(Protocol[P, R_co]):
    """A function, and what one may ask of it. Made by `resilient.failover`.

    Example::

        fetch: Failover[[int], Order] = failover(primary.get, replica.get)
    """

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Ask the targets, one after another, until one answers."""
        ...

    def targets(self) -> tuple[FailoverTarget, ...]:
        """What is known of each target, in the order given.

        Example::

            for target in fetch.targets():
                print(target.label, target.in_flight, target.ejected_for)
        """
        ...

    def eject(self, index: int, /) -> bool:
        """Leave a target alone, as if it had failed too often; whether it is out now.

        `index` is its place among the arguments. The pool keeps as many as it always does.
        Raises `IndexError` if there is no such target.

        Example::

            fetch.eject(1)  # before its maintenance
        """
        ...

    def admit(self, index: int, /) -> bool:
        """Take a target back at once; whether it was out.

        Raises `IndexError` if there is no such target.

        Example::

            fetch.admit(1)
        """
        ...


def failover(  # noqa: PLR0913  (settings, all by keyword)
    primary: Callable[P, R],
    /,
    *replicas: Callable[P, R],
    name: str | None = None,
    labels: Sequence[str] | None = None,
    on: Catch = Exception,
    busy: Catch = (),
    spread: bool = False,
    attempts: int | None = None,
    failure_threshold: int = 5,
    eject_for: Duration = 30,
    max_eject_for: Duration = 300,
    max_ejected: float = _MOST,
    draw: Callable[[], float] = random.random,
    clock: Clock | None = None,
) -> Failover[P, R]:
    """Make one function of several that do the same elsewhere: `primary`, then its `replicas`.

    All take the same arguments, and all are ``def`` or all ``async def``. Each call asks one of
    them; if that fails, the next, none twice. A target that fails again and again is ejected:
    passed over for a while, and then tried by one call at a time.

    Parameters:
    * `name`: of the function made, in events and notes (default: the name of `primary`);
    * `labels`: names of the targets (default: the names of the functions, numbered if alike);
    * `on`: which errors are failures of a target: classes, a tuple of them, or a predicate. Any
      other error is an answer, and raised at once;
    * `busy`: which errors say that a target has no room now, such as the time-out of a connection
      pool. As after a `Rejected`, the next one is asked and nothing is held against it;
    * `spread`: ask the less busy of two drawn by chance, instead of the first (Mitzenmacher 2001);
    * `attempts`: how many targets may fail one call before it gives up (default: all);
    * `failure_threshold` failures in a row eject a target, for `eject_for` seconds times the
      ejections in a row, at most `max_eject_for`. Each `eject_for` in the pool takes one off. These
      and their defaults follow Envoy's outlier detection;
    * `max_ejected`: the share of the pool that may be ejected at the same time, from 0 (none) to
      0.5, rounded down to whole targets; so one of two, one of three, and never the only one;
    * `draw`: numbers from [0, 1) for `spread`; `clock`: for tests.

    If all others failed, those ejected are asked after all. If nobody answers, the last error is
    raised as it was, with the earlier ones in its ``__cause__`` and a note. A deadline that is over
    ends the search.

    Returns a function with ``targets()``, ``eject(index)`` and ``admit(index)``, which every policy
    may decorate. Raises `TypeError` for a mixture of ``def`` and ``async def`` or for what cannot
    be protected, `ConfigError` for a bad setting.

    Example::

        fetch = failover(primary.get, replica_a.get, replica_b.get, name="orders-db")
        order = fetch(42)
    """
    targets = (primary, *replicas)
    entry = _entry(primary, is_async=_alike(targets), name=name)
    base, longest = seconds("eject_for", eject_for), seconds("max_eject_for", max_eject_for)
    if longest < base:
        raise ConfigError("max_eject_for", max_eject_for, "no less than eject_for")
    limits = Limits(
        threshold=whole("failure_threshold", failure_threshold),
        base=base,
        longest=longest,
        room=int(positive("max_ejected", max_ejected, most=_MOST, zero=True) * len(targets)),
        spread=bool(spread),
    )
    names = _names(targets, labels)
    pool = Pool([Target(place, names[place], fn) for place, fn in enumerate(targets)], limits)
    layer = FailoverLayer(
        entry.__name__,
        pool,
        on=matcher("on", on),
        busy=matcher("busy", busy),
        attempts=len(targets) if attempts is None else whole("attempts", attempts),
        draw=function("draw", draw),
        clock=chosen(clock),
    )
    # On the entry, from which decorating copies them: a retry around it can be asked as well.
    entry.targets, entry.eject, entry.admit = layer.targets, layer.eject, layer.admit
    return cast("Failover[P, R]", layer(entry))


def _alike(targets: Sequence[Callable[..., Any]]) -> bool:
    """Whether all are async. Raises `TypeError` if only some are."""
    kinds = [is_async_callable(fn) for fn in targets]
    if len(set(kinds)) > 1:
        other = targets[kinds.index(not kinds[0])]
        message = (
            f"{label(targets[0])} is {'async' if kinds[0] else 'a def'} and {label(other)} is "
            f"{'a def' if kinds[0] else 'async'}: the targets of a failover are all of one kind"
        )
        raise TypeError(message)
    return kinds[0]


def _entry(primary: Callable[..., Any], *, is_async: bool, name: str | None) -> Any:
    """A function with a name of its own that calls `primary`; the targets are put around it.

    A plain function, so that every decorator and framework sees what it is, and it binds as others.
    """

    def entry(*args: Any, **kwargs: Any) -> Any:
        return primary(*args, **kwargs)

    async def entry_async(*args: Any, **kwargs: Any) -> Any:
        return await primary(*args, **kwargs)

    made = entry_async if is_async else entry
    made.__name__ = made.__qualname__ = label(primary) if name is None else named(name)
    made.__doc__, made.__module__ = primary.__doc__, primary.__module__
    vars(made)["__wrapped__"] = primary
    return made


def _names(targets: Sequence[Callable[..., Any]], labels: Sequence[str] | None) -> list[str]:
    if labels is not None:
        return _checked(labels, len(targets))
    names = [label(fn) for fn in targets]
    often = Counter(names)
    return [
        f"{each} #{names[:place].count(each) + 1}" if often[each] > 1 else each
        for place, each in enumerate(names)
    ]


def _checked(labels: Sequence[str], count: int) -> list[str]:
    names = [] if isinstance(labels, str) else list(labels)
    given = all(isinstance(cast("object", each), str) and each for each in names)
    if not given or len({*names}) != len(names) or len(names) != count:
        raise ConfigError("labels", labels, "a different name for each target")
    return names

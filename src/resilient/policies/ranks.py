"""Who is next: a queue in which the more critical go first."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, Literal, TypeVar

from resilient.core.importance import rank
from resilient.core.ports import Criticality

__all__ = ["Order", "RankedQueue"]

T = TypeVar("T")
Order = Literal["fifo", "lifo"]


class RankedQueue(Generic[T]):
    """At most `most` members, one queue for each level of `Criticality`. Not locked.

    Within a level the order is that of arrival, or with ``"lifo"`` the newest first.
    """

    __slots__ = ("_levels", "_lifo", "_size", "most")

    def __init__(self, most: int, order: Order) -> None:
        self._levels: tuple[OrderedDict[T, None], ...] = tuple(OrderedDict() for _ in Criticality)
        self._lifo = order == "lifo"
        self.most = most
        self._size = 0

    def __len__(self) -> int:
        """How many wait."""
        return self._size

    def full_for(self, level: Criticality) -> bool:
        """Whether there is neither a place for `level`, nor anybody less critical to give way."""
        return self._size >= self.most and not any(self._levels[rank(level) + 1 :])

    def add(self, member: T, level: Criticality) -> T | None:
        """Add `member`, which must not be `full_for` its level; return who had to give way.

        That is of the least critical level the one who would have waited longest yet: the last.
        """
        victim = None
        if self._size >= self.most:
            least = next(each for each in reversed(self._levels) if each)
            victim, _ = least.popitem(last=not self._lifo)
            self._size -= 1
        self._levels[rank(level)][member] = None
        self._size += 1
        return victim

    @property
    def leading(self) -> Criticality | None:
        """The level of who is next; `None` if nobody waits."""
        for level, members in zip(Criticality, self._levels, strict=True):
            if members:
                return level
        return None

    def next(self) -> T:
        """Take out whose turn it is. Raises `IndexError` if nobody waits."""
        for level in self._levels:
            if level:
                member, _ = level.popitem(last=self._lifo)
                self._size -= 1
                return member
        message = "nobody waits"
        raise IndexError(message)

    def discard(self, member: T) -> None:
        """Take `member` out, wherever it stands; nothing if it is not there."""
        for level in self._levels:
            if member in level:
                del level[member]
                self._size -= 1
                return

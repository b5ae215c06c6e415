"""Permits of `with` blocks: a stack for each task, else for each thread."""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable, Hashable
from typing import Any

from resilient.core.dispatch import running_loop

__all__ = ["HeldPermits"]


def _task() -> object | None:
    """The running task, if there is one."""
    loop = running_loop()
    task: object | None = None if loop is None else sys.modules["asyncio"].current_task(loop)
    return task


class HeldPermits:
    """Last in, first out, per task or thread. Each touches only its own stack.

    Tasks are held weakly. `abandon` gets what a task held that was dropped inside a block.
    """

    __slots__ = ("__weakref__", "_abandon", "_stacks")

    def __init__(self, abandon: Callable[[Any], object]) -> None:
        self._abandon = abandon
        self._stacks: dict[Hashable, list[Any]] = {}

    def push(self, permit: object) -> None:
        """Hold `permit` for whoever runs now."""
        task = _task()
        if task is None:
            self._stacks.setdefault(threading.get_ident(), []).append(permit)
        else:
            self._stacks.setdefault(weakref.ref(task, self._dropped), []).append(permit)

    def pop(self, name: str, error: BaseException | None) -> Any:
        """The permit that whoever runs now took last; `None` if there is nothing to settle.

        Raises `RuntimeError` if there is none, naming the cure, unless the block ends because a
        dropped task is closed: what that held is abandoned already.
        """
        task = _task()
        owner: Hashable = threading.get_ident() if task is None else weakref.ref(task)
        stack = self._stacks.get(owner)
        if not stack:
            if isinstance(error, GeneratorExit):
                return None
            message = (
                f"{name}: this `with` block was entered by another task or thread; what may be "
                "left anywhere is a permit of a gate, as in `with breaker.permit():`"
            )
            raise RuntimeError(message)
        permit = stack.pop()
        if not stack:
            del self._stacks[owner]
        return permit

    def after_fork(self) -> None:
        """The child may leave the blocks it is in, but holds nothing."""
        for stack in self._stacks.values():
            stack[:] = [None] * len(stack)

    def _dropped(self, task: Hashable) -> None:
        for permit in reversed(self._stacks.pop(task, [])):
            if permit is not None:
                self._abandon(permit)

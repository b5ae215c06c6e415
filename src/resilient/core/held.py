"""Permits of `with` blocks: a stack for each task, else for each thread."""

from __future__ import annotations

import sys
import threading
from typing import Any

from resilient.core.dispatch import running_loop

__all__ = ["HeldPermits"]


def _owner() -> object:
    """The running task, or else the thread."""
    loop = running_loop()
    if loop is None:
        return threading.get_ident()
    task: object = sys.modules["asyncio"].current_task(loop)
    return threading.get_ident() if task is None else task


class HeldPermits:
    """Last in, first out, per task or thread. Each touches only its own stack."""

    __slots__ = ("_stacks",)

    def __init__(self) -> None:
        self._stacks: dict[object, list[Any]] = {}

    def push(self, permit: object) -> None:
        """Hold `permit` for whoever runs now."""
        self._stacks.setdefault(_owner(), []).append(permit)

    def pop(self, name: str) -> Any:
        """The permit that whoever runs now took last.

        Raises `RuntimeError` if there is none, naming the cure.
        """
        owner = _owner()
        stack = self._stacks.get(owner)
        if not stack:
            message = (
                f"{name}: this `with` block was entered by another task or thread; use "
                "`with breaker.permit():`, which may be left anywhere"
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

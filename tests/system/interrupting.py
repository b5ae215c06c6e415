"""Whoever comes in the middle: code that runs between any two lines of other code."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

__all__ = ["ended", "interrupted"]


def ended(do: Callable[[], object]) -> bool:
    """Whether `do` comes to an end on a thread of its own."""
    thread = threading.Thread(target=do, daemon=True)
    thread.start()
    thread.join(10)
    return not thread.is_alive()


def interrupted(
    do: Callable[[], object], handler: Callable[[], object], *, where: str, fine: bool = False
) -> int:
    """Run `do`, and `handler` at each line of the code in the folder `where`, as a signal would.

    If `fine`, at each step of the interpreter, as another thread might come.

    Returns how often, or -1 if that never came to an end.
    """
    calls = 0
    code = f"{os.sep}system{os.sep}{where}{os.sep}"
    inside = False

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal calls, inside
        del argument
        if inside or code not in frame.f_code.co_filename:
            return None
        frame.f_trace_opcodes = fine
        if event == ("opcode" if fine else "line"):
            inside = True
            try:
                handler()
                calls += 1
            finally:
                inside = False
        return trace

    def traced() -> None:
        sys.settrace(trace)
        try:
            do()
        finally:
            sys.settrace(None)

    return calls if ended(traced) else -1

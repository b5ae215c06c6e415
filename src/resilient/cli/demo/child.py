"""The child's side of a process of the demo: commands come in, lines of JSON go out.

Commands arrive on standard input, one JSON object a line. When it closes, the parent is gone,
and the child ends at once, whatever its other threads are in the middle of.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any

__all__ = ["commands", "run", "say"]

Message = dict[str, Any]

_speaking = threading.Lock()


def say(**message: object) -> None:
    """Send `message` to the parent, from any thread."""
    line = json.dumps(message, separators=(",", ":")) + "\n"
    with _speaking:
        sys.stdout.write(line)
        sys.stdout.flush()


def _obey(handle: Callable[[Message], object]) -> None:
    try:
        rest = b""
        # Read past sys.stdin: a daemon thread inside a buffered reader blocks a clean exit.
        while chunk := os.read(0, 65536):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                handle(json.loads(line))
    finally:
        os._exit(0)


def commands(handle: Callable[[Message], object]) -> None:
    """Call `handle` with every command, on a daemon thread; end the process with the parent."""
    threading.Thread(target=_obey, args=(handle,), name="commands", daemon=True).start()


def run(main: Callable[[asyncio.Queue[Message]], Coroutine[Any, Any, None]]) -> None:
    """Run `main` on an event loop; it is given the queue of commands."""

    async def started() -> None:
        inbox: asyncio.Queue[Message] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        commands(lambda message: loop.call_soon_threadsafe(inbox.put_nowait, message))
        await main(inbox)

    try:
        asyncio.run(started())
    except BrokenPipeError:
        os._exit(1)

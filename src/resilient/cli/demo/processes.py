"""The parent's side of a process of the demo: start it, talk to it, and be sure it ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

__all__ = ["Child", "ChildError", "Family"]

START_WITHIN = 20.0


class ChildError(RuntimeError):
    """A process of the demo ended, or did not start, although nobody had asked it to."""


class Child:
    """One process. `port` is what it listens on, 0 for none; `ready` is set when it is known."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self.port = 0
        self.ready = asyncio.Event()
        self.process = process
        self._killed = False
        self._input = cast("asyncio.StreamWriter", process.stdin)
        self._output = cast("asyncio.StreamReader", process.stdout)

    def tell(self, **message: object) -> None:
        """Send a command. One that is gone hears nothing."""
        with contextlib.suppress(OSError):
            self._input.write(json.dumps(message).encode() + b"\n")

    def kill(self) -> None:
        """End the process and all it started, at once, with SIGKILL."""
        self._killed = True
        if self.process.returncode is None:
            # Each child leads a process group, so that a Ctrl-C in the terminal reaches the
            # parent alone, and so that one signal ends whatever the child may have started.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)

    async def listen(self, heard: Callable[[dict[str, Any]], None], log: Path) -> None:
        """Hand every message to `heard` until the process ends.

        Raises `ChildError` if nobody had killed it.
        """
        async for line in self._output:
            message = json.loads(line)
            if "ready" in message:
                self.port = message["ready"]
                self.ready.set()
            else:
                heard(message)
        code = await self.process.wait()
        if not self._killed:
            message = f"the process {self.name!r} ended with status {code}: {_last_line(log)}"
            raise ChildError(message)


def _last_line(log: Path) -> str:
    """Return what a traceback in `log` comes down to."""
    lines = log.read_text(errors="replace").split("\n")
    return next((line for line in reversed(lines) if line.strip()), "it said nothing")


class Family:
    """Starts children, and ends all of them on leaving, whatever the cause.

    `directory` takes what they write to standard error. A child that dies unexpectedly cancels
    the body of ``async with``, which then raises an exception group with the `ChildError`.

    Example::

        async with Family(directory) as family:
            upstream = await family.start("upstream", "0", heard=print)
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._children: list[Child] = []
        self._group = asyncio.TaskGroup()

    async def start(
        self, name: str, *arguments: str, heard: Callable[[dict[str, Any]], None]
    ) -> Child:
        """Start the demo's module `name`, and wait until it is ready."""
        log = self._directory / f"{name}.log"
        with log.open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", f"resilient.cli.demo.{name}", *arguments),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        child = Child(name, process)
        self._children.append(child)
        self._group.create_task(child.listen(heard, log))
        try:
            async with asyncio.timeout(START_WITHIN):
                await child.ready.wait()
        except TimeoutError:
            message = f"the process {name!r} was not ready within {START_WITHIN:g} s"
            raise ChildError(message) from None
        return child

    async def __aenter__(self) -> Self:
        """Begin to watch children."""
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Kill every child, and wait until each is gone."""
        for child in self._children:
            child.kill()
        try:
            await self._group.__aexit__(kind, error, trace)
        finally:
            for child in self._children:
                await child.process.wait()

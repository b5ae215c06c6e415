"""Runs the demo from the command line: sets up, cleans up, and says how it ended."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from resilient.cli.demo import report, summary
from resilient.cli.demo.director import Director
from resilient.cli.demo.faults import SCRIPT_SECONDS
from resilient.cli.demo.processes import ChildError, Family
from resilient.cli.demo.settings import Quick
from resilient.cli.demo.tally import Tally
from resilient.cli.demo.views import PlainView, View
from resilient.errors import MissingExtraError

__all__ = ["Options", "run"]

FAILED, BROKEN, UNABLE = 1, 3, 2


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line settled. `seconds` is the length of the load."""

    seconds: float
    rate: float
    report: Path
    seed: int
    plain: bool


class Stopped(Exception):  # noqa: N818  (an order, no fault)
    """The user, or the system, wants the demo to end; the argument is the signal's number."""


def run(options: Options) -> int:
    """Run the demo; return the exit status.

    0: the protected service answered everything in time; 1: it did not; 2: this system cannot run
    the demo; 3: a process of the demo broke; 128 + n: ended by signal n.
    """
    if not hasattr(os, "killpg"):
        sys.stderr.write("resilient demo: needs a POSIX system, it kills processes for real\n")
        return UNABLE
    tally = Tally(options.seconds, options.rate, options.seed)
    tally.settings = Quick.at(options.seconds / SCRIPT_SECONDS).words()
    sys.stdout.write(summary.preface(tally) + "\n\n")
    try:
        with tempfile.TemporaryDirectory(prefix="resilient-demo-") as directory:
            asyncio.run(_perform(tally, _view(options), Path(directory)))
    except Stopped as order:
        sys.stderr.write("resilient demo: stopped; every process of it has ended\n")
        return 128 + int(order.args[0])
    except ChildError as error:
        sys.stderr.write(f"resilient demo: {error}\n")
        return BROKEN
    return _conclude(tally, options)


def _view(options: Options) -> View:
    """Choose the live view for a terminal, if it can be had."""
    if not options.plain and sys.stdout.isatty():
        try:
            from resilient.cli.demo.live import LiveView  # noqa: PLC0415  (rich is optional)
        except MissingExtraError as missing:
            sys.stdout.write(f"for the live view: {missing}\n")
        else:
            return LiveView()
    return PlainView()


async def _perform(tally: Tally, view: View, directory: Path) -> None:
    """Run to the end, or until a signal. Raises `Stopped` or `ChildError`."""
    received = _cancel_on_signals()
    try:
        async with Family(directory) as family:
            with view:
                await Director(tally, family, directory).perform(view)
    except asyncio.CancelledError:
        if received:
            raise Stopped(received[0]) from None
        raise
    except BaseExceptionGroup as group:
        raise _first(group) from None


def _cancel_on_signals() -> list[int]:
    """Cancel this task on Ctrl-C and its like; return the list that will hold the signals."""
    task = asyncio.current_task()
    received: list[int] = []

    def stop(number: int) -> None:
        received.append(number)
        if task is not None:
            task.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop, int(number))
    return received


def _first(error: BaseException) -> BaseException:
    """Return the first error inside nested groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _conclude(tally: Tally, options: Options) -> int:
    """Print the table, write the report, and decide the exit status."""
    sys.stdout.write("\n" + summary.text(tally) + "\n")
    try:
        options.report.write_text(report.render(tally), encoding="utf-8")
        sys.stdout.write(f"report: {options.report}\n")
    except OSError as error:
        sys.stderr.write(f"resilient demo: the report could not be written: {error}\n")
    protected = tally.arms["protected"]
    return FAILED if protected.failed or not protected.total else 0

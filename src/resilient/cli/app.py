"""The ``resilient`` command: what it accepts, and which part of it runs."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path

__all__ = ["main"]

DISTRIBUTION = "resilient-mode"


def version() -> str:
    """The installed version, or ``unknown`` in a source tree that was never installed."""
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "unknown"


def number(least: float, most: float, unit: str) -> Callable[[str], float]:
    """Make a reader of numbers from `least` to `most`; the error names the range."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not least <= value <= most:
            message = f"{text!r} is not allowed; give {unit} from {least:g} to {most:g}"
            raise argparse.ArgumentTypeError(message)
        return value

    return read


def whole(text: str) -> int:
    """Read a whole number that is not negative."""
    if not (text.isascii() and text.isdigit()):
        message = f"{text!r} is not allowed; give a whole number that is not negative"
        raise argparse.ArgumentTypeError(message)
    return int(text)


def report_path(text: str) -> Path:
    """Read a path for the report, refused before the run if it could not be written after it."""
    path = Path(text)
    if not text or path.is_dir():
        message = f"{text!r} is not allowed; give the path of a file"
        raise argparse.ArgumentTypeError(message)
    if not path.parent.is_dir():
        message = f"{text!r} is not allowed; the directory {str(path.parent)!r} does not exist"
        raise argparse.ArgumentTypeError(message)
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        message = f"{text!r} is not allowed; it cannot be written"
        raise argparse.ArgumentTypeError(message)
    return path


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    top = argparse.ArgumentParser(
        prog="resilient", description="Keep an application answering while what it needs fails."
    )
    top.add_argument("--version", action="version", version=f"resilient {version()}")
    commands = top.add_subparsers(dest="command", metavar="command", required=True)
    demo = commands.add_parser(
        "demo",
        help="watch a small service live through real faults, with and without the library",
        description=(
            "Run a small pricing service twice, bare and protected, under the same load and the "
            "same real faults: its upstream is killed, slowed and broken, its database locked. "
            "Everything runs on this machine, in processes that end with the demo."
        ),
        epilog="Exit status: 0 if the protected service answered every request in time, else 1.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = demo.add_argument
    add("--seconds", type=number(10, 55, "seconds"), default=45.0, help="length of the load")
    add("--rate", type=number(5, 200, "requests per second"), default=40.0,
        help="requests per second to each service, on average")  # fmt: skip
    add("--report", type=report_path, default="resilient-demo.html", metavar="PATH",
        help="where the HTML report goes")  # fmt: skip
    add("--seed", type=whole, default=1, help="seed of the load: same seed, same requests")
    add("--plain", action="store_true", help="one line a second instead of the live view")
    _add_config(commands)
    return top


def _add_config(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    config = commands.add_parser(
        "config",
        help="print every setting, its value, and where that comes from",
        description="Print the settings that a program in this directory and environment gets.",
        epilog="Exit status: 2 if anything is not allowed, and what; else 0.",
    )
    config.add_argument("--path", help="the file, in place of the usual ones")
    config.add_argument("--json", action="store_true", help="for programs")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (default: the program's own); return the exit status.

    Example::

        main(["demo", "--seconds", "20", "--plain"])
    """
    options = parser().parse_args(argv)
    if options.command == "config":
        from resilient.cli import config  # noqa: PLC0415  (--help stays quick)

        return config.run(options.path, as_json=options.json)
    from resilient.cli.demo.run import Options, run  # noqa: PLC0415  (--help stays quick)

    return run(
        Options(
            seconds=options.seconds,
            rate=options.rate,
            report=options.report,
            seed=options.seed,
            plain=options.plain,
        )
    )

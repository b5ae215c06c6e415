"""What a protected call costs when nothing goes wrong, and a few costs beside it.

Usage, in an environment that has `resilient` and the packages of `requirements.txt`::

    python benchmarks/overhead.py                  # every row
    python benchmarks/overhead.py --quick          # fewer rounds: a first impression
    python benchmarks/overhead.py --only breaker   # rows whose id contains a word, or a pattern
    python benchmarks/overhead.py --json           # for another program
    python benchmarks/overhead.py --write          # put the table into README.md

It always ends with 0: a missed target is a fact to report, not an error.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from functools import partial
from pathlib import Path

import structlog
from _calls import measure_row
from _measure import Effort
from _report import as_json, as_markdown, as_text, write_between_markers
from _result import Result
from peers import silence
from resources import RESOURCE_ROWS
from rows import CALL_ROWS

_QUICK = Effort(rounds=9, slice_seconds=0.003)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="9 short rounds instead of 41")
    parser.add_argument("--only", metavar="PATTERN", default="*", help="rows by id")
    parser.add_argument("--no-peers", action="store_true", help="only ours and the reference")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--write", action="store_true", help="write the table into README.md")
    return parser.parse_args(arguments)


def _silence_logs() -> None:
    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    silence()


def _selected(
    pattern: str, *, with_peers: bool
) -> Iterator[tuple[str, Callable[[Effort], Result]]]:
    rows: dict[str, Callable[[Effort], Result]] = {
        row.id: partial(measure_row, row, with_peers=with_peers) for row in CALL_ROWS
    }
    rows |= {name: partial(row, with_peers=with_peers) for name, row in RESOURCE_ROWS.items()}
    for name, row in rows.items():
        if pattern in name or fnmatch(name, pattern):
            yield name, row


def main(arguments: list[str] | None = None) -> None:
    """Measure the chosen rows and show them."""
    options = _options(arguments)
    _silence_logs()
    effort = _QUICK if options.quick else Effort()
    results = []
    for name, row in _selected(options.only, with_peers=not options.no_peers):
        print(f"{name} ...", file=sys.stderr)
        results.append(row(effort))
    print(as_json(results) if options.json else as_text(results))
    if options.write:
        write_between_markers(Path(__file__).with_name("README.md"), as_markdown(results))


if __name__ == "__main__":
    main()

"""Alerts on the standard input of a program, which is ended with its children when time is over."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from tempfile import TemporaryFile
from typing import cast

from resilient.clock import Duration, seconds
from resilient.errors import CallTimeoutError, ConfigError
from resilient.telemetry.alerting.alert import Alert

__all__ = ["CommandChannel", "command"]

SHOWN = 500
"""Characters of what a program complained that are told."""

_POSIX = os.name == "posix"


class CommandChannel:
    """Runs a program for each alert. Made by `command`."""

    def __init__(self, argv: tuple[str, ...], timeout: float) -> None:
        self._argv = argv
        self._timeout = timeout

    def __repr__(self) -> str:
        """The program; its arguments may be secrets."""
        return f"<command {self._argv[0]}>"

    def send(self, alert: Alert, /) -> None:
        """Run the program with the alert on its standard input; raise unless it ends with 0.

        Files instead of pipes: neither a program that reads nothing nor a child that keeps the
        other end open can hold us up.
        """
        with TemporaryFile() as given, TemporaryFile() as complaints:
            given.write(alert.json())
            given.seek(0)
            process = subprocess.Popen(  # noqa: S603  (the application's own command, and no shell)
                self._argv,
                stdin=given,
                stdout=subprocess.DEVNULL,
                stderr=complaints,
                start_new_session=_POSIX,
            )
            try:
                code = process.wait(self._timeout)
            except subprocess.TimeoutExpired:
                raise CallTimeoutError(self._argv[0], self._timeout) from None
            finally:
                _end(process)
            if code != 0:
                complaints.seek(0)
                text = complaints.read().decode(errors="replace").strip()[-SHOWN:]
                message = f"{self._argv[0]} ended with {code}: {text or 'it said nothing'}"
                raise ChildProcessError(message)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a program that still runs, with all of its group, and take its exit status."""
    if process.poll() is None:
        with suppress(ProcessLookupError, PermissionError):  # it ended this very moment
            if _POSIX:
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
        process.wait()


def command(argv: Sequence[str], *, timeout: Duration = 10.0) -> CommandChannel:
    """Run a program for each alert, with the alert as JSON on its standard input.

    Parameters: `argv`, the program and its arguments, one string each: there is no shell;
    `timeout`, in seconds or as a `timedelta`, after which the program is killed with all
    processes of its group (10 s is this library's own choice). It counts as delivered if the
    program ends with 0. Raises `ConfigError`.

    Example::

        alerts.send(alerts.command(["/usr/local/bin/page", "--team", "payments"]))
    """
    allowed = "a list of strings, the program first"
    if isinstance(argv, str | bytes) or not isinstance(cast("object", argv), Sequence):
        raise ConfigError("argv", argv, allowed)
    words = tuple(argv)
    if not all(map(_is_word, words)) or not words or not words[0]:
        raise ConfigError("argv", argv, allowed)
    return CommandChannel(words, seconds("timeout", timeout))


def _is_word(value: object) -> bool:
    return isinstance(value, str) and "\0" not in value

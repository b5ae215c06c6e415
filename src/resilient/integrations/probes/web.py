"""Does a web server answer as it should?"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from http.client import HTTPConnection, HTTPException, HTTPResponse
from ssl import SSLContext, create_default_context
from typing import Any, NamedTuple, cast
from urllib.parse import SplitResult, urlsplit

from resilient.clock import Duration, seconds
from resilient.errors import ConfigError
from resilient.integrations.probes.answers import WrongAnswerError, text
from resilient.integrations.probes.sockets import dial
from resilient.integrations.probes.wire import Wire

__all__ = ["http"]

MOST = 64 * 1024
"""Bytes of an answer that are searched."""
_PORTS = {"http": 80, "https": 443}
_STATUSES = range(100, 600)


def http(  # noqa: PLR0913  (all but the first are keywords)
    url: str,
    *,
    expect: int | Iterable[int] = range(200, 400),
    contains: str | bytes | None = None,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    timeout: Duration = 1.0,
    context: SSLContext | None = None,
) -> Callable[[], None]:
    """Make a probe that asks a web server one question, on a connection of its own.

    * `expect`: the status, or several, that are well. Default 200 to 399. Redirects are not
      followed: a 301 is an answer.
    * `contains`: what must be in the first 64 KiB of the answer; text is taken as UTF-8. Default:
      the body is not read.
    * `method`, `headers`: of the request. Default GET, and none beyond the necessary ones.
    * `timeout`: seconds for all of it (connecting, TLS, and reading the last byte) but the look-up
      of the name. Default 1.
    * `context`: for https. Default: `ssl.create_default_context`, which checks the certificate.

    Raises `ConfigError`. The probe raises `OSError`, `http.client.HTTPException`, and
    `WrongAnswerError` for another status or a body without `contains`. No proxy is used.

    Example::

        shop = probes.http("https://shop.internal/health", contains="ok")
        mode.probe("shop", shop, degraded_above=1.0)
    """
    target = _target(url)
    if context is None and target.scheme == "https":
        context = create_default_context()
    question = _Question(
        target,
        text("method", method),
        {text("headers", k): text("headers", v) for k, v in dict(headers or {}).items()},
        _statuses(expect),
        None if contains is None else _bytes(contains),
        context if target.scheme == "https" else None,
        seconds("timeout", timeout),
    )
    try:
        question.put(_Nowhere())
    except (ValueError, HTTPException) as error:  # a blank in the path, a header beyond Latin-1
        allowed = "with this method and these headers, what HTTP can carry"
        raise ConfigError("url", url, f"{allowed}: {error}") from error
    return question.ask


class _Nowhere:
    """What is sent here is lost."""

    def sendall(self, data: object) -> None:
        """Lose it."""


class _Question(NamedTuple):
    """What is asked, and what is expected."""

    url: SplitResult
    method: str
    headers: dict[str, str]
    expect: tuple[int, ...]
    contains: bytes | None
    context: SSLContext | None
    limit: float

    def ask(self) -> None:
        """Ask once."""
        host, port = self.url.hostname or "", self.url.port or _PORTS[self.url.scheme]
        until = time.monotonic() + self.limit
        with Wire(dial(host, port, until), until) as wire:
            if self.context is not None:
                wire.encrypt(self.context, host)
            with closing(self.put(wire).getresponse()) as response:
                self._judge(response)

    def put(self, line: Any) -> HTTPConnection:
        """Send the question over what is connected already, with one limit for everything."""
        default = _PORTS[self.url.scheme]
        connection: Any = HTTPConnection(self.url.hostname or "", self.url.port or default)
        connection.default_port = default
        connection.sock = line
        connection.request(self.method, _path(self.url), headers=self.headers)
        return cast("HTTPConnection", connection)

    def _judge(self, response: HTTPResponse) -> None:
        if response.status not in self.expect:
            message = f"HTTP {response.status}, not {_words(self.expect)}"
            raise WrongAnswerError(message)
        if self.contains is not None and self.contains not in response.read(MOST):
            message = f"HTTP {response.status} without {self.contains!r}"
            raise WrongAnswerError(message)


def _target(url: str) -> SplitResult:
    allowed = "http:// or https:// with a host, and no user in it"
    try:
        found = urlsplit(text("url", url))
        known = found.scheme in _PORTS and found.port != 0
    except ValueError as error:
        raise ConfigError("url", url, allowed) from error
    if not known or not found.hostname or "@" in found.netloc:
        raise ConfigError("url", url, allowed)
    return found


def _bytes(contains: object) -> bytes:
    found = contains.encode() if isinstance(contains, str) else contains
    if not isinstance(found, bytes) or not found:
        raise ConfigError("contains", contains, "text or bytes")
    return found


def _path(url: SplitResult) -> str:
    return (url.path or "/") + (f"?{url.query}" if url.query else "")


def _statuses(expect: int | Iterable[int]) -> tuple[int, ...]:
    found = tuple(expect) if isinstance(expect, Iterable) else (expect,)
    if not found or any(one not in _STATUSES for one in found):
        raise ConfigError("expect", expect, "a status from 100 to 599, or several")
    return tuple(sorted(set(found)))


def _words(statuses: tuple[int, ...]) -> str:
    first, last = statuses[0], statuses[-1]
    if len(statuses) > 2 and len(statuses) == last - first + 1:  # noqa: PLR2004  (no gap)
        return f"{first} to {last}"
    return " or ".join(map(str, statuses))

"""One alert to one URL: with a limit of time, tried again, and given up while the other is dead.

It stands on the library's own retry, breaker and timeout. They report to no mode, and what they
publish is worth no alert: a pager that is down is no ill component of the application.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import socket
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import msgspec

from resilient.clock import Clock
from resilient.errors import CallTimeoutError
from resilient.policies.backoff import Wait
from resilient.policies.breaker import breaker
from resilient.policies.pipeline import pipeline
from resilient.policies.retry import retry
from resilient.policies.timeout import timeout as limit
from resilient.telemetry.alerting.alert import Alert

__all__ = ["SIGNATURE", "WebhookChannel"]

SIGNATURE = "X-Signature-256"
"""The header with the signature: ``sha256=`` and the HMAC-SHA256 of the body in hexadecimal."""

MAX_DELAY = 30.0
"""The longest wait between attempts, whatever ``Retry-After`` says."""

AGAIN = frozenset({408, 425, 429})
"""Statuses below 500 that ask to come again (RFC 9110, 8470, 6585)."""


class _RefusedError(Exception):
    """The receiver answered with another status than 2xx."""

    def __init__(self, status: int, reason: str, retry_after: str | None) -> None:
        super().__init__(f"{status} {reason}")
        self.again = status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in AGAIN
        self.retry_after = retry_after  # where a retry looks for the wait that is asked for


class _Nowhere:
    """The mode of a breaker that is no part of the application."""

    name = "nowhere"

    def evaluate(self) -> None:
        """Nothing depends on it."""


class _Post:
    """One request on a connection of its own, on a thread that may be left behind."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self._connection = connection
        self._over = False

    def run(self, path: str, body: bytes, headers: dict[str, str]) -> None:
        """Post; raise unless the answer is 2xx. What it says beside its head is not read."""
        try:
            self._connection.connect()
            if self._over:
                return
            self._connection.request("POST", path, body, headers)
            answer = self._connection.getresponse()
            if not HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
                raise _RefusedError(answer.status, answer.reason, answer.getheader("Retry-After"))
        finally:
            self._connection.close()

    def hang_up(self) -> None:
        """End a request whose time is over, so that its thread ends too."""
        self._over = True
        if (sock := self._connection.sock) is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


class WebhookChannel:
    """Posts each alert. Made by `webhook`."""

    def __init__(  # noqa: PLR0913  (checked by `webhook`)
        self,
        url: str,
        headers: dict[str, str],
        secret: bytes | None,
        body: Callable[[Alert], Any] | None,
        *,
        timeout: float,
        attempts: int,
        wait: Wait,
        reset: float,
        clock: Clock,
    ) -> None:
        parts = urlsplit(url)
        self._kind: type[http.client.HTTPConnection] = http.client.HTTPConnection
        if parts.scheme == "https":
            self._kind = http.client.HTTPSConnection
        self._host, self._port = str(parts.hostname), parts.port
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._headers = headers
        self._secret = secret
        self._body = body
        self._seconds = timeout
        self._limit = limit(timeout, thread=True)
        # Paths of webhooks are often secrets: only the host is ever shown.
        name = f"resilient.alerts:{self._host}"
        self.breaker = breaker(name, reset_timeout=reset, mode=_Nowhere(), clock=clock)
        again = retry(on=_again, attempts=attempts, wait=wait, max_delay=MAX_DELAY, clock=clock)
        self._post = pipeline(again, self.breaker)(self._attempt)

    def __repr__(self) -> str:
        """The host alone; the rest of the address may be a secret."""
        return f"<webhook to {self._host}>"

    def send(self, alert: Alert, /) -> None:
        """Post `alert`; raise when all attempts failed, or at once while the receiver is dead."""
        self._post(alert.json() if self._body is None else msgspec.json.encode(self._body(alert)))

    def _attempt(self, body: bytes) -> None:
        headers = {"Content-Type": "application/json", "Connection": "close", **self._headers}
        if self._secret is not None:
            digest = hmac.new(self._secret, body, hashlib.sha256).hexdigest()
            headers[SIGNATURE] = f"sha256={digest}"
        post = _Post(self._kind(self._host, self._port, timeout=self._seconds))
        try:
            self._limit.call(post.run, self._path, body, headers)
        except CallTimeoutError:
            post.hang_up()
            raise


def _again(error: Exception) -> bool:
    """Whether another attempt may help."""
    if isinstance(error, _RefusedError):
        return error.again
    return isinstance(error, OSError | http.client.HTTPException)

"""Alerts as JSON, posted to a URL: what may be set, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast
from urllib.parse import urlsplit

from resilient.clock import Clock, Duration, chosen, seconds
from resilient.errors import ConfigError
from resilient.policies.backoff import Wait, backoff, waiter
from resilient.policies.match import function, optional, whole
from resilient.telemetry.alerting.alert import Alert
from resilient.telemetry.alerting.webhook_channel import WebhookChannel

__all__ = ["webhook"]

_URL = "an address http://host... or https://host..., in ASCII, without a user in it"


def webhook(  # noqa: PLR0913  (all but the first are keywords)
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    secret: str | bytes | None = None,
    body: Callable[[Alert], Any] | None = None,
    timeout: Duration = 5.0,
    attempts: int = 4,
    wait: Duration | Wait | None = None,
    reset_timeout: Duration = 30.0,
    clock: Clock | None = None,
) -> WebhookChannel:
    """Send alerts as JSON to `url`, by POST.

    Parameters, with times in seconds or as `timedelta`:

    * `headers`: more of them, such as ``Authorization``;
    * `secret`: signs the body; the receiver compares ``X-Signature-256``, which is ``sha256=`` and
      the HMAC-SHA256 of the body in hexadecimal;
    * `body`: a function of the alert that gives what is sent as JSON (default: the whole alert);
    * `timeout`: of one attempt, from connecting to the head of the answer;
    * `attempts` and `wait` between them, as those of `resilient.retry` (default: exponential with
      full jitter, 0.5 s, at most 10 s); tried again after 5xx, 408, 425, 429, a time-out and errors
      of the connection; ``Retry-After`` is heeded, up to 30 s;
    * `reset_timeout`: after 5 failed attempts in a row alerts fail at once for this time;
    * `clock`: for waits; the machine's by default.

    No proxy is used and no redirection followed. The defaults are this library's own choice.
    Raises `ConfigError`.

    Example::

        alerts.webhook("https://hooks.example/x", secret=os.environ["HOOK_SECRET"])
        alerts.webhook(slack_url, body=lambda alert: {"text": alert.title})
    """
    key = secret.encode() if isinstance(secret, str) else secret
    if key is not None and not (isinstance(cast("object", key), bytes) and key):
        raise ConfigError("secret", "(not shown)", "a string or bytes that are not empty")
    return WebhookChannel(
        _checked_url(url),
        _checked_headers(headers or {}),
        key,
        optional(function, "body", body),
        timeout=seconds("timeout", timeout),
        attempts=whole("attempts", attempts),
        wait=backoff(0.5, cap=10.0) if wait is None else waiter(wait),
        reset=seconds("reset_timeout", reset_timeout),
        clock=chosen(clock),
    )


def _checked_url(url: str) -> str:
    if not (_plain(url) and _is_address(url)):
        # Never the value: it may be a secret, and errors end up in logs.
        raise ConfigError("url", "(not shown)", _URL)
    return url


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    good = parts.scheme in {"http", "https"} and bool(parts.hostname) and port != 0
    return good and "@" not in parts.netloc and " " not in url


def _checked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    if not isinstance(cast("object", headers), Mapping):
        raise ConfigError("headers", "(not shown)", "a dictionary of names and values")
    for name, value in headers.items():
        if not (name and all(map(_plain, (name, value)))):
            raise ConfigError("headers", name, "printable ASCII names and values")
    return dict(headers)


def _plain(text: object) -> bool:
    return isinstance(text, str) and text.isascii() and text.isprintable()

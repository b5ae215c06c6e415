"""Does a Redis, or what speaks like one, keep what it is given?"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from resilient.core.inspection import gives_coroutine, refuse_coroutine
from resilient.errors import ConfigError
from resilient.integrations.probes.answers import WrongAnswerError, text
from resilient.policies.match import whole

__all__ = ["redis"]

_NEEDED = ("ping", "set", "get")


def redis(
    client: Any, *, write: bool = True, expiry: int = 10, prefix: str = "resilient:probe:"
) -> Callable[[], None] | Callable[[], Coroutine[Any, Any, None]]:
    """Make a probe that pings a server, writes a key, and reads it back.

    * `client`: of redis-py, valkey-py, or like theirs; sync, or async: then the probe is async,
      too, and must be given to the mode on the loop on which the client lives.
    * `write`: whether it writes and reads back, or only pings. Default yes; no for a replica.
    * `expiry`: seconds after which the server forgets the key. Default 10.
    * `prefix`: of the key. Each question has a key of its own, so that processes do not read what
      others wrote. An ACL must allow it.

    What is asked, the 10 s, and the limits of 100 ms and 3 failures below are those of the source
    documents ("Graceful Degradation"). A sync client should have a `socket_timeout` and a
    `socket_connect_timeout` below the probe's `timeout`, and no retries: nothing else ends it.
    Raises `ConfigError`. The probe raises what the client does, and `WrongAnswerError`.

    Example::

        client = redis.Redis(
            socket_timeout=0.5, socket_connect_timeout=0.5, retry=Retry(NoBackoff(), 0)
        )
        mode.probe("redis", probes.redis(client), degraded_above=0.1, failed_after=3)
    """
    if not all(callable(getattr(client, name, None)) for name in _NEEDED):
        raise ConfigError("client", client, "a client with ping, set and get")
    whole("expiry", expiry)
    question = (client, text("prefix", prefix), expiry if write else None)
    # The commands of an async client of redis-py are plain functions that return awaitables.
    if any(gives_coroutine(getattr(client, name, print)) for name in ("execute_command", *_NEEDED)):
        return partial(_ask_async, *question)
    return partial(_ask, *question)


def _ask(client: Any, prefix: str, expiry: int | None) -> None:
    refuse_coroutine(client.ping, client.ping())  # what is no PONG, clients raise
    if expiry is not None:
        word = secrets.token_hex(8)
        client.set(prefix + word, word, ex=expiry)
        _expect(client.get(prefix + word), word)


async def _ask_async(client: Any, prefix: str, expiry: int | None) -> None:
    await client.ping()
    if expiry is not None:
        word = secrets.token_hex(8)
        await client.set(prefix + word, word, ex=expiry)
        _expect(await client.get(prefix + word), word)


def _expect(found: object, wanted: str) -> None:
    said = found.decode(errors="replace") if isinstance(found, bytes) else found
    if said != wanted:
        message = f"wrote {wanted!r} and read {said!r}"
        raise WrongAnswerError(message)

"""Keeping an error without keeping what it was raised from."""

from __future__ import annotations

import copy

__all__ = ["brief", "without_traceback"]


def without_traceback(error: BaseException) -> BaseException | str:
    """A copy of `error` that holds no frames and no chain; its ``repr`` if it cannot be copied.

    A breaker may remember a failure for an hour; the frames of the failed call, with everything
    they hold, must not stay as long.
    """
    try:
        twin = copy.copy(error)
    except Exception:  # noqa: BLE001  (an application's exception may refuse in any way)
        return brief(error)
    if twin is error or type(twin) is not type(error):
        return brief(error)
    return twin.with_traceback(None)


def brief(error: object) -> str:
    """Type and message of `error`, whatever its ``repr`` does."""
    try:
        return repr(error)
    except Exception:  # noqa: BLE001  (an application's exception may refuse in any way)
        return type(error).__name__

"""Values of the application's, in words, whatever they do when they are asked for them."""

from __future__ import annotations

__all__ = ["shown"]

LONGEST = 200
"""Characters: a reason is a line, and an error may quote a whole page."""


def shown(value: object, most: int | None = LONGEST) -> str:
    """The ``repr`` of a value, at most `most` characters of it; its class, if it has none to give.

    It runs code of the application's: never under a lock.

    Example::

        shown(OSError("disk full"))  # "OSError('disk full')"
    """
    try:
        return repr(value)[:most]
    except Exception:  # noqa: BLE001  (what cannot be told is still something)
        return f"<{type(value).__name__} without words>"

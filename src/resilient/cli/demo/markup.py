"""Writes markup that is well formed because nothing is pasted: elements, escaped on the way out."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

__all__ = ["Markup", "element", "raw"]

_VOID = frozenset({"br", "meta"})


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


def element(tag: str, *children: str | Iterable[str], **attributes: object) -> Markup:
    """Return one element. Children that are not `Markup` are escaped; iterables are joined.

    An attribute's ``_`` becomes ``-``, and a trailing one is dropped (``class_``). Numbers are
    written with two decimals at most.

    Example::

        element("text", "a < b", x=1.5, text_anchor="middle")
    """
    given = "".join(f' {_name(key)}="{_value(value)}"' for key, value in attributes.items())
    inside = "".join(map(_child, children))
    # Browsers read <p/> as an opening tag; only void elements may be closed in themselves.
    return Markup(f"<{tag}{given}/>" if tag in _VOID else f"<{tag}{given}>{inside}</{tag}>")


def raw(text: str) -> Markup:
    """Vouch for `text`: it is markup, or a style sheet."""
    return Markup(text)


def _name(key: str) -> str:
    return key.removesuffix("_").replace("_", "-")


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return escape(str(value))


def _child(child: str | Iterable[str]) -> str:
    if isinstance(child, Markup):
        return child
    if isinstance(child, str):
        return escape(child, quote=False)
    return "".join(map(_child, child))

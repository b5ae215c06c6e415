"""What the library writes on, and between, the errors of an application."""

from __future__ import annotations

__all__ = ["chain", "note"]

_OURS = "resilient: "


def note(error: BaseException, text: str) -> None:
    """Add our note to `error`, in place of an earlier one of ours."""
    notes: list[str] = getattr(error, "__notes__", [])
    notes[:] = [each for each in notes if not each.startswith(_OURS)]
    error.add_note(_OURS + text)


def chain(later: BaseException, earlier: BaseException) -> None:
    """Make `earlier` the cause at the end of the causes of `later`, never making a circle."""
    causes = _causes(later)
    if any(cause is later or cause in causes for cause in _causes(earlier)):
        return
    causes[-1].__cause__ = earlier


def _causes(error: BaseException) -> list[BaseException]:
    found = [error]
    while (cause := found[-1].__cause__) is not None and cause not in found:
        found.append(cause)
    return found

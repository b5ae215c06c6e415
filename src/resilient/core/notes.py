"""What the library writes on, and between, the errors of an application."""

from __future__ import annotations

__all__ = ["chain", "note"]

_OURS = "resilient: "


def note(error: BaseException, text: str) -> None:
    """Add our note to `error`, in place of an earlier one of ours.

    An error whose notes are no list, as `BaseException.add_note` makes it, gets none.
    """
    # Past any `__setattr__` of the application's: a frozen exception is noted like others.
    notes: object = error.__dict__.get("__notes__")
    if notes is None:
        notes = error.__dict__["__notes__"] = []
    if isinstance(notes, list):
        kept = [each for each in notes if not str(each).startswith(_OURS)]
        notes[:] = [*kept, _OURS + text]


def chain(later: BaseException, earlier: BaseException) -> None:
    """Make `earlier` the cause at the end of the causes of `later`, never making a circle."""
    causes = _causes(later)
    if any(cause in causes for cause in _causes(earlier)):
        return
    # Past any `__setattr__` of the application's, as for the notes.
    vars(BaseException)["__cause__"].__set__(causes[-1], earlier)


def _causes(error: BaseException) -> _Identities:
    found = _Identities([error])
    while (cause := found[-1].__cause__) is not None and cause not in found:
        found.append(cause)
    return found


class _Identities(list[BaseException]):
    """A list that knows its members by identity: exceptions may define their own equality."""

    def __contains__(self, error: object) -> bool:
        return any(each is error for each in self)

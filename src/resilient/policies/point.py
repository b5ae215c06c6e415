"""A named place where a test may inject faults."""

from __future__ import annotations

from resilient.core.effects import Call, Flow, Step
from resilient.core.policy import Policy
from resilient.policies.match import named

__all__ = ["Point", "point"]


class Point(Policy):
    """Does nothing but bear a name. Made by `resilient.point`."""

    def __init__(self, name: str) -> None:
        self.name = name

    def flow(self, call: Call, inner: Step, place: int) -> Flow:
        """What is inside."""
        del place
        return inner(call)


def point(name: str) -> Point:
    """Name a function, so that ``resilience.faults.at(name)`` can make it fail in a test.

    Raises `ConfigError` if `name` is not a string, or empty.

    Example::

        @point("ledger")
        def book(entry: Entry) -> None: ...
    """
    return Point(named(name))

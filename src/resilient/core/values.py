"""What was configured, and how a policy's rules follow from that."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from msgspec import UNSET

from resilient.core.defaults import SECTIONS
from resilient.errors import ConfigError

__all__ = ["Given", "Key", "Recipe", "Values", "folded"]


class Given(NamedTuple):
    """A value, where it came from, and the `rank` of that: the highest holds."""

    value: Any
    origin: str
    rank: int = 0


def folded(name: str) -> str:
    """`name` as an environment variable can have it.

    Example::

        folded("orders-db")  # "ORDERS_DB"
    """
    return re.sub(r"\W", "_", name).upper()


Key = tuple[str, str | None, str]
"""Section, name of a policy or `None` for all, setting."""


class Values:
    """What was configured, by key; names from the environment are `folded`. Never changed."""

    def __init__(
        self,
        exact: Mapping[Key, Given] | None = None,
        environment: Mapping[Key, Given] | None = None,
    ) -> None:
        self.exact = exact or {}
        self.environment = environment or {}

    def find(self, section: str, setting: str, name: str | None = None) -> Given:
        """What holds for the policies of a section, or the one of that name."""
        if name is not None:
            own = [
                self.exact.get((section, name, setting)),
                self.environment.get((section, folded(name), setting)),
            ]
            held = [each for each in own if each is not None]
            if held:
                return max(held, key=lambda each: each.rank)
        key = (section, None, setting)
        default = Given(SECTIONS[section][setting].default, "default")
        general = (self.environment.get(key, default), self.exact.get(key, default))
        return max(general, key=lambda each: each.rank)


class Recipe:
    """How the rules of a policy are made: `make` of what it was `given`, the rest configured.

    Settings in `given` that are `UNSET` are taken from the section, or from what that says of
    `name`. Calling it raises `ConfigError`, which names the origin of a configured value.
    """

    def __init__(
        self,
        section: str,
        name: str | None,
        given: Mapping[str, Any],
        make: Callable[[dict[str, Any]], Any],
    ) -> None:
        self.open = tuple(setting for setting, value in given.items() if value is UNSET)
        self._section = section
        self._name = name
        self._given = given
        self._make = make

    def __call__(self, values: Values) -> Any:
        """The rules."""
        found = {each: values.find(self._section, each, self._name) for each in self.open}
        filled = {**self._given, **{each: given.value for each, given in found.items()}}
        try:
            return self._make(filled)
        except ConfigError as error:
            given = found.get(error.setting)
            if given is None:
                raise
            dotted = f"{self._section}.{error.setting}"
            raise ConfigError(dotted, error.value, error.allowed, given.origin) from None

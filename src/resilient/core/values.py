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
        keys = (*self.exact, *self.environment)
        self._named = {section for section, name, _ in keys if name is not None}
        self._general: dict[str, dict[str, Any]] = {}

    def of(self, section: str, name: str | None) -> dict[str, Any]:
        """The value of every setting of a section, for all or the policy of that name."""
        if name is not None and section in self._named:
            return {each: self.find(section, each, name).value for each in SECTIONS[section]}
        found = self._general.get(section)
        if found is None:  # once: whoever makes a policy for each call shall not wait for this
            found = {each: self.find(section, each).value for each in SECTIONS[section]}
            self._general[section] = found
        return found

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
    """How the rules of a policy are made: of what it was `given`, the rest configured.

    Settings of the section that are missing in `given`, or `UNSET`, are taken from what is said of
    the section, or of `name` in it. `make` gets all settings, those given, and what is `fixed`.
    Calling a recipe raises `ConfigError`, which names the origin of a configured value.

    There is one for each policy, so it is small: of what was given, names and values in a row.
    """

    __slots__ = ("_fixed", "_given", "_make", "_name", "_section")

    def __init__(
        self,
        section: str,
        name: str | None,
        given: Mapping[str, Any],
        make: Callable[..., Any],
        *fixed: Any,
    ) -> None:
        known = SECTIONS[section]
        self._section = section
        self._name = name
        pairs = (pair for pair in given.items() if pair[1] is not UNSET and pair[0] in known)
        self._given = tuple(each for pair in pairs for each in pair)
        self._make = make
        self._fixed = fixed

    @property
    def complete(self) -> bool:
        """Whether everything was given."""
        return len(self._given) == 2 * len(SECTIONS[self._section])

    def __call__(self, values: Values) -> Any:
        """The rules."""
        found = values.of(self._section, self._name)
        given = dict(zip(self._given[::2], self._given[1::2], strict=True))
        try:
            return self._make({**found, **given}, given, *self._fixed)
        except ConfigError as error:
            if error.setting in given or error.setting not in found:
                raise
            dotted = f"{self._section}.{error.setting}"
            origin = values.find(self._section, error.setting, self._name).origin
            raise ConfigError(dotted, error.value, error.allowed, origin) from None

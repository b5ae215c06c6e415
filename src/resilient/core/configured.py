"""The settings in force, and those who follow them.

A policy that was not given a setting takes it from here. A `Recipe` says how its rules follow from
what it was given and what is configured; when that changes, every recipe is worked out anew before
the first policy is told, so that a bad value changes nothing at all.
"""

from __future__ import annotations

import os
import re
import threading
import weakref
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from msgspec import UNSET, UnsetType

from resilient.core.defaults import SECTIONS
from resilient.errors import ConfigError

__all__ = ["UNSET", "Configured", "Follower", "Given", "Recipe", "UnsetType", "Values"]
__all__ += ["configured", "folded"]


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


class Follower(Protocol):
    """A policy whose rules may change."""

    def obey(self, made: Any, /) -> None:
        """Work by these rules from now on, losing nothing; they are what its recipe made."""
        ...


class Configured:
    """See the module. There is one, `configured`."""

    def __init__(self) -> None:
        self.values = Values()
        self._lock = threading.RLock()
        self._followers: weakref.WeakKeyDictionary[Follower, Recipe] = weakref.WeakKeyDictionary()

    def follow(self, follower: Follower, recipe: Recipe, values: Values) -> None:
        """Keep up the rules of `follower`, weakly; they were made of `values`."""
        if not recipe.open:
            return
        with self._lock:
            self._followers[follower] = recipe
            if self.values is not values:
                follower.obey(recipe(self.values))

    def apply(self, values: Values) -> None:
        """Let everybody follow `values`. Raises `ConfigError`, and then nothing has changed."""
        with self._lock:
            plans = [(one, _planned(one, recipe, values)) for one, recipe in self._all()]
            self.values = values
            for follower, made in plans:
                follower.obey(made)

    def after_fork(self) -> None:
        """A fresh lock: the parent may have held the old one."""
        self._lock = threading.RLock()

    def _all(self) -> list[tuple[Follower, Recipe]]:
        return list(self._followers.items())


def _planned(follower: Follower, recipe: Recipe, values: Values) -> Any:
    try:
        return recipe(values)
    except ConfigError as error:
        error.add_note(f"in {follower!r}, which keeps its settings, as does everybody else")
        raise


configured = Configured()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=configured.after_fork)

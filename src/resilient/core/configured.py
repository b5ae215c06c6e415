"""The settings in force, and those who follow them.

A policy that was not given a setting takes it from here. A `Recipe` says how its rules follow from
what it was given and what is configured; when that changes, every recipe is worked out anew before
the first policy is told, so that a bad value changes nothing at all.
"""

from __future__ import annotations

import gc
import os
import threading
import weakref
from contextlib import suppress
from typing import Any, Protocol

from msgspec import UNSET, UnsetType

from resilient.core.values import Recipe, Values
from resilient.errors import ConfigError

__all__ = ["UNSET", "Configured", "Follower", "Recipe", "UnsetType", "configured"]


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
        if recipe.complete:
            return
        with self._lock:
            self._followers[follower] = recipe
            if self.values is not values:
                follower.obey(recipe(self.values))

    def apply(self, values: Values) -> None:
        """Let everybody follow `values`. Raises `ConfigError`, and then nothing has changed."""
        with suppress(ConfigError):
            return self._apply(values)
        gc.collect()  # perhaps only a policy refused which nobody uses any more
        self._apply(values)
        return None

    def _apply(self, values: Values) -> None:
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

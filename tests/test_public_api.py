"""The public surface changes only on purpose.

``tests/api.txt`` has every public name with its signature. After a change that is meant::

    python -m tests.test_public_api
"""

from __future__ import annotations

import enum
import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest

from resilient.core.gate import Gate
from resilient.core.policy import Policy
from tests.source import PROJECT

SNAPSHOT = PROJECT / "tests" / "api.txt"
MODULES = [
    "resilient",
    "resilient.clock",
    "resilient.errors",
    "resilient.events",
    "resilient.testing",
]
# What every policy has for its users; the rest is how policies and the machinery talk.
FOR_USERS = {"__aenter__", "__call__", "__enter__", "call", "clock", "describe", "name", "permit"}
MACHINERY = {*vars(Policy), *vars(Gate)} - FOR_USERS


def signature(value: Any) -> str:
    """Parameters and result as they are written, alike on every Python."""
    try:
        found = inspect.signature(value)
    except (TypeError, ValueError):
        return "(...)"
    text = str(found)
    text = re.sub(r"(?<=: )'([^']*)'|(?<=-> )'([^']*)'", lambda m: m[1] or m[2], text)
    return re.sub(r" at 0x\w+", "", text)


def members(kind: type) -> Iterator[tuple[str, object]]:
    """Public attributes that the library itself gives to a class, inherited ones included."""
    for name in sorted(dir(kind)):
        if name.startswith("_") and name not in FOR_USERS:
            continue
        if name in MACHINERY:
            continue
        owner = next((base for base in kind.__mro__ if name in vars(base)), kind)
        if owner.__module__.split(".")[0] == "resilient":
            yield name, inspect.getattr_static(kind, name)


def public_bases(kind: type) -> Iterator[str]:
    """Names of the bases; of a private one, those of its bases."""
    for base in kind.__bases__:
        if base.__name__.startswith("_"):
            yield from public_bases(base)
        elif base is not object:
            yield base.__name__


def describe_class(name: str, kind: type) -> Iterator[str]:
    """A class with its bases, its constructor and its members."""
    bases = ", ".join(dict.fromkeys(public_bases(kind)))
    yield f"class {name}({bases})"
    if issubclass(kind, enum.Enum):
        yield from (f"{name}.{each.name} = {each.value!r}" for each in kind)
        return
    made_by_us = "Made by" in (kind.__doc__ or "")
    if ("__init__" in vars(kind) or hasattr(kind, "__struct_fields__")) and not made_by_us:
        yield f"{name}.__init__{signature(kind)}"
    for attribute, value in members(kind):
        if isinstance(value, property):
            yield f"{name}.{attribute}: property"
        elif isinstance(value, staticmethod | classmethod):
            yield f"{name}.{attribute}{signature(value.__func__)}"
        elif inspect.isroutine(value):
            yield f"{name}.{attribute}{signature(value)}"
        else:
            yield f"{name}.{attribute}"


def describe(module: ModuleType, known: dict[int, str]) -> Iterator[str]:
    """Every public name of a module; what is `known` by another name already, in one line."""
    for name in sorted(vars(module)["__all__"]):
        value, full = getattr(module, name), f"{module.__name__}.{name}"
        first = known.setdefault(id(value), full)
        if first != full:
            yield f"{full} is {first}"
        elif inspect.isclass(value):
            yield from describe_class(full, value)
        elif callable(value):
            yield f"{full}{signature(value)}"
        else:
            yield full


def surface() -> str:
    """The whole surface as text."""
    known: dict[int, str] = {}
    return "".join(f"{line}\n" for name in MODULES for line in describe(import_module(name), known))


def test_the_surface_is_as_promised() -> None:
    """A name, a parameter or a default that changed is a change for users: say so, or undo it.

    If it is meant: ``python -m tests.test_public_api``, and a line in CHANGELOG.md.
    """
    assert surface().splitlines() == SNAPSHOT.read_text("utf-8").splitlines()


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_is_there_and_explained(name: str) -> None:
    """`__all__` names each public thing once; whoever asks for help gets an answer."""
    module = import_module(name)
    assert len(module.__all__) == len(set(module.__all__))
    for public in module.__all__:
        value = getattr(module, public)
        if callable(value):
            assert inspect.getdoc(value), f"{name}.{public} has no docstring"


def test_nothing_public_is_missing_from_the_list() -> None:
    """What the facade holds without an underscore is listed, modules aside."""
    facade = import_module("resilient")
    found = {
        name
        for name, value in vars(facade).items()
        if not (name.startswith("_") or inspect.ismodule(value) or name == "annotations")
    }
    assert found <= {*facade.__all__, "TYPE_CHECKING", "Any"}


def planted(parameters: str) -> ModuleType:
    """A module with one function and one class."""
    module = ModuleType("resilient.planted")
    source = f"def f({parameters}) -> int: ...\nclass C:\n    def m(self, {parameters}): ...\n"
    exec(source, vars(module))  # noqa: S102  (written above)
    vars(module)["__all__"] = ["C", "f"]
    return module


@pytest.mark.parametrize(
    "offender",
    ["a: int = 1", "a: str = 2", "a: str", "b: str = 1", "*, a: str = 1", "a: str = 1, c=2"],
)
def test_an_offender_is_found(offender: str) -> None:
    """A changed type, default, name, kind or number of parameters changes the text, twice."""
    good, bad = (list(describe(planted(each), {})) for each in ("a: str = 1", offender))
    assert len(set(good) - set(bad)) == 2


def test_a_missing_name_is_found() -> None:
    """A class that goes takes its lines with it."""
    module = planted("a")
    before = list(describe(module, {}))
    vars(module)["__all__"] = ["f"]
    assert len(before) - len(list(describe(module, {}))) == 2


if __name__ == "__main__":
    SNAPSHOT.write_text(surface(), "utf-8")

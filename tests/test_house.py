"""The house standard: small modules, short functions, everything public explained."""

from __future__ import annotations

import ast
import re
import statistics
from collections.abc import Iterator

import pytest

from tests.source import PROJECT, SOURCES, functions

IGNORE = re.compile(r"#\s*type:\s*ignore(?P<codes>\[[\w, -]+\])?(?P<rest>.*)")


def lengths(sources: dict[str, str]) -> list[int]:
    """Lines of each function from `def` to its end, without its docstring."""
    found = []
    for source in sources.values():
        for function in functions(source):
            end = function.end_lineno or function.lineno
            first = function.body[0]
            words = 0
            if ast.get_docstring(function, clean=False) is not None:
                words = (first.end_lineno or first.lineno) - first.lineno + 1
            found.append(end - function.lineno + 1 - words)
    return found


def undocumented(module: str, source: str) -> Iterator[str]:
    """Public classes, functions and methods without a docstring; overloads and setters aside."""
    tree = ast.parse(source)
    if ast.get_docstring(tree) is None:
        yield module
    yield from _undocumented(module, tree)


def _undocumented(name: str, parent: ast.Module | ast.ClassDef) -> Iterator[str]:
    for node in parent.body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if node.name.startswith("_") or any(map(_excused, node.decorator_list)):
            continue
        if ast.get_docstring(node) is None:
            yield f"{name}.{node.name}"
        if isinstance(node, ast.ClassDef):
            yield from _undocumented(f"{name}.{node.name}", node)


def _excused(decorator: ast.expr) -> bool:
    last = decorator.attr if isinstance(decorator, ast.Attribute) else getattr(decorator, "id", "")
    return last in {"overload", "setter", "deleter", "override"}


def bare_ignores(source: str) -> list[str]:
    """Type errors that are silenced without a code, or without a reason."""
    return [
        found.group()
        for found in IGNORE.finditer(source)
        if not found["codes"] or not re.search(r"\w", found["rest"])
    ]


def test_modules_are_small() -> None:
    """A module has 120 lines in the middle of the field, and never more than 400."""
    lines = {name: len(source.splitlines()) for name, source in SOURCES.items()}
    assert {name: count for name, count in lines.items() if count > 400} == {}
    assert statistics.median(lines.values()) <= 120


def test_functions_are_short() -> None:
    """19 of 20 functions have at most 25 lines."""
    assert statistics.quantiles(lengths(SOURCES), n=20)[-1] <= 25


def test_public_names_are_explained() -> None:
    """Every module, and every public class, function and method has a docstring."""
    assert not [gap for name, source in SOURCES.items() for gap in undocumented(name, source)]


def test_nothing_is_silenced_without_a_reason() -> None:
    """A `type: ignore` names its code, and says why. Tests are no exception."""
    tests = {
        str(path): path.read_text("utf-8")
        for path in PROJECT.glob("tests/**/*.py")
        if path.name != "test_house.py"
    }
    found = {name: bare_ignores(source) for name, source in {**SOURCES, **tests}.items()}
    assert {name: bare for name, bare in found.items() if bare} == {}


@pytest.mark.parametrize(
    ("source", "gaps"),
    [
        ("x = 1", ["m"]),
        ('"""Words."""\ndef public(): ...', ["m.public"]),
        ('"""Words."""\nclass Public:\n    "Yes."\n    async def run(self): ...', ["m.Public.run"]),
        ('"""Words."""\ndef _private(): ...\nclass _Own:\n    def run(self): ...', []),
        ('"""Words."""\n@typing.overload\ndef public(): ...', []),
    ],
)
def test_a_gap_is_found(source: str, gaps: list[str]) -> None:
    """What is public and unexplained is named; what is private is nobody's business."""
    assert list(undocumented("m", source)) == gaps


@pytest.mark.parametrize(
    ("line", "bare"),
    [
        ("x = 1  # type: ignore", True),
        ("x = 1  # type: ignore[assignment]", True),
        ("x = 1  # type: ignore  (because)", True),
        ("x = 1  # type: ignore[assignment]  # the stub is wrong", False),
    ],
)
def test_a_bare_ignore_is_found(line: str, bare: bool) -> None:  # noqa: FBT001  (a table)
    """Code and reason are both needed."""
    assert bool(bare_ignores(line)) is bare


def test_a_long_function_is_measured() -> None:
    """Every line counts but those of the docstring."""
    source = 'def f():\n    """One.\n\n    Two.\n    """\n    a = 1\n    return a\n'
    assert lengths({"m": source}) == [3]

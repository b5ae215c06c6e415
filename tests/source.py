"""The library's own source, for the tests that read it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import resilient

ROOT = Path(resilient.__file__).parent
PROJECT = Path(__file__).parent.parent

Function = ast.FunctionDef | ast.AsyncFunctionDef


def dotted(path: Path) -> str:
    """The module's name; a package is named as its ``__init__``."""
    return ".".join(("resilient", *path.relative_to(ROOT).with_suffix("").parts))


SOURCES = {dotted(path): path.read_text("utf-8") for path in sorted(ROOT.rglob("*.py"))}


def imports(module: str, source: str, *, eager: bool = False) -> Iterator[str]:
    """What `module` imports, as absolute dotted names: anywhere in it, or only on its surface."""
    package = module.split(".")[:-1]
    tree = ast.parse(source)
    for node in tree.body if eager else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            head = ".".join([*base, *(node.module or "").split(".")]).strip(".")
            yield from (f"{head}.{alias.name}" for alias in node.names)


def functions(source: str) -> Iterator[Function]:
    """Every function and method, nested ones included."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, Function):
            yield node

"""Importing the library loads what it requires, and nothing more."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import metadata

REQUIRED = ("tenacity", "pybreaker", "cachetools", "structlog", "msgspec")


def loaded_by(*modules: str) -> set[str]:
    """Every module that a fresh interpreter has loaded after importing `modules`."""
    script = f"import {', '.join(modules)}, sys; print(*sys.modules, sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def foreign(modules: set[str]) -> set[str]:
    """Names of packages, the library's own left out."""
    return {name.split(".")[0] for name in modules} - {"resilient"}


def test_loads_no_package_beyond_its_requirements() -> None:
    """Whatever is loaded, the required packages would have loaded too."""
    ours, theirs = loaded_by("resilient"), loaded_by(*REQUIRED)
    extra = foreign(ours) - foreign(theirs) - set(sys.stdlib_module_names)
    assert not {name for name in extra if not name.startswith("_")}


def test_asyncio_is_not_our_doing() -> None:
    """A program with threads only does not load an event loop on our account.

    Among the required packages some load asyncio by themselves; then so do we.
    """
    theirs = loaded_by(*REQUIRED)
    ours = loaded_by("resilient")
    assert {n for n in ours if n.startswith("asyncio")} <= {
        n for n in theirs if n.startswith("asyncio")
    }
    assert "resilient.core.aio" not in ours
    assert "resilient.core.timer" not in ours


def test_optional_parts_are_not_loaded() -> None:
    """Edges are loaded only when they are named."""
    edges = re.compile(r"resilient\.(cli|integrations|telemetry|testing)\b")
    assert not {name for name in loaded_by("resilient") if edges.match(name)}


def test_a_package_too_many_would_be_noticed() -> None:
    """The comparison sees a package that the requirements do not bring."""
    assert "pytest" in foreign(loaded_by("resilient", "pytest")) - foreign(loaded_by(*REQUIRED))


def test_requirements_are_those_declared() -> None:
    """The list above is that of the distribution."""
    declared = metadata.requires("resilient-mode") or []
    needed = {re.split(r"[^\w-]", line)[0] for line in declared if "extra ==" not in line}
    assert needed == set(REQUIRED)

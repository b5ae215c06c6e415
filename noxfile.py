"""What can be run: ``pip install nox && nox -s tests``. Needs Python >= 3.11 and pip, no more."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "virtualenv"  # brings its own pip, unlike some systems' venv
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["tests"]

PROJECT = nox.project.load_toml("pyproject.toml")


def works(python: str | Path) -> bool:
    """Whether it starts; a version manager's stand-in for a version that is not active does not."""
    command = [str(python), "-c", ""]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0  # noqa: S603  (an interpreter)
    except OSError:
        return False


def kept_by_pyenv(version: str) -> list[Path]:
    """Directories with an interpreter of `version` that pyenv has, newest first."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    found = (root / "versions").glob(f"{version}.*/bin/python{version}")
    return sorted((path.parent for path in found), key=patch_release, reverse=True)


def patch_release(directory: Path) -> tuple[int, ...]:
    """3.12.10 is newer than 3.12.9."""
    return tuple(int(part) for part in directory.parent.name.split(".") if part.isdigit())


def is_here(version: str) -> bool:
    """Whether `version` can be run; an interpreter of pyenv's is put on the PATH for that."""
    name = f"python{version}"
    on_path = shutil.which(name)
    if on_path and works(on_path):
        return True
    for directory in kept_by_pyenv(version):
        if works(directory / name):
            os.environ["PATH"] = f"{directory}{os.pathsep}{os.environ['PATH']}"
            return True
    return False


RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"
PYTHONS = [v for v in nox.project.python_versions(PROJECT) if is_here(v)] or [RUNNING]
NEWEST = PYTHONS[-1]


def install(session: nox.Session, *groups: str, extras: str = "") -> None:
    """Install the library as its users get it, and the development groups."""
    needs = [need for group in groups for need in nox.project.dependency_groups(PROJECT, group)]
    session.install(f".[{extras}]" if extras else ".", *dict.fromkeys(needs))


def check_style(session: nox.Session) -> None:
    """Rules and layout."""
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


def check_types(session: nox.Session) -> None:
    """Everything under mypy; the promises to users under a second checker too."""
    session.run("mypy", "--strict")
    session.run("pyright", "--pythonpath", f"{session.bin}/python", "tests/typing")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """All that must hold: the tests on every Python found; style and types once, on the newest."""
    checks = session.python == NEWEST and not session.posargs
    install(session, "test", *(["lint", "typing"] if checks else []))
    if checks:
        check_style(session)
        check_types(session)
    chosen = session.posargs or ["-n", "auto", "--dist", "loadfile"]  # all of them: on every core
    session.run("python", "-m", "pytest", *chosen)


@nox.session(python=NEWEST)
def lint(session: nox.Session) -> None:
    """Rules and layout; ``nox -s lint -- --fix`` repairs what can be repaired."""
    session.install(*nox.project.dependency_groups(PROJECT, "lint"))
    if "--fix" in session.posargs:
        session.run("ruff", "check", "--fix", ".")
        session.run("ruff", "format", ".")
    else:
        check_style(session)


@nox.session(python=NEWEST)
def typing(session: nox.Session) -> None:
    """Everything under mypy; under pyright the promises to users."""
    install(session, "typing")
    check_types(session)


@nox.session(python=NEWEST)
def docs(session: nox.Session) -> None:
    """Every example of the documentation runs, and every link inside it leads somewhere."""
    install(session, "test")
    session.run("python", "-m", "pytest", "tests/test_snippets.py", *session.posargs)


@nox.session(python=NEWEST)
def demo(session: nox.Session) -> None:
    """A service that lives through its dependencies' failures; arguments after ``--``."""
    install(session, extras="demo")
    session.run("python", "-m", "resilient", "demo", *session.posargs)


@nox.session(python=NEWEST)
def bench(session: nox.Session) -> None:
    """What a protected call costs, beside other libraries; arguments after ``--``."""
    install(session)
    session.install("-r", "benchmarks/requirements.txt")
    session.run("python", "benchmarks/overhead.py", *session.posargs)


@nox.session(python=NEWEST)
def benefit(session: nox.Session) -> None:
    """Does it help? The experiment on a real server; ``-- --simulate`` for the simulated one."""
    install(session)
    session.install("-r", "benchmarks/requirements.txt")
    arguments = [each for each in session.posargs if each != "--simulate"]
    script = "brownout.py" if arguments == session.posargs else "simulation.py"
    session.run("python", f"benchmarks/{script}", *arguments)


@nox.session(python=NEWEST)
def soak(session: nox.Session) -> None:
    """Ten minutes of mixed load with faults, after which nothing has grown or is left."""
    install(session)
    session.run("python", "benchmarks/soak.py", *session.posargs)

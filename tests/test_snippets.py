"""Every example in the documentation runs, and every link inside it leads somewhere.

The blocks of one file share a namespace, in order, on a manual clock; ``await`` may stand outside
of a function. Tests that they define are run afterwards, with the fixture `resilience` if they want
it. A block after ``<!-- no-run: reason -->`` is only compiled.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent
from types import CodeType, ModuleType
from typing import Any

import pytest

from resilient import SystemOperationMode
from resilient.core.hub import hub
from resilient.testing import isolated
from tests.source import PROJECT

PAGES = sorted([PROJECT / "README.md", *PROJECT.glob("docs/**/*.md")])
BLOCK = re.compile(
    r"(?:^[ ]*<!-- no-run: (?P<reason>[^\n]+?) -->\n\s*)?"
    r"^(?P<indent>[ ]*)```python\b[^\n]*\n(?P<code>.*?)^(?P=indent)```[ ]*$",
    re.MULTILINE | re.DOTALL,
)
LINK = re.compile(r"\[[^\]]*\]\((?!https?:|mailto:)(?P<path>[^)#\s]*)(?:#(?P<anchor>[^)\s]+))?")
FENCED = re.compile(r"^[ ]*```.*?^[ ]*```[ ]*$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ +(?P<words>.+?) *$", re.MULTILINE)


def blocks(text: str, name: str) -> Iterator[tuple[CodeType, bool]]:
    """Each example, compiled with the line numbers of its page, and whether it runs."""
    for found in BLOCK.finditer(text):
        above = text.count("\n", 0, found.start("code"))
        code = "\n" * above + dedent(found["code"])
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        yield compile(code, name, "exec", flags, dont_inherit=True), not found["reason"]


def play(text: str, name: str) -> dict[str, Any]:
    """Run the examples of a page; what they have defined."""
    module = ModuleType("snippets")
    sys.modules["snippets"] = module
    try:
        with left_as_found():
            with isolated():
                for code, runs in blocks(text, name):
                    finish(eval(code, vars(module)) if runs else None)  # noqa: S307  (our own pages)
            for test in defined_tests(module):
                with isolated() as world:
                    finish(test(*[world] * len(inspect.signature(test).parameters)))
    finally:
        del sys.modules["snippets"]
    return vars(module)


@contextmanager
def left_as_found() -> Iterator[None]:
    """End what a page begins and a program would keep: its modes, its alerts, its subscriptions."""
    taps, alerts = list(hub.bus._taps), set(hub._parting)
    known = {id(policy) for policy in hub.policies()}
    try:
        yield
    finally:
        for pager in set(hub._parting) - alerts:
            pager.cancel()  # type: ignore[attr-defined]  # alerts are all that parts
        for policy in hub.policies():
            if isinstance(policy, SystemOperationMode) and id(policy) not in known:
                policy.close()
        hub.bus._taps[:] = taps
        hub.bus._forget()


def finish(result: object) -> None:
    """Run what was only begun."""
    if inspect.iscoroutine(result):
        asyncio.run(result)


def defined_tests(module: ModuleType) -> list[Callable[..., object]]:
    """The tests of a page that need nothing, or only the fixture `resilience`."""
    return [
        value
        for name, value in vars(module).items()
        if name.startswith("test_")
        and inspect.isfunction(value)
        and set(inspect.signature(value).parameters) <= {"resilience"}
    ]


def broken_links(page: Path, text: str) -> list[str]:
    """Relative links that lead to no file, or to no heading of a page."""
    broken = []
    for link in LINK.finditer(text):
        path, anchor = link["path"], link["anchor"]
        target = page.parent / path
        if path and not target.exists():
            broken.append(path)
        elif anchor and anchor not in anchors(target.read_text("utf-8") if path else text):
            broken.append(f"{path}#{anchor}")
    return broken


def anchors(text: str) -> set[str]:
    """What GitHub calls the headings of a page: their words, without markup, joined by hyphens."""
    headings = [found["words"].lower() for found in HEADING.finditer(FENCED.sub("", text))]
    return {re.sub(r"[^\w -]", "", words).replace(" ", "-") for words in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_examples_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a reader copies works. Files are written where nobody is disturbed."""
    monkeypatch.chdir(tmp_path)
    play(page.read_text("utf-8"), str(page))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_links_lead_somewhere(page: Path) -> None:
    """A relative link names a file of the project, and a heading that is on its page."""
    assert not broken_links(page, page.read_text("utf-8"))


PAGE = """
```python
x = 1
```
   ```python
   import asyncio
   await asyncio.sleep(0)
   x += 1
   ```
<!-- no-run: it never ends -->
```python
while True: await forever()
```
```console
not python
```
```python
ran = []

def test_with(resilience):
    ran.append(resilience.clock.monotonic())

async def test_without():
    ran.append("async")

def test_of_another_world(redis):
    ran.append("never")
```
"""


def test_blocks_share_a_namespace_and_may_await() -> None:
    """Indented blocks too; what must not run does not."""
    assert play(PAGE, "page.md")["x"] == 2


def test_tests_on_a_page_are_run() -> None:
    """Those whose fixtures are known; each with a world of its own."""
    assert play(PAGE, "page.md")["ran"] == [0, "async"]


def test_an_example_that_fails_is_found_with_its_line() -> None:
    """The traceback points into the page."""
    with pytest.raises(ZeroDivisionError) as caught:
        play("words\n\n```python\nx = 1\n1 / 0\n```\n", "page.md")
    last = caught.traceback[-1]
    assert (str(last.path), last.lineno + 1) == ("page.md", 5)


def test_an_example_that_is_no_python_is_found() -> None:
    """Even if it is not run."""
    with pytest.raises(SyntaxError):
        play("<!-- no-run: why not -->\n```python\nx =\n```\n", "page.md")


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    """A file or a heading that is not there is named; addresses are not looked up."""
    (tmp_path / "there.md").write_text("# A `part` of it, no more\n```sh\n# no\n```\n")
    links = "[a](there.md#a-part-of-it-no-more) [b](gone.md) [c](https://example.org) [d](#here)"
    text = f"## Here\n{links} [e](there.md#no) [f](#gone)"
    assert broken_links(tmp_path / "page.md", text) == ["gone.md", "there.md#no", "#gone"]

"""The page about settings says what the table in the code says."""

from __future__ import annotations

from resilient.cli.config import text
from resilient.config.environment import names_of
from resilient.core.defaults import SETTINGS
from tests.source import PROJECT

PAGE = PROJECT / "docs" / "how-to" / "settings.md"
HEAD = ("| setting | default | allowed | environment | what it is |", "|---|---|---|---|---|")


def rows() -> list[str]:
    """The table as the page must have it."""
    return [
        f"| `{each.dotted}` | {text(each.default)} | {each.allowed} "
        f"| {', '.join(f'`{name}`' for name in names_of(each))} | {each.purpose} |"
        for each in SETTINGS
    ]


def test_the_page_lists_every_setting() -> None:
    """Name, default, what is allowed, names in the environment, in the order of the code."""
    page = PAGE.read_text("utf-8").splitlines()
    begins = page.index(HEAD[0])
    assert page[begins : begins + 2 + len(SETTINGS)] == [*HEAD, *rows()]
    assert not page[begins + 2 + len(SETTINGS)].startswith("|")

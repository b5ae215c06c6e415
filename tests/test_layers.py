"""Imports run downwards only, and rooms on one floor do not know each other.

The facade alone may name an edge, as long as importing the facade does not load it.
"""

from __future__ import annotations

import sys

import pytest

from tests.source import SOURCES, imports

# From the ground up. A room is a set of names under `resilient`.
FLOORS = [
    [{"errors", "clock", "events"}],
    [{"core"}, {"storage"}],
    [{"policies"}],
    [{"caches"}, {"queues"}, {"journals"}, {"system"}],
    [{"__init__", "facade", "mode", "recommended", "config"}],
    [{"cli", "__main__"}, {"integrations"}, {"telemetry"}, {"testing"}],
]
PLACES = {
    name: (floor, number)
    for floor, rooms in enumerate(FLOORS)
    for number, room in enumerate(rooms)
    for name in room
}
WORDS_MAY_IMPORT = {"resilient", "pybreaker", "msgspec", *sys.stdlib_module_names}


def room_of(name: str) -> tuple[int, int]:
    """Floor and room of a dotted name; what is no module is a name of the facade."""
    part = name.split(".")[1] if "." in name else "__init__"
    return PLACES[part if part in PLACES else "__init__"]


def offences(sources: dict[str, str]) -> list[str]:
    """Every import of ours that goes up, or into the next room."""
    return [
        f"{module} imports {target}"
        for module, source in sources.items()
        for target in imports(module, source, eager=module == "resilient.__init__")
        if target.split(".")[0] == "resilient"
        and (here := room_of(module)) != (there := room_of(target))
        and there[0] >= here[0]
    ]


def test_imports_run_downwards() -> None:
    """No module imports from a floor above, or from another room of its own floor."""
    assert not offences(SOURCES)


def test_every_module_has_a_floor() -> None:
    """A new part of the library is put on the picture before it is used."""
    assert {name.split(".")[1] for name in SOURCES} <= PLACES.keys()


def test_words_need_nothing() -> None:
    """On the ground floor: the standard library, pybreaker for its error, msgspec for records."""
    for module in ("errors", "clock", "events"):
        name = f"resilient.{module}"
        found = {target.split(".")[0] for target in imports(name, SOURCES[name])}
        assert found <= WORDS_MAY_IMPORT


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("resilient.core.hub", "from resilient.policies.retry import retry"),
        ("resilient.core.hub", "import resilient"),
        ("resilient.core.hub", "def late():\n    from resilient import mode"),
        ("resilient.core.hub", "from ..policies import retry"),
        ("resilient.core.__init__", "from ..mode import Mode"),
        ("resilient.core.hub", "import resilient.storage.sqlite"),
        ("resilient.queues.queue", "from resilient.caches import cache"),
        ("resilient.policies.retry", "from resilient import breaker"),
        ("resilient.mode", "import resilient.testing"),
        ("resilient.__init__", "from resilient.telemetry.logs import enable_logs"),
        ("resilient.cli.app", "if TYPE_CHECKING:\n    from resilient.testing import ManualClock"),
    ],
)
def test_an_offender_is_found(module: str, source: str) -> None:
    """Upward and sideways imports are seen in every way in which they can be written."""
    assert len(offences({module: source})) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("resilient.core.hub", "from resilient.core import dispatch"),
        ("resilient.core.hub", "from . import dispatch"),
        ("resilient.policies.retry", "from resilient.core.hub import hub\nimport asyncio"),
        ("resilient.cli.app", "import resilient\nfrom resilient.system.states import Mode"),
        ("resilient.__init__", "from resilient.mode import Mode"),
        ("resilient.__init__", "def __getattr__(name):\n    from resilient import telemetry"),
    ],
)
def test_the_innocent_pass(module: str, source: str) -> None:
    """Downward imports, and those inside a room, are free."""
    assert not offences({module: source})

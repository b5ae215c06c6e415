"""Settings in the environment.

Each setting has the name ``RESILIENT_<SECTION>_<SETTING>``; for the policy of one name
``RESILIENT_<SECTION>__<NAME>__<SETTING>``, where every character of the name that is no letter,
digit or underscore is an underscore. The thirteen names of before there was a prefix work with it
and without. A variable that is empty is as good as not set.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping

from resilient.config.sources import ENVIRONMENT, Source, near, read_one
from resilient.core.defaults import NAMED, SECTIONS, SETTINGS
from resilient.core.setting import Setting, masked
from resilient.core.values import Given, folded
from resilient.errors import ConfigError

__all__ = ["PATH", "names_of", "read_environment"]

PREFIX = "RESILIENT_"
PATH = f"{PREFIX}CONFIG"
"""Names the file that settings are read from."""

_SERVICE = re.compile(r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP)(_\w+)?)?)$")
"""What Kubernetes sets for each service; one may be called resilient-something."""


def names_of(setting: Setting) -> tuple[str, ...]:
    """The variables that stand for a setting; the first that is set holds."""
    plain = f"{PREFIX}{setting.section}_{setting.name}".upper()
    old = setting.variable
    return tuple(dict.fromkeys((plain, PREFIX + old, old))) if old else (plain,)


def read_environment(environ: Mapping[str, str]) -> Source:
    """What the environment says; names of policies are as it has them."""
    source = Source({}, [])
    for setting in SETTINGS:
        variable = next((name for name in names_of(setting) if environ.get(name, "").strip()), None)
        if variable is not None:
            _read(source, setting, None, variable, environ)
    for variable, setting, name in _for_one(environ, source):
        _read(source, setting, name, variable, environ)
    source.problems.extend(_unknown(environ))
    return source


def _read(
    source: Source, setting: Setting, name: str | None, variable: str, environ: Mapping[str, str]
) -> None:
    like = Given(None, f"environment variable {variable}", ENVIRONMENT)
    read_one(source, setting, name, environ[variable].strip(), like)


def _for_one(environ: Mapping[str, str], source: Source) -> Iterator[tuple[str, Setting, str]]:
    """The variables about one policy: their names, and what they are about."""
    for section in NAMED:
        start = f"{PREFIX}{section.upper()}__"
        for variable in environ:
            if not (variable.startswith(start) and environ[variable].strip()):
                continue
            name, _, key = variable.removeprefix(start).rpartition("__")
            setting = SECTIONS[section].get(key.lower())
            if setting is None or not name:
                known = (f"{start}<NAME>__{each.upper()}" for each in SECTIONS[section])
                source.problems.append(_refusal(variable, environ, known))
            else:
                yield variable, setting, folded(name)


def _unknown(environ: Mapping[str, str]) -> Iterator[ConfigError]:
    """Variables with our prefix that are near to a name of ours, and none.

    One that resembles nothing is somebody else's.
    """
    known = [PATH, *(name for each in SETTINGS for name in names_of(each))]
    sections = tuple(f"{PREFIX}{section.upper()}_" for section in SECTIONS)
    one = tuple(f"{PREFIX}{section.upper()}__" for section in NAMED)
    for variable in environ:
        if not variable.startswith(PREFIX) or variable.startswith(one) or variable in known:
            continue
        if _SERVICE.search(variable):
            continue
        if variable.startswith(sections) or difflib.get_close_matches(variable, known, cutoff=0.85):
            yield _refusal(variable, environ, known)


def _refusal(
    variable: str, environ: Mapping[str, str], known: Iterator[str] | list[str]
) -> ConfigError:
    allowed = f"a variable of ours: {near(variable, known)}"
    origin = f"environment variable {variable}"
    return ConfigError(variable, masked(environ[variable], variable), allowed, origin)

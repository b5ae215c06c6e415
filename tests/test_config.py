"""Settings from four places: which one holds, and what is said of one that is not allowed."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import pytest

import resilient
from resilient import ConfigError, configure
from resilient.config.environment import names_of
from resilient.core.configured import configured
from resilient.core.defaults import SECTIONS, SETTINGS, VARIABLES
from resilient.core.setting import masked
from resilient.core.values import Values
from resilient.system.settings import DEFAULTS

OLD = {
    # From the document on system resilience, its section "Configuration Options": name, a value
    # as a variable holds it, the setting, and the value as a policy gets it.
    "CIRCUIT_BREAKER_FAILURE_THRESHOLD": ("7", "breaker.failure_threshold", 7),
    "CIRCUIT_BREAKER_RESET_TIMEOUT": ("90", "breaker.reset_timeout", 90.0),
    "RETRY_MAX_ATTEMPTS": ("4", "retry.attempts", 4),
    "RETRY_INITIAL_DELAY": ("0.2", "retry.initial_delay", 0.2),
    "RETRY_MAX_DELAY": ("5", "retry.max_delay", 5.0),
    "RETRY_BACKOFF_FACTOR": ("1.5", "retry.backoff_factor", 1.5),
    "CACHE_MEMORY_SIZE": ("10", "cache.memory_size", 10),
    "CACHE_DISK_DIR": ("/var/cache/app", "cache.disk_dir", "/var/cache/app"),
    "CACHE_REDIS_URL": ("redis://cache:6379/0", "cache.redis_url", "redis://cache:6379/0"),
    "CACHE_DEFAULT_TTL": ("60", "cache.default_ttl", 60.0),
    "QUEUE_STORAGE_PATH": ("/var/lib/tasks", "queue.storage_path", "/var/lib/tasks"),
    "QUEUE_MAX_SIZE": ("50", "queue.max_size", 50),
    "QUEUE_WORKER_COUNT": ("2", "queue.worker_count", 2),
}


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing is configured, nobody follows, and there is no file."""
    monkeypatch.setattr(configured, "values", Values())
    monkeypatch.setattr(configured, "_followers", WeakKeyDictionary())
    monkeypatch.chdir(tmp_path)


def test_the_defaults_are_allowed() -> None:
    """Every default is a value that the setting itself would take."""
    assert all(each.read(each.default) == each.default for each in SETTINGS)


def test_the_mode_has_the_defaults_of_its_settings() -> None:
    """The table and the mode's own constants say the same, and know the same names."""
    expected = {name: getattr(DEFAULTS, name) for name in DEFAULTS.__slots__} | {"interval": 1.0}
    assert {name: each.default for name, each in SECTIONS["mode"].items()} == expected


FILE, TOML = "[breaker]\nreset_timeout = 2\n", "[tool.resilient.breaker]\nreset_timeout = 1\n"
VARIABLE = "CIRCUIT_BREAKER_RESET_TIMEOUT"
PLAIN = {VARIABLE: "3"}
PREFIXED = {f"RESILIENT_{VARIABLE}": "4"}
OURS = {"RESILIENT_BREAKER_RESET_TIMEOUT": "5"}
CODE: dict[str, Any] = {"breaker": {"reset_timeout": 6}}


@pytest.mark.parametrize(
    ("files", "environ", "code", "held"),
    [
        ({}, {}, {}, (60.0, "default")),
        ({"pyproject.toml": TOML}, {}, {}, (1.0, "file {}/pyproject.toml")),
        ({"resilient.toml": FILE}, {}, {}, (2.0, "file {}/resilient.toml")),
        ({"pyproject.toml": TOML, "resilient.toml": FILE}, {}, {}, (2.0, "file {}/resilient.toml")),
        ({"resilient.toml": FILE}, PLAIN, {}, (3.0, f"environment variable {VARIABLE}")),
        ({}, PLAIN | PREFIXED, {}, (4.0, f"environment variable RESILIENT_{VARIABLE}")),
        ({}, PLAIN | PREFIXED | OURS, {}, (5.0, f"environment variable {next(iter(OURS))}")),
        ({"resilient.toml": FILE}, PLAIN | OURS, CODE, (6.0, "code")),
        ({"resilient.toml": FILE}, {VARIABLE: "  "}, {}, (2.0, "file {}/resilient.toml")),
    ],
)
def test_precedence(
    files: dict[str, str],
    environ: dict[str, str],
    code: dict[str, Any],
    held: tuple[float, str],
    tmp_path: Path,
) -> None:
    """Code over environment over file over default; and each value knows where it is from."""
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    setting = configure(environ=environ, **code).settings["breaker.reset_timeout"]
    value, origin = held
    assert (setting.value, setting.origin) == (value, origin.format(tmp_path))
    assert resilient.breaker("db").rules.reset_timeout == value
    assert resilient.breaker("db", reset_timeout=9).rules.reset_timeout == 9.0


@pytest.mark.parametrize(
    ("toml", "environ", "code", "value"),
    [
        ("[breaker]\nreset_timeout = 2\n[breaker.db]\nreset_timeout = 3", {}, {}, 3.0),
        ("[breaker.db]\nreset_timeout = 3", OURS, {}, 3.0),
        ("[breaker.db]\nreset_timeout = 3", {}, CODE, 3.0),
        ("[breaker.other]\nreset_timeout = 3", {}, {}, 60.0),
        ("[breaker.db]\nreset_timeout = 3", {"RESILIENT_BREAKER__DB__RESET_TIMEOUT": "4"}, {}, 4.0),
        (
            "[breaker.db]\nreset_timeout = 3",
            {"RESILIENT_BREAKER__DB__RESET_TIMEOUT": "4"},
            {"breaker": {"db": {"reset_timeout": 5}}},
            5.0,
        ),
    ],
)
def test_a_named_setting_beats_a_general_one(
    toml: str, environ: dict[str, str], code: dict[str, Any], value: float, tmp_path: Path
) -> None:
    """What is said of one policy holds for it over what is said of all, wherever that is said."""
    (tmp_path / "resilient.toml").write_text(toml)
    configure(environ=environ, **code)
    assert resilient.breaker("db").rules.reset_timeout == value


def test_a_name_may_have_characters_that_variables_have_not() -> None:
    """In the name of a variable every other character is an underscore."""
    found = configure(environ={"RESILIENT_BREAKER__API_EXAMPLE_COM__WINDOW": "7"})
    assert resilient.breaker("api.example.com").rules.window_seconds == 7.0
    assert found.settings["breaker.API_EXAMPLE_COM.window"].value == 7.0


@pytest.mark.parametrize("prefix", ["", "RESILIENT_"])
@pytest.mark.parametrize("variable", OLD)
def test_the_thirteen_names(variable: str, prefix: str) -> None:
    """The names of before there was a prefix work as they are, and with it."""
    text, name, value = OLD[variable]
    setting = configure(environ={prefix + variable: text}).settings[name]
    assert (setting.value, setting.origin) == (value, f"environment variable {prefix}{variable}")


def test_those_are_all() -> None:
    """No other name is taken without a prefix, and every setting has one with it."""
    assert {variable: name for variable, (_, name, _) in OLD.items()} == VARIABLES
    every = [name for each in SETTINGS for name in names_of(each)]
    assert {name for name in every if not name.startswith("RESILIENT_")} == OLD.keys()
    assert len(every) == len(set(every))
    assert {f"RESILIENT_{name}" for name in OLD} <= set(every)


SHOULD_BE_WHOLE = "a whole number >= 1"


@pytest.mark.parametrize(
    ("toml", "environ", "code", "facts"),
    [
        (
            "[breaker]\nfailure_threshold = 0",
            {},
            {},
            ("breaker.failure_threshold", 0, f"{SHOULD_BE_WHOLE}, or none", "file {}"),
        ),
        (
            '[breaker]\nreset_timeout = "60"',
            {},
            {},
            ("breaker.reset_timeout", "60", "seconds > 0", "file {}"),
        ),
        (
            "[breaker.db]\nwindow = inf",
            {},
            {},
            ("breaker.db.window", float("inf"), "seconds > 0", "file {}"),
        ),
        (
            '[breaker."a.b"]\nwindow = true',
            {},
            {},
            ('breaker."a.b".window', True, "seconds > 0", "file {}"),
        ),
        (
            "[retry]\nattempts = 2.5",
            {},
            {},
            ("retry.attempts", 2.5, SHOULD_BE_WHOLE, "file {}"),
        ),
        (
            "",
            {"RETRY_BACKOFF_FACTOR": "0.5"},
            {},
            (
                "retry.backoff_factor",
                "0.5",
                "a number >= 1",
                "environment variable RETRY_BACKOFF_FACTOR",
            ),
        ),
        (
            "",
            {"RESILIENT_BULKHEAD__DB__LIMIT": "many"},
            {},
            (
                "bulkhead.DB.limit",
                "many",
                f"{SHOULD_BE_WHOLE}, or none",
                "environment variable RESILIENT_BULKHEAD__DB__LIMIT",
            ),
        ),
        (
            "",
            {"CACHE_REDIS_URL": "http://me:secret@cache"},
            {},
            (
                "cache.redis_url",
                "http://me:***@cache",
                "an address redis://..., rediss://... or unix://..., or none",
                "environment variable CACHE_REDIS_URL",
            ),
        ),
        (
            "",
            {},
            {"rate_limit": {"rate": -1}},
            ("rate_limit.rate", -1, "a number > 0, or none", "code"),
        ),
        (
            "[mode]\nreturn_normal = 80",
            {},
            {},
            ("mode.return_normal", 80.0, "85 to 100", "file {}"),
        ),
        (
            "[breaker]\nreset_timeot = 1",
            {},
            {},
            (
                "breaker.reset_timeot",
                1,
                "a setting of [breaker]: did you mean reset_timeout?",
                "file {}",
            ),
        ),
        (
            "[retry.db]\nattempts = 1",
            {},
            {},
            (
                "retry.db",
                {"attempts": 1},
                "a setting of [retry]: one of attempts, initial_delay, max_delay, backoff_factor",
                "file {}",
            ),
        ),
        (
            "[braker]\nreset_timeout = 1",
            {},
            {},
            ("braker", {"reset_timeout": 1}, "a section: did you mean breaker?", "file {}"),
        ),
        ("breaker = 5", {}, {}, ("breaker", 5, "a table of settings, [breaker]", "file {}")),
        (
            "",
            {"RESILIENT_BREAKER_RESET_TIMEOT": "5"},
            {},
            (
                "RESILIENT_BREAKER_RESET_TIMEOT",
                "5",
                "a variable of ours: did you mean RESILIENT_BREAKER_RESET_TIMEOUT?",
                "environment variable RESILIENT_BREAKER_RESET_TIMEOT",
            ),
        ),
        (
            "",
            {"RESILIENT_BRAKER_RESET_TIMEOUT": "5"},
            {},
            (
                "RESILIENT_BRAKER_RESET_TIMEOUT",
                "5",
                "a variable of ours: did you mean RESILIENT_BREAKER_RESET_TIMEOUT?",
                "environment variable RESILIENT_BRAKER_RESET_TIMEOUT",
            ),
        ),
        (
            "",
            {"RESILIENT_BREAKER__DB__RESET_TIMEOT": "5"},
            {},
            (
                "RESILIENT_BREAKER__DB__RESET_TIMEOT",
                "5",
                "a variable of ours: did you mean RESILIENT_BREAKER__<NAME>__RESET_TIMEOUT?",
                "environment variable RESILIENT_BREAKER__DB__RESET_TIMEOT",
            ),
        ),
    ],
)
def test_an_error_names_the_four_facts(
    toml: str,
    environ: dict[str, str],
    code: dict[str, Any],
    facts: tuple[str, object, str, str],
    tmp_path: Path,
) -> None:
    """Setting, value, what is allowed, origin; what was probably meant; and nothing is in force."""
    file = tmp_path / "resilient.toml"
    file.write_text(toml)
    with pytest.raises(ConfigError) as caught:
        configure(environ=environ, **code)
    error = caught.value
    setting, value, allowed, origin = facts
    assert (error.setting, error.value, error.allowed) == (setting, value, allowed)
    assert error.origin == origin.format(file)
    assert configured.values.exact == {}


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    """The first is the error, those of all sources are its notes."""
    (tmp_path / "resilient.toml").write_text("[retry]\nattempts = 0\ntries = 3\n")
    with pytest.raises(ConfigError) as caught:
        configure(environ={"QUEUE_MAX_SIZE": "0"}, cache={"memory_size": "big"})
    told = "\n".join([str(caught.value), *caught.value.__notes__])
    for name in ("retry.attempts=0", "retry.tries=3", "QUEUE_MAX_SIZE", "cache.memory_size='big'"):
        assert name in told


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("gone.toml", None, "a file that can be read (No such file or directory)"),
        ("bad.toml", b"[breaker\n", "at line 1"),
        ("latin.toml", b'[breaker]\nname = "\xe9"\n', "a file of TOML in UTF-8 ("),
    ],
)
@pytest.mark.parametrize("by", ["code", "environment variable RESILIENT_CONFIG"])
def test_a_file_that_cannot_be_read(
    name: str, content: bytes | None, words: str, by: str, tmp_path: Path
) -> None:
    """A file that was named must be there and be TOML; the error says who named it."""
    if content is not None:
        (tmp_path / name).write_bytes(content)
    environ = {} if by == "code" else {"RESILIENT_CONFIG": name}
    with pytest.raises(ConfigError) as caught:
        configure(path=name if by == "code" else None, environ=environ)
    error = caught.value
    assert (error.setting, error.value, error.origin) == ("path", str(tmp_path / name), by)
    assert words in error.allowed


@pytest.mark.parametrize(
    ("path", "environ"),
    [
        ("deep/app.toml", {}),
        (Path("deep/app.toml"), {"RESILIENT_CONFIG": "no.toml"}),
        (None, {"RESILIENT_CONFIG": "deep/app.toml"}),
        ("deep/pyproject.toml", {}),
    ],
)
def test_a_named_file_takes_the_place_of_the_usual_ones(
    path: str | Path | None, environ: dict[str, str], tmp_path: Path
) -> None:
    """An argument beats the variable, and both beat what lies in the working directory."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "app.toml").write_text("[retry]\nattempts = 6")
    (tmp_path / "deep" / "pyproject.toml").write_text("[tool.resilient.retry]\nattempts = 6")
    (tmp_path / "resilient.toml").write_text("[retry]\nattempts = 0")
    found = configure(path=path, environ=environ)
    assert found.settings["retry.attempts"].value == 6
    assert found.path is not None
    assert found.path.parent == tmp_path / "deep"


@pytest.mark.parametrize("text", ["", "[tool]\nother = 1", "[tool.other]\nx = 1"])
def test_a_pyproject_of_somebody_else(text: str, tmp_path: Path) -> None:
    """Without our table it is as if it were not there."""
    (tmp_path / "pyproject.toml").write_text(text)
    assert configure(environ={}).path is None


@pytest.mark.parametrize(
    "variable",
    [
        "RESILIENT_SERVICE_HOST",
        "RESILIENT_CACHE_SERVICE_PORT_HTTP",
        "RESILIENT_CACHE_PORT_6379_TCP_ADDR",
        "RESILIENT_CACHE_PORT",
        "RESILIENT_DASHBOARD_COLOUR",
        "RESILIENTLY",
        "QUEUE_COLOUR",
        "CIRCUIT_BREAKER_RESET_TIMEOT",
    ],
)
def test_what_others_put_into_the_environment(variable: str) -> None:
    """Kubernetes names a service's address after it, and prefixes are nobody's property."""
    assert configure(environ={variable: "tcp://10.0.0.1:80"}).settings


def test_none_has_a_word() -> None:
    """Where none is allowed, a file and the environment write it as a word."""
    found = configure(
        environ={"CIRCUIT_BREAKER_FAILURE_THRESHOLD": "none"},
        breaker={"slow_call_rate": "none", "failure_rate": None},
    )
    names = ("failure_threshold", "slow_call_rate", "failure_rate")
    assert [found.settings[f"breaker.{name}"].value for name in names] == [None] * 3
    rules = resilient.breaker("db").rules
    assert (rules.failure_threshold, rules.slow_call_rate) == (None, None)


def test_what_code_may_write(tmp_path: Path) -> None:
    """A timedelta is a length of time, and a path is a path; elsewhere they are refused."""
    found = configure(
        environ={}, breaker={"window": timedelta(minutes=1)}, cache={"disk_dir": tmp_path}
    ).settings
    assert found["breaker.window"].value == 60.0
    assert found["cache.disk_dir"].value == os.fspath(tmp_path)
    with pytest.raises(ConfigError):
        configure(environ={}, breaker={"failure_rate": timedelta(seconds=1)})


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("redis://me:secret@cache/0", "redis://me:***@cache/0"),
        ("rediss://:s:e/c@cache", "rediss://:***@cache"),  # better too much than too little
        ("redis://:s:e@c@cache", "redis://:***@cache"),
        ("redis://cache/0?password=secret&db=1", "redis://cache/0?password=***&db=1"),
        ("redis://cache:6379/0", "redis://cache:6379/0"),
    ],
)
def test_passwords_are_not_shown(address: str, shown: str) -> None:
    """An address is shown without its password, in errors too."""
    assert masked(address) == shown


def test_the_process_has_an_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `environ` it is that of the process, as it is when it is read."""
    monkeypatch.setenv("RETRY_MAX_ATTEMPTS", "8")
    found = configure()
    assert found.settings["retry.attempts"].value == 8
    monkeypatch.setenv("RETRY_MAX_ATTEMPTS", "9")
    assert {name: each.value for name, each in found.reload().items()} == {"retry.attempts": 9}


@pytest.mark.parametrize("kind", ["bulkhead", "rate_limit"])
def test_what_is_needed_and_not_there(kind: str) -> None:
    """A limit that has no default says how to give it."""
    setting = "limit" if kind == "bulkhead" else "rate"
    with pytest.raises(ConfigError) as caught:
        getattr(resilient, kind)("orders")
    assert caught.value.setting == f"{kind}.{setting}"
    assert f'[{kind}."orders"] {setting} = ...' in caught.value.allowed
    code: dict[str, Any] = {kind: {"orders": {setting: 3}}}
    configure(environ={}, **code)
    assert "3" in getattr(resilient, kind)("orders").describe()


def test_the_numbers_of_one_rate_belong_together() -> None:
    """A rate given in the program is not one in a minute because the settings say so of theirs."""
    configure(environ={}, rate_limit={"rate": 5, "per": 60, "burst": 9})
    theirs, own = resilient.rate_limit("a"), resilient.rate_limit("b", rate=2)
    assert theirs.rates.words == "5 in 60 s, 9 at once"
    assert own.rates.words == "2 in 1 s, 2 at once"
    assert resilient.rate_limit("c", algorithm="fixed_window").rates.burst == 5


@pytest.mark.parametrize("name", ["PAYMENTS_API", "payments_api", "Payments_Api"])
def test_a_variable_about_one_policy_may_be_written_in_either_case(name: str) -> None:
    """One whose name is in small letters is not ignored in silence."""
    configure(environ={f"RESILIENT_BREAKER__{name}__RESET_TIMEOUT": "7"})
    assert "7 s open" in resilient.breaker("payments-api").describe()


def test_spaces_between_thresholds() -> None:
    """A list in the environment may be written as one writes lists."""
    made = configure(environ={"RESILIENT_MODE_THRESHOLDS": "96, 85 ,70, 50,25"})
    assert made.settings["mode.thresholds"].value == (96.0, 85.0, 70.0, 50.0, 25.0)


def test_a_file_may_begin_with_a_mark(tmp_path: Path) -> None:
    """Some editors write a byte order mark."""
    (tmp_path / "resilient.toml").write_bytes(b"\xef\xbb\xbf[retry]\nattempts = 4\n")
    assert configure(environ={}).settings["retry.attempts"].value == 4


def test_a_file_that_is_too_deep(tmp_path: Path) -> None:
    """It is refused like any other that is no good."""
    (tmp_path / "resilient.toml").write_text("x = " + "[" * 100_000, "utf-8")
    with pytest.raises(ConfigError, match="a file of TOML in UTF-8"):
        configure(environ={})


@pytest.mark.parametrize(
    ("environ", "code"),
    [
        ({"RESILIENT_CACHE_PASSWORD": "hunter2"}, {}),
        ({"RESILIENT_QUEUE_API_KEY": "hunter2"}, {}),
        ({}, {"cach": {"redis_url": "redis://:hunter2@cache/0"}}),
        ({}, {"cache": {"redis_url": ["redis://:hunter2@cache/0"]}}),
        ({}, {"cache": {"redis_url": {"x": {"y": "redis://:hunter2@cache/0"}}}}),
        ({}, {"cache": {"redis_secret": "hunter2"}}),
        ({}, {"cache": {"redis": {"password": "hunter2"}}}),
    ],
)
def test_secrets_in_the_wrong_place_are_not_shown(
    environ: dict[str, str], code: dict[str, Any]
) -> None:
    """The error ends up in a log."""
    with pytest.raises(ConfigError) as caught:
        configure(environ=environ, **code)
    assert "hunter2" not in str(caught.value)
    assert "***" in str(caught.value)


@pytest.mark.parametrize("limit", [1_000_001, 10**12])
def test_a_bulkhead_that_would_take_all_memory_is_refused(limit: int) -> None:
    """In the program, when one is made, and when it lives: then nothing has changed."""
    with pytest.raises(ConfigError, match="from 1 to 1000000"):
        resilient.bulkhead("reports", limit=limit)
    configure(environ={}, bulkhead={"limit": 2})
    living = resilient.bulkhead("reports")
    with pytest.raises(ConfigError, match=r"bulkhead\.limit=.*from 1 to 1000000"):
        configure(environ={}, bulkhead={"limit": limit})
    assert living.limit == 2

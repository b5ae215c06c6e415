"""The one table of settings: what each is called, its default, and what is allowed.

Policies take from it what they are not given; `resilient.configure` says otherwise. The names in
the environment without a prefix, and the defaults of breaker, retry, cache and queue, are those of
the document on system resilience that the library was built from (its section "Configuration
Options"), but for files: nothing is written where nobody asked for it.
"""

from __future__ import annotations

from collections.abc import Mapping

from resilient.core.setting import Kind, Setting, number, seconds, text, whole

__all__ = ["NAMED", "SECTIONS", "SETTINGS", "VARIABLES"]

VARIABLES = {
    "CIRCUIT_BREAKER_FAILURE_THRESHOLD": "breaker.failure_threshold",
    "CIRCUIT_BREAKER_RESET_TIMEOUT": "breaker.reset_timeout",
    "RETRY_MAX_ATTEMPTS": "retry.attempts",
    "RETRY_INITIAL_DELAY": "retry.initial_delay",
    "RETRY_MAX_DELAY": "retry.max_delay",
    "RETRY_BACKOFF_FACTOR": "retry.backoff_factor",
    "CACHE_MEMORY_SIZE": "cache.memory_size",
    "CACHE_DISK_DIR": "cache.disk_dir",
    "CACHE_REDIS_URL": "cache.redis_url",
    "CACHE_DEFAULT_TTL": "cache.default_ttl",
    "QUEUE_STORAGE_PATH": "queue.storage_path",
    "QUEUE_MAX_SIZE": "queue.max_size",
    "QUEUE_WORKER_COUNT": "queue.worker_count",
}
"""Names in the environment that need no prefix, and the settings they stand for."""

NAMED = ("breaker", "bulkhead", "rate_limit")
"""Sections whose settings may be given for one policy by its name."""

_SHARE = number(0, 1)
_SHARE_OR_NONE = number(0, 1, none=True)
_SCORE = number(0, 100)
_REDIS = text("an address redis://..., rediss://... or unix://...", r"^(rediss?|unix)://.")
_SCORES = Kind(tuple[float, ...], "five numbers, strictly falling, below or at 100 and above 0")

_ROWS: dict[str, tuple[tuple[str, object, Kind, str], ...]] = {
    "breaker": (
        ("failure_threshold", 5, whole(none=True), "failures in a row that open it"),
        ("failure_rate", None, _SHARE_OR_NONE, "share of failures that opens it"),
        ("window", 30.0, seconds(), "time over which rates are counted"),
        ("minimum_calls", 20, whole(), "calls before a rate is known"),
        ("slow_call_duration", None, seconds(none=True), "a call that takes longer is slow"),
        ("slow_call_rate", 1.0, _SHARE_OR_NONE, "share of slow calls that opens it"),
        ("reset_timeout", 60.0, seconds(), "time that it stays open"),
        ("reset_backoff", 1.0, number(1), "factor for each opening since it was closed"),
        ("max_reset_timeout", 600.0, seconds(), "the most that the open time grows to"),
        ("reset_jitter", 0.0, number(0, 1, zero=True), "random share of the open time"),
        ("half_open_calls", 1, whole(), "trial calls, judged together"),
        ("half_open_success_rate", 1.0, _SHARE, "share of them that must succeed"),
        ("half_open_timeout", None, seconds(none=True), "when a trial call loses its place"),
    ),
    "retry": (
        ("attempts", 3, whole(), "calls in all"),
        ("initial_delay", 0.1, seconds(), "the first wait, at most"),
        ("max_delay", 2.0, seconds(), "the most that a wait grows to"),
        ("backoff_factor", 2.0, number(1), "what each wait grows by"),
    ),
    "bulkhead": (
        ("limit", None, whole(none=True), "calls at a time"),
        ("queue", 0, whole(0), "calls that may wait"),
        ("max_wait", None, seconds(zero=True, none=True), "how long one waits at most"),
    ),
    "rate_limit": (
        ("rate", None, number(none=True), "calls that may start in each `per`"),
        ("per", 1.0, seconds(), "the time that `rate` is about"),
        ("burst", None, whole(none=True), "calls that may start at once"),
        ("max_wait", 0.0, seconds(zero=True), "how long one waits at most"),
    ),
    "cache": (
        ("memory_size", 1000, whole(), "entries in memory"),
        ("disk_dir", None, text("the path of a directory"), "where entries are kept on disk"),
        ("redis_url", None, _REDIS, "a Redis server that keeps entries"),
        ("default_ttl", 3600.0, seconds(), "how long an entry is fresh"),
    ),
    "queue": (
        ("storage_path", None, text("the path of a file"), "where tasks are kept on disk"),
        ("max_size", 1000, whole(), "tasks that may wait"),
        ("worker_count", 5, whole(), "tasks under way at a time"),
    ),
    "mode": (
        ("thresholds", (95.0, 85.0, 70.0, 50.0, 25.0), _SCORES, "least scores of the states"),
        ("return_normal", 90.0, _SCORE, "score at which NORMAL may be entered again"),
        ("return_degraded", 62.0, _SCORE, "score at which DEGRADED may be entered again"),
        ("tau", 2.5, seconds(), "time constant of the smoothing"),
        ("confirm_worse", 2.65, seconds(zero=True), "time beyond an edge before it worsens"),
        ("confirm_degraded", 38.0, seconds(zero=True), "time before it improves to DEGRADED"),
        ("confirm_normal", 48.0, seconds(zero=True), "time before it improves to NORMAL"),
        ("dwell", 30.0, seconds(zero=True), "how long a mode is kept before it improves"),
        ("flap_window", 900.0, seconds(), "a relapse so soon after an improvement counts"),
        ("flap_half_life", 900.0, seconds(), "time in which such counts halve"),
        ("flap_limit", 7.0, number(0, zero=True), "the most that they add up to"),
        ("fresh_for", 90.0, seconds(), "age at which evidence is dropped"),
        ("minimum_calls", 20, whole(), "calls before a rate says something"),
        ("cascade_window", 30.0, seconds(), "between two failures of one cascade"),
        ("blind_after", 120.0, seconds(), "how long half of what was promised may be silent"),
        ("interval", 1.0, seconds(), "between two evaluations"),
    ),
}
_OLD = {dotted: variable for variable, dotted in VARIABLES.items()}

SECTIONS: Mapping[str, Mapping[str, Setting]] = {
    section: {row[0]: Setting(section, *row, _OLD.get(f"{section}.{row[0]}", "")) for row in rows}
    for section, rows in _ROWS.items()
}
"""Every setting, by section and name."""

SETTINGS = tuple(setting for section in SECTIONS.values() for setting in section.values())
"""Every setting, in the order in which they are shown."""

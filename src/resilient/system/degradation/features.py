"""Features that step back when the system is not well."""

from __future__ import annotations

from resilient.clock import Clock, Duration, chosen, seconds
from resilient.errors import ConfigError
from resilient.policies.match import named, optional
from resilient.system.degradation.desk import ModeSource
from resilient.system.degradation.gate import Feature, Otherwise
from resilient.system.states import Mode

__all__ = ["feature"]

_REFUSE = object()
"""In place of an answer: there is none, so the call is refused."""


def feature(  # noqa: PLR0913  (every setting of the gate, all but the name optional)
    name: str,
    *,
    down_to: Mode | str = Mode.NORMAL,
    otherwise: object = _REFUSE,
    mode: ModeSource | None = None,
    probe_every: Duration | None = 10.0,
    clock: Clock | None = None,
) -> Feature:
    """Make a part of the application step back while the system is not well.

    Calls pass while the mode is no worse than `down_to`. Else they are answered by `otherwise` or,
    without it, refused with `FeatureUnavailableError`. ``mode.features`` lists every feature.

    * `name`: what errors, events and `mode.freeze` call it.
    * `down_to`: the worst `Mode` in which it serves. ``Mode.EMERGENCY``: the mode never shuts it.
    * `otherwise`: a value, a function of the same arguments (async for an ``async def``), or an
      alternative as `resilient.fallback` takes them. `resilient.outcome` shows which it was.
    * `mode`: the `SystemOperationMode` to obey; by default the default one.
    * `probe_every`: once in so many seconds a call passes although the mode has shut the feature,
      so that what only this feature uses can be seen to be well again; `None` for never. While it
      is frozen or disabled nothing passes.

    For ``def``, ``async def``, methods, and blocks (``with``, if there is no `otherwise`).
    Raises `ConfigError` naming the setting, its value and what is allowed; `TypeError` for an async
    `otherwise` of a ``def``, and for a block if there is an `otherwise`.

    Example::

        @feature("recommendations", otherwise=[])
        def suggest(user: int) -> list[str]: ...
    """
    if mode is not None and not (hasattr(mode, "current") and hasattr(mode, "frozen")):
        raise ConfigError("mode", mode, "a SystemOperationMode, or None for the default one")
    checked = named(name)
    return Feature(
        checked,
        Mode.of(down_to, "down_to"),
        None if otherwise is _REFUSE else Otherwise(checked, otherwise),
        mode,
        optional(seconds, "probe_every", probe_every),
        chosen(clock),
    )

"""The one shared object that says how the application should work now, and why.

::

    mode = SystemOperationMode()
    payments = breaker("payments", criticality="critical", mode=mode)

    if mode.current is Mode.EMERGENCY:
        return DEFAULT_ANSWER

Breakers that name it (or none: then the default mode) are its evidence. `mode.explain()` accounts
for every point of the score. What decides is pure and lies in `resilient.system`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from resilient.clock import Clock, Duration
from resilient.core.configured import UNSET, Recipe, UnsetType, configured
from resilient.core.hub import hub
from resilient.system.checklist.requiring import Requiring
from resilient.system.decision.engine import Override, Trip
from resilient.system.decision.evidence import clamp
from resilient.system.decision.explain import Explanation, explain
from resilient.system.decision.reasons import reasons_of
from resilient.system.declaring import Declaring
from resilient.system.degradation.context import Responding
from resilient.system.degradation.reactions import REACTIONS, Reactions
from resilient.system.history import Statistics
from resilient.system.impact.checkup import Checkup
from resilient.system.impact.expecting import Expecting
from resilient.system.metric import Metric
from resilient.system.probes.probing import Probing
from resilient.system.recoveries.recovering import Recovering
from resilient.system.runbooks.running_books import RunningBooks
from resilient.system.signals.signalling import Signalling
from resilient.system.states import Mode, ModeChange, SystemState
from resilient.system.ticking import Ticking
from resilient.system.tuning import Tuning, tuned

__all__ = [
    "Explanation",
    "Metric",
    "Mode",
    "ModeChange",
    "Statistics",
    "SystemOperationMode",
    "SystemState",
    "default_mode",
]

T = TypeVar("T")


class SystemOperationMode(
    Declaring,
    Probing,
    Signalling,
    Requiring,
    Recovering,
    RunningBooks,
    Responding,
    Expecting,
    Checkup,
    Tuning,
    Ticking,
):
    """Turns evidence about components into a score, a state and a mode: steadily, and explained.

    It starts in NORMAL, with no thread and no task: it is brought up to date when it is read, if
    the last time is `interval` ago or something happened. `start()` or ``async with mode`` make it
    tick by itself. One object serves any number of threads and event loops.

    Parameters, with seconds unless said otherwise:

    * `name`: shown in events; `clock`: the machine's by default; `interval`: between ticks;
    * `thresholds`: least scores of the six states but the last, strictly falling;
    * `return_normal`, `return_degraded`: score at which NORMAL and DEGRADED may be entered again;
    * `tau`: time constant of the smoothing;
    * `confirm_worse`: how long the score must lack 22 points to an edge, or longer if it lacks
      less, before the mode worsens; `confirm_degraded`, `confirm_normal`: how long it must stay
      beyond one before the mode improves to DEGRADED or to NORMAL;
    * `dwell`: how long a mode is kept before it improves;
    * `flap_window`, `flap_half_life`, `flap_limit`: a relapse so soon after an improvement adds 1
      (up to the limit, halved every half-life) to what multiplies the time to improve;
    * `fresh_for`: evidence older than this is dropped; `minimum_calls`: outcomes before a success
      rate counts; `cascade_window`: between failures of one cascade; `blind_after`: how long half
      of what was promised may be silent;
    * `reactions`: what the library does by itself in each mode; `None` for nothing.

    Those that are not given are the settings of the section ``mode``, and follow
    `resilient.configure`. The defaults were found by simulation; `docs/explanation/mode.md` has the
    figures.
    Raises `ConfigError` naming the setting, its value and what is allowed.

    Example::

        mode = SystemOperationMode(tau=5.0)
        mode.current  # Mode.NORMAL
    """

    def __init__(  # noqa: PLR0913  (all but the first are keywords)
        self,
        name: str = "system",
        *,
        thresholds: Iterable[float] | UnsetType = UNSET,
        return_normal: float | UnsetType = UNSET,
        return_degraded: float | UnsetType = UNSET,
        tau: Duration | UnsetType = UNSET,
        confirm_worse: Duration | UnsetType = UNSET,
        confirm_degraded: Duration | UnsetType = UNSET,
        confirm_normal: Duration | UnsetType = UNSET,
        dwell: Duration | UnsetType = UNSET,
        flap_window: Duration | UnsetType = UNSET,
        flap_half_life: Duration | UnsetType = UNSET,
        flap_limit: float | UnsetType = UNSET,
        fresh_for: Duration | UnsetType = UNSET,
        minimum_calls: int | UnsetType = UNSET,
        cascade_window: Duration | UnsetType = UNSET,
        blind_after: Duration | UnsetType = UNSET,
        interval: Duration | UnsetType = UNSET,
        reactions: Reactions | None = REACTIONS,
        clock: Clock | None = None,
    ) -> None:
        self._react(reactions)
        given = {
            "thresholds": tuple(thresholds) if isinstance(thresholds, Iterable) else thresholds,
            "return_normal": return_normal,
            "return_degraded": return_degraded,
            "tau": tau,
            "confirm_worse": confirm_worse,
            "confirm_degraded": confirm_degraded,
            "confirm_normal": confirm_normal,
            "dwell": dwell,
            "flap_window": flap_window,
            "flap_half_life": flap_half_life,
            "flap_limit": flap_limit,
            "fresh_for": fresh_for,
            "minimum_calls": minimum_calls,
            "cascade_window": cascade_window,
            "blind_after": blind_after,
            "interval": interval,
        }
        recipe, values = Recipe("mode", None, given, tuned), configured.values
        settings, every = recipe(values)
        super().__init__(name, settings, every, clock)
        configured.follow(self, recipe, values)

    def __repr__(self) -> str:
        """Name, mode and score as of the last evaluation."""
        score = self._engine.steady.smoothed * 100
        return f"<SystemOperationMode {self.name!r} {self._current.name} score {score:.1f}>"

    @property
    def current(self) -> Mode:
        """The mode now; cheap enough to read on every call.

        It never waits: while another thread evaluates, it is the last value.
        """
        if self._fresh_from <= self._clock.monotonic() < self._fresh_until:
            return self._current
        self._refresh()
        return self._current

    @property
    def score(self) -> float:
        """The smoothed score at this instant, 0 (nothing works) to 100."""
        self._refresh()
        return self._engine.steady.smoothed * 100

    @property
    def state(self) -> SystemState:
        """What the smoothed score says at this instant, whatever is forced or tripped."""
        self._refresh()
        return self._engine.state

    @property
    def severity(self) -> float:
        """How deep the system is in degradation, for gradual actions; as cheap as `current`.

        0 in NORMAL; it grows with what the score lacks to the edge of NORMAL, up to 1 at score 0,
        and is at least what EMERGENCY begins with while the mode is that.
        """
        mode, edge = self.current, self._settings.thresholds[1] / 100
        if mode is Mode.NORMAL:
            return 0.0
        begins = 1 - self._settings.thresholds[3] / 100 / edge
        depth = clamp(1 - self._engine.steady.smoothed / edge)
        return max(depth, begins) if mode is Mode.EMERGENCY else min(depth, begins)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the mode is what it is, the weightiest first; empty when all is well and known."""
        self.evaluate()
        return self._under_lock(lambda: tuple(reasons_of(self._engine))) or ()

    def explain(self) -> Explanation:
        """Account for every point of the score, and for what would change the mode.

        Example::

            print(mode.explain())
        """
        self.evaluate()
        found = self._under_lock(lambda: explain(self._engine))
        return explain(self._engine) if found is None else found

    @property
    def history(self) -> tuple[ModeChange, ...]:
        """The last 1000 changes, oldest first."""
        self.evaluate()
        return tuple(self._history.changes)

    def statistics(self) -> Statistics:
        """Seconds in each mode, and the mean times to detect and to recover.

        Example::

            mode.statistics().mean_time_to_recover
        """
        self.evaluate()
        found = self._under_lock(lambda: self._history.statistics(self._time.now()))
        return self._history.statistics(self._time.now()) if found is None else found

    def select(self, *, normal: T, degraded: T | None = None, emergency: T | None = None) -> T:
        """The value for the current mode: a setting that follows it.

        What is not given (or `None`) is taken from the next better mode.

        Example::

            ttl = mode.select(normal=60, degraded=600, emergency=86400)
        """
        mode = self.current
        if mode is Mode.EMERGENCY and emergency is not None:
            return emergency
        return normal if mode is Mode.NORMAL or degraded is None else degraded

    def trip(self, reason: str, *, ttl: Duration | None = None, local: bool = False) -> None:
        """Go to EMERGENCY at once and stay there until `untrip`, or for `ttl` seconds.

        Parameters: `reason`, which names the trip; `local`, that it is about this process only, so
        that `ready()` is false. Raises `ConfigError` for a bad `ttl`.

        Example::

            mode.trip("disk full", local=True)
        """
        trip = Trip(reason, self._end(ttl), local)
        self._command(lambda engine, _: engine.trip(trip))

    def untrip(self, reason: str | None = None) -> bool:
        """End the trip of that reason, or all; the mode then recovers in its ordinary time.

        Returns False if there was none.

        Example::

            mode.untrip("disk full")
        """
        had = bool(self._engine.trips) if reason is None else reason in self._engine.trips
        self._command(lambda engine, _: engine.untrip(reason))
        return had

    def force(
        self,
        mode: Mode | str,
        *,
        reason: str,
        ttl: Duration | None = None,
        owner: str | None = None,
    ) -> None:
        """Set the mode by hand, against all evidence, until `release` or for `ttl` seconds.

        A later `force` takes its place. `owner` is shown, and may be asked for by `release`.
        Raises `ConfigError`.

        Example::

            mode.force("degraded", reason="migration", ttl=3600, owner="ops")
        """
        override = Override(Mode.of(mode), reason, owner, self._end(ttl))
        self._command(lambda engine, _: engine.force(override))

    def release(self, owner: str | None = None) -> bool:
        """End the override; the mode then follows the evidence in its ordinary time.

        Parameters: `owner`, if given, ends only an override of that owner. False if there is none.

        Example::

            mode.release()
        """
        override = self._engine.override
        if override is None or (owner is not None and override.owner != owner):
            return False
        self._command(lambda engine, _: engine.force(None))
        return True

    def live(self) -> bool:
        """Whether this process runs: always true, whatever becomes of its dependencies."""
        return True

    def ready(self) -> bool:
        """Whether this process should get traffic; false only while a local trip holds.

        An open breaker is no reason: it would take every replica out of rotation at once.
        """
        self._refresh()
        return not any(trip.local for trip in list(self._engine.trips.values()))


def default_mode() -> SystemOperationMode:
    """The mode of every policy that names none, made on first need.

    Example::

        resilient.default_mode().current
    """
    mode: SystemOperationMode = hub.mode
    return mode

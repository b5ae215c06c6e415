"""The part of the mode that runs books."""

from __future__ import annotations

import functools
import itertools
from collections import deque
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from resilient.clock import Duration, seconds
from resilient.errors import ConfigError
from resilient.system.employing import Employing
from resilient.system.runbooks.crew import Crew
from resilient.system.runbooks.office import Office, looking
from resilient.system.runbooks.plan import Plan
from resilient.system.runbooks.run import RunbookRun
from resilient.system.runbooks.runbook import Runbook, in_order
from resilient.system.runbooks.running import Running
from resilient.system.runbooks.start import Start, started_by
from resilient.system.runbooks.watch import Watch, under_way
from resilient.system.view import View

__all__ = ["RunningBooks"]

KEPT = 100
"""Runs that are remembered."""


class RunningBooks(Employing):
    """The part of the mode that runs books."""

    def __init__(self, *given: Any) -> None:
        self._runs: deque[RunbookRun] = deque(maxlen=KEPT)
        self._run_numbers = itertools.count(1)
        super().__init__(*given)

    def runbook(
        self,
        book: Runbook,
        *,
        on: Start | None = None,
        every: Duration = 10.0,
        cooldown: Duration = 300.0,
    ) -> Runbook:
        """Have `book` run when something happens. Its steps run in the background, one at a time.

        * `on`: what starts it, and cancels it once it is over:
          a `Mode` or its name: the mode worsens to it; over when it is better again. NORMAL: the
          mode returns to it, from whatever; over when it is left. ``"cascade"``: a failure brings
          others with it; over when all of them are well again. `failure_of` components: any of
          them fails; over when all are well again. A function of no argument, sync or async: it
          answers true; over when it answers false. `None`, the default: only ``mode.run``.
        * `every`: seconds between two questions to such a function. Default 10.
        * `cooldown`: seconds between two starts while the mode is NORMAL. Default 300. In an
          incident, from leaving NORMAL to being back, a book is started once.

        A mode forced by hand is entered like any other. A run that is cancelled takes back what it
        did, see `step`. A second book of a name takes the place of the first. Returns `book`.
        Raises `ConfigError`.

        Example::

            mode.runbook(book, on="emergency")
        """
        if not isinstance(book, Runbook):
            raise ConfigError("book", book, "what runbook(...) returned")
        asks, pause = seconds("every", every), seconds("cooldown", cooldown, zero=True)
        nudge = self._weakly(RunningBooks._look_again)
        trigger = started_by(on, asks, self._errand, nudge)
        crew = Crew(book.steps, self._errand)
        begin = self._weakly(RunningBooks._begin_watched)
        replaced = self._watches().get(book.name)
        self._employ(Watch(book, trigger, crew, pause, begin, self._ledger))
        if replaced is not None:
            replaced.retire()
        return book

    @property
    def runbooks(self) -> Mapping[str, Runbook]:
        """The books that are attached, by name.

        Example::

            mode.run("drain", dry_run=True)
        """
        return MappingProxyType({name: watch.book for name, watch in self._watches().items()})

    @property
    def runs(self) -> tuple[RunbookRun, ...]:
        """The last hundred runs, oldest first.

        Example::

            print(mode.runs[-1])
        """
        return tuple(self._runs)

    def run(self, book: Runbook | str, *, dry_run: bool = False) -> RunbookRun:
        """Run a book now, by hand; `book` may be the name of one that is attached.

        It is begun in the background, and ends when it is done or cancelled. If a run of that book
        is under way, this is the one returned: there are never two at once.

        Parameters: `dry_run`, to do nothing: the run then shows every step in order, with its time
        limit and whether its `when` holds now (these functions are called).
        Raises `ConfigError` if no such book is attached.

        Example::

            print(mode.run("drain", dry_run=True).wait(5))
        """
        watch = self._watches().get(book if isinstance(book, str) else getattr(book, "name", ""))
        if isinstance(book, str) and watch is not None:
            book = watch.book
        if not isinstance(book, Runbook):
            names = ", ".join(sorted(self._watches())) or "none is attached"
            raise ConfigError("book", book, f"a runbook(...), or the name of one of: {names}")
        mine = watch if watch is not None and watch.book is book and not dry_run else None
        self.evaluate()
        begin = functools.partial(self._begin, book, "hand", watch=mine, dry=dry_run)

        def found_or_begun() -> RunbookRun:
            return under_way(self._ledger, book.name, dry=dry_run) or begin()

        run = self._under_lock(found_or_begun) or found_or_begun()
        self.evaluate()
        return run

    def _watches(self) -> dict[str, Watch]:
        jobs = self._ledger.jobs.values()
        return {job.name: job for job in jobs if isinstance(job, Watch)}

    def _begin_watched(self, news: tuple[Watch, View, str]) -> None:
        watch, view, cause = news
        self._begin(watch.book, cause, watch=watch, view=view)

    def _begin(
        self,
        book: Runbook,
        cause: str,
        *,
        watch: Watch | None,
        view: View | None = None,
        dry: bool = False,
    ) -> RunbookRun:
        by_hand, view = view is None, view or self._view()
        declared = self._ledger.declared.items()
        steps = in_order(book.steps, {name: said.depends_on or () for name, said in declared})
        plan = Plan(steps, dry=dry)
        run = RunbookRun(
            book.name,
            next(self._run_numbers),
            cause,
            view.incident,
            plan,
            clock=self._clock,
            look=looking(self),
            by_hand=by_hand,
        )
        crew = Crew(steps, self._errand, dry=dry) if watch is None else watch.crew
        nudge = self._weakly(RunningBooks._look_again)
        office = Office(self, crew if watch is None else None, nudge)
        running = Running(run, plan, crew, office)
        if watch is not None:
            running.concerns = lambda: watch.holds and watch.running is running
            watch.begun(running, view)
        self._runs.append(run)
        if not dry:
            self._dismiss(book.name)
        self._ledger.employ(running)
        self._nudge()
        return run

    def _dismiss(self, book: str) -> None:
        """Let go of runs that failed: the present one tells what there is to tell of that book."""
        for job in self._ledger.jobs.values():
            if isinstance(job, Running) and job.run.book == book and job.run.finished:
                job.office.over(job)

    def _look_again(self, _: object) -> None:
        self._nudge()

"""Who does the steps of a runbook: one errand for each function that a step has."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from resilient.core.hub import hub
from resilient.core.inspection import gives_coroutine, refuse_coroutine
from resilient.system.errand import Errand, Report
from resilient.system.runbooks.context import RunContext
from resilient.system.runbooks.plan import Do, Stage
from resilient.system.runbooks.step import Step, StepFunction, wants_context

__all__ = ["Crew", "Finding", "Hire"]

Hire = Callable[[str, Callable[..., Any], float, Callable[[Report], None]], Errand]
"""The mode's way of making an errand."""


class Finding(NamedTuple):
    """How one attempt ended; `error` in words, put together where code of the user's may run."""

    key: tuple[Stage, str]
    report: Report
    error: str | None


class Crew:
    """Does one thing at a time for one run at a time, which says where to report.

    A function that still runs when its run is long over is never begun a second time meanwhile:
    so the crew outlives the run.

    Example::

        crew = Crew(book.steps, mode._errand)
        crew.report = found.append
    """

    def __init__(self, steps: Iterable[Step], hire: Hire, *, dry: bool = False) -> None:
        self.report: Callable[[Finding], None] | None = None
        self._errands: dict[tuple[Stage, str], Errand] = {}
        for one in steps:
            functions = {Stage.WHEN: one.when}
            if not dry:
                functions |= {Stage.RUN: one.fn, Stage.UNDO: one.undo}
            for stage, fn in functions.items():
                if fn is not None:
                    key = (stage, one.name)
                    done = functools.partial(self._done, key)
                    work = _judged(fn, _judge(stage, one))
                    self._errands[key] = hire(one.name, work, one.timeout, done)

    def errand(self, do: Do) -> Errand:
        """Who does that."""
        return self._errands[do.stage, do.step.name]

    def disband(self) -> None:
        """Let go of everybody. What a listener may have to close is closed on the dispatcher."""
        sweeper = hub.dispatcher.listener(
            lambda errand: errand.retire(), limit=1 + len(self._errands)
        )
        for errand in self._errands.values():
            sweeper.offer(errand)

    def after_fork(self) -> None:
        """Nothing runs in the child."""
        for errand in self._errands.values():
            errand.after_fork()

    def _done(self, key: tuple[Stage, str], report: Report) -> None:
        error = report.error
        words = None if error is None else f"{type(error).__name__}: {_words(error)}"[:300]
        if self.report is not None:
            self.report(Finding(key, report, words))


def _judge(stage: Stage, one: Step) -> Callable[[Any], Any]:
    """What is made of a result, where code of the user's may run: a truth may take some asking."""
    if stage is Stage.WHEN:
        return bool
    if stage is Stage.RUN and one.gate:
        return _gate
    return lambda value: value


def _gate(value: Any) -> Any:
    if not value:
        message = f"the gate stays shut, the answer was {value!r:.200}"
        raise ValueError(message)
    return value


def _judged(fn: StepFunction, judge: Callable[[Any], Any]) -> Callable[[RunContext], Any]:
    """`fn`, given the context if it wants it, and its result judged."""
    wants = wants_context(fn)

    if gives_coroutine(fn):

        async def work_async(context: RunContext) -> Any:
            return judge(await (fn(context) if wants else fn()))

        return work_async

    def work(context: RunContext) -> Any:
        value = fn(context) if wants else fn()
        refuse_coroutine(fn, value)
        return judge(value)

    return work


def _words(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001  (an error that cannot be told is still one)
        return "without words"

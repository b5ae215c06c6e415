"""What an outcome says about the dependency."""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import Enum
from typing import Any

import msgspec

from resilient.core.gate import COMPLETED
from resilient.core.outcome import Outcome
from resilient.policies.match import Matcher

__all__ = ["Judge", "Verdict"]


class Verdict(Enum):
    """Success, failure, or no evidence at all."""

    SUCCESS = "success"
    FAILURE = "failure"
    IGNORED = "ignored"


class Judge(msgspec.Struct, frozen=True):
    """`ignore` wins over `on`; an exception outside `on` is a success: the dependency answered."""

    on: Matcher
    ignore: Matcher
    failure_result: Callable[[Any], bool] | None = None
    retry_after: Callable[[Exception], float | None] | None = None

    def verdict(self, outcome: Outcome[Any]) -> tuple[Verdict, float | None]:
        """The verdict, and for a failure the open time that it asks for, if it does."""
        error = outcome.error
        if error is None:
            failed = (
                self.failure_result is not None
                and outcome is not COMPLETED
                and self.failure_result(outcome.value)
            )
            return (Verdict.FAILURE if failed else Verdict.SUCCESS), None
        if self.ignore(error):
            return Verdict.IGNORED, None
        if not self.on(error):
            return Verdict.SUCCESS, None
        wait = None if self.retry_after is None else self.retry_after(error)
        if wait is None or not math.isfinite(wait):
            return Verdict.FAILURE, None
        return Verdict.FAILURE, max(0.0, float(wait))

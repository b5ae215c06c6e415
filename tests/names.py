"""Names of test cases that are the same in every process."""

from __future__ import annotations

import re


def shown(value: object) -> str:
    """`value` as the name of a test case: without its address, which is another in each process."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))[:60]

"""Every arm by name."""

from __future__ import annotations

from .arms import Arm
from .baselines import BASELINES
from .library import LIBRARY

__all__ = ["ARMS", "arms"]

ARMS: dict[str, Arm] = {arm.name: arm for arm in (*BASELINES, *LIBRARY)}
_REPLICAS_ONLY = {"hedge", "failover"}


def arms(names: str, *, replicas: bool = False) -> list[Arm]:
    """The arms of a list with commas; "all" for every one that can be built.

    Those that need replicas to be of use are among "all" only if there are `replicas`.
    Raises `ValueError` for a name that is none.
    """
    if names == "all":
        left_out = set() if replicas else _REPLICAS_ONLY
        return [arm for arm in ARMS.values() if not arm.missing and arm.name not in left_out]
    unknown = [name for name in names.split(",") if name not in ARMS]
    if unknown:
        message = f"no such arm: {', '.join(unknown)}; there are {', '.join(ARMS)}"
        raise ValueError(message)
    return [ARMS[name] for name in names.split(",")]

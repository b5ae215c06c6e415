"""What measuring a row gives."""

from __future__ import annotations

from dataclasses import dataclass

from _measure import Ratio

__all__ = ["Result"]


@dataclass(frozen=True, slots=True)
class Result:
    """A row that was measured: what the table prints."""

    id: str
    what: str
    target: float | None
    ours: float
    reference: float
    reference_name: str
    ratio: Ratio
    peers: dict[str, float]
    missing: dict[str, str]
    unit: str = "ns"
    at_least: bool = False
    note: str = ""

    @property
    def passed(self) -> bool | None:
        """Whether the target is met; `None` without one."""
        if self.target is None:
            return None
        if self.at_least:
            return self.ratio.value >= self.target
        return self.ratio.value <= self.target

    @property
    def best_peer(self) -> tuple[str, float] | None:
        """The best of the others."""
        if not self.peers:
            return None
        pick = max if self.at_least else min
        name = pick(self.peers, key=lambda peer: self.peers[peer])
        return name, self.peers[name]

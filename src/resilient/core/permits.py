"""A permit of a gate for one block that may end anywhere."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resilient.core.gate import Gate

__all__ = ["PermitManager"]


class PermitManager:
    """One permit of a gate, as a context manager for one use. Made by `Gate.permit`."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._permit: Any = None
        self._used = False

    def _begin(self) -> None:
        if self._used:
            message = f"a permit of {self._gate.name} is for one use; ask for a new one"
            raise RuntimeError(message)
        self._used = True

    def __enter__(self) -> None:
        """Enter. Raises `Rejected`, or `RuntimeError` on a second use."""
        self._begin()
        self._permit = self._gate.enter()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave, in any task or thread."""
        permit, self._permit = self._permit, None
        self._gate.leave(permit, error)

    async def __aenter__(self) -> None:
        """Enter. Raises `Rejected`, or `RuntimeError` on a second use."""
        self._begin()
        self._permit = await self._gate.enter_async()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave, in any task or thread."""
        self.__exit__(kind, error, traceback)

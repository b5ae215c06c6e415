"""Several policies as one."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from resilient.core.policy import Policy, Protector
from resilient.errors import ConfigError

if TYPE_CHECKING:
    from resilient.policies.lint import Finding

__all__ = ["Pipeline", "describe_layers", "pipeline"]


class Pipeline(Protector):
    """Policies in order, outermost first. Made by `resilient.pipeline`."""

    def __init__(self, policies: tuple[Policy, ...]) -> None:
        self._policies = policies

    def layers(self) -> tuple[Policy, ...]:
        """Its policies."""
        return self._policies

    def describe(self) -> str:
        """The policies as a tree, outermost first.

        Example::

            print(charging.describe())
        """
        return describe_layers(self._policies)

    def lint(self) -> tuple[Finding, ...]:
        """The orders in it that do harm; empty if there are none.

        Example::

            for finding in charging.lint():
                print(finding.rule, finding.message)
        """
        from resilient.policies.lint import findings  # noqa: PLC0415  (seldom needed)

        return findings(self._policies)


def describe_layers(policies: tuple[Policy, ...], innermost: str = "the call") -> str:
    """Draw `policies` around `innermost`."""
    lines = [policy.describe() for policy in policies] + [innermost]
    return "\n".join(
        "   " * depth + ("+- " if depth else "") + line for depth, line in enumerate(lines)
    )


def pipeline(*policies: Protector, strict: bool = False) -> Pipeline:
    """Join policies, outermost first, into one decorator.

    The order is that of stacked decorators read from top to bottom. A pipeline may be part of
    another. With `strict`, what `lint()` finds is raised.
    Raises `TypeError` for what is no policy, `ConfigError` without policies or, if `strict`, for
    an order that does harm.

    Example::

        charging = pipeline(
            fallback(queue_for_later, on=Rejected),
            retry(on=ConnectionError),
            breaker("payments"),
            timeout(2),
        )

        @charging
        async def charge(order: int) -> Receipt: ...
    """
    if not policies:
        raise ConfigError("policies", policies, "at least one policy")
    for policy in cast("tuple[object, ...]", policies):
        if not isinstance(policy, Protector):
            message = f"pipeline() joins policies, not {policy!r}; call the factory to make one"
            raise TypeError(message)
    made = Pipeline(tuple(layer for policy in policies for layer in policy.layers()))
    if strict and (found := made.lint()):
        text = "; ".join(f"{finding.rule}: {finding.message}" for finding in found)
        raise ConfigError("policies", [each.describe() for each in made.layers()], text)
    return made

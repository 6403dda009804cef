"""The checks of fence agents by name, as those of resource agents are kept; and what a check may need."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from resource_agents.commands.conformance.registry import Check, described

if TYPE_CHECKING:
    from resource_agents.commands.fencing.device import Device

METADATA = "the metadata can be read"
WORKING = "parameters of a device that works, with a plug"
STAGE = "a device that can be made to misbehave (--stage)"

CHECKS: list[Check] = []


def check(group: str, needs: str = "") -> Callable[[Callable[[Device], str]], Callable[[Device], str]]:
    """Register the function as a check named after it. Its docstring ends with a line "Source: ..."."""

    def register(function: Callable[[Device], str]) -> Callable[[Device], str]:
        CHECKS.append(described(function, group, needs))
        return function

    return register

"""Every fault that a drill or a storm can ask for; a new one is a few lines in the module of its area."""

from collections.abc import Mapping
from typing import Final

from kappa_lab.faults import bot, mongodb, nginx, node, router, vip
from kappa_lab.faults.kind import ROLES, Fault, Kind, Target, Value

__all__ = ["KINDS", "ROLES", "Fault", "Kind", "Target", "Value"]

KINDS: Final[Mapping[str, Kind]] = {
    kind.name: kind for area in (node, bot, router, mongodb, nginx, vip) for kind in area.KINDS
}

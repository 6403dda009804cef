"""Every fault that a drill or a storm can ask for; a new one is a few lines in the module of its area."""

from collections.abc import Mapping
from typing import Final

from kappa_lab.faults import bot, clock, fencing, mongodb, nginx, node, operator, router, scarcity, telegram, vip
from kappa_lab.faults.kind import ROLES, Fault, Kind, Target, Value

__all__ = ["AREAS", "KINDS", "ROLES", "Fault", "Kind", "Target", "Value"]

AREAS: Final[Mapping[str, tuple[Kind, ...]]] = {
    "node": (*node.KINDS, *scarcity.KINDS, *clock.KINDS),
    "fencing": fencing.KINDS,
    "bot": bot.KINDS,
    "router": router.KINDS,
    "mongodb": mongodb.KINDS,
    "nginx": nginx.KINDS,
    "vip": vip.KINDS,
    "telegram": telegram.KINDS,
    "operator": operator.KINDS,
}
"""The kinds by the area that they break; the tags of the drills are these."""

KINDS: Final[Mapping[str, Kind]] = {kind.name: kind for kinds in AREAS.values() for kind in kinds}

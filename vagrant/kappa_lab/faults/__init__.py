"""Every fault that a drill or a storm can ask for; a new one is a few lines in the module of its area."""

from collections.abc import Mapping
from typing import Final

from kappa_lab.faults import bot, mongodb, nginx, node, router, vip
from kappa_lab.faults.kind import ROLES, Fault, Kind, Target, Value

__all__ = ["AREAS", "KINDS", "ROLES", "Fault", "Kind", "Target", "Value"]

AREAS: Final[Mapping[str, tuple[Kind, ...]]] = {
    area.__name__.rpartition(".")[2]: area.KINDS
    for area in (bot, mongodb, nginx, node, router, vip)
}  # fmt: skip
"""The kinds by the area that they break, which is the module that they are in."""

KINDS: Final[Mapping[str, Kind]] = {kind.name: kind for kinds in AREAS.values() for kind in kinds}

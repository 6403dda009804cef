"""What a fault is to a drill: where it can hit, what it may be told, what it does and how it is undone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from kappa_lab.topology import Node

Value = str | float | int | bool | list[str]
"""What a drill's file may say to a fault."""

ROLES: Final = ("active", "passive", "passives", "dc", "all")
"""Where a fault can hit: the node with the group; the first or each of the others; the cluster's DC; every node."""


@dataclass(frozen=True)
class Target:
    """Whom a fault hits, looked up at the moment when it comes. `nodes` is empty where it is no node's matter."""

    nodes: tuple[Node, ...]
    active: Node
    """The node that had the group just before."""

    @property
    def node(self) -> Node:
        return self.nodes[0]


def nothing() -> None:
    """What there is to heal of a fault that is over when it has happened."""


@dataclass(frozen=True)
class Fault:
    """One fault, ready to happen. Both raise LabError."""

    inject: Callable[[], None]
    """Do it; return when it is known to have happened."""
    heal: Callable[[], None] = nothing
    """Undo what it left and wait until that is done. Right at any moment after `inject`, more than once, and where the
    node was fenced, or runs anew, meanwhile."""

    @property
    def lasts(self) -> bool:
        """It is there until it is healed."""
        return self.heal is not nothing


@dataclass(frozen=True)
class Kind:
    """A kind of fault, under the name that drills and the storm call it by."""

    name: str
    purpose: str
    """What breaks, in a line."""
    make: Callable[[Target, Mapping[str, Value]], Fault]
    on: tuple[str, ...] = ("active", "passive", "dc")
    """Of ROLES, those that it can hit; none where it is no node's matter."""
    parameters: Mapping[str, Value] = field(default_factory=dict)
    """What a drill may tell it, with defaults; a value must be of its default's type."""
    fences: str = "never"
    """Whether its node is shot for it, as configured here: never, maybe or always."""
    ends_node: bool = False
    """The node does nothing from that moment on."""
    predicted: str = ""
    """The kind of recovery in `kappa-lab predict` that answers it when it hits the active node."""
    storm: bool = True
    """Whether a storm may draw it."""
    possible: Callable[[], str] = lambda: ""
    """Why this machine cannot do it, in a sentence; "" where it can. A drill that needs it is then skipped by name."""

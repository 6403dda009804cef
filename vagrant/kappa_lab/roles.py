"""Who is meant: the roles that a drill speaks of, and the nodes that have them at a moment."""

from collections.abc import Iterable
from typing import Final

from kappa_lab.errors import LabError
from kappa_lab.faults import ROLES
from kappa_lab.topology import NODES

NAMES: Final = tuple(node.name for node in NODES)
KNOWN: Final = (*ROLES, *NAMES)
"""All that may stand where a drill's file names somebody."""


def resolve(on: str, active: str, dc: str | None) -> tuple[str, ...]:
    """The nodes that `on` means while `active` has the group; "" is nobody. Raises LabError where there is no DC."""
    others = tuple(name for name in NAMES if name != active)
    if on == "dc":
        if dc is None:
            raise LabError("The cluster has no DC: there is none to be hit.")
        return (dc,)
    named = {"": (), "active": (active,), "passive": others[:1], "passives": others, "all": NAMES}
    return named.get(on, (on,))


def resolve_all(roles: Iterable[str], active: str, dc: str | None) -> tuple[str, ...]:
    """The same of several, each node once."""
    return tuple(dict.fromkeys(name for on in roles for name in resolve(on, active, dc)))

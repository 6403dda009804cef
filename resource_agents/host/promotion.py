"""An instance's promotion score: Pacemaker promotes the instance with the highest, and none without one.

It is a node attribute that ends with the node's membership. `crm_attribute` sets it: a process of its own, so this is
never on a level-0 path, and an unchanged score is said again only once a minute (an attribute daemon that began anew
has forgotten it).
"""

import time

from resource_agents.host import notes, spawn
from resource_agents.host.processes import forget
from resource_agents.ocf.exits import GENERIC, Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from resource_agents.host.processes import Record
    from resource_agents.ocf.operation import Operation

AGAIN_S = 60.0
AT_MOST_S = 5.0


def prefer(operation: "Operation", about: "Record", score: int, *, anew: bool = False) -> None:
    """Set the score of this node's instance; `anew` whether or not it was set before. Raises Failure."""
    note, now = operation.state_file("score"), time.monotonic()
    said, _, when = notes.read(note, about).partition(" ")
    try:
        known = said == str(score) and 0 <= now - float(when) < AGAIN_S
    except ValueError:
        known = False
    if known and not anew:
        return
    operation.doing = "setting the promotion score"
    _crm_attribute(operation, ["--update", str(score)], AT_MOST_S)
    notes.write(note, about, f"{score} {now:.3f}")


def withdraw(operation: "Operation") -> None:
    """Remove the score, if one was set. For stop: that it cannot be done is no failure, and takes two seconds at
    most."""
    import os

    note = operation.state_file("score")
    if not os.path.lexists(note):
        return
    try:
        _crm_attribute(operation, ["--delete"], min(2.0, operation.deadline.left() / 2))
    except (Failure, OSError) as error:
        operation.warning(f"the promotion score remains until this node leaves the cluster: {error}")
    forget(note)


def _crm_attribute(operation: "Operation", words: "list[str]", timeout_s: float) -> None:
    argv = ["crm_attribute", f"--promotion={operation.resource}", "--lifetime=reboot", *words]
    code, printed = spawn.run(argv, operation, timeout_s)
    if code != 0:
        last = (printed.strip() or "it does not say why").splitlines()[-1]
        raise Failure(GENERIC, f"{operation.name}: {' '.join(argv)} ended with exit code {code}: {last}")

"""What is done to whole nodes, from outside, as their operator would."""

from collections.abc import Callable, Mapping

from kappa_lab.engine import docker
from kappa_lab.errors import LabError
from kappa_lab.faults.inside import until
from kappa_lab.faults.kind import Fault, Target, Value
from kappa_lab.topology import NODES, Node

Make = Callable[[Target, Mapping[str, Value]], Fault]


def on(node: Node, *command: str, timeout: float = 60) -> str:
    """Run a command on the node, as its root."""
    return docker("exec", node.container, *command, doing=f"running {command[0]} on {node.name}", timeout=timeout)


def powered(node: Node) -> bool:
    """Has it power? A frozen node has."""
    asked = docker("inspect", "--format", "{{.State.Running}}", node.container, doing=f"looking at {node.name}")
    return asked.strip() == "true"


def insist(what: str, do: Callable[[], object], node: Node, bound_s: float = 30) -> None:
    """Undo something on a node that may be shot and come back at the same time: again until it is done. A node without
    power has nothing left to undo."""
    trouble = ""

    def done() -> bool:
        nonlocal trouble
        try:
            if powered(node):
                do()
        except LabError as error:
            trouble = f" ({error})"
            return False
        return True

    try:
        until(what, done, bound_s, 0.5)
    except LabError:
        raise LabError(f"{node.name}: after {bound_s:.0f} s, still not: {what}{trouble}.") from None


def power_on(node: Node) -> None:
    """Press its button, unless it runs: a broker may be doing the same."""

    def pressed() -> bool:
        if not powered(node):
            try:
                docker("start", node.container, doing=f"switching {node.name} on")
            except LabError:
                return False
        return powered(node)

    until(f"{node.name} is switched on", pressed, 60)


def asked() -> Node:
    """A node whose cluster answers, for an operator's commands."""
    for node in NODES:
        try:
            on(node, "crm_mon", "-1", timeout=20)
        except LabError:
            continue
        return node
    raise LabError("No node's cluster answers.", "`kappa-lab status` shows what stands.")

"""What the faults of many areas are made of."""

import time
from collections.abc import Callable, Mapping

from kappa_lab.engine import docker
from kappa_lab.errors import LabError
from kappa_lab.faults.kind import Fault, Target, Value
from kappa_lab.topology import NODES, Node

Make = Callable[[Target, Mapping[str, Value]], Fault]


def each(do: Callable[[Node], None], undo: Callable[[Node], None] = lambda _node: None) -> Make:
    """The same thing done to each node that is hit, and undone at each."""

    def make(target: Target, _given: Mapping[str, Value]) -> Fault:
        return Fault(lambda: _all(do, target.nodes), lambda: _all(undo, target.nodes))

    return make


def _all(do: Callable[[Node], None], nodes: tuple[Node, ...]) -> None:
    for node in nodes:
        do(node)


def on(node: Node, *command: str, timeout: float = 60) -> str:
    """Run a command on the node, as its root."""
    return docker("exec", node.container, *command, doing=f"running {command[0]} on {node.name}", timeout=timeout)


def runs(node: Node) -> bool:
    """Has it power?"""
    asked = docker("inspect", "--format", "{{.State.Running}}", node.container, doing=f"looking at {node.name}")
    return asked.strip() == "true"


def until(what: str, holds: Callable[[], bool], bound_s: float = 60, every_s: float = 0.2) -> None:
    """Look until it holds; LabError after `bound_s`."""
    end = time.monotonic() + bound_s
    while not holds():
        if time.monotonic() > end:
            raise LabError(f"After {bound_s:.0f} s, still not: {what}.")
        time.sleep(every_s)


def insist(what: str, do: Callable[[], object], node: Node, bound_s: float = 30) -> None:
    """Undo something on a node that may be shot and come back at the same time: again until it is done. A node without
    power has nothing left to undo."""
    trouble = ""

    def done() -> bool:
        nonlocal trouble
        try:
            if runs(node):
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
        if not runs(node):
            try:
                docker("start", node.container, doing=f"switching {node.name} on")
            except LabError:
                return False
        return runs(node)

    until(f"{node.name} is switched on", pressed)


def asked() -> Node:
    """A node whose cluster answers, for an operator's commands."""
    for node in NODES:
        try:
            on(node, "crm_mon", "-1", timeout=20)
        except LabError:
            continue
        return node
    raise LabError("No node's cluster answers.", "`kappa-lab status` shows what stands.")

"""What a fault does inside a node or to its network: the few tools that the areas share."""

import contextlib
import json
import time
from collections.abc import Callable, Mapping

from kappa_lab.engine import docker
from kappa_lab.errors import LabError
from kappa_lab.faults.kind import Fault, Target, Value
from kappa_lab.run import run
from kappa_lab.topology import NODES, Node

BACK_S = 90.0
"""A node that was shot is back by then."""


def each(do: Callable[[Node], None], undo: Callable[[Node], None] | None = None) -> Callable[..., Fault]:
    """The same thing done to each node that is hit, and undone on each."""

    def make(target: Target, _given: Mapping[str, Value]) -> Fault:
        def inject() -> None:
            for node in target.nodes:
                do(node)

        if undo is None:
            return Fault(inject)

        def heal() -> None:
            for node in target.nodes:
                undo(node)

        return Fault(inject, heal)

    return make


def within(node: Node, *words: str, doing: str, stdin: str | None = None) -> str:
    """Run a command in a node, as root."""
    return docker("exec", *(("-i",) if stdin is not None else ()), node.container, *words, doing=doing, stdin=stdin)


def signal(node: Node, number: str, program: str, *, whole_line: bool = True) -> None:
    """Send a signal (KILL, STOP, …) to what runs in the node under a command line, or a name, that `program` matches.
    Raises LabError when there is no such process."""
    how = "-f" if whole_line else "-x"
    within(node, "pkill", f"-{number}", how, program, doing=f"sending SIG{number} to {program!r} on {node.name}")


def killed(program: str) -> Callable[..., Fault]:
    """What runs under a command line that `program` matches is killed (SIGKILL) on each node that is hit."""
    return each(lambda node: signal(node, "KILL", program))


def frozen(program: str) -> Callable[..., Fault]:
    """It stands still (SIGSTOP) until it is healed, or ended."""

    def thaw(node: Node) -> None:
        with contextlib.suppress(LabError):  # the cluster has killed it, or its node: nothing is left to thaw
            signal(node, "CONT", program)

    return each(lambda node: signal(node, "STOP", program), thaw)


def runs(node: Node) -> bool:
    """Is the node switched on, and not frozen?"""
    with contextlib.suppress(LabError):
        state = docker("inspect", "--format", "{{.State.Status}}", node.container, doing=f"looking for {node.name}")
        return state.strip() == "running"
    return False


def once_it_runs(node: Node, do: Callable[[], None]) -> None:
    """Do something that must be done to a node: where it was shot meanwhile, once it is back."""
    until(f"{node.name} runs", lambda: runs(node), BACK_S)
    do()


def until(what: str, holds: Callable[[], bool], bound_s: float, every_s: float = 0.1) -> None:
    """Poll until it holds. Raises LabError after `bound_s`."""
    end = time.monotonic() + bound_s
    while not holds():
        if time.monotonic() > end:
            raise LabError(f"After {bound_s:.0f} s, still not: {what}.")
        time.sleep(every_s)


def cleanup(resource: str, node: Node) -> None:
    """What an operator does who has mended something: have the cluster forget that it failed there."""
    failure: LabError | None = None
    for asked in NODES:
        try:
            within(
                asked, "crm_resource", "--cleanup", "--resource", resource, "--node", node.name,
                doing=f"cleaning up {resource} on {node.name}",
            )  # fmt: skip
            return
        except LabError as error:
            failure = error
    if failure:
        raise failure


def keep_file(node: Node, path: str, content: str) -> None:
    """Put `content` in the place of a file of the node's, which is kept beside it."""
    script = 'set -e; [ -e "$1.kept" ] || cp -p "$1" "$1.kept"; cat >"$1"'
    within(node, "sh", "-c", script, "sh", path, stdin=content, doing=f"changing {path} on {node.name}")


def put_back(node: Node, path: str) -> None:
    """The file that was kept, in its place again; nothing where none was kept."""
    script = '[ ! -e "$1.kept" ] || mv "$1.kept" "$1"'
    within(node, "sh", "-c", script, "sh", path, doing=f"putting {path} back on {node.name}")


def service_interface(node: Node) -> str:
    """The node's interface on the service network, be it up or down."""
    for link in json.loads(within(node, "ip", "-json", "address", doing=f"looking at the interfaces of {node.name}")):
        if any(address.get("local") == node.lan for address in link.get("addr_info", ())):
            return str(link["ifname"])
    raise LabError(f"{node.name} has no interface with its address {node.lan}.")


def network_of(container: str) -> list[str]:
    """What runs a command of the host's in a container's network: one that may not change it itself."""
    pid = docker("inspect", "--format", "{{.State.Pid}}", container, doing=f"looking for {container}").strip()
    return ["nsenter", "--target", pid, "--net"]


def in_network(container: str, *words: str, doing: str) -> str:
    return run([*network_of(container), *words], doing=doing)

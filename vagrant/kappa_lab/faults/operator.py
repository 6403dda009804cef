"""An operator's work on a cluster that serves: no faults, but users must notice nothing worse than a move."""

from collections.abc import Callable, Mapping
from typing import Final

from kappa_lab import cluster
from kappa_lab.engine import docker
from kappa_lab.errors import LabError
from kappa_lab.faults.inside import each, until
from kappa_lab.faults.kind import Fault, Kind, Target, Value
from kappa_lab.faults.outside import asked, on, power_on
from kappa_lab.topology import Node

GROUP: Final = "kappa"
STOPPED_S: Final = 60
LIBRARY: Final = "/usr/lib/kappa-ha"


def command(*words: str) -> None:
    """Given where a cluster answers; again while it does not, as a person would."""

    trouble = ""

    def done() -> bool:
        nonlocal trouble
        try:
            on(asked(), *words)
        except LabError as error:
            trouble = f" ({error})"
            return False
        return True

    try:
        until("the cluster takes an order", done, 60, 1.0)
    except LabError:
        raise LabError(f"The cluster does not take {' '.join(words)}{trouble}.") from None


def move_away(node: Node) -> None:
    command("crm_resource", "--resource", GROUP, "--ban", "--node", node.name)


def may_come_back(_node: Node) -> None:
    command("crm_resource", "--resource", GROUP, "--clear")


def standby(node: Node) -> None:
    command("crm_standby", "--node", node.name, "--update", "on")


def back(node: Node) -> None:
    command("crm_standby", "--node", node.name, "--delete")


def maintenance(_target: Target, _given: Mapping[str, Value]) -> Fault:
    return Fault(
        lambda: command("crm_attribute", "--name", "maintenance-mode", "--update", "true"),
        lambda: command("crm_attribute", "--name", "maintenance-mode", "--delete"),
    )


def rolling_restart(target: Target, _given: Mapping[str, Value]) -> Fault:
    """The one with the group last, so that it moves once."""
    order = [*(node for node in target.nodes if node != target.active), target.active]

    def inject() -> None:
        for node in order:
            restart(node)

    def heal() -> None:
        for node in order:
            power_on(node)
            back(node)

    return Fault(inject, heal)


def restart(node: Node) -> None:
    """In good order: its services elsewhere, its cluster stopped, the machine off and on, and back into service."""
    standby(node)
    cluster.wait_for(
        f"nothing runs on {node.name}",
        lambda seen: not any(node.name in where for where in seen.running.values()), STOPPED_S,
    )  # fmt: skip
    docker("stop", "-t", str(STOPPED_S), node.container, doing=f"shutting {node.name} down", timeout=STOPPED_S + 30)
    power_on(node)
    cluster.wait_for(f"{node.name} is back in the cluster", lambda seen: node.name in seen.online, STOPPED_S)
    back(node)
    cluster.wait_for(
        f"{node.name} serves again",
        lambda seen: all(node.name in seen.running.get(clone, ()) for clone in ("router", "uplink")), STOPPED_S,
    )  # fmt: skip


def agents_updated(target: Target, given: Mapping[str, Value]) -> Fault:
    """Every file of the agents differs from the one that is installed, so that each is replaced under what runs."""
    rounds = int(str(given["rounds"]))

    def inject() -> None:
        for number in range(rounds):
            for node in target.nodes:
                older = f"find {LIBRARY} -name '*.py' -exec sed -i '$a # an older version, {number}' {{}} +"
                on(node, "sh", "-c", f"{older}; exec kappa-agents install", timeout=120)

    return Fault(inject)


def reloaded(target: Target, given: Mapping[str, Value]) -> Fault:
    """A parameter that the agent calls reloadable is changed, and changed back."""
    resource, name, value = (str(given[key]) for key in ("resource", "parameter", "value"))

    def inject() -> None:
        def alter() -> None:
            command("crm_resource", "--resource", resource, "--set-parameter", name, "--parameter-value", value)

        unharmed(target.active, resource, alter)

    def heal() -> None:
        command("crm_resource", "--resource", resource, "--delete-parameter", name)
        command("crm_resource", "--wait", "--timeout", "30")

    return Fault(inject, heal)


def unharmed(node: Node, resource: str, do: Callable[[], None]) -> None:
    """Do it, see that the agent was told, and that the bot is still the same process. LabError where it is not."""
    before, told = bot_of(node), reloads(node, resource)
    do()
    until(f"the agent of {resource} on {node.name} is told", lambda: reloads(node, resource) > told, 30)
    if (now := bot_of(node)) != before:
        raise LabError(f"The bot on {node.name} was process {before} and is {now}: a reload has restarted it.")


def bot_of(node: Node) -> str:
    return on(node, "pgrep", "-o", "-f", "kappa-bot run").strip()


def reloads(node: Node, resource: str) -> int:
    """How often Pacemaker has had the agent take new parameters, by this node's log."""
    log = on(node, "cat", "/var/log/pacemaker/pacemaker.log")
    return sum(f"Result of reload-agent operation for {resource} on {node.name}" in line for line in log.splitlines())


KINDS: Final = (
    Kind("move", "The group is moved away by its operator.", each(move_away, may_come_back), ("active",),
         predicted="planned-move"),
    Kind("standby", "The node is set to standby.", each(standby, back), ("active", "passive", "dc"),
         predicted="planned-move"),
    Kind("maintenance", "The cluster is told to leave everything alone.", maintenance, on=(), storm=False),
    Kind("rolling-restart", "Every node is taken out, shut down, started and taken in again, one after the other.",
         rolling_restart, ("all",), storm=False),
    Kind("agents-updated", "The agents are installed anew on each node, under the monitors that run.", agents_updated,
         ("all",), parameters={"rounds": 3}),
    Kind("reload", "A reloadable parameter of a resource is changed.", reloaded, ("active",),
         parameters={"resource": "bot", "parameter": "drain", "value": "9s"}, storm=False),
)  # fmt: skip

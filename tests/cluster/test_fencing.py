"""Fencing when things are worse than one dead node: a stop that fails, an agent that hangs, brokers that are gone."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from kappa_lab import cluster, lab, power, topology
from kappa_lab.engine import docker
from kappa_lab.errors import LabError

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600), pytest.mark.usefixtures("serving")]

NODE1 = topology.NODES[0].container


def on(container: str, *command: str, timeout: float = 60) -> str:
    return docker("exec", container, *command, doing=f"running {command[0]} on {container}", timeout=timeout)


def active() -> topology.Node:
    return topology.node(lab.ready(150).where("bot") or "")


def until(what: str, holds: Callable[[], bool], bound_s: float = 90) -> None:
    end = time.monotonic() + bound_s
    while not holds():
        assert time.monotonic() < end, f"after {bound_s:.0f} s, still not: {what}"
        time.sleep(0.3)


def fenced(node: topology.Node) -> int:
    """How often the brokers have proven this node off."""
    entries = [json.loads(line) for line in power.audit()]
    return sum(e["plug"] == node.name and e["action"] == "off" and e["ok"] and e["after"] == "off" for e in entries)


@contextmanager
def in_its_place(container: str, program: str, script: str) -> Iterator[None]:
    """Another program stands where `program` stood (which is moved to `program`.orig), until the end."""
    put = f"mv {program} {program}.orig && printf '%s\n' '{script}' >{program} && chmod 755 {program}"
    on(container, "sh", "-c", put)
    try:
        yield
    finally:
        until(f"{container} runs again", lambda: runs(container), 120)
        on(container, "mv", f"{program}.orig", program)


def runs(container: str) -> bool:
    return docker("inspect", "-f", "{{.State.Running}}", container, doing="asking").strip() == "true"


def test_both_levels_stand_in_the_cluster_for_every_node() -> None:
    levels = on(NODE1, "pcs", "stonith", "level", "config")
    assert levels.count("Level 1") == levels.count("Level 2") == 1
    on(NODE1, "pcs", "stonith", "level", "verify")
    for node in topology.NODES:
        asker = next(n for n in topology.NODES if n is not node)
        devices = on(asker.container, "stonith_admin", "--list", node.name)
        assert "fence-kappa" in devices and "fence-kappa-2" in devices


def test_the_cluster_s_own_tool_finds_the_fence_agents_parameters_valid() -> None:
    said = on(
        NODE1, "stonith_admin", "--validate", "--agent", "fence_kappa",
        "--option", "server=10.77.1.1:7710", "--option", "key_file=/etc/kappa/fence.key",
    )  # fmt: skip
    assert "warning" not in said.lower() and "error" not in said.lower()


def test_without_sbd_no_watchdog_level_is_written() -> None:
    """pcs refuses it, and nothing half done is left: Pacemaker would not stay up with it."""
    there = "/usr/share/kappa-ha/crm_configs"
    settings = f"sed 's/^WATCHDOG_TIMEOUT=.*/WATCHDOG_TIMEOUT=10s/' {there}/lab.env >/tmp/watchdog.env"
    write = f"NODE_SETTINGS=/tmp/watchdog.env {there}/kappa.pcs.sh /tmp/watchdog.xml 2>&1"
    said = on(NODE1, "sh", "-c", f"{settings}; {write} && echo written; ls /tmp/watchdog.xml 2>&1; true")
    assert "while SBD is disabled" in said
    assert "written" not in said and "No such file" in said


def test_a_stop_that_fails_gets_the_node_fenced_before_the_group_starts_elsewhere() -> None:
    holder = active()
    before = fenced(holder)
    agent = "/usr/lib/ocf/resource.d/kappa/nginx"
    script = f'[ "$1" != stop ] || {{ echo "ocf-exit-reason:it will not end" >&2; exit 1; }}; exec {agent}.orig "$@"'
    with in_its_place(holder.container, agent, f"#!/bin/sh\n{script}"):
        on(NODE1, "crm_resource", "--ban", "--resource", "kappa", "--node", holder.name)
        try:
            until("the node is fenced", lambda: fenced(holder) > before)
            cluster.wait_for("the group on another node", lambda s: s.where("bot") not in (None, holder.name), 90)
        finally:
            asker = next(n for n in topology.NODES if n is not holder)
            on(asker.container, "crm_resource", "--clear", "--resource", "kappa")
    active()


def test_a_fence_agent_that_hangs_on_one_node_does_not_keep_the_cluster_from_fencing() -> None:
    holder = active()
    survivors = [n for n in topology.NODES if n is not holder]
    seen = cluster.status()
    assert seen is not None
    # the node that the cluster would ask first: the one that watches the device
    watcher = next((n for n in survivors if n.name == seen.where("fence-kappa")), survivors[0])
    before = fenced(holder)
    with in_its_place(watcher.container, "/usr/sbin/fence_kappa", "#!/bin/sh\nexec sleep 3600"):
        power.cut(holder)
        until("the node is fenced all the same", lambda: fenced(holder) > before, 180)
        cluster.wait_for("the bot on another node", lambda s: s.where("bot") not in (None, holder.name), 120)
    active()


def test_with_no_way_to_fence_nothing_is_taken_over_until_somebody_says_that_the_node_is_off() -> None:
    """And a fencing device that is dead shows in crm_mon.

    Pacemaker 2.1 drops what a fence agent said and shows the failure alone; the reason stands in its log.
    """
    holder = active()
    survivors = [n for n in topology.NODES if n is not holder]
    asker = survivors[0]
    for broker in power.BROKERS:
        power.kill(broker)
    try:
        power.cut(holder)
        until("fencing has failed", lambda: "fencing failed" in tried(asker, holder), 120)
        until("the dead device shows in crm_mon", lambda: "fence-kappa" in failed_actions(asker), 120)
        until("the reason is in a survivor's log", lambda: any(map(told_why, survivors)))
        assert not [n.name for n in topology.NODES if n is not holder and holds_the_address(n)], "taken over, unfenced"
        now = cluster.status()
        assert now is not None and now.where("bot") in (None, holder.name) and holder.name not in now.online
        # The operator has looked: the machine is off.
        on(asker.container, "stonith_admin", "--confirm", holder.name)
        cluster.wait_for("the bot on another node", lambda s: s.where("bot") not in (None, holder.name), 90)
    finally:
        power.start(sys.executable, *power.BROKERS)
        if not runs(holder.container):
            docker("start", holder.container, doing=f"starting {holder.name}")
        for node in topology.NODES:
            until(f"{node.name} answers", lambda node=node: answers(node))  # type: ignore[misc]
        on(asker.container, "crm_resource", "--cleanup")
    active()


def tried(asker: topology.Node, target: topology.Node) -> str:
    """What the cluster remembers of fencing a node."""
    said = docker(
        "exec", asker.container, "sh", "-c", f"stonith_admin --history {target.name} --verbose; true",
        doing="asking for the history of fencing",
    )  # fmt: skip
    return "fencing failed" if "failed" in said.lower() else said


def told_why(node: topology.Node) -> bool:
    return "no power broker gave an answer" in on(node.container, "cat", "/var/log/pacemaker/pacemaker.log")


def failed_actions(asker: topology.Node) -> str:
    """What crm_mon lists as failed, of resources and of fencing."""
    return on(asker.container, "crm_mon", "-1").partition("Failed Resource Actions")[2]


def holds_the_address(node: topology.Node) -> bool:
    try:
        return f"inet {topology.VIP}/" in on(node.container, "ip", "-o", "address")
    except LabError:
        return False


def answers(node: topology.Node) -> bool:
    try:
        on(node.container, "crm_mon", "-1")
    except LabError:
        return False
    return True

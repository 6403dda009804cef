"""The lab as an operator finds it, and what one node's own troubles do to it. Each test leaves it serving."""

import json
import time
from collections.abc import Callable

import pytest

from kappa_lab import cluster, lab, power, topology
from kappa_lab.engine import docker
from kappa_lab.errors import LabError

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600), pytest.mark.usefixtures("serving")]

AGENTS = ("telegram-bot", "mongos", "nginx", "vip", "uplink")
NODE1 = topology.NODES[0].container


def on(container: str, *command: str, timeout: float = 60) -> str:
    return docker("exec", container, *command, doing=f"running {command[0]} on {container}", timeout=timeout)


def active() -> topology.Node:
    return topology.node(lab.ready().where("bot") or "")


def until(what: str, holds: Callable[[], bool], bound_s: float = 60) -> None:
    end = time.monotonic() + bound_s
    while not holds():
        assert time.monotonic() < end, f"after {bound_s:.0f} s, still not: {what}"
        time.sleep(0.2)


def fenced() -> list[dict[str, object]]:
    """What the broker switched off so far."""
    return [entry for entry in map(json.loads, power.audit()) if entry["action"] == "off"]


@pytest.mark.parametrize("agent", AGENTS)
def test_metadata_is_valid_ocf_1_1_on_a_node(agent: str) -> None:
    """By the schema that the cluster's own tools carry."""
    path = f"/usr/lib/ocf/resource.d/kappa/{agent}"
    on(NODE1, "sh", "-c", f"{path} meta-data | xmllint --noout --relaxng /usr/share/pcs/data/ocf-1.1.rng -")


@pytest.mark.parametrize("agent", AGENTS)
def test_pcs_and_crmsh_describe_the_agents(agent: str) -> None:
    assert "Resource options" in on(NODE1, "pcs", "resource", "describe", f"ocf:kappa:{agent}")
    assert "Parameters" in on(NODE1, "crm", "ra", "info", f"ocf:kappa:{agent}")


def test_pcs_describes_the_fence_agent() -> None:
    assert "Stonith options" in on(NODE1, "pcs", "stonith", "describe", "fence_kappa")


def test_pcs_made_the_configuration_without_a_warning() -> None:
    """But for what pcs says of a machine without an init system, and of defaults in general."""
    expected = ("Unable to detect init system", "Defaults do not apply to resources which override them")
    said = on(NODE1, "cat", "/usr/share/kappa-ha/pcs.log").splitlines()
    odd = [line for line in said if ("Warning" in line or "Error" in line) and not any(e in line for e in expected)]
    assert odd == []


def test_the_configuration_is_well_in_the_clusters_own_eyes() -> None:
    on(NODE1, "crm_verify", "--live-check")


def test_the_virtual_ip_is_on_the_active_node_and_nginx_answers_on_it() -> None:
    holder = active()
    have = [n.name for n in topology.NODES if f"inet {topology.VIP}/" in on(n.container, "ip", "-o", "address")]
    assert have == [holder.name]
    url = f"http://{topology.VIP}:8080/kappa/health"
    ask = f"import urllib.request as u; print(u.urlopen({url!r}, timeout=5).read().decode())"
    assert f"serving on {holder.name}" in on("kappa-lab-watcher", "python", "-c", ask)


def test_the_bot_says_that_it_serves() -> None:
    said = on(active().container, "kappa-bot", "status")
    assert "active" in said


def test_pacemaker_itself_checks_every_agent_and_finds_it_well() -> None:
    holder = active().container
    for resource in ("router", "uplink", "vip", "web", "bot"):
        on(holder, "crm_resource", "--force-check", "--resource", resource)


def test_the_bots_user_can_do_no_more_than_it_must() -> None:
    """Least privilege, tried through the router with the bot's own password."""
    script = (
        "import pymongo, pathlib, pymongo.errors as e\n"
        "c = pymongo.MongoClient('mongodb://127.0.0.1:27017/', username='kappa_bot', authSource='kappa',"
        " password=pathlib.Path('/etc/kappa/mongodb.password').read_text().strip())\n"
        "assert c.kappa.Data.count_documents({}) >= 0\n"
        "tries = {'other database': lambda: c.other.x.insert_one({}), 'drop': lambda: c.kappa.Data.drop(),\n"
        "    'users': lambda: c.kappa.command('usersInfo', 1), 'shutdown': lambda: c.admin.command('shutdown')}\n"
        "for name, forbidden in tries.items():\n"
        "    try: forbidden()\n"
        "    except e.OperationFailure as refused: assert refused.code == 13, (name, refused.code)\n"
        "    else: raise SystemExit(name + ' was allowed')\n"
        "print('refused')\n"
    )
    assert "refused" in on(NODE1, "/opt/kappa/bin/python", "-c", script)


def test_no_secret_is_in_the_cib_or_in_any_command_line() -> None:
    secrets = [
        text
        for name in ("telegram.token", "mongodb.password", "id.key")
        if (text := on(NODE1, "cat", f"/etc/kappa/{name}").strip())
    ]
    seen = on(NODE1, "cibadmin", "--query") + "".join(on(n.container, "ps", "-eo", "args") for n in topology.NODES)
    seen += "".join(on(n.container, "sh", "-c", "cat /proc/[0-9]*/environ 2>/dev/null; true") for n in topology.NODES)
    logs = "".join(on(n.container, "sh", "-c", "cat /var/log/kappa/* /var/log/pacemaker/*.log") for n in topology.NODES)
    for secret in secrets:
        assert secret not in seen
        assert secret not in logs


def test_a_killed_bot_is_started_again_without_fencing() -> None:
    holder, before = active(), len(fenced())
    pid = on(holder.container, "pgrep", "-o", "-f", "kappa-bot run").strip()
    on(holder.container, "kill", "-KILL", pid)
    until("another bot runs", lambda: _pid_of_bot() not in (None, pid))
    lab.ready()
    assert len(fenced()) == before


def _pid_of_bot() -> str | None:
    for node in topology.NODES:
        try:
            return on(node.container, "pgrep", "-o", "-f", "kappa-bot run").strip()
        except LabError:
            continue
    return None


def test_nginx_with_a_killed_master_comes_back() -> None:
    """Its orphaned workers keep the port; a start that cannot find them never succeeds."""
    holder, before = active(), len(fenced())
    master = on(holder.container, "cat", "/run/kappa/nginx.pid").strip()
    on(holder.container, "kill", "-KILL", master)

    def came_back() -> bool:
        try:
            return on(active().container, "cat", "/run/kappa/nginx.pid").strip() != master
        except LabError:
            return False

    until("Nginx has another master", came_back, 90)
    lab.ready()
    assert len(fenced()) == before


def test_an_address_that_was_deleted_by_hand_comes_back() -> None:
    holder = active()
    on(
        holder.container,
        "sh",
        "-c",
        f"ip address delete {topology.VIP}/24 dev $(ip -o address | awk '/{topology.VIP}/ {{print $2}}')",
    )

    def there() -> bool:
        return any(f"inet {topology.VIP}/" in on(n.container, "ip", "-o", "address") for n in topology.NODES)

    until("some node has the virtual IP again", there)
    lab.ready()


def test_the_group_moves_on_demand_and_nobody_is_shot() -> None:
    holder, before = active(), len(fenced())
    on(NODE1, "crm_resource", "--ban", "--resource", "kappa", "--node", holder.name)
    try:
        moved = cluster.wait_for(
            "the group on another node", lambda s: s.where("bot") not in (None, holder.name), 60, 0.3
        )
    finally:
        on(NODE1, "crm_resource", "--clear", "--resource", "kappa")
    assert moved.where("vip") == moved.where("bot")
    lab.ready()
    assert len(fenced()) == before


def test_a_node_that_lost_its_uplink_gives_the_group_up_and_nobody_is_shot() -> None:
    def reaches(node: topology.Node, value: str) -> bool:
        said = on(NODE1, "attrd_updater", "--query", "--name", "kappa-telegram", "--node", node.name)
        return f'value="{value}"' in said

    holder, before = active(), len(fenced())
    until("every node was seen to reach Telegram", lambda: all(reaches(n, "1") for n in topology.NODES))
    on(holder.container, "ip", "route", "add", "unreachable", f"{topology.TELEGRAM}/32")
    try:
        moved = cluster.wait_for(
            "the group on another node", lambda s: s.where("bot") not in (None, holder.name), 90, 0.3
        )
        assert reaches(holder, "0")
    finally:
        on(holder.container, "ip", "route", "del", "unreachable", f"{topology.TELEGRAM}/32")
    assert moved.where("vip") == moved.where("bot")
    until("it is seen to be back", lambda: reaches(holder, "1"))
    assert lab.ready().where("bot") == moved.where("bot"), "a node that is back takes nothing away"
    assert len(fenced()) == before


def test_an_operator_can_fence_a_node_and_it_comes_back() -> None:
    victim = next(n for n in topology.NODES if n is not active())
    asker = next(n for n in topology.NODES if n is not victim)
    before = docker("inspect", "-f", "{{.State.StartedAt}}", victim.container, doing="asking").strip()
    on(asker.container, "stonith_admin", "--reboot", victim.name, "--timeout", "30", timeout=60)
    after = docker("inspect", "-f", "{{.State.StartedAt}}", victim.container, doing="asking").strip()
    assert after != before
    last = fenced()[-1]
    assert (last["plug"], last["ok"], last["after"]) == (victim.name, True, "off")
    lab.ready(120)


def test_a_node_may_not_fence_itself_and_nobody_may_fence_what_is_no_node() -> None:
    for plug in ("node1", "kappa-lab-telegram", "mongo1"):
        with pytest.raises(LabError):
            on(NODE1, "fence_kappa", "-o", "off", "-n", plug, "-a", "10.77.1.1:7710", "-k", "/etc/kappa/fence.key")
    assert docker("inspect", "-f", "{{.State.Status}}", "kappa-lab-telegram", doing="asking").strip() == "running"


def test_a_cluster_that_is_stopped_in_order_shoots_nobody() -> None:
    """Last in this file: it ends the nodes."""
    before = len(fenced())
    containers = [n.container for n in topology.NODES]
    docker("stop", "-t", "60", *containers, doing="stopping the nodes", timeout=120)
    codes = docker("inspect", "-f", "{{.State.ExitCode}}", *containers, doing="asking how they ended").split()
    assert codes == ["0", "0", "0"]
    assert len(fenced()) == before

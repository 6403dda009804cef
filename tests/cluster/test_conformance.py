"""Every agent put to OCF 1.1 on a lab node, with real parameters: a real router's place, a real bot, a real network.

The group is stopped first: of the bot there may be one only, and conform starts it, kills it and starts it again.
"""

import json
from collections.abc import Iterator

import pytest

from kappa_lab import cluster, topology
from kappa_lab.engine import docker

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900), pytest.mark.usefixtures("serving")]

NODE = topology.NODES[0]
ROUTER = f"kappa0/{','.join(f'{m}:27017' for m in topology.MEMBERS)}"
NGINX_CONFIG = (
    "pid /run/conform-nginx.pid; events {} "
    "http { access_log off; server { listen 8099; location = /status { return 200 well; } } }"
)
ENDS_SOON = "--setParameter mongosShutdownTimeoutMillisForSignaledShutdown=100"
PARAMETERS = {
    "vip": ["ip=10.77.0.150"],
    "nginx": ["config=/tmp/conform-nginx.conf", "status_url=http://127.0.0.1:8099/status", "status_pattern=well"],
    "mongos": [
        f"configdb={ROUTER}", "keyfile=/etc/kappa/mongodb.key", "user=kappa", "port=27117",
        "log=/var/log/kappa/conform-mongos.log", f"options={ENDS_SOON}",
    ],
    "uplink": [
        f"telegram_url=http://{topology.TELEGRAM}:{topology.TELEGRAM_PORT}", "router=127.0.0.1:27017",
        "telegram_attribute=conform-telegram", "router_attribute=conform-router", "latency_attribute=conform-latency",
    ],
    "telegram-bot": ["config=/etc/kappa/bot.toml", "user=kappa"],
}  # fmt: skip


@pytest.fixture(scope="module")
def idle_node(serving: cluster.Status) -> Iterator[str]:
    """A node that runs no bot, in a cluster that wants none anywhere."""
    meta = ("crm_resource", "--resource", "kappa", "--meta")
    docker(
        "exec",
        NODE.container,
        *meta,
        "--set-parameter",
        "target-role",
        "--parameter-value",
        "Stopped",
        doing="stopping",
    )
    cluster.wait_for("the group stopped", lambda s: not any(s.running.get(r) for r in ("vip", "web", "bot")), 60)
    docker("exec", NODE.container, "sh", "-c", f"echo '{NGINX_CONFIG}' >/tmp/conform-nginx.conf", doing="writing")
    yield NODE.container
    docker("exec", NODE.container, *meta, "--delete-parameter", "target-role", doing="starting the group again")


@pytest.mark.parametrize("agent", PARAMETERS)
def test_our_agents_conform_on_a_lab_node(agent: str, idle_node: str) -> None:
    parameters = [word for parameter in PARAMETERS[agent] for word in ("--param", parameter)]
    said = docker(
        "exec", idle_node, "sh", "-c", '"$@"; test $? -le 1', "sh",
        "kappa-agents", "conform", agent, *parameters, "--format", "json",
        doing=f"putting {agent} to the test", timeout=600,
    )  # fmt: skip
    (judged,) = json.loads(said)["agents"]
    results = {result["name"]: result for result in judged["results"]}
    assert {name: result["evidence"] for name, result in results.items() if result["verdict"] == "fail"} == {}
    # started and stopped, not just its metadata read
    assert results["never-started-monitor"]["verdict"] == results["stop-of-stopped"]["verdict"] == "pass"
    assert sum(result["verdict"] == "pass" for result in results.values()) >= 40, judged

"""The bot as a promotable clone in a real cluster: one Promoted, the others warm, through kills and moves."""

import json
from collections.abc import Iterator

import pytest

from kappa_lab import cluster, topology
from kappa_lab.cluster import Status
from kappa_lab.engine import docker
from kappa_lab.errors import LabError

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600), pytest.mark.usefixtures("serving")]

NODE1 = topology.NODES[0].container


def on(container: str, *command: str) -> str:
    return docker("exec", container, *command, doing=f"running {command[0]} on {container}", timeout=60)


def roles() -> dict[str, str]:
    """Node → role that its bot says it has; a node whose bot does not answer is left out."""
    found = {}
    ask = (
        "import socket; s = socket.socket(socket.AF_UNIX); s.settimeout(2); s.connect('/run/kappa/telegram-bot.sock');"
        's.sendall(b\'{"v":1,"do":"status"}\\n\'); print(s.makefile().readline())'
    )
    for node in topology.NODES:
        try:
            found[node.name] = str(json.loads(on(node.container, "/opt/kappa/bin/python", "-c", ask))["role"])
        except (LabError, ValueError):
            continue
    return found


def one_active_and_warm(_: Status) -> bool:
    return sorted(roles().values()) == ["active", "standby", "standby"]


@pytest.fixture(scope="module")
def warm(serving: Status) -> Iterator[None]:
    on(NODE1, "crm_resource", "--resource", "kappa", "--meta", "--set-parameter", "target-role", "-v", "Stopped")
    cluster.wait_for("the group stopped", lambda s: not s.running.get("bot"), 60)
    on(
        NODE1, "pcs", "resource", "create", "warm", "ocf:kappa:telegram-bot",
        "config=/etc/kappa/bot.toml", "user=kappa",
        "op", "monitor", "interval=5s", "role=Promoted", "op", "monitor", "interval=7s", "role=Unpromoted",
        "op", "start", "timeout=40s", "op", "stop", "timeout=30s", "op", "promote", "timeout=30s",
        # the stopped primitive of the group has the same configuration, which pcs would rightly refuse
        "promotable", "promoted-max=1", "notify=false", "--force",
    )  # fmt: skip
    yield
    on(NODE1, "pcs", "resource", "delete", "warm", "--force")


def test_one_is_promoted_and_the_others_are_warm(warm: None) -> None:
    cluster.wait_for("one bot active, two on standby", one_active_and_warm, 90)


def test_when_the_promoted_bot_is_killed_there_is_one_active_again(warm: None) -> None:
    cluster.wait_for("one bot active, two on standby", one_active_and_warm, 90)
    active = next(name for name, role in roles().items() if role == "active")
    container = topology.node(active).container
    killed = on(container, "pgrep", "-o", "-f", "kappa-bot run").strip()
    on(container, "kill", "-KILL", killed)
    cluster.wait_for(
        "one bot active, two on standby, the killed one replaced",
        lambda s: one_active_and_warm(s) and on(container, "pgrep", "-o", "-f", "kappa-bot run").strip() != killed,
        90,
    )


def test_it_can_be_moved_by_an_operator(warm: None) -> None:
    cluster.wait_for("one bot active, two on standby", one_active_and_warm, 90)
    before = next(name for name, role in roles().items() if role == "active")
    on(NODE1, "crm_resource", "--ban", "--resource", "warm-clone", "--node", before, "--promoted")
    try:
        cluster.wait_for(
            "another bot active", lambda s: one_active_and_warm(s) and roles().get(before) == "standby", 90
        )
    finally:
        on(NODE1, "crm_resource", "--clear", "--resource", "warm-clone", "--promoted")

"""By webhook: Telegram's deliveries follow the virtual IP to whichever node is active, through the shipped Nginx."""

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kappa_lab import cluster, lab, power, topology
from kappa_lab.engine import docker
from kappa_lab.paths import ROOT, STATE

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600), pytest.mark.usefixtures("serving")]

URL = f"https://{topology.VIP}:8443/kappa/telegram"
SECRET = "a-secret-of-forty-characters-for-the-lab"
NGINX = ROOT / "crm_configs" / "nginx"
JOURNAL = STATE / "journal" / "telegram.jsonl"


def until(what: str, holds: Callable[[], bool], bound_s: float = 90) -> None:
    end = time.monotonic() + bound_s
    while not holds():
        assert time.monotonic() < end, f"after {bound_s:.0f} s, still not: {what}"
        time.sleep(0.2)


def put(node: topology.Node, path: str, content: str, mode: str, owner: str = "kappa:kappa") -> None:
    docker(
        "exec", "-i", node.container, "sh", "-c", f"cat >{path} && chmod {mode} {path} && chown {owner} {path}",
        doing=f"writing {path} on {node.name}", stdin=content,
    )  # fmt: skip


def certificate(folder: Path) -> tuple[str, str]:
    """One that nobody vouches for, for the virtual IP; and its key."""
    made = folder / "webhook.pem", folder / "webhook.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-subj", "/CN=kappa", "-addext", f"subjectAltName=IP:{topology.VIP}", "-days", "2"),
            *("-out", made[0], "-keyout", made[1]),
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    return made[0].read_text(), made[1].read_text()


@pytest.fixture(scope="module")
def by_webhook(serving: cluster.Status, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Every node set up for the webhook, as an operator would; the bot started anew."""
    pem, key = certificate(tmp_path_factory.mktemp("certificate"))
    first = topology.NODES[0]
    bot = docker("exec", first.container, "cat", "/etc/kappa/bot.toml", doing="reading the bot's configuration")
    bot = bot.replace("[telegram]\n", '[telegram]\nreceive = "webhook"\n', 1)
    bot += f'\n[webhook]\nurl = "{URL}"\ncertificate = "/etc/kappa/webhook.pem"\n'
    meta = ("exec", first.container, "crm_resource", "--resource", "kappa", "--meta")
    docker(*meta, "--set-parameter", "target-role", "--parameter-value", "Stopped", doing="stopping the group")
    cluster.wait_for("the group stopped", lambda s: not any(s.running.get(r) for r in ("vip", "web", "bot")), 60)
    for node in topology.NODES:
        put(node, "/etc/kappa/bot.toml", bot, "644", "root:root")
        put(node, "/etc/kappa/webhook.secret", SECRET, "600")
        put(node, "/etc/kappa/webhook.pem", pem, "644", "root:root")
        put(node, "/etc/kappa/webhook.key", key, "600", "root:root")
        put(node, "/etc/kappa/nginx.conf", (NGINX / "nginx.conf").read_text(), "644", "root:root")
        put(node, "/etc/kappa/kappa-webhook.conf", (NGINX / "kappa-webhook.conf").read_text(), "644", "root:root")
        put(node, "/etc/kappa/kappa-webhook-networks.conf", f"allow {topology.TELEGRAM};\n", "644", "root:root")
    docker(*meta, "--delete-parameter", "target-role", doing="starting the group")
    lab.ready(120)


def traffic() -> dict[str, object]:
    return lab.telegram("GET", "/traffic")


def answered() -> int:
    return int(str(traffic()["updates_answered"]))


def events(kind: str) -> list[dict[str, Any]]:
    lines = [line for line in JOURNAL.read_text().splitlines() if line.endswith("}")]
    return [event for event in map(json.loads, lines) if event["e"] == kind]


@pytest.mark.usefixtures("by_webhook")
def test_deliveries_follow_the_virtual_ip_to_the_next_node_and_nothing_is_lost() -> None:
    holder = topology.node(lab.ready().where("bot") or "")
    polls = len([event for event in events("begin") if event["method"] == "getUpdates"])
    lab.telegram("POST", "/traffic", {"users": 20, "rate_per_s": 6.0, "seed": 7, "languages": ["es", "en"]})
    until("traffic flows", lambda: answered() > 40)
    cut = time.time()
    power.cut(holder)
    until(
        "users are answered by another node",
        lambda: any(e["t"] > cut and e["node"] != holder.name for e in events("reply")),
    )
    until("traffic goes on", lambda: answered() > 120)
    lab.telegram("POST", "/traffic/stop", {})
    until("every open dialogue is finished", lambda: traffic()["dialogues_open"] == 0, 120)
    said = traffic()
    assert said["complaints"] == [] and said["dialogues_failed"] == 0, said
    assert said["updates_answered"] == said["updates_sent"]
    assert len([event for event in events("begin") if event["method"] == "getUpdates"]) == polls, "nobody polled"
    lab.ready(120)


@pytest.mark.usefixtures("by_webhook")
def test_who_is_not_telegram_is_turned_away_at_the_virtual_ip() -> None:
    script = (
        "import ssl, urllib.request as u, urllib.error as e\n"
        "c = ssl.create_default_context(); c.check_hostname = False; c.verify_mode = ssl.CERT_NONE\n"
        f"r = u.Request({URL!r}, data=b'{{}}', headers={{'X-Telegram-Bot-Api-Secret-Token': {SECRET!r}}})\n"
        "try: print(u.urlopen(r, timeout=5, context=c).status)\n"
        "except e.HTTPError as refused: print(refused.code)\n"
    )
    said = docker("exec", "kappa-lab-watcher", "python", "-c", script, doing="delivering from a stranger's address")
    assert said.strip() == "403"

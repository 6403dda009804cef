"""The stock configuration is what it says it is, and its fence agent can do nothing but fence the lab's nodes."""

import http.client
import re
import socketserver
import ssl
import threading
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kappa_lab import engine, lab
from kappa_lab.topology import NODES, RINGS, VIP
from tests.bench.failover import configurations, docker_proxy

STOCK = configurations.stock()
CIB = ElementTree.fromstring(STOCK.lab.cib or "")
COROSYNC = STOCK.lab.files["/etc/corosync/corosync.conf"]


def attributes(resource: str) -> dict[str, str]:
    found = CIB.iterfind(f".//primitive[@id='{resource}']/instance_attributes/nvpair")
    return {pair.get("name", ""): pair.get("value", "") for pair in found}


# The cluster


def test_stock_is_debians_own_agents_and_nothing_of_ours() -> None:
    agents = {
        p.get("id"): ":".join(filter(None, (p.get("class"), p.get("provider"), p.get("type"))))
        for p in CIB.iter("primitive")
    }
    assert agents == {
        "fence": "stonith:fence_docker",
        "vip": "ocf:heartbeat:IPaddr2",
        "web": "ocf:heartbeat:nginx",
        "bot": "ocf:heartbeat:anything",
    }
    assert "kappa-bot" not in (STOCK.lab.cib or "") and 'provider="kappa"' not in (STOCK.lab.cib or "")


def test_every_monitor_of_the_group_is_at_ten_seconds() -> None:
    group = CIB.find(".//group[@id='kappa']")
    assert group is not None
    monitors = [op.get("interval") for op in group.iter("op") if op.get("name") == "monitor"]
    assert monitors == ["10s"] * 3


def test_the_group_is_in_the_order_of_ours_and_has_the_same_address() -> None:
    assert [p.get("id") for p in CIB.iterfind(".//group/primitive")] == ["vip", "web", "bot"]
    assert attributes("vip")["ip"] == VIP


def test_fencing_asks_the_proxy_with_what_fence_docker_needs() -> None:
    of = attributes("fence")
    assert (of["ip"], of["ipport"]) == (RINGS[0].host, str(docker_proxy.PORT))
    assert (of["api_version"], of["ssl_insecure"], of["pcmk_host_check"]) == ("1.41", "1", "static-list")
    assert dict(pair.split(":") for pair in of["pcmk_host_map"].split(";")) == {n.name: n.container for n in NODES}
    properties = {pair.get("name"): pair.get("value") for pair in CIB.iterfind(".//crm_config//nvpair")}
    assert properties == {"stonith-enabled": "true"}


def test_the_ids_are_each_there_once() -> None:
    ids = [element.get("id") for element in CIB.iter() if element.get("id")]
    assert len(ids) == len(set(ids))


def test_corosync_has_its_default_timings_and_ours_in_all_else() -> None:
    ours = configurations.OURS_COROSYNC.read_text()
    assert re.search(r"^\s*token: ", ours, re.MULTILINE)
    assert not re.search(r"^\s*(token|token_coefficient|consensus):", COROSYNC, re.MULTILINE)
    kept = [line for line in ours.splitlines() if not re.match(r"\s*(#|token|consensus)", line)]
    assert COROSYNC.splitlines() == kept
    assert "crypto_cipher: aes256" in COROSYNC and COROSYNC.count("ring1_addr") == 3


def test_the_stock_bot_is_the_file_that_the_nodes_are_given() -> None:
    options = attributes("bot")["cmdline_options"].split()
    assert options[0] == STOCK.bot and options[0] in STOCK.lab.files
    compile(STOCK.lab.files[options[0]], options[0], "exec")


def test_ours_is_as_shipped() -> None:
    assert configurations.ours().lab == lab.SHIPPED == lab.Configuration()


def test_files_of_a_configuration_are_laid_out_for_the_nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab, "STATE", tmp_path / "lab")
    monkeypatch.setattr(lab, "MARK", tmp_path / "lab" / "lab.json")
    lab.lay_out("a test", STOCK.lab)
    laid = tmp_path / "lab" / "files" / "etc" / "corosync" / "corosync.conf"
    assert laid.read_text() == COROSYNC


def test_the_shipped_configuration_lays_nothing_over_the_nodes_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lab, "STATE", tmp_path / "lab")
    monkeypatch.setattr(lab, "MARK", tmp_path / "lab" / "lab.json")
    lab.lay_out("a test")
    assert list((tmp_path / "lab" / "files").iterdir()) == []


# The filter


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/v1.41/containers/json?all=1"),
        ("GET", "/v1.41/containers/kappa-lab-node1/json"),
        ("POST", "/v1.41/containers/kappa-lab-node2/kill"),
        ("POST", "/v1.41/containers/kappa-lab-node3/start"),
    ],
)
def test_what_fencing_needs_is_let_through(method: str, target: str) -> None:
    assert docker_proxy.permitted(method, target)


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", "/v1.41/containers/create"),
        ("POST", "/v1.41/containers/kappa-lab-node1/exec"),
        ("POST", "/v1.41/containers/kappa-lab-node1/restart"),
        ("POST", "/v1.41/containers/kappa-lab-node1/stop"),
        ("POST", "/v1.41/containers/kappa-lab-mongo1/kill"),
        ("POST", "/v1.41/containers/kappa-lab-node1/kill?signal=TERM"),
        ("GET", "/v1.41/containers/kappa-lab-node1/kill"),
        ("POST", "/v1.41/containers/kappa-lab-node1/json"),
        ("DELETE", "/v1.41/containers/kappa-lab-node1"),
        ("GET", "/v1.41/containers/kappa-lab-node1/../kappa-lab-mongo1/json"),
        ("GET", "/v1.41/containers/kappa-lab-node1%2f..%2fx/json"),
        ("GET", "/v1.41/containers/json"),
        ("POST", "/v1.41/containers/json?all=1"),
        ("GET", "/v1.41/images/json"),
        ("POST", "/v1.41/build"),
        ("GET", "/v1.41/containers/kappa-lab-node1/json\n"),
        ("GET", "//v1.41/containers/json?all=1"),
        ("GET", ""),
    ],
)
def test_all_else_is_refused(method: str, target: str) -> None:
    assert not docker_proxy.permitted(method, target)


def test_only_the_nodes_are_listed_and_only_their_state_is_told() -> None:
    listed = [
        {"Id": "1", "Names": ["/kappa-lab-node1"], "State": "running", "Status": "Up", "Mounts": ["secret"]},
        {"Id": "2", "Names": ["/kappa-lab-mongo1"], "State": "running", "Status": "Up"},
    ]
    assert docker_proxy.cut_down(listed) == [
        {"Id": "1", "Names": ["/kappa-lab-node1"], "State": "running", "Status": "Up"}
    ]
    one = {"Id": "1", "Name": "/kappa-lab-node1", "State": {"Running": True}, "Config": {"Env": ["SECRET=1"]}}
    assert docker_proxy.cut_down(one) == {"Id": "1", "Name": "/kappa-lab-node1", "State": {"Running": True}}


class _FakeEngine(socketserver.BaseRequestHandler):
    asked: list[bytes]

    def handle(self) -> None:
        got = self.request.recv(65536)
        type(self).asked.append(got.split(b"\r\n", 1)[0])
        if got.startswith(b"POST"):
            self.request.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
        else:
            body = b'{"Id": "1", "Name": "/kappa-lab-node1", "State": {"Running": true}, "Config": {}}'
            self.request.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """What reached the engine, behind a proxy that serves on this machine's loopback."""
    path = tmp_path / "docker.sock"
    handler: Any = type("Handler", (_FakeEngine,), {"asked": []})
    monkeypatch.setattr(engine, "SOCKET", path)
    monkeypatch.setattr(docker_proxy, "HOST", "127.0.0.1")
    with socketserver.ThreadingUnixStreamServer(str(path), handler) as fake:
        thread = threading.Thread(target=fake.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        with docker_proxy.serving(tmp_path):
            yield handler.asked
        fake.shutdown()
        thread.join()


def ask(method: str, target: str) -> tuple[int, bytes]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection("127.0.0.1", docker_proxy.PORT, timeout=10, context=context)
    try:
        connection.request(method, target)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_over_tls_a_node_is_seen_and_killed_and_nothing_else_reaches_the_engine(asked: list[bytes]) -> None:
    status, body = ask("GET", "/v1.41/containers/kappa-lab-node1/json")
    assert status == 200 and b'"Running": true' in body and b"Config" not in body
    assert ask("POST", "/v1.41/containers/kappa-lab-node1/kill") == (204, b"")
    assert ask("POST", "/v1.41/containers/kappa-lab-mongo1/kill")[0] == 403
    assert ask("GET", "/v1.41/info")[0] == 403
    assert asked == [
        b"GET /v1.41/containers/kappa-lab-node1/json HTTP/1.1",
        b"POST /v1.41/containers/kappa-lab-node1/kill HTTP/1.1",
    ]

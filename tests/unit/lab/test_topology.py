"""One topology, said in three files: code, compose file and corosync.conf must agree."""

import re
from pathlib import Path

from kappa_lab import power, secrets, topology
from kappa_lab.lab import COMPOSE
from kappa_lab.paths import ROOT

COROSYNC = (ROOT / "crm_configs" / "corosync.conf").read_text()
SETTINGS = (ROOT / "crm_configs" / "lab.env").read_text()


def test_the_compose_file_stands_where_the_topology_says() -> None:
    text = COMPOSE.read_text()
    for node in topology.NODES:
        service = re.search(rf"^  {node.name}:\n(.*?)(?=^  \w|^\w)", text, re.MULTILINE | re.DOTALL)
        assert service, node.name
        assert f"container_name: {node.container}" in service[1]
        assert re.findall(r"ipv4_address: ([\d.]+)", service[1]) == [node.lan, *node.rings]
    for member in (*topology.MEMBERS, topology.TELEGRAM, topology.WATCHER):
        assert f"ipv4_address: {member}}}" in text
    for network in topology.NETWORKS:
        assert f"name: {network.bridge}}}" in text
        assert f"subnet: {network.subnet}, gateway: {network.host}" in text
    assert text.count("internal: true") == len(topology.NETWORKS)


def test_corosync_has_the_same_rings() -> None:
    for number, node in enumerate(topology.NODES, 1):
        block = re.search(rf"node {{\s+name: {node.name}\s+nodeid: {number}\s+(.*?)}}", COROSYNC, re.DOTALL)
        assert block, node.name
        assert re.findall(r"ring\d_addr: ([\d.]+)", block[1]) == list(node.rings)


def test_corosync_waits_longer_for_consensus_than_it_must() -> None:
    values = {key: int(value) for key, value in re.findall(r"^\s*(token|consensus): (\d+)", COROSYNC, re.MULTILINE)}
    assert values["consensus"] > 1.2 * values["token"]


def test_the_settings_name_the_labs_own_addresses() -> None:
    assert f"VIP={topology.VIP}\n" in SETTINGS
    for suffix, broker in zip(("", "_2"), power.BROKERS, strict=True):
        addresses = ",".join(f"{ring.host}:{broker.port}" for ring in topology.RINGS)
        assert f"FENCE_SERVERS{suffix}={addresses}\n" in SETTINGS
    assert f"CONFIGDB=kappa0/{','.join(f'{m}:27017' for m in topology.MEMBERS)}\n" in SETTINGS


def test_a_node_may_fence_its_peers_and_not_itself() -> None:
    import tomllib

    for broker in power.BROKERS:
        config = tomllib.loads(power.configuration(broker, Path("/secrets")))
        assert config["machines"] == {node.name: node.container for node in topology.NODES}
        for node in topology.NODES:
            peers = sorted(peer.name for peer in topology.NODES if peer is not node)
            assert sorted(config["clients"][node.name]["may"]) == peers


def test_secrets_are_files_of_their_own_that_only_their_owner_reads(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    secrets.make(folder)
    files = list(folder.iterdir())
    assert len(files) == 11
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    assert len({file.read_bytes() for file in files}) == len(files)
    assert re.fullmatch(rb"\d{9,10}:[A-Za-z0-9_-]{35}\n", (folder / "telegram.token").read_bytes())

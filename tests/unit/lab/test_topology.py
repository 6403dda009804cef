"""One topology, said in three files: code, compose file and corosync.conf must agree."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kappa_lab import power, secrets, settings, topology
from kappa_lab.errors import LabError
from kappa_lab.lab import COMPOSE
from kappa_lab.paths import ROOT

COROSYNC = (ROOT / "crm_configs" / "corosync.conf").read_text()
SETTINGS = (ROOT / "crm_configs" / "lab.env").read_text()


def test_the_labs_file_says_the_defaults() -> None:
    """The file is there to be changed; whoever leaves a line out, or the whole file, has the same lab."""
    assert settings.read((ROOT / "vagrant" / "lab.toml").read_text()) == settings.Settings()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nodes = 2", r"nodes is 2; it must be a whole number from 3 to 7"),
        ("nodes = true", r"nodes is True"),
        ('release = "sid"', r"release is 'sid'; it must be one of bookworm, trixie"),
        ("node = 3", r"there is no setting node\. There are: machine, networks, nodes, release"),
        ("[machine]\nmemory = 1", r"\[machine\]: there is no setting memory\. There are: memory_mb"),
        ('[machine]\nmemory_mb = "1G"', r"memory_mb is '1G'; it must be a value like 768"),
        ('[machine]\nprofile = "fast"', r"profile is 'fast'; it must be one of auto, kvm, emulated"),
        ("machine = 1", r"\[machine\] is 1, not a table"),
        ('[networks]\nlan = "10.77.0.5/24"', r"'10\.77\.0\.5/24' is not an IPv4 network"),
        ('[networks]\nlan = "10.77.0.0/16"', r"10\.77\.0\.0/16 must be a private network with /24"),
        ('[networks]\nlan = "8.8.8.0/24"', r"must be a private network"),
        ('[networks]\nlan = "10.77.1.0/24"', r"10\.77\.1\.0/24 stands there twice"),
        ('[networks]\nrings = ["10.77.1.0/24"]', r"rings are 1; a cluster here has two"),
        ("nodes = ", r"lab\.toml is not TOML"),
    ],
)
def test_a_wrong_setting_is_one_sentence_that_names_it(text: str, said: str) -> None:
    with pytest.raises(LabError, match=said) as caught:
        settings.read(text)
    assert "\n" not in str(caught.value)


def test_settings_make_the_addresses_that_programs_in_other_languages_read(tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text('nodes = 4\n[networks]\nlan = "10.88.0.0/24"\n')
    env = {"KAPPA_LAB_SETTINGS": str(file), "PYTHONPATH": str(ROOT / "vagrant"), "PYTHONDONTWRITEBYTECODE": "1"}
    ran = subprocess.run(
        [sys.executable, "-S", "-m", "kappa_lab.topology"], env=env, capture_output=True, text=True, check=True
    )
    told = json.loads(ran.stdout)
    assert [node["name"] for node in told["nodes"]] == ["node1", "node2", "node3", "node4"]
    assert told["nodes"][3]["interfaces"] == [
        {"network": "lan", "bridge": "kappa-lan", "address": "10.88.0.14", "mac": "02:42:0a:58:00:0e"},
        {"network": "ring0", "bridge": "kappa-ring0", "address": "10.77.1.14", "mac": "02:42:0a:4d:01:0e"},
        {"network": "ring1", "bridge": "kappa-ring1", "address": "10.77.2.14", "mac": "02:42:0a:4d:02:0e"},
    ]
    file.write_text("nodes = 1\n")
    ran = subprocess.run([sys.executable, "-S", "-m", "kappa_lab.topology"], env=env, capture_output=True, text=True)
    assert ran.returncode == 2
    assert ran.stderr == f"kappa-lab: {file}: nodes is 1; it must be a whole number from 3 to 7.\n"


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

"""kappa-powerd as a process: its configuration, its start and end, its engine coming and going."""

import signal
import socket
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.stonith import broker, fake_engine
from tests.unit.stonith.broker import NODES, Broker, powerd, until, write_config


@pytest.fixture
def short() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="kappa-") as folder:
        yield Path(folder)


def end_of(*arguments: str) -> tuple[int, str, str]:
    process = powerd(*arguments)
    out, err = process.communicate(timeout=20)
    return process.returncode, out, err


def one_sentence(code: int, err: str) -> str:
    assert code != 0
    assert err.count("\n") == 1, err
    assert err.startswith("kappa-powerd: ")
    return err


def test_sigterm_ends_it_cleanly(tmp_path: Path, short: Path) -> None:
    with broker.running(tmp_path, short) as power:
        with socket.create_connection(("127.0.0.1", power.port)):  # somebody is connected, too
            power.process.send_signal(signal.SIGTERM)
            _, err = power.process.communicate(timeout=10)
        assert power.process.returncode == 0
        assert err == "kappa-powerd: told to stop\n"


def test_a_switch_under_way_is_ended_first(tmp_path: Path, short: Path) -> None:
    with broker.running(tmp_path, short) as power:
        power.engine.add("kappa-lab-node2")
        power.engine.hang_on, power.engine.hang_s = "kill", 0.4
        agent = subprocess.Popen(
            ["python3", "-IS", str(broker.AGENT)], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert agent.stdin is not None
        agent.stdin.write("".join(f"{key}={value}\n" for key, value in power.options("off", "node2").items()))
        agent.stdin.close()
        until(power.engine.switching)
        power.process.send_signal(signal.SIGTERM)
        assert agent.wait(10) == 0
        assert agent.stderr is not None
        agent.stderr.close()
        assert power.audit()[0]["ok"] is True


def test_an_address_that_is_taken_is_one_sentence(tmp_path: Path, short: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        code, _, err = end_of("--config", str(write_config(tmp_path, short / "none", f'["127.0.0.1:0", "{where}"]')))
    assert code == 1
    line = one_sentence(code, err)
    assert "127.0.0.1" in line
    assert where.partition(":")[2] in line
    assert "ss -ltnp" in line


def test_an_address_that_this_host_has_not_is_one_sentence(tmp_path: Path, short: Path) -> None:
    code, _, err = end_of("--config", str(write_config(tmp_path, short / "none", '["192.0.2.7:7710"]')))
    assert code == 1
    assert "192.0.2.7" in one_sentence(code, err)


WRONG = [
    ("listen = ", "lisssten = ", "listen is missing"),
    ('["127.0.0.1:0"]', "7710", "listen must be a list"),
    ('["127.0.0.1:0"]', '["broker:7710"]', "broker:7710"),
    ('["127.0.0.1:0"]', '["127.0.0.1:99999"]', "127.0.0.1:99999"),
    ("audit.jsonl", "no/such/folder/audit.jsonl", "audit"),
    ('kind = "docker"', 'kind = "vmware"', "driver.kind"),
    ('kind = "docker"', 'kind = "docker"\ncolour = "red"', "driver.colour"),
    ("[driver]", "colour = 1\n[driver]", "colour"),
    ('socket = "/', 'socket = "', "driver.socket"),
    ('node1 = "kappa-lab-node1"', 'node1 = "../node1"', "machines.node1"),
    ('node1 = "kappa-lab-node1"', 'node1 = "kappa-lab-node2"', "machines"),
    ('node1 = "kappa-lab-node1"', "node1 = 1", "machines.node1"),
    ("may = ['node2', 'node3']", "may = ['node2', 'node4']", "clients.node1.may"),
    ("may = ['node2', 'node3']", "may = []", "clients.node1.may"),
    ("may = ['node2', 'node3']", "", "clients.node1.may is missing"),
    ("node1.key", "no.key", "clients.node1.key_file"),
    ("[clients.node1]", "[clients.'node 1']", "node 1"),
    ("[clients.node1]", "[clients.node1", "not TOML"),
]


@pytest.mark.parametrize(("old", "new", "named"), WRONG, ids=[named for _, _, named in WRONG])
def test_what_is_wrong_in_the_configuration_is_named(tmp_path: Path, old: str, new: str, named: str) -> None:
    from stonith.power.config import load
    from stonith.power.table import ConfigError

    path = write_config(tmp_path, Path("/nowhere/docker.sock"))
    load(path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        load(path)
    line = str(caught.value)
    assert str(path) in line
    assert named in line
    assert "\n" not in line


def test_a_wrong_configuration_ends_it_with_2_and_one_sentence(tmp_path: Path) -> None:
    path = write_config(tmp_path, Path("/nowhere/docker.sock"))
    (tmp_path / "node1.key").chmod(0o644)
    for arguments in (["--config", str(path)], ["--config", str(path), "--check"], ["--config", str(tmp_path / "no")]):
        code, _, err = end_of(*arguments)
        assert code == 2
        one_sentence(code, err)


def test_one_key_for_two_clients_is_refused_and_not_shown(tmp_path: Path) -> None:
    path = write_config(tmp_path, Path("/nowhere/docker.sock"))
    key = (tmp_path / "node1.key").read_text()
    (tmp_path / "node2.key").write_text(key)
    code, _, err = end_of("--config", str(path))
    assert code == 2
    assert "node1 and node2" in one_sentence(code, err)
    assert key.strip() not in err


def test_check_shows_what_the_broker_would_see_and_touches_nothing(tmp_path: Path, short: Path) -> None:
    with fake_engine.running(short / "engine.sock") as engine:
        path = write_config(tmp_path, engine.path)
        for node in NODES:
            engine.add(f"kappa-lab-{node}")
        code, out, err = end_of("--config", str(path), "--check")
        assert (code, err) == (0, "")
        assert out.count(": on: ") == 3
        assert engine.switching() == []
        del engine.containers["kappa-lab-node3"]
        code, out, _ = end_of("--config", str(path), "--check")
        assert code == 1
        assert "node3 (kappa-lab-node3): unknown" in out
    code, _, err = end_of("--config", str(path), "--check")
    assert code == 1
    one_sentence(code, err)


def test_the_audit_log_is_not_for_everybody(power: Broker) -> None:
    power.fence("status", "node2")
    assert stat.S_IMODE((power.folder / "audit.jsonl").stat().st_mode) & 0o037 == 0


def test_the_audit_log_can_be_rotated_by_renaming_it(power: Broker) -> None:
    power.fence("status", "node2")
    log = power.folder / "audit.jsonl"
    log.rename(log.with_suffix(".1"))
    power.fence("status", "node3")
    assert [line["plug"] for line in power.audit()] == ["node3"]
    log.with_suffix(".1").unlink()


def test_fencing_does_not_depend_on_the_audit_log(power: Broker) -> None:
    log = power.folder / "audit.jsonl"
    log.mkdir()
    try:
        assert power.fence("off", "node2").code == 0
    finally:
        log.rmdir()


def test_an_engine_that_is_away_is_unknown_and_its_return_is_noticed(tmp_path: Path, short: Path) -> None:
    with broker.running(tmp_path, short) as power:
        power.engine.add("kappa-lab-node2")
        socket_path, hidden = power.engine.path, power.engine.path.with_suffix(".away")
        assert power.fence("status", "node2").code == 0
        socket_path.rename(hidden)
        for action in ("off", "reboot", "on"):
            assert power.fence(action, "node2", timeout=0.3).code == 1
        for action, plug in (("status", "node2"), ("monitor", "")):
            ran = power.fence(action, plug)
            assert ran.code == 1
            assert "docker engine" in ran.one_line()
        assert power.fence("list").code == 0  # what there is to switch is known without the engine
        hidden.rename(socket_path)
        assert power.fence("off", "node2").code == 0


def test_the_example_is_a_configuration(tmp_path: Path) -> None:
    from stonith.power.config import load

    write_config(tmp_path, tmp_path / "docker.sock")  # for its keys
    text = (broker.ROOT / "stonith" / "power" / "kappa-powerd.example.toml").read_text()
    path = tmp_path / "example.toml"
    path.write_text(text.replace("/etc/kappa/power/", f"{tmp_path}/").replace("/var/log/kappa/", f"{tmp_path}/"))
    config = load(path)
    assert {name: client.may for name, client in config.clients.items()} == {
        node: tuple(peer for peer in NODES if peer != node) for node in NODES
    }
    assert config.listen == (("10.77.1.1", 7710), ("10.77.2.1", 7710))

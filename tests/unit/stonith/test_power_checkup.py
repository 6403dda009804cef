"""`kappa-powerd check-config`: what it says, what it warns of, and that it touches nothing."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.stonith import fake_engine, fake_programs
from tests.unit.stonith.broker import NODES, powerd, write_config
from tests.unit.stonith.fake_engine import Engine


@pytest.fixture
def engine() -> Iterator[Engine]:
    with tempfile.TemporaryDirectory(prefix="kappa-") as short, fake_engine.running(Path(short) / "s") as engine:
        for node in NODES:
            engine.add(f"kappa-lab-{node}")
        yield engine


def check(path: Path, *arguments: str) -> tuple[int, str, list[str]]:
    process = powerd(*(arguments or ("check-config",)), "--config", str(path))
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    assert all(line.startswith("kappa-powerd: ") for line in err.splitlines()), err
    return process.returncode, out, err.splitlines()


def test_it_says_in_words_what_the_broker_would_do(tmp_path: Path, engine: Engine) -> None:
    code, out, wrong = check(write_config(tmp_path, engine.path, '["127.0.0.1:7710", "[::1]:7710"]', starts=4))
    assert (code, wrong) == (0, [])
    for words in (
        "listens on 127.0.0.1:7710, [::1]:7710",
        f"writes a line for every request to {tmp_path}/audit.jsonl",
        "starts a machine 4 times within 600 s at most",
        "more often than every 150 s",
        "switches a machine off as often as it is asked to",
        "node1 may switch node2, node3",
        "node2 (kappa-lab-node2): on: container",
        engine.containers["kappa-lab-node2"].id,
    ):
        assert words in out, words
    assert engine.switching() == []
    assert not (tmp_path / "audit.jsonl").exists()


def test_the_old_way_to_ask_for_it_is_the_same(tmp_path: Path, engine: Engine) -> None:
    path = write_config(tmp_path, engine.path)
    assert check(path, "--check") == check(path)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("may = ['node2', 'node3']", "may = ['node1', 'node2', 'node3']", "node1 may switch itself"),
        ('["127.0.0.1:0"]', '["0.0.0.0:7710"]', "listens on 0.0.0.0"),
        (", 'node3']", "]", "no client may switch node3"),
    ],
)
def test_a_configuration_that_is_hardly_meant_is_warned_of(
    tmp_path: Path, engine: Engine, old: str, new: str, named: str
) -> None:
    path = write_config(tmp_path, engine.path)
    path.write_text(path.read_text().replace(old, new))
    code, _, wrong = check(path)
    assert code == 1
    assert [named in line for line in wrong] == [True]


def test_containers_that_would_spoil_fencing_are_warned_of(tmp_path: Path, engine: Engine) -> None:
    path = write_config(tmp_path, engine.path)
    engine.containers["kappa-lab-node1"].host = {"AutoRemove": True}
    engine.containers["kappa-lab-node2"].host = {"RestartPolicy": {"Name": "unless-stopped", "MaximumRetryCount": 0}}
    engine.containers["kappa-lab-node3"].host = {"AutoRemove": False, "RestartPolicy": {"Name": "no"}}
    code, _, wrong = check(path)
    assert code == 1
    assert ["node1 (kappa-lab-node1) was made with --rm" in line for line in wrong] == [True, False]
    assert "node2 (kappa-lab-node2) has the restart policy unless-stopped" in wrong[1]


def test_a_machine_that_is_missing_and_an_engine_that_is_away(tmp_path: Path, engine: Engine) -> None:
    path = write_config(tmp_path, engine.path)
    del engine.containers["kappa-lab-node3"]
    code, out, wrong = check(path)
    assert code == 1
    assert "node3 (kappa-lab-node3): unknown" in out
    assert ["could not be fenced now" in line for line in wrong] == [True]
    code, out, wrong = check(write_config(tmp_path, tmp_path / "none.sock"))
    assert code == 1
    assert "no machine has been looked at" in out
    assert ["the configuration is right, but the docker engine" in line for line in wrong] == [True]


@pytest.mark.parametrize("kind", ["libvirt", "virtualbox"])
def test_the_other_hypervisors(tmp_path: Path, kind: str) -> None:
    virsh = fake_programs.virsh(tmp_path / "l")
    manage = fake_programs.vboxmanage(tmp_path / "v")
    for node in NODES:
        virsh.add(f"kappa-lab-{node}", id="-", state="shut off", reason="destroyed")
        manage.add(f"kappa-lab-{node}", state="poweroff")
    path = write_config(tmp_path, Path("/unused"))
    driver = {
        "libvirt": f'kind = "libvirt"\nuri = "qemu:///system"\nvirsh = "{virsh.path}"',
        "virtualbox": f'kind = "virtualbox"\nvboxmanage = "{manage.path}"',
    }
    path.write_text(path.read_text().replace('kind = "docker"\nsocket = "/unused"', driver[kind]))
    code, out, wrong = check(path)
    assert (code, wrong) == (0, [])
    assert out.count("): off: ") == 3
    virsh.add("kappa-lab-node1", persistent="no")
    manage.add("kappa-lab-node1", autostart="on", state="poweroff")
    code, out, wrong = check(path)
    assert code == 1
    assert "node1 (kappa-lab-node1)" in wrong[0]
    assert "transient" in wrong[0] or "starts with the host" in wrong[0]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--cofnig=x"], "--config"),
        (["start", "--config", "x"], "start"),
        (["check-config"], "--config"),
        (["check-config", "--config", "/nowhere/powerd.toml"], "/nowhere/powerd.toml"),
    ],
)
def test_a_wrong_command_line_is_one_sentence_and_2(arguments: list[str], named: str) -> None:
    process = powerd(*arguments)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err.count("\n")) == (2, "", 1)
    assert named in err


def test_help_and_version() -> None:
    for argument, words in (("--help", "check-config"), ("--version", "kappa-powerd")):
        process = powerd(argument)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, "")
        assert words in out

"""What the broker gives up: root, its capabilities, any way to new ones, and who may read its memory."""

import os
import pwd
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from stonith.power.privileges import PrivilegeError, drop
from tests.unit.stonith import broker, fake_engine
from tests.unit.stonith.broker import ROOT, powerd, until, write_config

ME = pwd.getpwuid(os.geteuid()).pw_name
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to have something to drop")


def status(pid: int | str, key: str) -> str:
    """A line of /proc/PID/status."""
    found = re.search(rf"^{key}:\s*(.*)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return found[1]


def dropped(user: str, *groups: str, no_new_privileges: bool = True) -> list[str]:
    """What a process is like that has dropped its privileges."""
    code = (
        "import os\nfrom stonith.power.privileges import drop\n"
        f"worry = drop({user!r}, {list(groups)!r}, {no_new_privileges})\n"
        "lines = dict(line.split(':\\t') for line in open('/proc/self/status').read().splitlines())\n"
        "for key in ('Uid', 'Gid', 'Groups', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb', 'NoNewPrivs'):\n"
        "    print(lines[key].strip())\n"
        "try:\n    os.setuid(0)\n    print('root again')\nexcept OSError:\n    print('never root again')\n"
        "print(worry or '-')\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


@as_root
def test_root_becomes_the_user_for_good_and_keeps_the_sockets_group() -> None:
    nobody = pwd.getpwnam("nobody")
    uid, gid, groups, permitted, effective, bounding, ambient, no_new, again, worry = dropped("nobody", "daemon")
    assert uid.split() == [str(nobody.pw_uid)] * 4
    assert gid.split() == [str(nobody.pw_gid)] * 4
    assert set(groups.split()) == {str(nobody.pw_gid), "1"}
    assert {int(mask, 16) for mask in (permitted, effective, bounding, ambient)} == {0}
    assert (no_new, again, worry) == ("1", "never root again", "-")


@as_root
def test_a_driver_whose_programs_are_setuid_keeps_the_way_open_for_them() -> None:
    uid, _, _, permitted, _, bounding, _, no_new, again, _ = dropped("nobody", no_new_privileges=False)
    assert uid.split()[0] == str(pwd.getpwnam("nobody").pw_uid)
    assert int(permitted, 16) == 0
    assert int(bounding, 16) != 0
    assert (no_new, again) == ("0", "never root again")


@as_root
def test_root_that_stays_root_is_worth_a_word() -> None:
    *_, no_new, _, worry = dropped("")
    assert no_new == "1"
    assert "runs as root" in worry


@as_root
@pytest.mark.parametrize(
    ("user", "groups", "named"), [("nosuchuser", [], "nosuchuser"), ("nobody", ["nogrp"], "nogrp")]
)
def test_whom_it_cannot_become_is_named(user: str, groups: list[str], named: str) -> None:
    code = f"from stonith.power.privileges import *\ntry: drop({user!r}, {groups!r}, True)\n"
    code += "except PrivilegeError as error: print(error)"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert named in ran.stdout
    assert ran.stdout.count("\n") == 1


def test_another_user_than_the_configuration_says_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 65534)
    monkeypatch.setattr("stonith.power.privileges._prctl", lambda option, value: None)
    with pytest.raises(PrivilegeError, match="kappa-powerd"):
        drop("kappa-powerd", [], True)
    assert drop("", [], True) == ""


@pytest.fixture
def short() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="kappa-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_the_broker_can_gain_no_privileges_and_its_memory_is_its_own(tmp_path: Path, short: Path) -> None:
    with broker.running(tmp_path, short) as power:
        assert status(power.process.pid, "NoNewPrivs") == "1"
        if os.geteuid() != 0:  # root may read everything, so only others can see this
            with pytest.raises(PermissionError):
                Path(f"/proc/{power.process.pid}/environ").read_bytes()


@as_root
def test_a_broker_that_root_starts_serves_as_its_user(tmp_path: Path, short: Path) -> None:
    """It has read the keys, which are root's, and its socket and its audit log are there for the user."""
    with fake_engine.running(short / "engine.sock") as engine:
        engine.path.chmod(0o666)
        engine.add("kappa-lab-node2")
        config = write_config(tmp_path, engine.path)
        logs = short / "log"
        logs.mkdir()
        os.chown(logs, pwd.getpwnam("nobody").pw_uid, 0)
        config.write_text(f'user = "nobody"\n{config.read_text()}'.replace(f"{tmp_path}/audit", f"{logs}/audit"))
        process = powerd("--config", str(config))
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            assert "listening on" in line
            assert "runs as root" not in line
            assert status(process.pid, "Uid").split() == [str(pwd.getpwnam("nobody").pw_uid)] * 4
            port = int(line.partition("127.0.0.1:")[2].partition(";")[0])
            options = {"action": "off", "plug": "node2", "client": "node1", "key_file": tmp_path / "node1.key"}
            assert broker.fence({**options, "server": f"127.0.0.1:{port}", "timeout": 5}).code == 0
            until((logs / "audit.jsonl").exists)
            assert (logs / "audit.jsonl").stat().st_uid == pwd.getpwnam("nobody").pw_uid
        finally:
            process.terminate()
            process.communicate(timeout=15)
